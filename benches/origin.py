"""A static HTTP server in a process of its own: `server/origin.rs`, compiled when it is first needed.

It can delay each answer, limit what all connections together may carry, keeps what is put there, and tells what it was
asked for.
"""

from __future__ import annotations

import collections
import os
import subprocess
from pathlib import Path
from types import TracebackType

import native


class Origin:
    """Runs the server for as long as the context lasts; `delay` in seconds a request, `link` in bits a second."""

    def __init__(self, folder: Path, delay: float = 0.0, link: float = 0.0) -> None:
        self.folder = folder
        self._log = folder.with_name(f"{folder.name}.{delay}-{link}.requests")
        self._log.write_bytes(b"")
        program = native.compiled("server/origin.rs", "rustc", "--edition", "2024", "-O")
        command = [str(program), str(folder), str(self._log), str(delay * 1e3), str(link / 1e6)]
        # It ends with its standard input, so that none outlives us.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    @property
    def manifest_url(self) -> str:
        return f"{self.url}/manifest.json"

    def take(self) -> list[tuple[str, int]]:
        """Path and bytes of the body of each request since the last call. Nobody may be asking meanwhile.

        What was put has `PUT` before its path. Bytes count that were sent; of an answer that broke off, all of them are
        known when the server has ended.
        """
        lines = self._log.read_text().splitlines()
        os.truncate(self._log, 0)
        taken: list[tuple[str, int]] = []
        for line in lines:
            size, path = line.split(" ", 1)
            if int(size) >= 0:
                taken.append((path, int(size)))
                continue
            # What was not sent of the last answer with this path; it may have been taken before.
            at = next((at for at in reversed(range(len(taken))) if taken[at][0] == path), None)
            if at is not None:
                taken[at] = (path, taken[at][1] + int(size))
        return taken

    def take_requests(self) -> collections.Counter[str]:
        """How often each path was asked for since the last call."""
        return collections.Counter(path for path, _ in self.take())

    def take_bytes(self) -> int:
        return sum(size for _, size in self.take())

    def stop(self) -> None:
        self._process.communicate()

    def __enter__(self) -> Origin:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
