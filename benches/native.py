"""Small programs of the harness, compiled when they are first needed and again when their source has changed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from measure import Failure

HERE = Path(__file__).parent


def compiled(source: str, compiler: str, *options: str, suffix: str = "") -> Path:
    """The program that `compiler` makes of the file `source`."""
    text = (HERE / source).read_bytes() + repr((compiler, options)).encode()
    stem = Path(source).stem
    program = Path(sys.prefix, f"bench-{stem}-{hashlib.sha256(text).hexdigest()[:16]}{suffix}")
    if not program.exists():
        if shutil.which(compiler) is None:
            raise Failure(f"no {compiler}, which makes {source}")
        made = program.with_suffix(f".{os.getpid()}")
        command = [compiler, *options, "-o", str(made), str(HERE / source)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise Failure(f"{source} cannot be compiled: {ended.stderr.strip().splitlines()[0]}")
        made.replace(program)
    return program


def nosync(*options: str) -> list[str]:
    """What to begin a command with in which nothing is synced."""
    if not sys.platform.startswith("linux"):
        raise Failure("syncs can be filtered on Linux only")
    return [str(compiled("nosync.c", "cc", "-O2")), *options]
