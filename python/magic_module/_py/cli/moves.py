"""What brings units, moves them, or holds them: `fetch`, `upgrade`, `rollback`, `pin`."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from magic_module import _native
from magic_module._py.cli import ahead
from magic_module._py.cli.answer import Answer, WrongUsage, count, fields, move, table
from magic_module._py.cli.check import provided
from magic_module._py.cli.mounting import provide
from magic_module._py.progress import size
from magic_module.errors import PolicyError

UPGRADE_FIELDS = (
    "name",
    "old_version",
    "new_version",
    "changed",
    "files_changed",
    "bytes",
    "seconds",
    "restart_required",
)


def downloaded(names: Iterable[str]) -> int:
    """Fetches units; how many bytes came for that."""
    received: dict[str, int] = {}

    def listen(event: dict[str, Any]) -> None:
        if event["event"] == "fetch":
            received[event["unit"]] = event["bytes"]

    _native.on_event(listen)
    try:
        _native.prefetch(*names)
    finally:
        _native.on_event(None)
    return sum(received.values())


def fetch(options: argparse.Namespace) -> Answer:
    """Downloads units and what they require."""
    options.names += ahead.traced(options) if options.trace_of is not None else []
    script = options.imports_of
    namespace = provide(options, options.names, needed=script is None)
    if options.all:
        options.names += [unit.name for unit in _native.available(namespace)]
    elif script is not None:
        options.names += [name for name in provided(script) if name not in options.names]
    elif not options.names and options.trace_of is None:
        raise WrongUsage("name what to fetch, or give --all, --trace-of SCRIPT or --imports-of SCRIPT")
    total = downloaded(options.names)
    names = ", ".join(options.names) if len(options.names) < 10 else count(len(options.names), "unit")
    state = f"{size(total)} downloaded" if total else "nothing to download"
    if options.trace_of is not None:
        # The script has downloaded them itself.
        state = f"all that {options.trace_of} uses is in the cache"
    line = f"{names or script}: {state}"
    return Answer({"names": options.names, "bytes": total}, [line])


def upgrade(options: argparse.Namespace) -> Answer:
    """Newest versions, or nothing changed."""
    # The project's lock holds what runs; what is in use moves here, and `pin` locks it.
    _native._ignore_lock()
    provide(options, options.names)
    if options.lock is not None and not options.names:
        hint = f"resolve it again: magic-module lock --upgrade -o {options.lock}"
        raise PolicyError(f"the lock {options.lock} says which versions are used; {hint}", path=options.lock, hint=hint)
    return _upgrades(_native.upgrade(*options.names))


def rollback(options: argparse.Namespace) -> Answer:
    """The version before."""
    provide(options, [options.name])
    return _upgrades([_native.rollback(options.name)])


def pin(options: argparse.Namespace) -> Answer:
    """What is in use becomes the project's lock."""
    _native._ignore_lock()
    namespace = provide(options, options.names)
    done = _native._pin(namespace, options.names, options.refuse_others)
    others = "everything else is refused" if done["frozen"] else "other units are not restricted"
    lines = table(sorted(done["units"].items())) or [f"nothing of {namespace or 'the top level'} is in use"]
    return Answer(dict(done), [*lines, f"{done['path']}: {others}"])


def _upgrades(made: Sequence["_native.Upgrade"]) -> Answer:
    lines = []
    for each in made:
        if not each.changed:
            continue
        parts = [f"{each.name} {move(each.old_version, each.new_version)}", count(each.files_changed, "file")]
        parts.append(size(each.bytes))
        if each.restart_required:
            parts.append("restart to use it")
        lines.append(", ".join(parts))
    if not lines:
        lines.append("nothing changed")
    return Answer({"upgrades": [fields(each, UPGRADE_FIELDS) for each in made]}, lines)
