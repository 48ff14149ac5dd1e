"""Sizes of what a registry approves: those of the wheels that its lock has for this interpreter."""

import json
from pathlib import Path
from typing import Any

from magic_module import _native
from magic_module._py.locking.changes import normal


def of(lock: Path) -> dict[str, tuple[str | None, int | None]]:
    """By the normal name of each distribution its version, and the size of its wheel where the lock says that."""
    try:
        read, _ = _native._parse_toml(lock.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        return {}
    document: dict[str, Any] = json.loads(read) if read is not None else {}
    packages = document.get("packages")
    entries = [each for each in packages if isinstance(each, dict)] if isinstance(packages, list) else []
    ranks = _ranks() if entries else {}
    return {normal(str(each.get("name"))): (each.get("version"), _size(each, ranks)) for each in entries}


def _size(package: dict[str, Any], ranks: dict[str, int]) -> int | None:
    archive = package.get("archive")
    if isinstance(archive, dict):
        return _number(archive.get("size"))
    wheels = [each for each in package.get("wheels") or [] if isinstance(each, dict)]
    best = min(wheels, key=lambda wheel: _rank(wheel, ranks), default=None)
    return None if best is None or _rank(best, ranks) == len(ranks) else _number(best.get("size"))


def _rank(wheel: dict[str, Any], ranks: dict[str, int]) -> int:
    """How well it fits; as many as there are where it does not."""
    name = str(wheel.get("name") or wheel.get("url") or wheel.get("path") or "").partition("?")[0]
    pythons, abis, platforms = [*name.removesuffix(".whl").rsplit("-", 3)[1:], "", "", ""][:3]
    tags = [f"{p}-{a}-{o}" for p in pythons.split(".") for a in abis.split(".") for o in platforms.split(".")]
    return min(ranks.get(tag.lower(), len(ranks)) for tag in tags)


def _ranks() -> dict[str, int]:
    from packaging.tags import sys_tags

    return {str(tag): at for at, tag in reversed(list(enumerate(sys_tags())))}


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
