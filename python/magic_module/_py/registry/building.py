"""What comes from a repository has no wheel: it is built once for each commit, and the lock that is mounted names that.

```text
pylock.toml, with vcs ─ git: the commit ─ uv, else pip: a wheel ─▶ a lock in the cache that has the wheel in its place
```

The lock itself stays as it is, so that it means the same everywhere.
"""

import hashlib
import json
import os
import re
import sys
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from magic_module import _native
from magic_module._py.locking import pip, reading, running, uv
from magic_module._py.locking.inputs import Inputs
from magic_module.errors import ManifestError, OfflineError, RequirementError, StoreError

LOCK = "pylock.toml"


def ready(lock: Path, asked: Inputs) -> Path:
    """The lock, or the one with wheels in place of repositories.

    Raises:
        MagicModuleError: something could not be fetched or built.
    """
    text = reading.text_of(str(lock))
    if "vcs" not in text:
        return lock
    document = reading.parse(text, str(lock))
    packages = [each for each in document["packages"] if isinstance(each.get("vcs"), dict)]
    if not packages:
        return lock
    digest = hashlib.sha256(text.encode()).hexdigest()
    here = f"{sys.implementation.cache_tag}\n{lock.parent.absolute() if 'path' in text else ''}"
    folder = _native._script_folder(f"built 1\n{digest}\n{here}")
    target = folder / LOCK
    if not target.is_file():
        _make_absolute(document, lock.parent.absolute())
        for package in packages:
            wheel = _wheel(package, asked, folder)
            package["wheels"] = [wheel]
            package.setdefault("version", wheel["name"].split("-")[1])
            del package["vcs"]
        aside = target.with_name(f"pylock.{os.getpid()}.toml")
        try:
            aside.write_text(_toml(document), "utf-8")
            aside.replace(target)
        except OSError as error:
            why = error.strerror or str(error)
            hint = "check MAGIC_MODULE_CACHE_DIR"
            raise StoreError(f"cannot write {target}: {why}; {hint}", path=str(target), hint=hint) from None
    return target


def _wheel(package: dict[str, Any], asked: Inputs, folder: Path) -> dict[str, Any]:
    """Fetches one commit, and builds its wheel into the folder."""
    name, vcs = str(package.get("name")), package["vcs"]
    if _native._settings()["offline"]:
        hint = "unset MAGIC_MODULE_OFFLINE once"
        raise OfflineError(
            f"{name} was not built yet, and MAGIC_MODULE_OFFLINE forbids asking for it; {hint}", hint=hint
        )
    if vcs.get("type") != "git":
        hint = "lock a wheel, or a repository of git"
        raise RequirementError(f"cannot build {name}: its repository is of {vcs.get('type')}; {hint}", hint=hint)
    commit, inside = str(vcs.get("commit-id")), PurePosixPath(str(vcs.get("subdirectory") or "."))
    if not re.fullmatch("[0-9a-fA-F]{40}|[0-9a-fA-F]{64}", commit) or inside.is_absolute() or ".." in inside.parts:
        hint = "make the lock again"
        raise ManifestError(f"cannot build {name}: the lock has no commit, or a folder elsewhere; {hint}", hint=hint)
    place = str(vcs.get("url") or Path(str(vcs.get("path"))).as_uri())
    _native._allow_build(name, str(package.get("version") or commit), place)
    with tempfile.TemporaryDirectory(prefix="magic-module-") as scratch:
        sources, made = Path(scratch, "sources"), Path(scratch, "made")
        variables: dict[str, str | None] = dict(asked.git_logins())
        for line in (
            ["git", "clone", "--quiet", "--no-checkout", "--", place, str(sources)],
            ["git", "-C", str(sources), "checkout", "--quiet", "--detach", commit],
        ):
            running.run(line, what="git", act=f"fetch {name}", changes=variables, hide=asked.secrets.hide)
        project = str(sources / inside)
        running.run(_builder(project, str(made)), what="building", act=f"build {name}", hide=asked.secrets.hide)
        wheels = list(made.glob("*.whl"))
        if len(wheels) != 1:
            hint = "build it by hand, and see what it makes"
            what = f"cannot build {name}: it made {len(wheels)} wheels where one was expected"
            raise RequirementError(f"{what}; {hint}", hint=hint)
        (wheel,) = wheels
        data = wheel.read_bytes()
        target = folder / "wheels" / wheel.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return {"name": wheel.name, "path": f"wheels/{wheel.name}", "size": len(data), "hashes": {"sha256": digest}}


def _builder(project: str, made: str) -> list[str]:
    first = uv.find()
    if isinstance(first, uv.Uv):
        return [first.program, "build", "--quiet", "--wheel", "--python", sys.executable, "--out-dir", made, project]
    second = pip.find()
    if isinstance(second, pip.Pip):
        return [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", made, project]
    hint = pip.INSTALL_UV
    raise RequirementError(f"cannot build: {first}, and {second}; {hint}", hint=hint)


def _make_absolute(document: dict[str, Any], folder: Path) -> None:
    """Paths of the lock count from its folder, and the new one lies elsewhere."""
    for package in document["packages"]:
        for entry in [*package.get("wheels", []), *(package.get(key) for key in ("archive", "directory", "vcs"))]:
            if isinstance(entry, dict) and isinstance(path := entry.get("path"), str):
                entry["path"] = str(folder / path)


def _toml(document: dict[str, Any]) -> str:
    """TOML, every value in one line."""
    return "".join(f"{json.dumps(key)} = {_value(value)}\n" for key, value in document.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    return json.dumps(value, ensure_ascii=False)
