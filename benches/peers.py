"""Whom we are compared with: each in an environment of its own, pinned in peers.txt, made when it is first needed.

A peer that cannot be installed has no environment; asking for it is a `Failure` that says why, which becomes its cell.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from measure import Failure

LIST = Path(__file__).with_name("peers.txt")
HOME = Path(sys.prefix).parent / "bench-peers"
CHECKERS = {
    # It asks for a version of docopt that has no wheel, and for Jupyter, which it uses for notebooks only.
    "pipreqs": "pipreqs==0.5.0 --no-deps docopt-ng==0.9.0 yarg==0.1.9 requests==2.34.2 charset-normalizer==3.5.3 "
    "urllib3==2.8.0 certifi==2026.10.18 idna==3.20",
    "deptry": "deptry==0.25.1 click==8.5.1 packaging==26.3 requirements-parser==0.13.1 tomli==2.5.0",
}
"""Whom the checking of scripts is compared with; they fetch nothing."""
PATIENCE = 120.0
"""Seconds after which an installation counts as hung."""


def pinned() -> dict[str, str]:
    """The line of each peer, by its name."""
    lines = [line for line in LIST.read_text().splitlines() if line and not line.startswith("#")]
    return {line.partition("==")[0]: line for line in lines}


def versions() -> str:
    return ", ".join(line.split()[0].replace("==", " ") for line in pinned().values())


def python(peer: str) -> str:
    """The interpreter of the peer's environment."""
    home, failed = _installed(peer)
    if failed:
        raise Failure(f"{peer} is not installed: {failed}")
    return str(home / _scripts() / ("python.exe" if os.name == "nt" else "python"))


def command(peer: str) -> str:
    """The command of the peer's name."""
    return str(Path(python(peer)).with_name(peer + (".exe" if os.name == "nt" else "")))


def _scripts() -> str:
    return "Scripts" if os.name == "nt" else "bin"


@functools.cache
def _installed(peer: str) -> tuple[Path, str]:
    """The peer's environment, and why it is none. A failure is not remembered beyond this run."""
    home, pins = HOME / peer, {**pinned(), **CHECKERS}[peer]
    stamp = home / ".made-from"
    made_from = f"{sys.version}\n{pins}"
    if stamp.is_file() and stamp.read_text() == made_from:
        return home, ""
    print(f"… installing {pins.split()[0]}", file=sys.stderr, flush=True)
    shutil.rmtree(home, ignore_errors=True)
    venv.EnvBuilder(symlinks=os.name != "nt", with_pip=False).create(home)
    install = [sys.executable, "-m", "pip", "--python", str(home), "install", "--quiet", "--only-binary", ":all:"]
    try:
        ended = subprocess.run(
            [*install, "--retries", "1", "--timeout", "10", *pins.split()],
            env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return home, f"pip took more than {PATIENCE:.0f} s"
    if ended.returncode:
        lines = ended.stderr.strip().splitlines()
        return home, lines[-1].removeprefix("ERROR: ") if lines else f"pip ended with {ended.returncode}"
    stamp.write_text(made_from)
    return home, ""
