"""What makes a lock: `lock`."""

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from magic_module import _native
from magic_module._native import _shown as shown
from magic_module._py.cli import inputs
from magic_module._py.cli.answer import Answer, WrongUsage, count, move, table
from magic_module._py.locking import making, script
from magic_module._py.locking.changes import Change, normal
from magic_module._py.locking.request import Request
from magic_module._py.locking.running import ResolverError
from magic_module._py.progress import is_terminal, say

DEFAULT = "pylock.toml"
_NAME = re.compile(r"pylock(\.[^.]+)?\.toml")
"""What tools know as a lock (PEP 751)."""


def lock(options: argparse.Namespace) -> Answer:
    """Asks a resolver, and says what has changed."""
    request, found = _request(options)
    made = resolved(request, options.allow_index_change, quiet=options.json)
    index, wheels = _native._index_lock(request.output) if options.index else (None, 0)
    data = {
        "lock": request.output,
        "found": found,
        "resolver": made.resolver,
        "packages": made.packages,
        "written": made.written,
        "changes": [asdict(change) for change in made.changes],
        "index": index and str(index),
    }
    lines = told(request, made, found)
    if index is not None:
        lines.append(f"{shown(str(index))}: what is in {count(wheels, 'wheel')}")
    return Answer(data, lines)


def resolved(request: Request, moved: Sequence[str] = (), *, quiet: bool = False) -> making.Made:
    """Makes the lock; unless `quiet`, what is to be known meanwhile is said on stderr."""

    def begin(resolver: str) -> None:
        if not quiet and is_terminal(sys.stderr):
            say(sys.stderr, f"resolving with {resolver} …\n")

    try:
        made = making.make(request, frozenset(normal(name) for name in moved), begin)
    except ResolverError as error:
        if not quiet:
            # In its own words, as the sentence that follows cannot say it.
            say(sys.stderr, "".join(f"{cause}\n" for cause in error.causes))
        raise
    if not quiet:
        say(sys.stderr, "".join(f"{line}\n" for line in made.warnings))
    return made


def told(request: Request, made: making.Made, found: str | None = None) -> list[str]:
    """What people are told of a lock that was made."""
    lines = [] if found is None else [f"locking {shown(found)}"]
    if made.is_new:
        lines.append(f"{shown(request.output)}: {count(made.packages, 'package')}, resolved by {made.resolver}")
        return lines
    changed = rows(made.changes)
    if not changed:
        return [*lines, f"{shown(request.output)}: nothing changed"]
    summary = f"{count(made.packages, 'package')}, {len(changed)} changed, resolved by {made.resolver}"
    return [*lines, *table(changed), f"{shown(request.output)}: {summary}"]


def rows(changes: Iterable[Change]) -> list[tuple[str, str]]:
    """What became of each package."""
    told = []
    for change in changes:
        if change.old_version is None:
            what = f"{change.new_version}, added"
        elif change.new_version is None:
            what = f"{change.old_version}, removed"
        else:
            what = move(change.old_version, change.new_version)
        told.append((change.name, what))
    return told


def _request(options: argparse.Namespace) -> tuple[Request, str | None]:
    """What is to be locked; and the file that was found, where none was named."""
    names, files, projects = inputs.sort(options.names)
    files += options.requirement
    project = projects[0] if projects else None
    if options.script is not None and (names or files or project or options.extra or options.group):
        raise WrongUsage("--script is locked alone: a script says itself what it requires")
    output = options.output or (script.lock_of(options.script) if options.script else DEFAULT)
    if not _NAME.fullmatch(output.replace("\\", "/").rpartition("/")[2]):
        raise WrongUsage(f"{output} is not a name of a lock, which is pylock.toml or pylock.NAME.toml")
    found = None
    if not (names or files or project or options.script):
        found = inputs.found()
        if found is None:
            raise inputs.nothing(output)
        if found.endswith(".toml"):
            project = found
        else:
            files = [found]
    if options.extra and project is None:
        raise WrongUsage("--extra needs a pyproject.toml, which has the extras")
    alone = found is not None and output == DEFAULT and not _special(options)
    look = _native._sync_look(output) if alone else None
    request = Request(
        digest=look["digest"] if look is not None and look["source"] == found else None,
        names=tuple(names),
        files=tuple(files),
        project=project,
        script=options.script,
        output=output,
        index_url=options.index_url,
        extra_index_urls=tuple(options.extra_index_url),
        constraints=tuple(options.constraint),
        python=options.python,
        exclude_newer=options.exclude_newer,
        extras=tuple(options.extra),
        groups=tuple(options.group),
        upgrade=None if options.upgrade is None else tuple(options.upgrade),
    )
    return request, found


def _special(options: argparse.Namespace) -> bool:
    """Whether the lock follows from more than files, so that `sync` could not make it again."""
    said = (options.index_url, options.extra_index_url, options.constraint, options.python)
    return any(said) or any((options.exclude_newer, options.extra, options.group))
