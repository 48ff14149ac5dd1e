"""Locks made on the spot: a folder with wheels and the `pylock.toml` that names them.

lock = Lock(tmp_path / "project", packages())                                # a little of everything
lock = Lock(tmp_path / "project", [wheel("alpha"), wheel("beta")])           # wheels by their path
lock = Lock(tmp_path / "project", [...], url=origin.url + "/wheels")         # wheels by URL
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from origins import Origin

from . import process
from .interpreter import environment
from .process import Result
from .wheels import Wheel, wheel


class Lock:
    """Wheels in ``folder/wheels``, and ``folder/pylock.toml``."""

    def __init__(self, folder: Path, wheels: Sequence[Wheel], *, url: str | None = None, more: str = "") -> None:
        self.folder = folder
        self.path = folder / "pylock.toml"
        self.wheels = {each.name: each for each in wheels}
        for each in wheels:
            each.write(folder / "wheels")
        self.path.write_text(
            "\n".join(['lock-version = "1.0"', 'created-by = "kit"', more, *(_entry(each, url) for each in wheels)])
        )


def packages() -> list[Wheel]:
    """A namespace that three share, a data scheme, scripts, entry points, and what requires what."""
    return [
        wheel("alpha", "1.0", {"alpha/__init__.py": "import beta; VALUE = beta.VALUE + 1"}, requires=["Beta>=1"]),
        wheel("Beta", "2.0", {"beta.py": "VALUE = 41"}, folders=True),
        wheel("space-one", "1.0", {"space/one.py": "NAME = __name__"}),
        wheel("space-two", "1.0", {"space/two/__init__.py": "from space import one; NAME = __name__ + one.NAME"}),
        wheel("space.three", "1.0", {"space/deep/three.py": "import space.one as it; NAME = it.NAME"}),
        wheel(
            "tool",
            "3.1",
            {"tool/__init__.py": "import sys\ndef main(): print('tool', *sys.argv[1:]); return 7"},
            scripts={"tool": "tool:main"},
            entry_points={"kit.plugins": {"first": "tool:main"}},
            data={
                "scripts/raw": "#!python\nimport sys, tool; print('raw', *sys.argv[1:])\n",
                "data/share/tool.txt": "x",
            },
        ),
    ]


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


def whole(origin: Origin) -> set[str]:
    """The wheels that were downloaded, and not only looked into."""
    taken = [request for request in origin.take() if "range" not in request.headers]
    return {request.path.strip("/").partition("-")[0] for request in taken}
