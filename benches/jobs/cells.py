"""Nothing to imported, cold: 2 files, 201 files and one file of 100 MB, at 0 and 20 ms a request, against each peer.

Whole processes from an empty cache: asking, downloading, verifying, unpacking, compiling, importing. `ways.py` tells
how each peer does it. Who takes more than two seconds takes part in the first three rounds only.

curl of all files, and curl of one zip, have rows of their own, against the quicker of the two. They verify nothing and
know beforehand what to ask for, where ours has two requests that follow each other: the manifest, then what it names.
The floor of those rows is that alone: one curl for both, and an interpreter that does nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import fixtures
from measure import Failure, Row, Side, Table, contest, ratio, time_of
from offer import Offer
from origin import Origin
from ways import CURLS, PEERS, Ways
from workplace import Workplace, remove

DELAYS = (0.0, 0.02)
LARGE = 100_000_000
FLOOR = "two requests by one curl and an interpreter that does nothing"
MODULES = 200

TWO = """
import importlib, os
module = importlib.import_module("NAME")
assert module.ROWS == 4000
"""
MANY = f"""
for number in range({MODULES}):
    __import__("NAME.module_%04d" % number)
"""
ONE = f"""
import importlib, os
module = importlib.import_module("NAME")
assert os.path.getsize(os.path.join(os.path.dirname(module.__file__), "large.bin")) == {LARGE}
"""


def row(what: str = "cold import", against: str = "the fastest peer", target: str = "< 1× of every peer") -> Row:
    return Row(what, against, target)


def run(workplace: Workplace) -> list[Row | Table]:
    workplace.room_for(12 * LARGE)
    rows: list[Row | Table] = []
    lines: list[list[str]] = []
    names: list[str] = []
    for label, name, use, data in (
        ("2 files", "pair", TWO, True),
        (f"{MODULES + 1} files", "small", MANY, False),
        ("one file of 100 MB", "heavy", ONE, True),
    ):
        offer = offered(workplace, name)
        chosen: dict[str, str] = {}
        for delay in DELAYS:
            what = f"cold, {label}, {delay * 1e3:.0f} ms a request"
            with Origin(offer.site, delay) as origin:
                ways = Ways(workplace, offer, origin, use, data)
                if not (chosen and workplace.quick):
                    # The slower way of a peer can take ten seconds: a quick run tries both at 0 ms only.
                    chosen = ways.chosen()
                # In a quick run the first cell is enough to have everything compiled.
                everybody = ways.all(chosen) | {FLOOR: ways.floor}
                results = contest(workplace.rounds(9, 1), everybody, ahead=not (rows and workplace.quick))
            names = [name for name in results if name != FLOOR]
            kept = [f"{peer}'s quicker way: {way}" for peer, way in chosen.items()]
            rows.append(judged(row(what), results, PEERS, kept))
            rows.append(judged(row(f"{what}: curl", "the quicker of two", "< 1×"), results, CURLS, floor(results)))
            lines.append([what.removeprefix("cold, "), *(cell(results, name) for name in names)])
        remove(offer.site)
    note = "Medians, and how many times ours that is. The ways are described in `benches/ways.py`."
    return [*rows, Table("Cold, each peer", ["", *names], lines, note)]


def offered(workplace: Workplace, name: str) -> Offer:
    source = workplace.folder("source")
    if name == "small":
        fixtures.package(source, name, MODULES, 400)
    else:
        fixtures.package(source, name, 0, 0)
    if name == "pair":
        reads = "import os\nwith open(os.path.join(os.path.dirname(__file__), 'table.csv')) as table:\n"
        (source / name / "__init__.py").write_text(f"{reads}    ROWS = len(table.readlines())\n")
        (source / name / "table.csv").write_text("".join(f"{line},{line * line}\n" for line in range(4000)))
    if name == "heavy":
        fixtures.noise(source / name / "large.bin", LARGE, name)
    return Offer(source, workplace.folder("site"), name)


def judged(
    empty: Row, results: dict[str, Side | Failure], among: Sequence[str] = PEERS, notes: Sequence[str] = ()
) -> Row:
    """Ours against the fastest of those that could do it."""
    ours = results["ours"]
    if isinstance(ours, Failure):
        return empty.not_measured(str(ours))
    sides = {name: side for name in among if isinstance(side := results[name], Side)}
    failed = [f"{name}: {failure}" for name in among if isinstance(failure := results[name], Failure)]
    if not sides:
        return replace(empty, notes=failed).not_measured("no peer could do it")
    fastest = min(sides, key=lambda name: sides[name].median)
    named = replace(empty, against=f"{empty.against}: {fastest}")
    return named.compared(ours, sides[fastest], 1.0, time_of, [*failed, *notes])


def floor(results: dict[str, Side | Failure]) -> list[str]:
    least, curls = results[FLOOR], [side for name in CURLS if isinstance(side := results[name], Side)]
    if isinstance(least, Failure) or not curls:
        return []
    quicker = min(curls, key=lambda side: side.median)
    return [f"floor, {FLOOR}: {time_of(least.median)}, {ratio(least, quicker):.2f}×"]


def cell(results: dict[str, Side | Failure], name: str) -> str:
    result, ours = results[name], results["ours"]
    if isinstance(result, Failure):
        return str(result)
    if name == "ours" or isinstance(ours, Failure):
        return time_of(result.median)
    return f"{time_of(result.median)} ({1 / ratio(ours, result):.1f}×)"
