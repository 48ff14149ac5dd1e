"""A lock of a data stack as a lazy environment, against uv, which installs all of it.

The wheels are fetched once from the index that uv is set to, and served from this machine, at 20 ms a request and
1 Gbit/s. Ours and theirs read the same lock. uv's cache is empty in every round, as ours is; uv compiles nothing, as is
its default.
"""

from __future__ import annotations

import concurrent.futures
import os
import re
import shutil
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import measure
from measure import Ended, Failure, Row, Side, interleave, megabytes, milliseconds
from origin import Origin
from workplace import Workplace, remove

NAMES = [
    *("pandas", "scikit-learn", "scipy", "matplotlib", "sqlalchemy", "requests", "fastapi", "httpx", "openpyxl"),
    *("statsmodels", "seaborn", "pyarrow", "boto3", "plotly", "pillow", "lxml", "cryptography", "protobuf", "numba"),
    *("google-cloud-storage", "google-cloud-bigquery", "pytest", "attrs", "click", "ruamel.yaml", "zope.interface"),
    *("opencv-python-headless", "ipykernel", "nbconvert", "hypothesis", "coverage", "setuptools"),
]
FEWER = ["pandas", "requests", "attrs", "click", "ruamel.yaml", "zope.interface", "fastapi", "httpx"]
DELAY, LINK = 0.02, 1e9
REQUESTS = "import requests"
PANDAS = "import pandas"


def row() -> Row:
    return Row("an interpreter's start with a lock, warm", "a bare interpreter's start", "≤ 5 ms more")


def run(workplace: Workplace) -> list[Row]:
    names = FEWER if workplace.quick else NAMES
    workplace.size("packages named in the lock", len(NAMES), len(FEWER))
    whole, alone = Stack(workplace, names), Stack(workplace, ["pandas"])
    with whole.served() as origin:
        rows = [started(whole, origin), mounted(whole, origin), *imported(whole, origin), warm(whole, origin)]
    with alone.served() as origin:
        rows.append(cold_pandas(alone, origin))
    return rows


class Stack:
    """A lock, and a folder with its wheels."""

    def __init__(self, workplace: Workplace, names: list[str]) -> None:
        self.workplace = workplace
        self.folder = workplace.folder("stack")
        self.wheels = self.folder / "wheels"
        self.wheels.mkdir(parents=True)
        self.uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
        if not Path(self.uv).exists():
            raise Failure("uv is not installed")
        asked = self.folder / "pylock.asked.toml"
        compile_lock = [
            self.uv,
            "pip",
            "compile",
            "--quiet",
            "--python",
            sys.executable,
            "-",
            "--format",
            "pylock.toml",
        ]
        requirements = self.folder / "requirements.in"
        requirements.write_text("\n".join(names))
        compile_lock = [self.uv, "pip", "compile", "--quiet", "--python", sys.executable, "--format", "pylock.toml"]
        try:
            measure.run([*compile_lock, str(requirements), "-o", str(asked)], self.environment())
        except Failure as failure:
            raise Failure(f"no package index: {failure}") from None
        self.asked = asked.read_text()
        urls = re.findall(r'url = "(https?://[^"]+\.whl)"', self.asked)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(self._download, urls))
        self.count = self.asked.count("[[packages]]")

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name.startswith(("UV_", "SSL_"))}
        return kept | self.workplace.environment() | more

    def _download(self, url: str) -> None:
        target = self.wheels / url.rsplit("/", 1)[1]
        with urllib.request.urlopen(url) as answer, target.open("wb") as file:
            shutil.copyfileobj(answer, file)

    def served(self, delay: float = DELAY, link: float = LINK) -> Origin:
        origin = Origin(self.wheels, delay, link)
        self.lock = self.folder / "pylock.toml"
        self.lock.write_text(re.sub(r'https?://[^"]+/([^"/]+\.whl)"', rf'{origin.url}/\1"', self.asked))
        return origin

    def ours(self, body: str, cache: Path) -> Ended:
        program = f"import magic_module; magic_module.mount_lock({str(self.lock)!r}); {body}"
        return measure.run(self.workplace.python(program), self.workplace.environment(cache))

    def known(self) -> Path:
        """A cache in which it is known what is in the wheels, and nothing else is."""
        cache = self.workplace.folder("known")
        self.ours("pass", cache)
        return cache

    def installed(self, body: str) -> Ended:
        """uv with an empty cache: the whole lock, then the import."""
        home, cache = self.workplace.folder("installed"), self.workplace.folder("uv-cache")
        environment = self.environment(UV_CACHE_DIR=str(cache))
        measure.run([self.uv, "venv", "--quiet", "--python", sys.executable, str(home)], environment)
        install = f"{self.uv} pip install --quiet --python {home}/bin/python -r {self.lock}"
        ended = measure.run(["sh", "-c", f'{install} && exec {home}/bin/python -c "{body}"'], environment)
        remove(home)
        remove(cache)
        return ended


def started(stack: Stack, origin: Origin) -> Row:
    cache = stack.known()
    views = [path for path in (cache / "v1" / "views").iterdir() if path.is_dir()]
    python = str(views[0] / "bin" / "python")
    environment = stack.workplace.environment(cache, MAGIC_MODULE_LOCK=str(stack.lock))
    bare = stack.workplace.environment(cache)
    return more_than(
        stack,
        row(),
        lambda: measure.run([python, "-c", "pass"], environment),
        lambda: measure.run(stack.workplace.python("pass"), bare),
    )


def mounted(stack: Stack, origin: Origin) -> Row:
    cache = stack.known()
    bare = stack.workplace.environment(cache)
    return more_than(
        stack,
        Row("`mount_lock()` by hand, warm, whole process", "a bare interpreter's start", "≤ 5 ms more"),
        lambda: stack.ours("pass", cache),
        lambda: measure.run(stack.workplace.python("pass"), bare),
    )


def more_than(stack: Stack, empty: Row, ours: Callable[[], Ended], theirs: Callable[[], Ended]) -> Row:
    results = interleave(stack.workplace.rounds(100, 20), ours, theirs)
    sides = [Side([ended.wall for ended in side]) for side in results]
    more = sides[0].median - sides[1].median
    shown = [milliseconds(side.median) for side in sides]
    judged = empty.judged(f"{milliseconds(more)} more", more <= 0.005, [f"{stack.count} wheels"], *shown)
    return replace(judged, spread=measure.worse(*sides))


def imported(stack: Stack, origin: Origin) -> list[Row]:
    known = stack.known()
    taken: list[int] = []

    def with_index() -> Ended:
        cache = stack.workplace.folder("cache")
        shutil.copytree(known, cache, symlinks=True)
        origin.take()
        ended = stack.ours(REQUESTS, cache)
        taken.append(origin.take_bytes())
        remove(cache)
        return ended

    def without() -> Ended:
        cache = stack.workplace.folder("cache")
        ended = stack.ours(REQUESTS, cache)
        remove(cache)
        return ended

    results = interleave(stack.workplace.rounds(5, 2), with_index, without, lambda: stack.installed(REQUESTS))
    with_known, unknown, theirs = (Side([ended.wall for ended in side]) for side in results)
    five = ("requests", "urllib3", "idna", "certifi", "charset_normalizer")
    wheels = sum(path.stat().st_size for path in stack.wheels.iterdir() if path.name.partition("-")[0] in five)
    against = "uv installing the whole lock, then the import"
    notes = [f"{stack.count} wheels, 20 ms a request, 1 Gbit/s"]
    bytes_row = Row("the same: bytes", "its five wheels", "≤ 1.1×")
    share = max(taken) / wheels
    return [
        Row("cold `import requests` from a lock, index known", against, "≤ 0.05×").compared(
            with_known, theirs, 0.05, milliseconds, notes
        ),
        Row("the same, index unknown", against, "≤ 0.2×").compared(unknown, theirs, 0.2, milliseconds),
        bytes_row.judged(f"{share:.2f}×", share <= 1.1, (), megabytes(max(taken)), megabytes(wheels)),
    ]


def warm(stack: Stack, origin: Origin) -> Row:
    """Start and import, everything there and compiled."""
    cache = stack.known()
    home = stack.workplace.folder("real")
    environment = stack.environment(UV_CACHE_DIR=str(stack.workplace.folder("uv-cache")))
    measure.run([stack.uv, "venv", "--quiet", "--python", sys.executable, str(home)], environment)
    python = str(home / "bin" / "python")
    measure.run([stack.uv, "pip", "install", "--quiet", "--python", python, "-r", str(stack.lock)], environment)
    results = interleave(
        stack.workplace.rounds(20, 5),
        lambda: stack.ours(PANDAS, cache),
        lambda: measure.run([python, "-c", PANDAS], stack.workplace.environment()),
    )
    ours, theirs = (Side([ended.wall for ended in side]) for side in results)
    empty = Row("warm start and `import pandas` from a lock", "the real virtual environment", "≤ 0.9×")
    return empty.compared(ours, theirs, 0.9, milliseconds)


def cold_pandas(stack: Stack, origin: Origin) -> Row:
    def ours() -> Ended:
        cache = stack.workplace.folder("cache")
        ended = stack.ours(PANDAS, cache)
        remove(cache)
        return ended

    results = interleave(stack.workplace.rounds(7, 3), ours, lambda: stack.installed(PANDAS))
    one, other = (Side([ended.wall for ended in side]) for side in results)
    empty = Row("cold `import pandas` from a lock of pandas alone", "uv installing it, then the import", "≤ 0.65×")
    return empty.compared(one, other, 0.65, milliseconds, [f"{stack.count} wheels, 20 ms a request, 1 Gbit/s"])
