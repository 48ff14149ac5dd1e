"""Nothing to imported, cold: 2 files, 201 files and one file of 100 MB, at 0 and 20 ms a request, against each peer.

Whole processes from an empty cache: asking, downloading, verifying, unpacking, compiling, importing. `ways.py` tells
how each peer does it. Who takes more than two seconds takes part in the first three rounds only.
"""

from __future__ import annotations

import fixtures
from measure import Failure, Row, Side, Table, contest, ratio, time_of
from offer import Offer
from origin import Origin
from ways import PEERS, Ways
from workplace import Workplace, remove

DELAYS = (0.0, 0.02)
LARGE = 100_000_000
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


def row(what: str = "cold import", against: str = "the fastest peer") -> Row:
    return Row(what, against, "faster than every peer")


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
        for delay in DELAYS:
            what = f"cold, {label}, {delay * 1e3:.0f} ms a request"
            with Origin(offer.site, delay) as origin:
                ways = Ways(workplace, offer, origin, use, data).all()
                results = contest(workplace.rounds(9, 1), ways)
            names = list(ways)
            rows.append(judged(row(what), results))
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


def judged(empty: Row, results: dict[str, Side | Failure]) -> Row:
    """Ours against the fastest of the peers that could do it."""
    ours = results["ours"]
    if isinstance(ours, Failure):
        return empty.not_measured(str(ours))
    sides = {peer: side for peer in PEERS if isinstance(side := results[peer], Side)}
    if not sides:
        return empty.not_measured("no peer could do it")
    fastest = min(sides, key=lambda peer: sides[peer].median)
    notes = [f"{peer}: {failure}" for peer in PEERS if isinstance(failure := results[peer], Failure)]
    named = Row(empty.what, f"the fastest peer: {fastest}", "< 1× of every peer")
    return named.compared(ours, sides[fastest], 1.0, time_of, notes)


def cell(results: dict[str, Side | Failure], name: str) -> str:
    result, ours = results[name], results["ours"]
    if isinstance(result, Failure):
        return str(result)
    if name == "ours" or isinstance(ours, Failure):
        return time_of(result.median)
    return f"{time_of(result.median)} ({1 / ratio(ours, result):.1f}×)"
