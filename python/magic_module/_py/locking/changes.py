"""What a lock has that the one before it did not have, and whether a package still comes from where it used to."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from magic_module._py.locking import reading
from magic_module._py.locking.urls import place
from magic_module.errors import ConfigurationError, PolicyError

COMMIT = 12
"""So many digits of a commit tell it from others."""

SHOWN = 5
"""So many names stand in a sentence; `causes` has all."""


@dataclass(frozen=True)
class Change:
    """One package; None where it was not, or is no longer, in the lock."""

    name: str
    old_version: str | None
    new_version: str | None


class Lock:
    """What a `pylock.toml` lists."""

    def __init__(self, text: str, path: str) -> None:
        document = reading.parse(text, path)
        packages: Any = document.get("packages")
        entries: list[Any] = packages if isinstance(packages, list) else [None]
        if "lock-version" not in document or not all(
            isinstance(entry, dict) and isinstance(entry.get("name"), str) for entry in entries
        ):
            hint = f"move {path} away, or give another file with -o"
            raise ConfigurationError(f"{path} is not a lock (PEP 751); {hint}", path=path, hint=hint)
        self.text = text
        self.entries: list[dict[str, Any]] = entries

    def versions(self) -> dict[str, str]:
        """What is shown of each package, by its normal name; several entries of one name are one."""
        found: dict[str, list[str]] = {}
        for entry in self.entries:
            found.setdefault(normal(entry["name"]), []).append(_version(entry))
        return {name: ", ".join(sorted(set(versions))) for name, versions in found.items()}

    def pins(self) -> list[tuple[str, str]]:
        """For each package that came from an index its normal name, and the requirement that gives just this."""
        found = []
        for entry in self.entries:
            name, version, marker = normal(entry["name"]), entry.get("version"), entry.get("marker")
            if isinstance(version, str) and not {"vcs", "directory", "archive"} & set(entry):
                found.append((name, f"{name}=={version}" + (f" ; {marker}" if marker else "")))
        return found

    def indexes(self) -> dict[str, set[str]]:
        """Where each package came from, if the lock says so."""
        found: dict[str, set[str]] = {}
        for entry in self.entries:
            if isinstance(entry.get("index"), str):
                found.setdefault(normal(entry["name"]), set()).add(entry["index"])
        return found


def between(old: Lock | None, new: Lock) -> list[Change]:
    """By name, what differs."""
    before, after = old.versions() if old else {}, new.versions()
    names = sorted({*before, *after})
    return [Change(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]


def refuse_other_indexes(old: Lock, new: Lock, allowed: frozenset[str]) -> None:
    """Somebody may have put a package of that name where it is found first.

    Raises:
        PolicyError: a package comes from another index than before, and is not among `allowed`.
    """
    moved = [each for each in _moved(old.indexes(), new.indexes()) if each[0] not in allowed]
    if not moved:
        return
    name, before, after = moved[0]
    names = [each[0] for each in moved]
    more, which = "", " ".join(f"--allow-index-change {each}" for each in names)
    if len(moved) > SHOWN:
        more, which = f", and {len(moved) - 1} more of another index", "--allow-index-change NAME for each of them"
    elif len(moved) > 1:
        more = f", and {', '.join(names[1:])} of another index, too"
    hint = f"if that is meant, add {which}"
    raise PolicyError(
        f"cannot lock: {name} would come from {after} instead of {before}{more}; {hint}",
        name=name,
        expected=before,
        got=after,
        hint=hint,
        causes=[f"{each}: {new_index} instead of {old_index}" for each, old_index, new_index in moved],
    )


def _moved(old: Mapping[str, set[str]], new: Mapping[str, set[str]]) -> Iterator[tuple[str, str, str]]:
    for name, indexes in sorted(new.items()):
        known = {place(index) for index in old.get(name, ())}
        others = sorted(index for index in indexes if place(index) not in known)
        if known and others:
            yield name, sorted(old[name])[0], others[0]


def normal(name: str) -> str:
    """A distribution's name as all ways to write it have in common."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _version(entry: Mapping[str, Any]) -> str:
    vcs = entry.get("vcs")
    commit = vcs.get("commit-id") if isinstance(vcs, dict) else None
    version = entry.get("version")
    words = [version] if isinstance(version, str) else []
    if isinstance(commit, str):
        words.append(commit[:COMMIT])
    if not words:
        words.append(next((kind for kind in ("directory", "archive") if kind in entry), "of no version"))
    return " ".join(words)
