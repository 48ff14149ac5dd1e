"""Scripts in fresh interpreters, with an environment that holds nothing by accident."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 120
"""Seconds after which a script counts as hanging; no test measures time with it."""

KEPT = (
    *("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "COVERAGE_PROCESS_START"),
    # Without these, Windows starts no program, and finds no temporary folder.
    *("SYSTEMROOT", "COMSPEC", "PATHEXT", "TEMP", "TMP"),
)


@dataclass(frozen=True)
class Result:
    """What a process left behind."""

    stdout: str
    stderr: str
    status: int

    @property
    def json(self) -> Any:
        """The last line of stdout, parsed."""
        lines = self.stdout.strip().splitlines()
        assert lines, f"nothing was printed; stderr:\n{self.stderr}"
        return json.loads(lines[-1])


def environment(home: Path, cache: Path, extra: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """A clean environment: no settings of the machine, no proxies, bytecode as CPython's default."""
    values: dict[str, str | None] = {name: os.environ[name] for name in KEPT if name in os.environ}
    values |= {
        "HOME": str(home),
        "USERPROFILE": str(home) if sys.platform == "win32" else None,
        "MAGIC_MODULE_CACHE_DIR": str(cache),
        "PYTHONIOENCODING": "utf-8",
        "NO_PROXY": "127.0.0.1,localhost",
    }
    values |= extra or {}
    return {name: value for name, value in values.items() if value is not None}


def command(
    script: str | None, flags: Sequence[str] = (), args: Sequence[str] = (), warnings: bool = True
) -> list[str]:
    line = [sys.executable, *(("-W", "error") if warnings else ()), *flags]
    if script is not None:
        line += ["-c", textwrap.dedent(script)]
    return [*line, *args]


def start(line: Sequence[str], env: Mapping[str, str], cwd: Path, input: bool = False) -> subprocess.Popen[str]:
    """Starts a process in a session of its own, so that a signal to it is one to nobody else."""
    return subprocess.Popen(
        line,
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.PIPE if input else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], timeout: float = PATIENCE) -> Result:
    """Waits; a process that hangs is killed with all its children, and fails the test."""
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        end(process)
        stdout, stderr = process.communicate()
        raise AssertionError(f"the script hangs after {timeout} s\n{stdout}\n{stderr}") from None
    return Result(stdout, stderr, process.returncode)


def end(process: subprocess.Popen[str]) -> None:
    """Kills a process with all its children; where there are no process groups, the process alone."""
    if sys.platform == "win32":
        process.kill()
    else:
        os.killpg(process.pid, 9)


def read_line(process: subprocess.Popen[str], timeout: float = PATIENCE) -> str:
    """The next line that a process prints; one that hangs instead is killed, and fails the test."""
    assert process.stdout is not None and process.stderr is not None
    watchdog = threading.Timer(timeout, end, (process,))
    watchdog.start()
    try:
        text = process.stdout.readline()
    finally:
        watchdog.cancel()
    if not text:
        raise AssertionError(f"the script ended, or hung, before its next line\n{process.stderr.read()}")
    return text.strip()


def say(process: subprocess.Popen[str], text: str = "go") -> None:
    """Gives the script a line to read."""
    assert process.stdin is not None
    process.stdin.write(text + "\n")
    process.stdin.flush()


def run(line: Sequence[str], env: Mapping[str, str], cwd: Path, status: int | None = 0) -> Result:
    """Runs to the end; another exit status than `status` fails the test with everything that was printed."""
    result = finish(start(line, env, cwd))
    if status is not None and result.status != status:
        raise AssertionError(f"exit status {result.status}, not {status}\n{result.stdout}\n{result.stderr}")
    return result
