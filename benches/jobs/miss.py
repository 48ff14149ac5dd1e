"""A name that is not ours: what the finders cost every other import.

Loops in one process, in turns; the loop itself (some 10 ns) is in both sides. The first row asks what `sys.meta_path`
asks for every name that the built-in and frozen importers do not know: our finder before `PathFinder`, in a process
that only imported the product. The second is a top-level name that nobody knows, in a process where a unit of a named
namespace was imported: our finder before `PathFinder` and the one behind it, which looks who imports.

The last two are whole imports that fail, of a name that nobody knows, caught as code does that can do without: in a
package, and in the user's own file. Each process says how long one takes; those with `MAGIC_MODULE_AUTO_INSTALL=ask`
and those without take turns. The user's file asks what has the name once, before the clock starts.
"""

from __future__ import annotations

from pathlib import Path

import fixtures
import measure
from measure import Row, Side, nanoseconds
from origin import Origin
from workplace import Workplace, remove

MOST = 0.3
MOST_OPTIONAL = 1.2

SCRIPT = """
import json, sys, time
from itertools import repeat
import {module}
ours = [finder.find_spec for finder in sys.meta_path if type(finder).__module__ == "magic_module"]
theirs = [finder.find_spec for finder in sys.meta_path if getattr(finder, "__name__", "") == "BuiltinImporter"]
ours = ours[:{finders}]
assert len(ours) == {finders} and len(theirs) == 1
assert all(find_spec("foreign_name", None, None) is None for find_spec in ours + theirs)

def loop(finders, count=20_000):
    total = 0
    for find_spec in finders:
        begin = time.perf_counter_ns()
        for _ in repeat(None, count):
            find_spec("foreign_name", None, None)
        total += time.perf_counter_ns() - begin
    return total / count / 1e9

loop(ours), loop(theirs)
pairs = [(loop(ours), loop(theirs)) if number % 2 else (loop(theirs), loop(ours))[::-1] for number in range({rounds})]
print(json.dumps(pairs))
"""


OPTIONAL = """
import json, sys, time
import magic_module
magic_module.cache_dir()
sys.path.append({folder!r})
import optional
optional.loop(200)
print(json.dumps(min(optional.loop(2_000) for _ in range(5))))
"""

TRYING = """
import time

def loop(count):
    begin = time.perf_counter_ns()
    for _ in range(count):
        try:
            import qqq_nobody_has_this
        except ImportError:
            pass
    return (time.perf_counter_ns() - begin) / count / 1e9
"""


def optional_row(whose: str) -> Row:
    what = f"a missing optional import of {whose}, with automatic installing on"
    return Row(what, "the same with it off", f"≤ {MOST_OPTIONAL:.1f}×")


def row() -> Row:
    return Row("a miss in `find_spec` for a foreign name", "`BuiltinImporter.find_spec`", f"≤ {MOST:.1f}×")


def unknown_row() -> Row:
    what = "a miss of a name that nobody knows, a namespace in use: both finders"
    return Row(what, "`BuiltinImporter.find_spec`", f"≤ {MOST:.1f}×")


def run(workplace: Workplace) -> list[Row]:
    source, site, cache = workplace.folder("source"), workplace.folder("site"), workplace.folder("cache")
    fixtures.package(source, "known", 0, 0)
    fixtures.publish(source, site)
    with Origin(site) as origin:
        rows = [
            compared(workplace, row(), cache, origin.manifest_url, "magic_module", 1),
            compared(workplace, unknown_row(), cache, origin.manifest_url, "magic_module.known", 2),
        ]
        for whose, folder in (("a package", "site-packages"), ("the user's own file", "own")):
            rows.append(optional(workplace, optional_row(whose), folder, cache))
    remove(site)
    remove(cache)
    return rows


def optional(workplace: Workplace, empty: Row, name: str, cache: Path) -> Row:
    folder = workplace.folder("optional") / name
    folder.mkdir(parents=True)
    (folder / "optional.py").write_text(TRYING)
    line = workplace.python(OPTIONAL.format(folder=str(folder)))

    def once(**more: str) -> float:
        return float(measure.run(line, workplace.environment(cache, **more), capture=True).json)

    ours, theirs = measure.interleave(
        workplace.rounds(15, 5), lambda: once(MAGIC_MODULE_AUTO_INSTALL="ask"), lambda: once()
    )
    return empty.compared(Side(ours), Side(theirs), MOST_OPTIONAL, nanoseconds)


def compared(workplace: Workplace, empty: Row, cache: Path, url: str, module: str, finders: int) -> Row:
    environment = workplace.environment(cache, MAGIC_MODULE_MANIFEST_URL=url)
    script = SCRIPT.format(module=module, finders=finders, rounds=workplace.rounds(300, 100))
    pairs = measure.run(workplace.python(script), environment, capture=True).json
    ours, theirs = (Side([pair[at] for pair in pairs]) for at in (0, 1))
    return empty.compared(ours, theirs, MOST, nanoseconds)
