"""What a script says of itself (PEP 723), and what its lock is called."""

import re
from pathlib import PurePath
from typing import Any

from magic_module._py.locking import reading
from magic_module.errors import ConfigurationError

_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")


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


def requirements(path: str) -> list[str]:
    """What the script requires."""
    document: dict[str, Any] = reading.parse(metadata(path), f"the metadata of {path}")
    return [str(each) for each in document.get("dependencies", ())]


def as_project(path: str) -> str:
    """The same as a project's file: its first lines are those of `[project]`, tables for tools follow."""
    found = metadata(path)
    lines = ["[project]", 'name = "script"', 'version = "0"']
    if not re.search(r"^\s*dependencies\s*=", found, re.MULTILINE):
        lines.append("dependencies = []")
    return "\n".join([*lines, found])
