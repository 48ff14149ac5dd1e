"""What a space asks for: a requirements file of its own, which says the same wherever it lies."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from magic_module._py.locking.changes import normal
from magic_module._py.locking.reading import text_of, wrong

_NAME = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)")
_INCLUDED = re.compile(r"(?:-r\s*|--requirement[\s=]+)(\S.*)")
_BESIDE = re.compile(r"(?:-c|-e|--constraint|--editable|--find-links|-f)\b|\.{1,2}[/\\]|.*@\s*\.{1,2}[/\\]")


def collected(names: Sequence[str], files: Sequence[str]) -> str:
    """Names, and what files say with all that they include, as one text.

    Raises:
        ConfigurationError: a file cannot be read, or points at what lies beside it.
    """
    found: list[str] = []
    for file in files:
        found += _lines_of(file, ())
    return "".join(f"{line}\n" for line in (*found, *names))


def added(text: str, names: Iterable[str]) -> str:
    """The same with further requirements; one of a package that is there takes its place."""
    for name in names:
        entries = [entry for entry in _entries(text) if _of(entry) != _of(name) or _of(name) is None]
        text = "".join(entries) + f"{name}\n"
    return text


def removed(text: str, names: Iterable[str], of: str) -> str:
    """The same without what asks for some packages.

    Raises:
        ConfigurationError: nothing asks for one of them.
    """
    for name in names:
        entries = _entries(text)
        kept = [entry for entry in entries if _of(entry) != normal(name)]
        if len(kept) == len(entries):
            asked = ", ".join(each for each in map(_of, entries) if each) or "nothing"
            raise wrong(of, name, "is not among its requirements", f"its requirements are {asked}")
        text = "".join(kept)
    return text


def listed(text: str) -> list[str]:
    """What is asked for, without comments and digests."""
    entries = (re.sub(r"\\\r?\n|\s+--hash=\S+", " ", entry).partition(" #")[0] for entry in _entries(text))
    return [" ".join(entry.split()) for entry in entries if entry.strip() and not entry.lstrip().startswith("#")]


def _entries(text: str) -> list[str]:
    """Lines, each with those that go on with it."""
    entries: list[str] = []
    goes_on = False
    for line in text.splitlines(keepends=True):
        if goes_on:
            entries[-1] += line
        else:
            entries.append(line)
        goes_on = line.rstrip("\r\n").endswith("\\")
    return entries


def _of(entry: str) -> str | None:
    """The package that a line asks for."""
    found = _NAME.match(entry)
    return normal(found.group(1)) if found else None


def _lines_of(file: str, above: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    if os.path.realpath(file) in above:
        return found
    for number, line in enumerate(text_of(file).splitlines(), 1):
        included = _INCLUDED.match(line.strip())
        if included:
            path = os.path.join(os.path.dirname(file), included.group(1).partition(" #")[0].strip())
            found += _lines_of(path, (*above, os.path.realpath(file)))
        elif _BESIDE.match(line.strip()):
            hint = "write the requirements themselves: a space keeps a copy of its requirements"
            raise wrong(file, f"line {number}", f"refers to another file or folder ({Path(line.strip())})", hint)
        else:
            found.append(line)
    return found
