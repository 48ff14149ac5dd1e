"""Verification at load: what it is of a warm import of 200 modules of 3 KB bytecode.

Nothing turns the checks off, so there is no run without them. Measured instead, in the same process and right after the
import, is the same work alone: a sha256 over as many bytes in as many pieces as the code pack has, and one `stat` of
each file of the tree. The row compares the import with the import less that.
"""

from __future__ import annotations

import fixtures
import measure
from measure import Failure, Row, Side, milliseconds
from origin import Origin
from workplace import Workplace, remove

MOST = 1.05
MODULES = 200

SCRIPT = """
import magic_module, sys, time
begin = time.process_time()
for number in range({modules}):
    __import__("magic_module.bulk.module_%04d" % number)
whole = time.process_time() - begin
import hashlib, json, os
files = [module.__file__ for name, module in sys.modules.items() if name.startswith("magic_module.bulk")]
pieces = [bytes({size} // len(files))] * len(files)
hashlib.sha256(pieces[0]).digest()
begin = time.process_time()
for piece in pieces:
    hashlib.sha256(piece).digest()
for file in files:
    os.stat(file)
print(json.dumps([whole, time.process_time() - begin]))
"""


def row() -> Row:
    return Row(
        "verification at load, warm import of 200 modules", "the same less its hashes and stats", f"≤ {MOST:.2f}×"
    )


def run(workplace: Workplace) -> list[Row]:
    source, site, cache = workplace.folder("source"), workplace.folder("site"), workplace.folder("cache")
    fixtures.package(source, "bulk", MODULES, 3000)
    fixtures.publish(source, site)
    with Origin(site) as origin:
        environment = workplace.environment(cache, MAGIC_MODULE_MANIFEST_URL=origin.manifest_url)
        first = workplace.python(SCRIPT.format(modules=MODULES, size=1))
        measure.run(first, environment, capture=True)
    packs = [path for path in (cache / "v1" / "mounts").rglob("*") if path.is_file()]
    size = max((path.stat().st_size for path in packs), default=0)
    if size < MODULES * 2000:
        raise Failure("the code pack was not found")
    script = workplace.python(SCRIPT.format(modules=MODULES, size=size))
    pairs = [measure.run(script, environment, capture=True).json for _ in range(workplace.rounds(40, 15))]
    remove(cache)
    whole, without = Side([pair[0] for pair in pairs]), Side([pair[0] - pair[1] for pair in pairs])
    return [row().compared(whole, without, MOST, milliseconds, [f"{size / 1e3:.0f} kB are hashed"])]
