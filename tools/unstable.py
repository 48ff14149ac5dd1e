"""A root with Debian's unstable suite, for interpreters that are newer than the machine's.

    .venv/unstable/                what debootstrap made, once: remove it to have newer ones
    .venv/unstable/environments/   what stands in there in the place of .venv/

Mounts and processes are in namespaces of their own, so that both end with what is run, however that ends.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import environments
from environments import ENVIRONMENTS, ROOT, Failure, run

FOLDER = ENVIRONMENTS / "unstable"

#: The interpreters, gcc for test requirements without wheels for them and for extension modules of tests, and what
#: prerequisites.py looks for.
PACKAGES = (
    *("python3-all", "python3-all-venv", "python3-all-dev"),
    *("gcc", "libc6-dev", "git", "strace", "openssl", "minisign", "e2fsprogs", "xfsprogs"),
)

#: The tests of the standard library, of each interpreter that is there by then.
_TESTS = r"""exec "$@" $(ls /usr/bin | sed -n 's/^python3\.[0-9]*$/lib&-testsuite/p')"""

#: Processes and mounts that end with what is run.
_APART = ("unshare", "--mount", "--pid", "--fork", "--kill-child")


def root() -> Path:
    """The root of the interpreters, made if it is not there."""
    # The release wheel is built outside, with the Rust that is here.
    environments.wheel()
    return made(FOLDER, PACKAGES, _TESTS)


def made(folder: Path, packages: tuple[str, ...], more: str = "exit 0") -> Path:
    """A root with these packages, made if it is not there; `more` is a script that is given the line of apt-get."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        raise Failure("a root of Debian's unstable suite can be made on Linux only, and by root")
    for program, package in (("debootstrap", "debootstrap"), ("unshare", "util-linux"), ("chroot", "coreutils")):
        if not shutil.which(program):
            raise Failure(f"{program} was not found: install it (on Debian: apt-get install {package})")
    if (folder / ".made").is_file():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run([*_APART, "debootstrap", "--variant=minbase", "unstable", folder])
    # A mirror may lag behind for weeks; what it has is signed all the same.
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", "Acquire::Check-Valid-Until=false"]
    install = [*apt, "install", "--yes", "--no-install-recommends"]
    run(inside(folder, *apt, "update"))
    run(inside(folder, *install, *packages))
    run(inside(folder, "/bin/sh", "-c", more, "more", *install))
    (folder / ".made").touch()
    return folder


def inside(root: Path, *command: str | Path) -> list[str | Path]:
    """The line that runs a command, or a script of the repository, in the root."""
    interpreter = ["/usr/bin/python3"] if str(command[0]).endswith(".py") else []
    # Its PATH may name folders of the machine, with interpreters that are not in the root.
    path = ["env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"]
    return [*_APART, "/bin/sh", ROOT / "tools" / "unstable.sh", root, *path, *interpreter, *command]
