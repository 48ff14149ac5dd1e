"""Makes the wheel and the environments in a process of its own, while formatting, lints and Rust tests run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import environments


class Making:
    """If something cannot be made, the step that needs it tries again, and says why."""

    def __init__(self, names: list[str]) -> None:
        """Makes the environments of these names, then the wheel, and installs it into them."""
        # Formatting and lints need .venv/tools at the same time: it is there before both begin.
        environments.tool_python(environments.interpreters()[0])
        self._log = environments.ENVIRONMENTS / "making.log"
        self._begin = time.monotonic()
        with self._log.open("wb") as log:
            command: list[str | Path] = [sys.executable, environments.TOOLS / "environments.py", *names]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self) -> None:
        """Prints the output of the process, and how long it took and was waited for."""
        waiting = time.monotonic()
        self._process.wait()
        end = time.monotonic()
        print(f"\n=== the wheel and the environments\n{self._log.read_text(errors='replace')}", end="")
        print(f"({end - self._begin:.0f} s since it began, of which {end - waiting:.0f} s were waited for)", flush=True)

    def end(self) -> None:
        """Ends it with all that it started: another one would work in the same folders."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait()
