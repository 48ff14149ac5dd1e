"""What some tests need of the machine. Where it is missing they are skipped, and something is not looked at."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

#: Where programs for the administrator are, also when nobody's PATH says so.
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])

PROGRAMS = {
    "chromedriver": "the page of examples/platform/ (Debian's chromium and chromium-driver)",
    "openssl": "TLS, corporate authorities and proxies for https",
    "minisign": "our signatures as the minisign tool sees them (what it said once is in tests/fixtures)",
}


def missing() -> Iterator[tuple[str, str]]:
    """What is not looked at on this machine, and why."""
    if not _runs("strace", "-o", os.devnull, sys.executable, "-c", ""):
        reason = "may not trace here" if shutil.which("strace", path=PATH) else "is not installed"
        yield "what is synced, mapped and asked of the system", f"strace {reason}"
    for program, what in PROGRAMS.items():
        if not shutil.which(program, path=PATH):
            yield what, f"{program} is not installed"
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        yield "caches of other users, small and read-only disks, power cuts", "only root can make them"
        return
    if not shutil.which("setpriv", path=PATH):
        yield "caches of other users", "setpriv is not installed"
    with tempfile.TemporaryDirectory() as folder:
        yield from _mounts(Path(folder))


def _mounts(folder: Path) -> Iterator[tuple[str, str]]:
    """A disk in memory, and one in a file."""
    place, image = folder / "place", folder / "image"
    place.mkdir()
    if not _mounted(place, "-t", "tmpfs", "tmpfs"):
        yield "small and read-only disks, power cuts", "nothing can be mounted here"
        return
    with image.open("wb") as file:
        file.truncate(16 << 20)
    if not _runs("mkfs.ext4", "-q", "-F", str(image)):
        yield "power cuts on ext4", "mkfs.ext4 makes no file system here"
    elif not _mounted(place, "-o", "loop", str(image)):
        yield "power cuts", "no file can be mounted here"
        return
    if not shutil.which("mkfs.xfs", path=PATH):
        yield "power cuts on xfs", "mkfs.xfs is not installed"


def _mounted(place: Path, *arguments: str) -> bool:
    """Mounts, and unmounts again."""
    return _runs("mount", *arguments, str(place)) and _runs("umount", str(place))


def _runs(program: str, *arguments: str) -> bool:
    found = shutil.which(program, path=PATH)
    return found is not None and not subprocess.run([found, *arguments], capture_output=True, check=False).returncode


if __name__ == "__main__":
    for what, reason in missing():
        print(f"skipped  {what} ({reason})")
