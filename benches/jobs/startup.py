"""Importing the product itself: the whole process, against an interpreter that does nothing.

Both processes have the same flags, which is none: `python -c …`, as users start it. Measured with the manifest URL
set, because that is the longer way: the session and the mount are made then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import measure
from measure import Ended, Row, Side, interleave, milliseconds, ratio
from workplace import Workplace

MOST = 1.06
MODULES = "import sys; loaded = sorted(sys.modules); import json; print(json.dumps(loaded))"


def row() -> Row:
    return Row("`import magic_module`, whole process", "`python -c pass`", f"≤ {MOST:.2f}×")


def run(workplace: Workplace) -> list[Row]:
    url = "http://127.0.0.1:9/manifest.json"
    with_url = workplace.environment(workplace.folder("cache"), MAGIC_MODULE_MANIFEST_URL=url)
    without = workplace.environment(workplace.folder("cache"))
    ours = workplace.python("import magic_module")
    results = interleave(
        workplace.rounds(200, 40),
        process(ours, with_url),
        process(workplace.python("pass"), with_url),
        process(ours, without),
    )
    wall = [Side([ended.wall for ended in side]) for side in results]
    cpu = [Side([ended.cpu for ended in side]) for side in results]
    notes = [
        f"{milliseconds(wall[0].median - wall[1].median)} more; by processor time {ratio(cpu[0], cpu[1]):.2f}×",
        f"without a manifest URL {ratio(wall[2], wall[1]):.2f}×, by processor time {ratio(cpu[2], cpu[1]):.2f}×",
    ]
    return [row().compared(wall[0], wall[1], MOST, milliseconds, notes), modules_row(workplace, with_url)]


def process(command: list[str], environment: dict[str, str]) -> Callable[[], Ended]:
    return lambda: measure.run(command, environment)


def modules_row(workplace: Workplace, environment: dict[str, str]) -> Row:
    """What `import magic_module` loads beyond its own modules."""
    import_and_list = workplace.python(f"import magic_module; {MODULES}")
    bare = measure.run(workplace.python(MODULES), environment, capture=True).json
    ours = measure.run(import_and_list, environment, capture=True).json
    more = [name for name in ours if name not in bare and name.partition(".")[0] != "magic_module"]
    empty = Row("the same: standard-library modules in `sys.modules`", "the stock start", "none more")
    return replace(empty, ours=str(len(ours)), theirs=str(len(bare)), got=", ".join(more) or "none", reached=not more)
