"""Ahead of time: what a program uses is fetched before it runs somewhere else, and nothing but that is kept."""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from magic_module import _native
from magic_module._py.cli.answer import WrongUsage
from magic_module._py.cli.run import lock_for
from magic_module._py.trace_text import FILES_USED
from magic_module.errors import MagicModuleError, RequirementError


def traced(options: argparse.Namespace) -> list[str]:
    """Runs the script in the environment of the lock, which fetches what it imports; the names of that."""
    script: str = options.trace_of
    lock = lock_for(options, script)
    if lock is None:
        raise WrongUsage("there is no lock to run the script with: give --lock FILE")
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace"
        run_traced(script, lock, trace, *(["--build"] if options.build else []))
        return names_in(trace)


def run_traced(script: str, lock: Path, trace: Path, *flags: str) -> None:
    """Runs the script in the environment of the lock, and writes what it uses into the file `trace`."""
    command = [sys.executable, "-m", "magic_module", "--lock", str(lock), "run", "--trace-to", str(trace), *flags]
    # What the script writes is not the answer of this command.
    status = subprocess.run([*command, script], stdout=sys.stderr, check=False).returncode
    if status != 0:
        hint = "correct it, or name what it uses: magic-module fetch NAME"
        message = f"{script} ended with status {status}: what it uses after that is not known; {hint}"
        raise RequirementError(message, path=script, hint=hint)


def names_in(trace: Path) -> list[str]:
    """The packages of a trace, as `run --trace-to` wrote it: a line for each, then one that counts them."""
    lines = _lines_of(trace)
    end = next((at for at, line in enumerate(lines) if re.match(r"\d+ packages? used, ", line)), None)
    names = [line.split()[0] for line in lines[:end] if line.strip()]
    if end is None or int(lines[end].split()[0]) != len(names):
        raise _incomplete(trace)
    return names


def files_in(trace: Path) -> list[str]:
    """The files of a trace: where an installer would have put them, below the folder of an environment."""
    lines = _lines_of(trace)
    at = next((at for at, line in enumerate(lines) if line.endswith(f" {FILES_USED}")), None)
    files = [] if at is None else lines[at + 1 :]
    if at is None or lines[at] != f"{len(files)} {FILES_USED}":
        raise _incomplete(trace)
    return files


def _lines_of(trace: Path) -> list[str]:
    try:
        return trace.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        hint = "make one: magic-module run --trace-to FILE SCRIPT"
        raise MagicModuleError(f"cannot read the trace {trace}: {why}; {hint}", path=str(trace), hint=hint) from error


def _incomplete(trace: Path) -> MagicModuleError:
    hint = "make it again: magic-module run --trace-to FILE SCRIPT"
    return MagicModuleError(f"{trace} is not a complete trace; {hint}", path=str(trace), hint=hint)


def keep(options: argparse.Namespace) -> None:
    """Lets go of what the trace does not name."""
    _native._keep_only(names_in(Path(options.keep_trace)))
