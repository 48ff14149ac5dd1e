"""Programs that run in the view of a lock.

`execute` turns this process into the program; `script` is what a view's `bin` runs for a script that a wheel brings
itself, which is fetched then.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from magic_module import _native
from magic_module.errors import UnitNotFoundError


def execute(program: Sequence[str], environment: dict[str, str]) -> NoReturn:
    """Replaces this process: terminal, signals and exit status are the program's."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    if os.name != "nt":
        os.execve(program[0], list(program), environment)
    import subprocess

    # Windows cannot replace a process: this one waits, and ends as the other did.
    with subprocess.Popen(program, env=environment) as child:
        while True:
            try:
                sys.exit(child.wait())
            except KeyboardInterrupt:
                continue  # it was meant for the program, which got it, too


def script(unit: str, path: str) -> NoReturn:
    """Runs a script that a wheel brings, such as `bin/tool`, in place of this process.

    One that is written in Python runs in this interpreter, whatever its first line says: that is only known where the
    wheel was built.
    """
    program = str(_native._unit_file(unit, path))
    with open(program, "rb") as file:
        first = file.readline()
    if first.startswith(b"#!") and b"python" in first:
        import runpy

        sys.argv[0] = program
        runpy.run_path(program, run_name="__main__")
        sys.exit(0)
    execute([program, *sys.argv[1:]], dict(os.environ))


def command_in(view: Path, arguments: Sequence[str], flags: Sequence[str] = ()) -> list[str]:
    """The program for what follows `run`: options of the interpreter, a file, or a console script of the lock.

    Every script in a view is one in Python, so that the interpreter can be given `flags`.
    """
    scripts = view / ("Scripts" if os.name == "nt" else "bin")
    python = str(scripts / ("python.exe" if os.name == "nt" else "python"))
    first = arguments[0]
    if first in ("-m", "-c", "-") or Path(first).exists():
        return [python, *flags, *arguments]
    console = scripts / first
    if os.sep not in first and console.exists():
        return [python, *flags, str(console), *arguments[1:]]
    hint = "check the path; a console script must be one of the lock's packages"
    raise UnitNotFoundError(f"{first} is neither a file nor a script of the lock; {hint}", name=first, hint=hint)
