"""What a script says of itself (PEP 723), and what its lock is called."""

import hashlib
import os
import re
from pathlib import Path, PurePath
from typing import Any

from magic_module._py.locking import marks, reading
from magic_module.errors import ConfigurationError

_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
_BEGIN = re.compile(rb"(?m)^# /// script\r?$")
_MARK = "script-metadata"
"""The SHA-256 of the metadata that a lock was made of."""
_PATH = re.compile(r"""(\bpath\s*=\s*)(["'])([^"'\\\n]*)\2""")
"""A folder or a file among the sources, relative to the script."""


def lock_of(path: str) -> str:
    """`pylock.NAME.toml` beside the script; a name of a lock has no further dot."""
    script = PurePath(path)
    name = re.sub(r"[.\s]+", "-", script.stem).strip("-") or "script"
    return str(script.with_name(f"pylock.{name}.toml"))


def metadata(path: str) -> str:
    """The TOML of the script's one block.

    Raises:
        ConfigurationError: there is none, or several.
    """
    text = reading.text_of(path).replace("\r\n", "\n") + "\n"
    blocks = [found for found in _BLOCK.finditer(text) if found.group("type") == "script"]
    if len(blocks) != 1:
        hint = "begin it with `# /// script`, `# dependencies = [...]`, `# ///`" if not blocks else "keep one of them"
        what = "has no metadata (PEP 723)" if not blocks else "has several blocks of metadata (PEP 723)"
        raise ConfigurationError(f"cannot lock {path}: it {what}; {hint}", path=path, hint=hint)
    lines = blocks[0].group("content").splitlines()
    return "".join(f"{line[2:] if line.startswith('# ') else line[1:]}\n" for line in lines)


def said_by(path: str) -> str | None:
    """The same; None for a file that has no such block, whatever it is.

    Raises:
        ConfigurationError: there are several, or it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            begins = _BEGIN.search(file.read()) is not None
    except OSError:
        begins = False  # whoever runs it says why
    return metadata(path) if begins else None


def facts(path: str, said: str) -> str:
    """All that the lock of a script follows from, but for the interpreter."""
    # Where it lies matters only if it names something beside it.
    here = os.path.realpath(os.path.dirname(path) or ".") if _PATH.search(said) else ""
    return f"{said}\n{here}"


def marked(text: str, path: str) -> str:
    """A lock that says which metadata of a script it was made of."""
    return marks.marked(text, _MARK, _digest(metadata(path)))


def is_stale(lock: Path, said: str) -> bool:
    """Whether a lock was made of other metadata; False where it does not say."""
    return marks.found(lock, _MARK) not in (None, _digest(said))


def is_of(lock: Path) -> bool:
    """Whether a lock says that it was made of a script's metadata."""
    return marks.found(lock, _MARK) is not None


def _digest(said: str) -> str:
    return hashlib.sha256(said.encode()).hexdigest()


def document(path: str) -> dict[str, Any]:
    """The same, read."""
    return reading.parse(metadata(path), f"the metadata of {path}")


def as_project(path: str, folder: str) -> str:
    """The same as the `pyproject.toml` of a folder: what is `[project]` stands first, tables for tools follow.

    uv hears what a script says to it (its indexes, its sources) only in such a file; in the script itself it would not,
    and would take a package of that name from anywhere.
    """
    found = metadata(path)
    top, sources, below = found.partition("[tool.uv.sources")
    here = os.path.realpath(os.path.dirname(path) or ".")

    def moved(match: re.Match[str]) -> str:
        target = os.path.relpath(os.path.join(here, match.group(3)), os.path.realpath(folder))
        return f"{match.group(1)}{match.group(2)}{target}{match.group(2)}"

    below = _PATH.sub(moved, below)
    lines = ["[project]", 'name = "script"', 'version = "0"']
    if not re.search(r"^\s*dependencies\s*=", found, re.MULTILINE):
        lines.append("dependencies = []")
    return "\n".join([*lines, top + sources + below])
