"""Makes the wheel and the environments in a process of its own, while formatting, lints and Rust tests run."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import environments


class Making:
    """What it cannot make is made, and fails, again where it is needed."""

    def __init__(self, names: list[str]) -> None:
        """Begins with the environments of these names; the wheel comes last, and is installed into them."""
        # The steps that run meanwhile need it, too.
        environments.tool_python(environments.interpreters()[0])
        self._log = environments.ENVIRONMENTS / "making.log"
        self._begin = time.monotonic()
        with self._log.open("wb") as log:
            command: list[str | Path] = [sys.executable, environments.TOOLS / "environments.py", *names]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait(self) -> None:
        """Prints what it printed, and how long it took."""
        waiting = time.monotonic()
        self._process.wait()
        end = time.monotonic()
        print(f"\n=== the wheel and the environments\n{self._log.read_text(errors='replace')}", end="")
        print(f"({end - self._begin:.0f} s since it began, of which {end - waiting:.0f} s were waited for)", flush=True)
