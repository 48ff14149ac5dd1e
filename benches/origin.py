"""A static HTTP server in a process of its own: `server/origin.rs`, compiled when it is first needed.

It can delay each answer, limit what all connections together may carry, and tells what it was asked for.
"""

from __future__ import annotations

import collections
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from measure import Failure

SOURCE = Path(__file__).with_name("server") / "origin.rs"


class Origin:
    """Runs the server for as long as the context lasts; `delay` in seconds a request, `link` in bits a second."""

    def __init__(self, folder: Path, delay: float = 0.0, link: float = 0.0) -> None:
        self.folder = folder
        self._log = folder.with_name(f"{folder.name}.{delay}-{link}.requests")
        self._log.write_bytes(b"")
        command = [str(compiled()), str(folder), str(self._log), str(delay * 1e3), str(link / 1e6)]
        # It ends with its standard input, so that none outlives us.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    @property
    def manifest_url(self) -> str:
        return f"{self.url}/manifest.json"

    def take(self) -> list[tuple[str, int]]:
        """Path and bytes of the body of each request since the last call. Nobody may be asking meanwhile."""
        lines = self._log.read_text().splitlines()
        os.truncate(self._log, 0)
        pairs = (line.split(" ", 1) for line in lines)
        return [(path, int(size)) for size, path in pairs]

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


def compiled() -> Path:
    """The server's program, made again when its source has changed."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    program = Path(sys.prefix, f"bench-origin-{digest}")
    if not program.exists():
        if shutil.which("rustc") is None:
            raise Failure("no rustc, which makes the server")
        made = program.with_suffix(f".{os.getpid()}")
        command = ["rustc", "--edition", "2024", "-O", "-o", str(made), str(SOURCE)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise Failure(f"the server cannot be compiled: {ended.stderr.strip().splitlines()[0]}")
        made.replace(program)
    return program
