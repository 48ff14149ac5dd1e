"""What a run was made on, and with: numbers mean nothing without it."""

from __future__ import annotations

import datetime
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import magic_module
import peers
from measure import Failure


def require_release_wheel(root: Path) -> None:
    """Only the wheel that `make wheel` built may be measured, never a debug build."""
    wheels = sorted((root / "dist").glob("*.whl"))
    stamp = Path(sys.prefix, ".wheel")
    remedy = "run `make bench`, which builds and installs it"
    if not Path(magic_module.__file__).is_relative_to(sys.prefix):
        raise Failure(f"magic_module comes from {Path(magic_module.__file__).parent}, not from the wheel: {remedy}")
    if len(wheels) != 1 or not stamp.is_file():
        raise Failure(f"the release wheel is not installed here: {remedy}")
    if stamp.read_text() != hashlib.sha256(wheels[0].read_bytes()).hexdigest():
        raise Failure(f"another wheel than the one in dist/ is installed here: {remedy}")


def load() -> str:
    """How many wanted to run in the last minute."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def describe(root: Path, place: Path, load_before: str) -> dict[str, str]:
    date = datetime.datetime.now(datetime.timezone.utc)
    return {
        "date": date.strftime("%Y-%m-%d %H:%M UTC"),
        "commit": output_of("git", "-C", str(root), "describe", "--always", "--dirty") or "unknown",
        "magic_module": magic_module.__version__ + ", release wheel",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "processor": f"{processor()}, {os.cpu_count()} cores",
        "memory": memory(),
        "curl": first_line(output_of("curl", "--version")),
        "peers": peers.versions(),
        "files on": file_system(place),
        "load": f"{load_before} before, {load()} after",
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.0f} GiB"
    except (AttributeError, OSError, ValueError):
        return "unknown"


def file_system(place: Path) -> str:
    """The kind of file system that holds `place`."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "unknown"
    holding = [(len(fields[1]), fields[2]) for fields in mounts if place.is_relative_to(fields[1])]
    return max(holding)[1] if holding else "unknown"


def output_of(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def first_line(text: str) -> str:
    return " ".join(text.splitlines()[0].split()[:2]) if text else "not installed"
