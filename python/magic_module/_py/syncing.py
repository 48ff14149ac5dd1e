"""A project's lock, made again when an interpreter starts, because what the project requires has changed.

A process of its own does it: what resolves a lock loads half of the standard library, and the program that starts here
must not find that loaded.
"""

import os
import sys

from magic_module.errors import ConfigurationError, MagicModuleError

TYPE_CHECKING = False  # as type checkers know it; `typing` is not imported for it
if TYPE_CHECKING:
    from typing import Any


def make(lock: str | os.PathLike[str]) -> None:
    """Runs `magic-module sync` for the folder of a lock.

    Raises:
        MagicModuleError: it failed; the lock is as it was.
    """
    import json
    import subprocess

    lock = os.fspath(lock)
    if not sys.executable:
        hint = f"run it by hand: magic-module sync {os.path.dirname(lock)}"
        raise ConfigurationError(f"cannot sync {lock}: this program embeds Python; {hint}", path=lock, hint=hint)
    if sys.stderr is not None and sys.stderr.isatty():
        print(f"magic-module: what {os.path.dirname(lock)} requires has changed: resolving …", file=sys.stderr)
    quiet = {"MAGIC_MODULE_START": "0", "MAGIC_MODULE_SYNC": "0"}
    line = [sys.executable, "-m", "magic_module", "sync", "--json", lock]
    # Somebody's folder must not provide what is run there.
    ended = subprocess.run(
        line,
        env={**os.environ, **quiet, "PYTHONSAFEPATH": "1"},
        cwd=os.path.dirname(sys.executable),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    if ended.returncode == 0:
        return
    try:
        answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
        said = answer.get("error") or answer["locks"][0]["error"]
        message, hint = said["message"], said["hint"]
    except (ValueError, IndexError, KeyError, TypeError):
        hint = f"run it by hand: magic-module sync {os.path.dirname(lock)}"
        lines = ended.stderr.strip().splitlines() or [f"it ended with status {ended.returncode}"]
        message = f"{lines[-1]}; {hint}"
    raise MagicModuleError(f"cannot sync {lock}: {message}", path=lock, hint=hint)
