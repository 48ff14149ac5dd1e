"""What a run needs is fetched before it starts: whoever starts it has the logins, and the run has none.

```text
without a lock or a space   in this process, whose mounts the run gets
with one                    in a process of its own: nothing of the run's becomes importable here
```
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from magic_module import _native, errors
from magic_module._py.running.starting import MOUNTED, Wanted, of_space, own_folder
from magic_module._py.running.watching import Report
from magic_module.errors import MagicModuleError, OfflineError, PolicyError, RequirementError

BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from magic_module._py.running.ahead import main; main()"

_views: dict[tuple[object, ...], str | None] = {}
"""By what was fetched for: a run whose script and lock are as they were begins at once."""


def prepare(wanted: Wanted, told: Report) -> str | None:
    """Has fetched what the script is seen to import and what is named; the folder of the lock's environment."""
    if wanted.lock is None and wanted.space is None:
        if wanted.prefetch or _has_mounts():
            for line in fetched(wanted.script, wanted.prefetch):
                told.hear(line)
        return None
    key = _key(wanted)
    if key not in _views or not _is_there(_views[key]):
        if len(_views) > 1000:
            _views.clear()
        _views[key] = _elsewhere(wanted, told)
    return _views[key]


def forget(wanted: Wanted) -> None:
    """What was fetched is not there any more: the next run looks again."""
    _views.pop(_key(wanted), None)


def _is_there(view: str | None) -> bool:
    return view is None or os.path.isdir(view)


def _has_mounts() -> bool:
    return bool(_native._mounts()) or _native._settings()["manifest_url"] is not None


def _key(wanted: Wanted) -> tuple[object, ...]:
    def state(path: str | None) -> object:
        try:
            found = os.stat(path or "")
        except OSError:
            return None
        return path, found.st_mtime_ns, found.st_size, found.st_ino

    lock = wanted.lock or {}
    space = of_space(wanted.space) if wanted.space is not None else {}
    path = os.path.join(space["MAGIC_MODULE_SPACES_DIR"], space["MAGIC_MODULE_SPACE"], "pylock.toml") if space else None
    return (
        json.dumps(lock),
        state(lock.get("lock", path)),
        tuple(space.values()),
        state(wanted.script),
        tuple(wanted.prefetch),
        _native._settings()["cache_dir"],
    )


def _elsewhere(wanted: Wanted, told: Report) -> str | None:
    """The same in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name not in MOUNTED}
    environment["MAGIC_MODULE_START"] = "0"
    if wanted.space is not None:
        environment.update(of_space(wanted.space))
    asked = {"lock": wanted.lock, "space": wanted.space, "script": wanted.script, "names": list(wanted.prefetch)}
    done = subprocess.run(
        [sys.executable, "-c", BOOT, own_folder()],
        input=json.dumps(asked),
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    view = None
    for line in lines:
        if "error" in line:
            raise _error(line["error"])
        view = line.pop("view", view)
        told.hear(line)
    if done.returncode != 0 or not any("done" in line for line in lines):
        hint = "see what it wrote"
        raise MagicModuleError(f"fetching what the run needs ended with status {done.returncode}; {hint}", hint=hint)
    return view


def _error(told: dict[str, Any]) -> MagicModuleError:
    kind = getattr(errors, told["type"], MagicModuleError)
    details = {key: told[key] for key in ("name", "url", "path", "expected", "got", "hint", "causes")}
    error: MagicModuleError = kind(told["message"], **details)
    return error


def main() -> None:
    """Of that process: it reads what to do, and tells what became of it, a line each."""
    asked = json.load(sys.stdin)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        # What anybody else prints is not an answer.
        os.dup2(2, 1)

        def tell(line: dict[str, Any]) -> None:
            answers.write(json.dumps(line) + "\n")

        try:
            os.environ.pop("MAGIC_MODULE_START", None)
            if asked["space"] is not None:
                view = _native._activate_space(asked["space"]).view
            else:
                _native._skip_start()
                options = {key: value for key, value in asked["lock"].items() if key != "lock"}
                view = _native.mount_lock(asked["lock"]["lock"], **options).view
            tell({"view": None if view is None else str(view)})
            for line in fetched(asked["script"], asked["names"]):
                tell(line)
            tell({"done": True})
        except MagicModuleError as error:
            tell({"error": error.to_dict()})


def fetched(script: str | None, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Fetches by name, and what the script is seen to import; then what only this process has logins for.

    What may not be fetched, or is not here, the script is told when it imports that.
    """
    sizes: dict[str, int] = {}

    def listen(event: dict[str, Any]) -> None:
        sizes[event["unit"]] = event["bytes"]

    began = time.monotonic()
    if names:
        _native.prefetch(*names, progress=listen)
    from magic_module._py.cli.check import provided

    found = [*(provided(script) if script is not None else ()), *_native._behind_logins()]
    seen = [name for name in dict.fromkeys(found) if name not in names]
    try:
        _native.prefetch(*seen, progress=listen)
    except (OfflineError, PolicyError, RequirementError):
        for name in seen:
            with contextlib.suppress(OfflineError, PolicyError, RequirementError):
                _native.prefetch(name, progress=listen)
    yield from ({"fetched": {"name": unit, "bytes": size}} for unit, size in sizes.items() if size)
    if sizes:
        yield {"waited": time.monotonic() - began}
