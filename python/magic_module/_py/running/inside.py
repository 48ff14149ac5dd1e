"""The first lines of a run's process: it forks, and the half that is confined becomes the script."""

from __future__ import annotations

import os
import sys
from _frozen_importlib_external import SourceFileLoader

from magic_module import _native

TYPE_CHECKING = False  # as type checkers know it: what only types need is not loaded into every run
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from magic_module._py.running.inside import begin; begin()"
"""What the interpreter is given with `-c`: then the folder to import from, the plan, whether mounts are made at the
start (`1` or `0`), and the program with its arguments."""
STARTING = ("MAGIC_MODULE_LOCK", "MAGIC_MODULE_MOUNTS", "MAGIC_MODULE_AUTO_INSTALL", "MAGIC_MODULE_SPACE")
"""As in the start line: it was told to wait, so that the supervisor mounts nothing."""


def begin() -> None:
    """Comes back when the script has ended."""
    folder, plan, start, *program = sys.argv[1:]
    sys.path.remove(folder)
    _native._begin_run(plan)
    if start == "1":
        os.environ.pop("MAGIC_MODULE_START", None)
        if any(map(os.environ.get, STARTING)):
            __import__("magic_module._py.start")
    main = sys.modules["__main__"]
    del main.sys, main.begin
    if program[0] == "-m":
        import runpy

        sys.argv = program[1:]
        runpy._run_module_as_main(sys.argv[0])  # type: ignore[attr-defined]
    elif program[0] == "-c":
        sys.argv = ["-c", *program[2:]]
        execute(compile(program[1], "<string>", "exec", dont_inherit=True), main)
    else:
        script(program, main)


def script(program: Sequence[str], main: ModuleType) -> None:
    """A file, as the interpreter itself runs it."""
    sys.argv = list(program)
    path = program[0]
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    main.__file__ = path
    if sys.version_info < (3, 15):
        main.__cached__ = None  # type: ignore[attr-defined]
    main.__loader__ = SourceFileLoader("__main__", path)
    with open(path, "rb") as file:
        source = file.read()
    try:
        code = compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        _fail(error.with_traceback(None))
    execute(code, main)


def execute(code: object, main: ModuleType) -> None:
    """Runs it; what it raises is shown without this file."""
    try:
        exec(code, main.__dict__)  # type: ignore[arg-type]
    except SystemExit:
        raise
    except BaseException as error:
        trace = error.__traceback__
        _fail(error.with_traceback(trace.tb_next if trace else None))


def _fail(error: BaseException) -> None:
    sys.excepthook(type(error), error, error.__traceback__)
    sys.exit(1)
