"""Fifty spaces that share nine tenths of their packages, against one space.

The wheels are made here and read from their folder: a space has twenty, eighteen of them in common with all others.
The disk is that of the cache: blocks of files, each inode once. Creating is timed inside one process, with everything
that makes the space durable; that of the command is printed.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import zipfile
from pathlib import Path

import measure
from measure import Row, Side, megabytes, milliseconds
from workplace import Workplace, remove

PACKAGES = 20
SHARED = 18
DATA = 900_000
"""Bytes in a wheel that do not compress well, as libraries and tables do; real locks have five times as many."""
SOURCES = 60_000
"""Bytes of its ten modules."""

CREATE = """
import json, sys, time
import magic_module as mm
mm.Space.create("first", lock=sys.argv[1])
times = []
for at in range(int(sys.argv[2])):
    begin = time.perf_counter()
    mm.Space.create(f"org-{at}", lock=sys.argv[1])
    times.append(time.perf_counter() - begin)
print(json.dumps(times))
"""


def row() -> Row:
    return Row(
        "50 spaces that share 90 % of their packages: the disk, all fetched",
        "one space with all that they have",
        "≤ 1.2×",
    )


def run(workplace: Workplace) -> list[Row]:
    count = workplace.size("spaces", 50, 10)
    folder = workplace.folder("wheels")
    folder.mkdir()
    shared = [wheel(folder, f"shared{at}") for at in range(SHARED)]
    own = [[wheel(folder, f"own{space}x{at}") for at in range(PACKAGES - SHARED)] for space in range(count)]
    locks = [lock(folder, f"pylock.org{space}.toml", shared + own[space]) for space in range(count)]
    every = lock(folder, "pylock.toml", [*shared, *itertools.chain(*own)])
    many = {f"org-{space}": each for space, each in enumerate(locks)}
    names = {f"org-{space}": [each[0] for each in shared + own[space]] for space in range(count)}
    fetched, used = filled(workplace, many, names)
    alone, alone_used = filled(
        workplace, {"one": every}, {"one": [each[0] for each in [*shared, *itertools.chain(*own)]]}
    )
    notes = [f"{count} spaces, {len(shared) + count * (PACKAGES - SHARED)} wheels of {(DATA + SOURCES) // 1000} kB"]
    disk = row().compared(Side([fetched]), Side([alone]), 1.2, megabytes, notes)
    after = Row("the same after all were imported everywhere", "the one space, too", measure.NO_TARGET)
    compiled = ["compiled code is shared by no two spaces"]
    return [disk, after.told(Side([used]), Side([alone_used]), megabytes, compiled), *created(workplace, locks[0])]


def created(workplace: Workplace, known: Path) -> list[Row]:
    spaces = workplace.folder("spaces")
    environment = workplace.environment(workplace.folder("cache"), MAGIC_MODULE_SPACES_DIR=str(spaces))
    line = [*workplace.python(CREATE), str(known), str(workplace.rounds(50, 10))]
    side = Side(measure.run(line, environment, capture=True).json)
    magic = [workplace.python("")[0], "-m", "magic_module", "space"]
    command = Side(
        [
            measure.run([*magic, "create", f"by-{at}", "--lock", str(known)], environment).wall
            for at in range(workplace.rounds(7, 3))
        ]
    )
    own = Row("a space from a known lock of 20 packages", "-", "≤ 5 ms")
    told = Row("the same by `space create`", "the call", measure.NO_TARGET)
    reached = side.median <= 0.005
    return [
        own.judged(milliseconds(side.median), reached, [f"in {spaces.parent}"], ours=milliseconds(side.median)),
        told.told(command, Side([side.median] * len(command.values)), milliseconds),
    ]


def filled(workplace: Workplace, locks: dict[str, Path], names: dict[str, list[str]]) -> tuple[float, float]:
    """The cache's bytes once all is fetched in each space, and once all was imported there."""
    cache, spaces = workplace.folder("cache"), workplace.folder("spaces")
    environment = workplace.environment(cache, MAGIC_MODULE_SPACES_DIR=str(spaces))
    magic = [workplace.python("")[0], "-m", "magic_module"]
    for space, each in locks.items():
        measure.run([*magic, "space", "create", space, "--lock", str(each)], environment)
        measure.run([*magic, "fetch", "--all"], environment | {"MAGIC_MODULE_SPACE": space})
    fetched = bytes_of(cache)
    for space in locks:
        body = f"import {', '.join(names[space])}"
        measure.run([*magic, "run", "-c", body], environment | {"MAGIC_MODULE_SPACE": space})
    used = bytes_of(cache)
    remove(cache)
    return float(fetched), float(used)


def bytes_of(folder: Path) -> int:
    """What lies there takes so many bytes; whatever has two names counts once."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            status = os.lstat(os.path.join(place, name))
            found[status.st_dev, status.st_ino] = max(status.st_blocks * 512, 0)
    return sum(found.values())


def wheel(folder: Path, name: str) -> tuple[str, Path, str]:
    """A package of ten modules and a table; its name, its wheel and the digest of that."""
    noise = base64.b64encode(hashlib.shake_256(name.encode()).digest(DATA * 3 // 4)).decode()
    module = "def function(value):\n    return value + 1\n" * (SOURCES // 10 // 46)
    members = {f"{name}/__init__.py": "from . import " + ", ".join(f"part{at}" for at in range(10))}
    members |= {f"{name}/part{at}.py": module for at in range(10)}
    members[f"{name}/table.txt"] = noise
    info = f"{name}-1.0.dist-info"
    members[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    members[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    lines = []
    for path, text in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        lines.append(f"{path},sha256={digest},{len(text.encode())}\n")
    members[f"{info}/RECORD"] = "".join([*lines, f"{info}/RECORD,,\n"])
    target = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in members.items():
            archive.writestr(path, text)
    return name, target, measure.sha256_of(target)


def lock(folder: Path, name: str, wheels: list[tuple[str, Path, str]]) -> Path:
    text = 'lock-version = "1.0"\ncreated-by = "bench"\n'
    for package, path, sha256 in wheels:
        entry = f'name = "{path.name}", url = {json.dumps(path.as_uri())}, size = {path.stat().st_size}'
        text += f'\n[[packages]]\nname = "{package}"\nversion = "1.0"\n'
        text += f'wheels = [{{ {entry}, hashes = {{ sha256 = "{sha256}" }} }}]\n'
    target = folder / name
    target.write_text(text)
    return target
