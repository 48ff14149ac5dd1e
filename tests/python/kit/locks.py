"""Locks made on the spot: a folder with wheels and the `pylock.toml` that names them.

lock = Lock(tmp_path / "project", [wheel("alpha"), wheel("beta")])           # wheels by their path
lock = Lock(tmp_path / "project", [...], url=origin.url + "/wheels")         # wheels by URL
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import process
from .interpreter import environment
from .process import Result
from .wheels import Wheel


class Lock:
    """Wheels in ``folder/wheels``, and ``folder/pylock.toml``."""

    def __init__(self, folder: Path, wheels: Sequence[Wheel], *, url: str | None = None, more: str = "") -> None:
        self.folder = folder
        self.path = folder / "pylock.toml"
        self.wheels = {wheel.name: wheel for wheel in wheels}
        for wheel in wheels:
            wheel.write(folder / "wheels")
        self.path.write_text(
            "\n".join(['lock-version = "1.0"', 'created-by = "kit"', more, *(_entry(each, url) for each in wheels)])
        )


def _entry(wheel: Wheel, url: str | None) -> str:
    place = f'path = "wheels/{wheel.filename}"' if url is None else f'url = "{url}/{wheel.filename}"'
    name = re.sub("[-_.]+", "-", wheel.name).lower()
    return (
        f'[[packages]]\nname = "{name}"\nversion = "{wheel.version}"\n'
        f'wheels = [{{ name = "{wheel.filename}", {place}, size = {len(wheel.data)}, '
        f'hashes = {{ sha256 = "{wheel.sha256}" }} }}]\n'
    )


def run(
    lock: Lock | None,
    cache: Path,
    *arguments: str,
    settings: Mapping[str, str] | None = None,
    here: Path | None = None,
    status: int | None = 0,
) -> Result:
    """``magic-module run --lock LOCK …``; without a lock, what ``run`` finds by itself."""
    named = [] if lock is None else ["--lock", str(lock.path)]
    line = [sys.executable, "-m", "magic_module", "run", *named, *arguments]
    return process.run(line, environment(cache, None, settings), here or cache.parent, status)


def python(cache: Path, program: str, settings: Mapping[str, str] | None = None, status: int | None = 0) -> Result:
    """A plain interpreter, which mounts what the program or the environment says."""
    return process.run(process.command(program), environment(cache, None, settings), cache.parent, status)
