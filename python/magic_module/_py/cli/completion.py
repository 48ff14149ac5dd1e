"""`completion`: a script that makes a shell complete commands and options."""

from __future__ import annotations

from magic_module._py.cli.answer import Answer
from magic_module._py.cli.parser import command_line
from magic_module.errors import ConfigurationError

TYPE_CHECKING = False  # as type checkers know it; importing `typing` is a tenth of what a command takes
if TYPE_CHECKING:
    import argparse


def completion(options: argparse.Namespace) -> Answer:
    """Makes the script of one shell."""
    try:
        import shtab
    except ImportError:
        hint = "install it with `pip install shtab` and run this again"
        missing = f"cannot make a completion script: shtab is not installed; {hint}"
        raise ConfigurationError(missing, hint=hint) from None
    script = shtab.complete(command_line(), shell=options.shell)
    return Answer({"shell": options.shell, "script": script}, script.splitlines())
