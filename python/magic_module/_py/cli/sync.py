"""`sync`: the locks of a folder are of what its files say, and what they hold can be imported.

```text
requirements.txt, pyproject.toml ─ changed? ─ resolved ─▶ pylock.toml beside it ─┐
a lock that somebody else made, as it is ────────────────────────────────────────┼─▶ its view ─ prefetched, if asked
scripts with metadata ─ changed? ─ resolved ─▶ as `run` keeps them ──────────────┘
```
"""

import argparse
import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magic_module import _native
from magic_module._py.cli.answer import Answer, WrongUsage, count, table
from magic_module._py.progress import size
from magic_module.errors import SCHEMA, MagicModuleError, OfflineError, StoreError

if TYPE_CHECKING:
    from magic_module._native import _Looked
    from magic_module._py.locking.making import Made
    from magic_module._py.locking.request import Request

LOCK = "pylock.toml"


def sync(options: argparse.Namespace) -> Answer:
    """Locks what has changed, and makes it ready."""
    if options.path is not None and options.lock is not None:
        raise WrongUsage("give a PATH or --lock FILE, not both")
    asked = os.path.abspath(options.path or options.lock or ".")
    if not os.path.exists(asked) and os.path.basename(asked) != LOCK:
        raise WrongUsage(f"{asked} is neither a folder nor a script nor a {LOCK}")
    look = _native._sync_look(asked)
    folder = look["folder"]
    if look["state"] == "nothing" and not look["scripts"]:
        raise WrongUsage(
            f"nothing to sync in {folder}: it has no {LOCK}, no requirements.txt, no pyproject.toml with [project], "
            "and no script with metadata (PEP 723)"
        )
    _native._skip_start()
    # Locks name files by their way from there, and say what made them.
    os.chdir(folder)
    locks = []
    if look["state"] != "nothing":
        of = None if look["state"] == "own" else look["source"]
        locks.append(_tried(of, functools.partial(_project, look, options)))
    for script in map(os.path.basename, look["scripts"]):
        locks.append(_tried(script, functools.partial(_script, script, options)))
    ok = all(each["error"] is None for each in locks)
    data = {"ok": ok, "folder": folder, "locks": locks}
    lines = list(_told(locks))
    if ok:
        _keep(asked, data)
    return Answer(data, lines, 0 if ok else 1)


def _tried(of: str | None, act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What became of one lock; one that fails keeps no other from its turn."""
    nothing: dict[str, Any] = {
        "of": of,
        "lock": None,
        "state": None,
        "packages": None,
        "changes": [],
        "view": None,
        "bytes": None,
    }
    try:
        return {**nothing, **act(), "error": None}
    except MagicModuleError as error:
        return {**nothing, "error": error.to_dict()}


def _project(look: "_Looked", options: argparse.Namespace) -> dict[str, Any]:
    lock = Path(look["folder"], LOCK)
    if look["state"] == "own":
        return {"of": None, "lock": str(lock), "state": "own", **_ready(lock, options)}
    with _turn(look["folder"]):
        # Another process may have made it meanwhile.
        look = _native._sync_look(lock)
        if look["state"] != "due":
            made = None
        else:
            _refuse_offline(str(look["source"]))
            made = _resolved(_request(look), options)
    return {"lock": str(lock), "state": "unchanged", **_said(made), **_ready(lock, options)}


def _request(look: "_Looked") -> "Request":
    from magic_module._py.locking.request import Request

    source = look["source"]
    if source == "pyproject.toml":
        return Request(project=source, output=LOCK, digest=look["digest"])
    return Request(files=(str(source),), output=LOCK, digest=look["digest"])


def _script(path: str, options: argparse.Namespace) -> dict[str, Any]:
    from magic_module._py.locking import script

    said = script.metadata(path)
    beside = Path(script.lock_of(path))
    is_beside = beside.is_file()
    lock = beside.absolute() if is_beside else _native._script_folder(script.facts(path, said)) / LOCK
    with _turn(str(lock.parent)):
        made = None
        is_stale = is_beside and script.is_stale(beside, said)
        if is_stale or not lock.is_file():
            from magic_module._py.locking.request import Request

            _refuse_offline(path)
            made = _resolved(Request(script=path, output=str(beside if is_beside else lock)), options)
    is_own = is_beside and not script.is_of(beside)
    return {"lock": str(lock), "state": "own" if is_own else "unchanged", **_said(made), **_ready(lock, options)}


def _refuse_offline(path: str) -> None:
    if _native._settings()["offline"]:
        hint = "unset MAGIC_MODULE_OFFLINE once"
        what = f"what {path} requires was not resolved yet, and MAGIC_MODULE_OFFLINE forbids asking an index"
        raise OfflineError(f"{what}; {hint}", path=path, hint=hint)


def _resolved(request: "Request", options: argparse.Namespace) -> "Made":
    from magic_module._py.cli import lock as locks

    return locks.resolved(request, quiet=options.json)


def _said(made: "Made | None") -> dict[str, Any]:
    if made is None:
        return {}
    return {"state": "resolved", "packages": made.packages, "changes": [asdict(each) for each in made.changes]}


def _ready(lock: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Lays out what the lock has, and fetches it if that is asked."""
    with _native.mount_lock(lock) as mount:
        found: dict[str, Any] = {"view": str(mount.view) if mount.view else None}
        if options.prefetch:
            from magic_module._py.cli.moves import downloaded

            found["bytes"] = downloaded(unit.name for unit in _native.available(""))
    return found


def _told(locks: list[dict[str, Any]]) -> Iterator[str]:
    rows = []
    for each in locks:
        name = each["of"] or LOCK
        if each["error"] is not None:
            rows.append((name, each["error"]["message"]))
            continue
        state = {"own": "used as it is", "unchanged": "nothing changed"}.get(each["state"])
        if state is None:
            state = f"{count(each['packages'], 'package')} resolved, {len(each['changes'])} changed"
        if each["bytes"] is not None:
            state += f", {size(each['bytes'])} downloaded" if each["bytes"] else ", nothing to download"
        rows.append((name, state))
    yield from table(rows)


def _keep(asked: str, data: dict[str, Any]) -> None:
    """Notes what is to be said the next time, if nothing changes until then."""
    quiet: dict[str, Any] = {"packages": None, "changes": [], "bytes": None}
    locks = [{**each, **quiet, "state": "own" if each["state"] == "own" else "unchanged"} for each in data["locks"]]
    views = [f"{each['view']}.index" for each in locks if each["view"] is not None]
    if len(views) < len(locks):
        return
    answer = {"schema": SCHEMA, "command": "sync", **data, "locks": locks}
    text = "\n".join([json.dumps(answer, ensure_ascii=False), *_told(locks)])
    # Whoever cannot write a note looks again.
    with contextlib.suppress(StoreError):
        _native._note_synced(asked, [*views, *(each["lock"] for each in locks)], text)


@contextlib.contextmanager
def _turn(of: str) -> Iterator[None]:
    """One process makes a lock, and the others wait for it; where files cannot be locked, each makes it."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    place = _native._script_folder(f"turn\n{of}") / "turn"
    with place.open("ab") as file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
