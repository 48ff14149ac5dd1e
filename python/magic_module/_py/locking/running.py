"""A resolver as a process: what it is told, what it says, and what becomes of it when it fails."""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence

from magic_module import _native
from magic_module._native import _shown as shown
from magic_module._py.locking.urls import cut
from magic_module.errors import MagicModuleError, OfflineError

OURS = "MAGIC_MODULE_"

LINES = 40
"""The last lines of a resolver that fails say why."""


class ResolverError(MagicModuleError):
    """A resolver found no answer; `causes` is what it said, line by line."""


class ResolverOfflineError(ResolverError, OfflineError):
    """The same while nobody may be asked."""


def environment(changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """The environment of whatever we start to resolve or to build: none of our settings is in it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    changed: dict[str, str | None] = {**own, **(changes or {})}
    return {name: value for name, value in changed.items() if value is not None}


def ask(line: Sequence[str]) -> str | None:
    """What a program prints; None if it cannot be run, or fails."""
    try:
        ended = subprocess.run(
            line, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
        )
    except OSError:
        return None
    return ended.stdout if ended.returncode == 0 else None


def run(
    line: Sequence[str],
    *,
    what: str,
    given: str | None = None,
    changes: Mapping[str, str | None] | None = None,
    hide: Callable[[str], str] = str,
    act: str = "lock",
) -> tuple[str, list[str]]:
    """Runs a resolver to its end.

    Args:
        line: the command.
        what: its name, for people.
        given: its input.
        changes: to its environment; None removes a variable.
        hide: takes out of a text what else nobody may see.
        act: what fails with it.

    Returns:
        What it printed, and the lines of its stderr; neither has credentials.

    Raises:
        ResolverError: it failed.
    """
    try:
        ended = subprocess.run(
            line,
            env=environment(changes),
            input=given or "",
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        why = error.strerror or str(error)
        hint = f"check that {line[0]} can be run"
        raise ResolverError(f"cannot start {what}: {why}; {hint}", path=line[0], hint=hint, causes=(why,)) from None
    said = [shown(cut(hide(text)), 1000) for text in ended.stderr.splitlines() if text.strip()]
    if ended.returncode == 0:
        return cut(hide(ended.stdout)), said
    if _native._settings()["offline"]:
        hint = "unset MAGIC_MODULE_OFFLINE once"
        sentence = f"{what} could not resolve from its cache, and MAGIC_MODULE_OFFLINE forbids asking an index"
        raise ResolverOfflineError(f"{sentence}; {hint}", hint=hint, causes=said[-LINES:])
    hint = f"correct what {what} complains about"
    raise ResolverError(
        f"cannot {act}: {what} failed with status {ended.returncode}; {hint}", hint=hint, causes=said[-LINES:]
    )
