"""Where a run works: a directory that is removed afterwards, and the environment of what it starts."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path
from types import TracebackType

from measure import Failure

# Nothing of the caller's environment reaches what is measured, but what a process cannot do without.
KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")

ROOM = 8 << 30
"""A RAM disk with less than this stays unused."""


class Workplace:
    """A context manager; folders that are asked for are fresh."""

    def __init__(self, quick: bool, directory: Path | None = None) -> None:
        self.quick = quick
        self.smaller: list[str] = []
        """What a quick run did with less than a full one, which no figure shows."""
        self._parent = directory or default_directory()
        self.place = Path()
        self.site_packages = Path()
        """Where an installed package lies."""
        self._executable = ""
        self._number = 0

    def __enter__(self) -> Workplace:
        self.place = Path(tempfile.mkdtemp(prefix="magic_module-bench-", dir=self._parent))
        self._make_interpreter()
        return self

    def _make_interpreter(self) -> None:
        """A virtual environment with the product and nothing else: what tools bring slows every start."""
        home = self.place / "venv"
        venv.EnvBuilder(symlinks=os.name != "nt", with_pip=False).create(home)
        self._executable = str(home / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
        inside = Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
        self.site_packages = home / inside
        for pattern in ("magic_module*", "packaging*"):
            for path in Path(sysconfig.get_path("purelib")).glob(pattern):
                (shutil.copytree if path.is_dir() else shutil.copy)(path, self.site_packages / path.name)

    def empty_environment(self) -> Path:
        """A virtual environment with nothing in it, to be copied."""
        home = self.place / "empty"
        if not home.exists():
            venv.EnvBuilder(symlinks=os.name != "nt", with_pip=False).create(home)
        return home

    def python(self, script: str) -> list[str]:
        """A fresh interpreter, without flags: as users start it."""
        return [self._executable, "-c", script]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        remove(self.place)

    def rounds(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def size(self, what: str, full: int, quick: int) -> int:
        """So many of `what`; that a quick run has fewer is told where its figures are."""
        said = f"{quick:,} {what} (full: {full:,})"
        if self.quick and quick != full and said not in self.smaller:
            self.smaller.append(said)
        return quick if self.quick else full

    def folder(self, name: str) -> Path:
        """A path that does not exist yet."""
        self._number += 1
        return self.place / f"{self._number:03}-{name}"

    def environment(self, cache: Path | None = None, **more: str) -> dict[str, str]:
        """What a process gets. Bytecode is written and read as CPython does by default."""
        values = {name: os.environ[name] for name in KEPT if name in os.environ}
        values |= {"HOME": str(self.place), "NO_PROXY": "127.0.0.1", "MAGIC_MODULE_PROGRESS": "off"}
        if cache is not None:
            values["MAGIC_MODULE_CACHE_DIR"] = str(cache)
        return values | more

    def room_for(self, size: int) -> None:
        free = shutil.disk_usage(self.place).free
        if free < size:
            raise Failure(f"{size >> 20} MiB are needed in {self._parent}, which has {free >> 20}")
        if self._parent == Path("/dev/shm") and available_memory() < size + (2 << 30):
            raise Failure(f"{size >> 20} MiB of memory are needed: name a disk with --directory")


def default_directory() -> Path:
    """Memory, where there is enough: disks differ, and drift."""
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK) and min(free(memory), available_memory()) >= ROOM:
        return memory
    return Path(tempfile.gettempdir())


def free(path: Path) -> int:
    return shutil.disk_usage(path).free


def available_memory() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable")), 0)


def remove(path: Path) -> None:
    """Trees hold read-only files, which only Windows minds."""

    def again(function, name, _) -> None:  # type: ignore[no-untyped-def]
        os.chmod(name, 0o700)
        function(name)

    if path.exists():
        shutil.rmtree(path, onerror=again)
