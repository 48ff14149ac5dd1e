"""What tenants have of their own: `space create`, `list`, `show`, `delete`, `lock`, `add`, `remove`, `diff`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from magic_module import _native
from magic_module._native import _shown as shown
from magic_module._py.cli import inputs
from magic_module._py.cli import lock as locks
from magic_module._py.cli.answer import Answer, WrongUsage, count, table
from magic_module._py.locking.running import ResolverError
from magic_module._py.progress import is_terminal, say, size
from magic_module._py.spaces import space as spaces
from magic_module._py.spaces.space import Space


def create(options: argparse.Namespace) -> Answer:
    """Resolved once, and nothing downloaded."""
    names, files, projects = inputs.sort(options.names)
    if projects:
        raise WrongUsage(f"{projects[0]} is a project: lock it, and give the lock with --lock")
    files += options.requirements
    if options.lock is not None and (names or files):
        raise WrongUsage("--lock is copied as it is: it goes with no requirements")
    made = _said(
        options,
        lambda begin: spaces.make(
            options.name, names=names, files=files, lock=options.lock, registry=options.registry, begin=begin
        ),
    )
    how = "copied" if made.resolver is None else f"resolved by {made.resolver}"
    data = {"space": options.name, "folder": str(made.path), "resolver": made.resolver, "packages": made.packages}
    return Answer(data, [f"{options.name}: {count(made.packages, 'package')}, {how}"])


def list_spaces(options: argparse.Namespace) -> Answer:
    """All of them, with what each takes alone."""
    folder, found = _native._spaces()
    usage = _native._usage_of_spaces()
    rows: list[dict[str, Any]] = []
    for name, path in found:
        own = usage.get(str(path), {"bytes": 0, "used": None})
        rows.append({"name": name, "folder": str(path), "packages": len(Space(name).packages()), **own})
    lines = table(
        [(each["name"], count(each["packages"], "package"), size(each["bytes"]), _day(each["used"])) for each in rows],
        right=(1, 2),
    )
    return Answer({"folder": str(folder), "spaces": rows}, lines or [shown(f"there is no space in {folder}")])


def show(options: argparse.Namespace) -> Answer:
    """One of them."""
    space = Space(options.name)
    usage = _native._usage_of_spaces().get(str(space.path), {"bytes": 0, "used": None})
    packages = [{"name": name, "version": version} for name, version in space.packages().items()]
    data: dict[str, Any] = {
        "name": space.name,
        "folder": str(space.path),
        "lock": str(space.lock),
        "registry": space.registry and str(space.registry),
        "journal": str(space.path / "journal"),
        "requirements": space.requirements(),
        "packages": packages,
        **usage,
    }
    rows = [
        ("folder", data["folder"]),
        ("registry", data["registry"] or "none of its own"),
        ("asks for", ", ".join(data["requirements"]) or "what its lock says, which was copied"),
        ("of its own", size(data["bytes"])),
        ("last use", _day(data["used"]) or "never"),
    ]
    return Answer(data, [*table(rows), *(f"  {line}" for line in table([tuple(each.values()) for each in packages]))])


def delete(options: argparse.Namespace) -> Answer:
    """What only it used goes at the next `prune`."""
    space = Space(options.name)
    space.delete()
    data = {"space": space.name, "folder": str(space.path)}
    return Answer(data, [f"{space.name} is deleted; magic-module prune frees what only it used"])


def lock(options: argparse.Namespace) -> Answer:
    """Resolves what it asks for once more, or copies another lock."""
    if options.lock is not None and options.upgrade is not None:
        raise WrongUsage("--lock is copied as it is: it goes with no --upgrade")
    upgrade = None if options.upgrade is None else tuple(options.upgrade)
    return _changed(options, upgrade=upgrade, lock=options.lock)


def add(options: argparse.Namespace) -> Answer:
    """Asks for more."""
    return _changed(options, add=options.names)


def remove(options: argparse.Namespace) -> Answer:
    """Asks for less."""
    return _changed(options, remove=options.names)


def diff(options: argparse.Namespace) -> Answer:
    """What two do not have in the same version."""
    found = Space(options.name).diff(options.other)
    data = {"here": options.name, "there": options.other, "differences": [asdict(each) for each in found]}
    lines = [f"{each.name} {each.here or 'not'} here, {each.there or 'not'} there" for each in found]
    return Answer(data, [shown(line) for line in lines] or [f"{options.name} and {options.other} have the same"])


def _changed(
    options: argparse.Namespace,
    *,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    upgrade: tuple[str, ...] | None = None,
    lock: str | None = None,
) -> Answer:
    space = Space(options.name)
    made = _said(
        options,
        lambda begin: spaces.change(space, add=add, remove=remove, upgrade=upgrade, lock=lock, begin=begin),
    )
    data = {
        "space": space.name,
        "lock": str(space.lock),
        "resolver": made.resolver,
        "packages": made.packages,
        "written": made.written,
        "changes": [asdict(change) for change in made.changes],
    }
    rows = locks.rows(made.changes)
    if not rows:
        return Answer(data, [f"{space.name}: nothing changed"])
    return Answer(data, [*table(rows), f"{space.name}: {count(made.packages, 'package')}, {len(rows)} changed"])


def _said(options: argparse.Namespace, work: Any) -> spaces.Made:
    """The same with what is to be known meanwhile on stderr."""

    def begin(resolver: str) -> None:
        if not options.json and is_terminal(sys.stderr):
            say(sys.stderr, f"resolving with {resolver} …\n")

    try:
        made: spaces.Made = work(begin)
    except ResolverError as error:
        if not options.json:
            say(sys.stderr, "".join(f"{cause}\n" for cause in error.causes))
        raise
    if not options.json:
        say(sys.stderr, "".join(f"{line}\n" for line in made.warnings))
    return made


def _day(at: float | None) -> str:
    return "" if at is None else time.strftime("%Y-%m-%d", time.gmtime(at))
