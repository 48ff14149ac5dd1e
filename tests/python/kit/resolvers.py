"""The resolvers that are on this machine: what they do is tested where they are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def _uv() -> str | None:
    """One that runs: a version manager may put a name on PATH that only complains."""
    candidates = [os.environ.get("UV"), str(Path(sys.executable).with_name("uv")), shutil.which("uv")]
    for program in candidates:
        if program and Path(program).is_file():
            ended = subprocess.run([program, "--version"], capture_output=True, text=True)
            if ended.returncode == 0:
                return program
    return None


UV = _uv()
with_uv = pytest.mark.skipif(UV is None, reason="NOT TESTED: uv is missing here, which resolves locks")


def settings(folder: Path, index: str | None = None, uv: str | None = UV) -> dict[str, str | None]:
    """Variables for resolvers: a cache of their own in ``folder``, nobody's configuration, and one index."""
    return {
        "UV_CACHE_DIR": str(folder / "uv"),
        "PIP_CACHE_DIR": str(folder / "pip"),
        "PIP_CONFIG_FILE": os.devnull,
        "PATH": os.defpath,
        "UV": uv or str(folder / "none"),
        **({"UV_DEFAULT_INDEX": index, "PIP_INDEX_URL": index} if index else {}),
    }
