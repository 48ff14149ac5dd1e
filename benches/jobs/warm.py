"""A warm import of 200 modules, verification on, against the same files installed with their bytecode.

Measured is the processor time of the import inside a fresh process, in the kernel too, from the first name of the
package to the last of its modules: a warm import waits for nobody, and processor time does not count the neighbours
on a shared machine. Mounting, opening the store and checking the tree are in it; starting the interpreter and
`import magic_module` are not, they are a row of their own. The server is stopped before the first measurement.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import fixtures
import measure
from measure import Failure, Row, Side, interleave, milliseconds, ratio
from origin import Origin
from workplace import Workplace

MOST = 0.60
MODULES = 200
BYTECODE = 3000

SCRIPT = """
{before}
import time
wall, cpu = time.perf_counter(), time.process_time()
for number in range({modules}):
    __import__({prefix!r} % number)
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
import json
print(json.dumps([cpu, wall]))
"""


def row() -> Row:
    what = f"warm import of {MODULES} modules of 3 KB bytecode, verification on"
    return Row(what, "the same files in site-packages", f"≤ {MOST:.2f}×")


def run(workplace: Workplace) -> list[Row]:
    source = workplace.folder("source")
    fixtures.package(source, "bulk", MODULES, BYTECODE)
    installed, site = workplace.site_packages / "bulk", workplace.folder("site")
    shutil.copytree(source / "bulk", installed)
    fixtures.publish(source, site)
    cache = workplace.folder("cache")
    ours = workplace.python(script("import magic_module", "magic_module.bulk.module_%04d"))
    theirs = workplace.python(script("", "bulk.module_%04d"))
    theirs_environment = workplace.environment()
    with Origin(site) as origin:
        ours_environment = workplace.environment(cache, MAGIC_MODULE_MANIFEST_URL=origin.manifest_url)
        measure.run(ours, ours_environment)
        origin.take_requests()
        measure.run(ours, ours_environment)
        if asked := origin.take_requests():
            raise Failure(f"the warm import asked the server: {dict(asked)}")
    measure.run(theirs, theirs_environment)
    if len(list(installed.rglob("*.pyc"))) != MODULES + 1:
        raise Failure("the installed package has no bytecode")
    results = interleave(workplace.rounds(60, 15), process(ours, ours_environment), process(theirs, theirs_environment))
    cpu = [Side([values[0] for values in side]) for side in results]
    wall = [Side([values[1] for values in side]) for side in results]
    return [row().compared(cpu[0], cpu[1], MOST, milliseconds, [f"by the clock {ratio(wall[0], wall[1]):.2f}×"])]


def script(before: str, prefix: str) -> str:
    return SCRIPT.format(before=before, modules=MODULES, prefix=prefix)


def process(command: list[str], environment: dict[str, str]) -> Callable[[], Any]:
    return lambda: measure.run(command, environment, capture=True).json
