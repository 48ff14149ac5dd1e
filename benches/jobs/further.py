"""What else a lock does: all of it ahead of time, a knot completed, and what optional imports cost.

The wheels are fetched once from the index that uv is set to, and served from this machine: at 20 ms a request and
1 Gbit/s, and without delay where a knot is completed. uv's cache is empty in every round, as ours is.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import measure
from measure import Ended, Failure, Row, Side, interleave, megabytes, milliseconds, time_of
from stack import Stack
from workplace import Workplace, remove

NAMES = [
    *("pandas", "scikit-learn", "matplotlib", "sqlalchemy", "requests", "fastapi", "httpx", "openpyxl", "plotly"),
    *("pillow", "lxml", "cryptography", "protobuf", "pytest", "attrs", "click", "ruamel.yaml", "zope.interface"),
]
IMPORTS = [
    *("pandas", "sklearn.linear_model", "matplotlib.pyplot", "sqlalchemy", "requests", "fastapi", "httpx", "openpyxl"),
    *("plotly.graph_objects", "PIL.Image", "lxml.etree", "cryptography.fernet", "google.protobuf.message", "pytest"),
    *("attrs", "click", "ruamel.yaml", "zope.interface"),
]
FEWER = ["requests", "httpx", "attrs", "click", "ruamel.yaml", "zope.interface"]

NOTHING = Ended(0.0, 0.0, b"")
QT = "PyQt6"
WITH_OPTIONAL = ["scikit-learn", "pandas", "pyarrow"]
FIT = """
from sklearn.linear_model import LinearRegression
print(round(LinearRegression().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]).predict([[3.0]])[0], 6))
"""


def row() -> Row:
    against = "its first run where uv has installed the whole lock"
    return Row("the first run of a script that uses everything, after `fetch --all`", against, "≤ 1.0×")


def run(workplace: Workplace) -> list[Row]:
    return [*everything(workplace), knot(workplace), optional(workplace)]


def everything(workplace: Workplace) -> list[Row]:
    """Each round begins with nothing: the first run is timed apart from what comes before it."""
    names = FEWER if workplace.quick else NAMES
    workplace.size("packages named in the lock that is used whole", len(NAMES), len(FEWER))
    stack = Stack(workplace, names)
    body = f"import {', '.join(FEWER if workplace.quick else IMPORTS)}"

    def ours() -> tuple[Ended, Ended]:
        cache = workplace.folder("cache")
        environment = workplace.environment(cache)
        ahead = measure.run(magic(stack, "fetch", "--all"), environment)
        first = measure.run(magic(stack, "run", "-c", body), environment)
        remove(cache)
        return ahead, first

    def by_imports() -> tuple[Ended, Ended]:
        return NOTHING, cold(stack, magic(stack, "run", "-c", body))

    def theirs() -> tuple[Ended, Ended]:
        home, cache = workplace.folder("installed"), workplace.folder("uv-cache")
        environment = stack.environment(UV_CACHE_DIR=str(cache))
        python = str(home / "bin" / "python")
        make = [stack.uv, "venv", "--quiet", "--python", sys.executable, str(home)]
        install = [stack.uv, "pip", "install", "--quiet", "--python", python, "-r", str(stack.lock)]
        ahead = measure.run(["sh", "-c", f"{shlex.join(make)} && {shlex.join(install)}"], environment)
        first = measure.run([python, "-c", body], environment)
        remove(home)
        remove(cache)
        return ahead, first

    with stack.served():
        results = interleave(workplace.rounds(7, 3), ours, by_imports, theirs)
    firsts = [Side([first.wall for _, first in side]) for side in results]
    wholes = [Side([ahead.wall + first.wall for ahead, first in side]) for side in results]
    with_install = "uv installing the whole lock, then the script"
    return [
        row().compared(firsts[0], firsts[2], 1.0, time_of, [f"{stack.count} wheels, uv compiles nothing ahead"]),
        Row("the same with `fetch --all` itself, index unknown", with_install, measure.NO_TARGET).told(
            wholes[0], wholes[2], notes=["20 ms a request, 1 Gbit/s"]
        ),
        Row("the same by imports alone", with_install, measure.NO_TARGET).told(wholes[1], wholes[2]),
    ]


def knot(workplace: Workplace) -> Row:
    """The wheels of a knot, against the same files where nothing ties them: what is more is completing it."""
    empty = Row("three wheels of a knot, fetched and tied", "the same files, not tied", "≤ 1.1×")
    real = Stack(workplace, [QT])
    if real.count != 3:
        raise Failure(f"{QT} has {real.count} wheels, not three")
    sides: list[Callable[[], Ended]] = []
    for is_tied in (True, False):
        folder = workplace.folder("tied" if is_tied else "apart")
        folder.mkdir()
        for wheel in sorted(real.wheels.glob("*.whl")):
            repacked(wheel, folder / wheel.name, is_tied)
        sides.append(lambda folder=folder, is_tied=is_tied: completed(real, folder, is_tied))
    results = interleave(workplace.rounds(7, 3), *sides)
    ours, theirs = (Side([ended.wall for ended in side]) for side in results)
    size = sum(wheel.stat().st_size for wheel in real.wheels.glob("*.whl"))
    return empty.compared(ours, theirs, 1.1, milliseconds, [f"{QT}: {megabytes(size)} of wheels from files"])


def repacked(wheel: Path, target: Path, is_tied: bool) -> None:
    """The wheel again; if it is not to be tied, it has a package of its own, and requires nothing."""
    with zipfile.ZipFile(wheel) as source:
        members = {entry.filename: source.read(entry) for entry in source.infolist() if not entry.is_dir()}
    if not is_tied:
        own = f"{wheel.name.partition('-')[0]}_own/"
        members = {re.sub("^PyQt6/", own, path): data for path, data in members.items()}
        metadata = next(path for path in members if path.endswith(".dist-info/METADATA"))
        members[metadata] = re.sub(rb"(?m)^Requires-Dist: .*\n", b"", members[metadata])
    record = next(path for path in members if path.endswith(".dist-info/RECORD"))
    lines = [f"{path},{recorded(data)},{len(data)}\n" for path, data in members.items() if path != record]
    members[record] = "".join([*lines, f"{record},,\n"]).encode()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as copy:
        for path, data in members.items():
            copy.writestr(path, data)


def recorded(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def completed(stack: Stack, wheels: Path, is_tied: bool) -> Ended:
    text = stack.asked
    for wheel in wheels.glob("*.whl"):
        text = re.sub(rf'url = "[^"]+/{re.escape(wheel.name)}"', f'url = "{wheel.as_uri()}"', text)
        size, sha256 = wheel.stat().st_size, measure.sha256_of(wheel)
        entry = rf'({re.escape(wheel.as_uri())}"[^}}]*?)size = \d+, hashes = {{ sha256 = "[0-9a-f]+"'
        text = re.sub(entry, rf'\1size = {size}, hashes = {{ sha256 = "{sha256}"', text)
    stack.lock = wheels / "pylock.toml"
    stack.lock.write_text(text)

    def counted(cache: Path) -> None:
        folder = cache / "v1" / "knots"
        count = len([path for path in folder.iterdir() if path.is_dir()]) if folder.is_dir() else 0
        if count != is_tied:
            raise Failure(f"{count} knots were made where {int(is_tied)} was expected")

    return cold(stack, magic(stack, "fetch", "--all"), counted)


def optional(workplace: Workplace) -> Row:
    empty = Row("scikit-learn's fit with the proposed deny list, cold: bytes", "without it", "≤ 0.55×")
    stack = Stack(workplace, WITH_OPTIONAL)
    trace, script = stack.folder / "trace", stack.folder / "fit.py"
    script.write_text(FIT)
    with stack.served() as origin:

        def fit(*flags: str) -> tuple[bytes, int]:
            origin.take()
            cache = workplace.folder("cache")
            line = [workplace.python("")[0], "-m", "magic_module", "--lock", str(stack.lock)]
            ended = measure.run([*line, "run", *flags, str(script)], workplace.environment(cache), capture=True)
            remove(cache)
            return ended.stdout, origin.take_bytes()

        without = fit("--trace-to", str(trace))
        table = re.search(r"(?s)\[tool\.magic-module\.optional\]\n.*", trace.read_text())
        if table is None:
            raise Failure("the trace proposes nothing")
        stack.lock.write_text(f"{stack.lock.read_text()}\n{table[0]}")
        withheld = fit()
    if withheld[0] != without[0]:
        raise Failure("the deny list has changed what the script prints")
    share = withheld[1] / without[1]
    names = re.findall(r'^(\S+) = "deny"', table[0], re.MULTILINE)
    shown = (megabytes(withheld[1]), megabytes(without[1]))
    return empty.judged(f"{share:.2f}×", share <= 0.55, [f"denied: {', '.join(names)}"], *shown)


def magic(stack: Stack, *words: str) -> list[str]:
    return [stack.workplace.python("")[0], "-m", "magic_module", "--lock", str(stack.lock), *words]


def cold(stack: Stack, line: list[str], then: Callable[[Path], None] = lambda cache: None) -> Ended:
    """With an empty cache."""
    cache = stack.workplace.folder("cache")
    ended = measure.run(line, stack.workplace.environment(cache))
    then(cache)
    remove(cache)
    return ended
