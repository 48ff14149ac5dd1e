"""Nothing to import done: a pure package of 1,500 modules at top level, at 1 Gbit/s with 20 ms and 100 Mbit/s with 50.

The package is made up in the sizes of sympy (25 MB of source, half of the modules below 7 KB), and importing it
imports a third of its modules. Ours is one process with an empty cache; theirs is `uv pip install` of its wheel from an
index on the same server into a fresh environment, then the import. All connections share one link, and each request
waits for the delay. The floor is the import alone, of files that lie there without bytecode.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import fixtures
import measure
from measure import Ended, Failure, Row, Side, Table, contest, ratio, time_of
from offer import Offer
from origin import Origin
from ways import Ways
from workplace import Workplace, remove

MOST = 0.5
MODULES = 1500
FEWER = 200
"""In a quick run."""
LINKS = ((0.02, 1e9, "20 ms, 1 Gbit/s"), (0.05, 1e8, "50 ms, 100 Mbit/s"))


def row(link: str = "", more: str = "", modules: int = MODULES) -> Row:
    what = f"nothing to imported, {modules:,} modules" + (f", {link}" if link else "") + more
    return Row(what, "`uv pip install` of its wheel, then the import", f"≤ {MOST:.1f}×")


def run(workplace: Workplace) -> list[Row | Table]:
    workplace.room_for(1 << 30)
    modules = workplace.size("modules that come from nothing", MODULES, FEWER)
    offers = {"": offered(workplace)}
    if fixtures.can_publish("--compile"):
        offers["; bytecode published"] = offered(workplace, "--compile")
    rows: list[Row | Table] = []
    lines: list[list[str]] = []
    contestants: dict[str, Callable[[], Ended]] = {}
    for delay, speed, link in LINKS:
        contestants = {}
        with (
            Origin(offers[""].site, delay, speed) as origin,
            Origin(list(offers.values())[-1].site, delay, speed) as more,
        ):
            first = Ways(workplace, offers[""], origin, "import NAME")
            contestants = {"ours": first.ours, "uv": first.uv, "pip": first.pip}
            if len(offers) > 1:
                contestants["ours, bytecode published"] = Ways(
                    workplace, offers["; bytecode published"], more, "import NAME"
                ).ours
            contestants["curl of one zip"] = first.curl_of_zip
            contestants["the import alone"] = plain_import(workplace, offers[""])
            results = contest(workplace.rounds(5, 1), contestants)
        floor = results["the import alone"]
        for name, suffix in (("ours", ""), ("ours, bytecode published", "; bytecode published")):
            if name in results:
                rows.append(judged(row(link, suffix, modules), results[name], results["uv"], floor))
        lines.append([link, *(shown(result) for result in results.values())])
    if len(offers) == 1:
        rows.append(
            row(more="; bytecode published", modules=modules).not_measured("this build's `publish` has no `--compile`")
        )
    for offer in offers.values():
        remove(offer.site)
    return [*rows, Table(f"Nothing to imported, {modules:,} modules", ["", *contestants], lines, "Medians.")]


def offered(workplace: Workplace, *options: str) -> Offer:
    source, modules = workplace.folder("source"), workplace.size("modules that come from nothing", MODULES, FEWER)
    fixtures.realistic(source, "symbolic", modules, modules // 3)
    return Offer(source, workplace.folder("site"), "symbolic", "1.0", "", *options)


def plain_import(workplace: Workplace, offer: Offer) -> Callable[[], Ended]:
    def one() -> Ended:
        folder = workplace.folder("plain")
        shutil.copytree(offer.site / "plain", folder)
        ended = measure.run(workplace.python("import symbolic"), workplace.environment(PYTHONPATH=str(folder)))
        remove(Path(folder))
        return ended

    return one


def judged(empty: Row, ours: Side | Failure, theirs: Side | Failure, floor: Side | Failure) -> Row:
    for side in (ours, theirs):
        if isinstance(side, Failure):
            return empty.not_measured(str(side))
    assert isinstance(ours, Side) and isinstance(theirs, Side)
    notes = []
    if isinstance(floor, Side):
        notes = [f"floor without bytecode: the import alone {time_of(floor.median)}, {ratio(floor, theirs):.2f}×"]
    return empty.compared(ours, theirs, MOST, time_of, notes)


def shown(result: Side | Failure) -> str:
    return str(result) if isinstance(result, Failure) else time_of(result.median)
