"""Verification at load: what it is of a warm import of 200 modules of 3 KB bytecode.

Nothing turns the checks off, so there is no run without them. Measured instead is the same work alone, natively: a
sha256 over as many bytes as the checks of the code pack hash, in one piece by OpenSSL, which is as fast as ours, with
the 64 bytes more that each end of a message costs; and one `lstat` of each file of the tree by a program of our own
(`benches/stats.rs`), the quickest of its rounds. The row compares the import with the import less that.
"""

from __future__ import annotations

import statistics
import subprocess

import fixtures
import measure
import native
from measure import Failure, Row, Side, milliseconds
from origin import Origin
from workplace import Workplace, remove

MOST = 1.05
MODULES = 200
END = 64
"""Bytes that sha256 hashes more for each message."""

SCRIPT = """
import magic_module, sys, time
begin = time.process_time()
for number in range({modules}):
    __import__("magic_module.bulk.module_%04d" % number)
whole = time.process_time() - begin
import hashlib, json
files = [module.__file__ for name, module in sys.modules.items() if name.startswith("magic_module.bulk")]
pieces = bytes({size} + {end} * len(files))
hashlib.sha256(pieces).digest()
begin = time.process_time()
hashlib.sha256(pieces).digest()
print(json.dumps([whole, time.process_time() - begin, files]))
"""


def row() -> Row:
    what = "verification at load, warm import of 200 modules (the same hashing and `lstat`s, timed alone)"
    return Row(what, "the import less that", f"≤ {MOST:.2f}×")


def run(workplace: Workplace) -> list[Row]:
    source, site, cache = workplace.folder("source"), workplace.folder("site"), workplace.folder("cache")
    fixtures.package(source, "bulk", MODULES, 3000)
    fixtures.publish(source, site)
    with Origin(site) as origin:
        environment = workplace.environment(cache, MAGIC_MODULE_MANIFEST_URL=origin.manifest_url)
        first = workplace.python(SCRIPT.format(modules=MODULES, size=1, end=END))
        measure.run(first, environment, capture=True)
    packs = [path for path in (cache / "v1" / "mounts").rglob("*") if path.is_file()]
    size = max((path.stat().st_size for path in packs), default=0)
    if size < MODULES * 2000:
        raise Failure("the code pack was not found")
    script = workplace.python(SCRIPT.format(modules=MODULES, size=size, end=END))
    wholes, hashing, looking = [], [], []
    for _ in range(workplace.rounds(40, 15)):
        whole, hashed, files = measure.run(script, environment, capture=True).json
        wholes.append(whole)
        hashing.append(hashed)
        looking.append(stats(files))
    remove(cache)
    remove(site)
    without = [whole - hashed - looked for whole, hashed, looked in zip(wholes, hashing, looking, strict=True)]
    notes = [f"sha256 of {size / 1e3:.0f} kB {milliseconds(statistics.median(hashing))}"]
    notes.append(f"{MODULES + 1} `lstat`s {milliseconds(statistics.median(looking))}")
    return [row().compared(Side(wholes), Side(without), MOST, milliseconds, notes)]


def stats(files: list[str]) -> float:
    """Seconds to look at the stamps of these files once."""
    program = native.compiled("stats.rs", "rustc", "--edition", "2024", "-O")
    ended = subprocess.run([str(program)], input="\n".join(files), capture_output=True, text=True, check=True)
    return min(map(int, ended.stdout.split())) / 1e9
