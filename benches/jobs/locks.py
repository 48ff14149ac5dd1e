"""A lock of a data stack as a lazy environment, against uv, which installs all of it.

The wheels are fetched once from the index that uv is set to, and served from this machine, at 20 ms a request and
1 Gbit/s. Ours and theirs read the same lock. uv's cache is empty in every round, as ours is; uv compiles nothing, as is
its default.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace

import measure
from measure import Ended, Row, Side, interleave, megabytes, milliseconds
from origin import Origin
from stack import Stack
from workplace import Workplace, remove

NAMES = [
    *("pandas", "scikit-learn", "scipy", "matplotlib", "sqlalchemy", "requests", "fastapi", "httpx", "openpyxl"),
    *("statsmodels", "seaborn", "pyarrow", "boto3", "plotly", "pillow", "lxml", "cryptography", "protobuf", "numba"),
    *("google-cloud-storage", "google-cloud-bigquery", "pytest", "attrs", "click", "ruamel.yaml", "zope.interface"),
    *("opencv-python-headless", "ipykernel", "nbconvert", "hypothesis", "coverage", "setuptools"),
    *("mkl", "tbb", "casadi", "eigenpy", "zope.component", "notebook-shim", "sphinxcontrib-applehelp"),
]
FEWER = ["pandas", "scikit-learn", "requests", "attrs", "click", "ruamel.yaml", "zope.interface", "fastapi", "httpx"]
REQUESTS = "import requests"
PANDAS = "import pandas"
BOTH = "import pandas, sklearn.linear_model"

# What a load costs, and what of it was hashing, or waiting for who hashes beside it.
COUNTED = """
import time
from magic_module import _native
before, begin = _native._hashed(), time.perf_counter()
import pandas
took, after = time.perf_counter() - begin, _native._hashed()
print([after[0] - before[0], after[1] - before[1], took])
"""


def row() -> Row:
    return Row("an interpreter's start with a lock, warm", "a bare interpreter's start", "≤ 5 ms more")


def run(workplace: Workplace) -> list[Row]:
    names = FEWER if workplace.quick else NAMES
    workplace.size("packages named in the lock", len(NAMES), len(FEWER))
    whole, alone = Stack(workplace, names), Stack(workplace, ["pandas"])
    with whole.served() as origin:
        rows = [started(whole, origin), mounted(whole, origin), *imported(whole, origin)]
        rows += [run_with(whole, origin), *indexed(whole, origin), *second(whole, origin), *warm(whole, origin)]
    with alone.served() as origin:
        rows.append(cold_pandas(alone, origin))
    return rows


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


def run_with(stack: Stack, origin: Origin) -> Row:
    """Ours knows what is in all wheels; theirs has to find that out for five of them."""
    known = stack.known()
    stack.make_index()

    def ours() -> Ended:
        cache = stack.workplace.folder("cache")
        shutil.copytree(known, cache, symlinks=True)
        ended = stack.ours(REQUESTS, cache)
        remove(cache)
        return ended

    def theirs() -> Ended:
        cache = stack.workplace.folder("uv-cache")
        index = ["--no-config", "--default-index", f"{origin.url}/simple/"]
        command = [stack.uv, "run", "--quiet", "--no-project", "--python", sys.executable, *index]
        environment = stack.workplace.environment(UV_CACHE_DIR=str(cache))
        ended = measure.run([*command, "--with", "requests", "python", "-c", REQUESTS], environment)
        remove(cache)
        return ended

    one, other = (Side([it.wall for it in side]) for side in interleave(stack.workplace.rounds(7, 3), ours, theirs))
    empty = Row("cold `import requests` from a lock, index known", "`uv run --with requests`, nothing cached", "≤ 1.2×")
    return empty.compared(one, other, 1.2, milliseconds, ["uv's index has the metadata of each wheel beside it"])


def indexed(stack: Stack, origin: Origin) -> list[Row]:
    """What is in all wheels, against resolving them: both ask once or twice for each."""
    stack.make_index()
    asked = stack.folder / "pinned.in"
    asked.write_text("\n".join(f"{name}=={version}" for name, (version, _) in stack.packages().items()))
    taken: list[int] = []

    def ours() -> Ended:
        cache = stack.workplace.folder("cache")
        origin.take()
        ended = stack.ours("pass", cache)
        taken.append(origin.take_bytes())
        remove(cache)
        return ended

    def theirs() -> Ended:
        cache = stack.workplace.folder("uv-cache")
        index = ["--no-config", "--default-index", f"{origin.url}/simple/"]
        command = [stack.uv, "pip", "compile", "--quiet", "--python", sys.executable, *index, str(asked)]
        environment = stack.workplace.environment(UV_CACHE_DIR=str(cache))
        ended = measure.run([*command, "-o", str(stack.folder / "compiled.txt")], environment)
        remove(cache)
        return ended

    one, other = (Side([it.wall for it in side]) for side in interleave(stack.workplace.rounds(7, 3), ours, theirs))
    count = len(stack.packages())
    rows = Row(f"a lock's first mount: {count} wheels indexed", "`uv pip compile` of them, empty cache", "≤ 1.0×")
    size = Row("the same: bytes", "-", "≤ 10 MB")
    return [
        rows.compared(one, other, 1.0, milliseconds, ["20 ms a request; uv's index has metadata beside each wheel"]),
        size.judged(megabytes(max(taken)), max(taken) <= 10e6),
    ]


def second(stack: Stack, origin: Origin) -> list[Row]:
    """Another lock, of which every wheel was used before."""
    body = "import pandas, requests"
    cache = stack.workplace.folder("cache")
    stack.ours(body, cache)
    trees = cache / "v1" / "trees"
    before = {path: path.stat().st_mtime_ns for path in trees.iterdir()}
    origin.take()
    stack.ours(body, cache, stack.without("ruamel-yaml"))
    requests = origin.take()
    again = [path for path in trees.iterdir() if path.stat().st_mtime_ns != before.get(path) and path.is_dir()]
    remove(cache)
    empty = Row("another lock of the same wheels, and its imports", "the first", "no byte fetched, no tree made")
    got = f"{sum(size for _, size in requests)} bytes, {len(again)} trees"
    return [empty.judged(got, not requests and not again)]


def warm(stack: Stack, origin: Origin) -> list[Row]:
    """Start and import, everything there and compiled."""
    cache = stack.known()
    home = stack.workplace.folder("real")
    environment = stack.environment(UV_CACHE_DIR=str(stack.workplace.folder("uv-cache")))
    measure.run([stack.uv, "venv", "--quiet", "--python", sys.executable, str(home)], environment)
    python = str(home / "bin" / "python")
    measure.run([stack.uv, "pip", "install", "--quiet", "--python", python, "-r", str(stack.lock)], environment)
    rows = []
    for body, what in ((PANDAS, "`import pandas`"), (BOTH, "import of pandas and scikit-learn")):
        results = interleave(
            stack.workplace.rounds(20, 5),
            lambda body=body: stack.ours(body, cache),
            lambda body=body: measure.run([python, "-c", body], stack.workplace.environment()),
        )
        ours, theirs = (Side([ended.wall for ended in side]) for side in results)
        empty = Row(f"warm start and {what} from a lock", "the real virtual environment", "≤ 0.9×")
        rows.append(empty.compared(ours, theirs, 0.9, milliseconds))
    loads = [stack.ours(COUNTED, cache, capture=True).json for _ in range(stack.workplace.rounds(9, 3))]
    shares = sorted(hashing / took for _, hashing, took in loads)
    share = shares[len(shares) // 2]
    empty = Row("hashing in a warm `import pandas` from a lock, by a counter", "the load", "≤ 5 %")
    return [*rows, empty.judged(f"{100 * share:.1f} %", share <= 0.05, [f"{megabytes(loads[0][0])} hashed"])]


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
