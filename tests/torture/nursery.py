"""Forks the processes under torture, from a parent that knows the standard library and nothing of the product.

    nursery.py FOLDERS

Starting an interpreter costs more than what is tested. So one is started for many trials; every process is still one of
its own, which loads the product itself and is killed for real. What is disturbed ends as an interpreter does; what only
looks ends after its exit handlers: to take the interpreter apart costs more than the look.

Each line on stdin is a JSON object with `arguments` (of inside.py) and `environment`; each line on stdout answers with
`status`, `stdout` and `stderr`, or with `hangs`.
FOLDERS are where packages are found, separated as in PYTHONPATH.
"""

import atexit
import ctypes
import gc
import json
import os
import select
import signal
import sys

HANGS = 60
"""Seconds after which a process counts as hanging."""

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), *sys.argv[1].split(os.pathsep)]
os.environ.pop("LD_PRELOAD", None)

# The program itself, and what the product imports from elsewhere.
import importlib.metadata  # noqa: E402, F401
import platform  # noqa: E402, F401

import inside  # noqa: E402
import packaging.requirements  # noqa: E402, F401


def main() -> None:
    gc.freeze()
    while line := sys.stdin.readline():
        order = json.loads(line)
        files = [os.memfd_create(name) for name in ("stdout", "stderr")]
        if not (child := os.fork()):
            grow_up(files, order)
            return
        print(json.dumps(ending(child) | told(files)), flush=True)


def grow_up(files: "list[int]", order: "dict[str, object]") -> None:
    """What makes the fork a process of its own."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, file in enumerate(files, 1):
        os.dup2(file, number)
    os.environ.update(order["environment"])
    if "TORTURE_ROOT" in os.environ:
        ctypes.CDLL(None).torture_begin()
        inside.main(*order["arguments"])
        return
    inside.main(*order["arguments"])
    atexit._run_exitfuncs()
    sys.stderr.flush()
    os._exit(0)


def ending(child: int) -> "dict[str, object]":
    watched = select.poll()
    watched.register(process := os.pidfd_open(child))
    hangs = not watched.poll(HANGS * 1000)
    os.close(process)
    if hangs:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return {"status": os.waitstatus_to_exitcode(status), "hangs": hangs}


def told(files: "list[int]") -> "dict[str, object]":
    said = {}
    for name, file in zip(("stdout", "stderr"), files, strict=True):
        said[name] = os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")
        os.close(file)
    return said


if __name__ == "__main__":
    main()
