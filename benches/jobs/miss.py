"""A name that is not ours: what the finder costs every other import.

Loops in one process, in turns; the loop itself (some 10 ns) is in both sides. Asked is what `sys.meta_path` asks for
every name that nobody before us knew: our finder before `PathFinder`, with a session and a mount there.
"""

from __future__ import annotations

import measure
from measure import Row, Side, nanoseconds
from workplace import Workplace

MOST = 0.3

SCRIPT = """
import json, sys, time
from itertools import repeat
import magic_module
ours = next(finder for finder in sys.meta_path if type(finder).__module__ == "magic_module").find_spec
theirs = next(finder for finder in sys.meta_path if getattr(finder, "__name__", "") == "BuiltinImporter").find_spec
assert ours("foreign_name", None, None) is None and theirs("foreign_name", None, None) is None

def loop(find_spec, count=20_000):
    begin = time.perf_counter_ns()
    for _ in repeat(None, count):
        find_spec("foreign_name", None, None)
    return (time.perf_counter_ns() - begin) / count / 1e9

loop(ours), loop(theirs)
pairs = [(loop(ours), loop(theirs)) if number % 2 else (loop(theirs), loop(ours))[::-1] for number in range({rounds})]
print(json.dumps(pairs))
"""


def row() -> Row:
    return Row("a miss in `find_spec` for a foreign name", "`BuiltinImporter.find_spec`", f"≤ {MOST:.1f}×")


def run(workplace: Workplace) -> list[Row]:
    url = "http://127.0.0.1:9/manifest.json"
    environment = workplace.environment(workplace.folder("cache"), MAGIC_MODULE_MANIFEST_URL=url)
    script = SCRIPT.format(rounds=workplace.rounds(300, 100))
    pairs = measure.run(workplace.python(script), environment, capture=True).json
    ours, theirs = (Side([pair[at] for pair in pairs]) for at in (0, 1))
    return [row().compared(ours, theirs, MOST, nanoseconds)]
