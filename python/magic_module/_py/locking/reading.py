"""TOML as Python's objects: what a resolver wrote, and what a project or a script says of itself."""

import json
from pathlib import Path
from typing import Any

from magic_module import _native
from magic_module.errors import ConfigurationError


def parse(text: str, of: str) -> dict[str, Any]:
    """The document; `of` is named where it is wrong.

    Raises:
        ConfigurationError: it is not TOML.
    """
    read, why = _native._parse_toml(text)
    if read is None:
        hint = f"correct {of}, or move it away"
        raise ConfigurationError(f"cannot read {of}: {why}; {hint}", path=of, hint=hint)
    document: dict[str, Any] = json.loads(read)
    return document


def text_of(path: str) -> str:
    """The text of a file that a person named.

    Raises:
        ConfigurationError: it is not there, or is not a text.
    """
    try:
        return Path(path).read_text("utf-8-sig")
    except UnicodeDecodeError:
        hint = f"save {path} as UTF-8"
        raise ConfigurationError(f"cannot read {path}: it is not UTF-8; {hint}", path=path, hint=hint) from None
    except OSError as error:
        hint = "check the name of the file"
        why = error.strerror or str(error)
        raise ConfigurationError(f"cannot read {path}: {why}; {hint}", path=path, hint=hint, causes=(why,)) from None


def wrong(of: str, place: str, why: str, hint: str) -> ConfigurationError:
    """The error for one place of a file."""
    return ConfigurationError(f"cannot use {of}: {place} {why}; {hint}", path=of, hint=hint)
