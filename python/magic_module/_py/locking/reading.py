"""TOML as Python's objects: what a resolver wrote, and what a project or a script says of itself."""

import sys
from pathlib import Path
from typing import Any

from magic_module.errors import ConfigurationError, RequirementError


def parse(text: str, of: str) -> dict[str, Any]:
    """The document; `of` is named where it is wrong.

    Raises:
        ConfigurationError: it is not TOML.
        RequirementError: this interpreter cannot read TOML.
    """
    toml = _reader()
    try:
        document: dict[str, Any] = toml.loads(text)
    except toml.TOMLDecodeError as error:
        hint = f"mend {of}, or move it away"
        raise ConfigurationError(f"cannot read {of}: it is not TOML: {error}; {hint}", path=of, hint=hint) from None
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


def _reader() -> Any:
    if sys.version_info >= (3, 11):
        import tomllib

        return tomllib
    try:
        # Python 3.10 has none of its own; pip is nearly always there, and brings one.
        from pip._vendor import tomli  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        hint = "run it with Python 3.11 or newer, or install pip into this environment"
        raise RequirementError(f"Python 3.10 alone cannot read TOML; {hint}", hint=hint) from None
    return tomli
