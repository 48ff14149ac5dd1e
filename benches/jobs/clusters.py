"""Nodes of a cluster on this machine: what 200 cold processes ask for, the start line, a worker's first task.

A node is a cache of its own. The processes start first and are let go at once, as the workers of a scheduler are. The
start line is timed in a fresh process each, as `site` reads and runs it; an interpreter that does nothing, with and
without the file, is told beside it, because a busy machine hides a millisecond there. The first task is that of a
pool's worker that is started for it: from the submitting to the answer, its interpreter's start included, with the
package in the cache and not imported yet; the other side has it installed, and compiled.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import statistics
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import fixtures
import measure
from jobs import crowd
from measure import Ended, Failure, Row, Side, interleave, milliseconds, time_of
from origin import Origin
from workplace import Workplace, remove

PROCESSES = 200
FEWER = 40
"""In a quick run."""
OF_A_NODE = 4
UPGRADES = 32
LIMIT = 600.0
NOTHING_MOUNTED = 0.0001
ONE_MOUNT = 0.001
FIRST_TASK = 1.2
HOUR = {"MAGIC_MODULE_FRESH": "3600"}

USE = f"import magic_module\n{crowd.READY}import magic_module.shared.module_0000"
UPGRADE = f"import magic_module.shared as shared\n{crowd.READY}assert not shared._upgrade().changed"
LINE = "magic_module.pth"
READ_THE_LINE = """
import os, site, time
del os.environ["MAGIC_MODULE_START"]
begin = time.perf_counter()
site.addpackage({folder!r}, {line!r}, set())
print(time.perf_counter() - begin)
"""
TASK = """
import concurrent.futures, multiprocessing, time
from acme import model
if __name__ == "__main__":
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        begin = time.perf_counter()
        pool.submit(model.task, 1).result()
        print(time.perf_counter() - begin)
"""


def row(count: int = PROCESSES) -> Row:
    return Row(f"{count} cold processes at once on one node: requests", "one of each kind", "1 manifest, 1 pack")


def run(workplace: Workplace) -> list[Row]:
    return [*requests(workplace), *start_line(workplace), first_task(workplace)]


def requests(workplace: Workplace) -> list[Row]:
    source, site = workplace.folder("source"), workplace.folder("site")
    fixtures.package(source, "shared", 50, 1000)
    fixtures.publish(source, site)
    count = workplace.size("cold processes at once", PROCESSES, FEWER)
    nodes = count // OF_A_NODE
    with Origin(site) as origin:
        one, caches = cold(workplace, origin, row(count), count, 1)
        upgrades = upgraded(workplace, origin, caches[0])
        target = f"{nodes} manifests, {nodes} packs"
        spread, more = cold(
            workplace, origin, Row(f"the same on {nodes} nodes", "one of each kind and node", target), count, nodes
        )
    for folder in [site, *caches, *more]:
        remove(folder)
    return [one, spread, upgrades]


def cold(workplace: Workplace, origin: Origin, empty: Row, count: int, nodes: int) -> tuple[Row, list[Path]]:
    """`count` processes on so many nodes, and the nodes' caches."""
    caches = [workplace.folder("node") for _ in range(nodes)]
    lines = [
        (
            workplace.python(USE),
            workplace.environment(caches[at % nodes], MAGIC_MODULE_MANIFEST_URL=origin.manifest_url),
        )
        for at in range(count)
    ]
    origin.take()
    took = crowd.at_once(lines, LIMIT)
    asked = origin.take()
    kinds = Counter("manifest" if path == "/manifest.json" else "pack" for path, _ in asked)
    got = ", ".join(f"{number} {kind}" + "s" * (number > 1) for kind, number in sorted(kinds.items()))
    sent = sum(size for _, size in asked)
    notes = [
        f"{sent / nodes / 1e3:.1f} kB a node",
        f"{took:.1f} s until the last was done, {milliseconds(took / count)} a process with all cores busy",
    ]
    return empty.judged(got, kinds == {"manifest": nodes, "pack": nodes}, notes, got, empty.target), caches


def upgraded(workplace: Workplace, origin: Origin, cache: Path) -> Row:
    environment = workplace.environment(cache, MAGIC_MODULE_MANIFEST_URL=origin.manifest_url, **HOUR)
    let_hours_pass(cache)
    took = crowd.at_once([(workplace.python(UPGRADE), environment)] * UPGRADES, LIMIT)
    asked = origin.take()
    empty = Row(f"{UPGRADES} upgrades at once on a node, nothing new: requests", "one a period", "1")
    notes = [f"{sum(size for _, size in asked)} bytes of bodies", f"{time_of(took)} until the last was done"]
    return empty.judged(str(len(asked)), len(asked) == 1, notes, str(len(asked)), "1")


def let_hours_pass(cache: Path) -> None:
    """As the cache has it written down when it was asked."""
    (state,) = (cache / "v1" / "mounts").glob("*/state")
    known = json.loads(state.read_text().splitlines()[1])
    known["asked"] -= 2 * 3600 * 1_000_000
    body = json.dumps(known)
    state.write_text(f"{hashlib.sha256(body.encode()).hexdigest()}\n{body}\n")


def start_line(workplace: Workplace) -> list[Row]:
    if not (workplace.site_packages / LINE).exists():
        raise Failure(f"the wheel has no {LINE}")
    text = json.dumps([{"namespace": "acme", "manifest_url": "http://127.0.0.1:9/manifest.json"}])
    nothing = workplace.environment(workplace.folder("cache"))
    return [
        one_line(workplace, "start line, nothing mounted", nothing, NOTHING_MOUNTED),
        one_line(
            workplace, "start line, one mount that is not used", nothing | {"MAGIC_MODULE_MOUNTS": text}, ONE_MOUNT
        ),
    ]


def one_line(workplace: Workplace, what: str, environment: dict[str, str], most: float) -> Row:
    line = workplace.site_packages / LINE
    aside = line.with_suffix(".aside")
    script = workplace.python(READ_THE_LINE.format(folder=str(workplace.site_packages), line=LINE))

    def timed() -> float:
        return float(measure.run(script, environment | {"MAGIC_MODULE_START": "0"}, capture=True).stdout)

    def with_line() -> Ended:
        return measure.run(workplace.python("pass"), environment)

    def without() -> Ended:
        line.rename(aside)
        try:
            return measure.run(workplace.python("pass"), environment)
        finally:
            aside.rename(line)

    itself, ours, theirs = interleave(workplace.rounds(300, 40), timed, with_line, without)
    side, wall = Side(itself), Side([each.wall for each in theirs])
    pairs = list(zip(ours, theirs, strict=True))
    by_clock = statistics.median(a.wall - b.wall for a, b in pairs)
    by_processor = statistics.median(a.cpu - b.cpu for a, b in pairs)
    costs = f"{milliseconds(by_clock)} more by the clock, {milliseconds(by_processor)} by processor time"
    notes = [f"whole processes with and without the line, in pairs: {costs}"]
    limit = f"≤ {most * 1e3:g} ms"
    empty = Row(what, "the interpreter's start without it", limit, spread=side.spread)
    got = milliseconds(side.median)
    return empty.judged(got, side.median <= most, notes, got, milliseconds(wall.median))


def first_task(workplace: Workplace) -> Row:
    """A package of thirty modules, of which the function's module imports ten."""
    source, site, installed = (workplace.folder(name) for name in ("source", "site", "installed"))
    fixtures.realistic(source, "model", 30, 10)
    with (source / "model" / "__init__.py").open("a") as file:
        file.write("\ndef task(value):\n    return value + 1\n")
    installed.mkdir()
    shutil.copytree(source, installed / "acme")
    fixtures.publish(source, site, "acme")
    program = workplace.folder("task.py")
    program.write_text(TASK)
    with Origin(site) as origin:
        text = json.dumps([{"namespace": "acme", "manifest_url": origin.manifest_url}])
        lazy = workplace.environment(workplace.folder("cache"), MAGIC_MODULE_MOUNTS=text)
        plain = workplace.environment(PYTHONPATH=str(installed))

        def submitted(environment: Mapping[str, str]) -> Callable[[], float]:
            command = [workplace.python("")[0], str(program)]
            return lambda: float(measure.run(command, environment, capture=True).stdout)

        results = interleave(workplace.rounds(60, 10), submitted(lazy), submitted(plain))
        asked = len(origin.take())
    for folder in (site, installed):
        remove(folder)
    empty = Row("a worker's first task on a warm node", "the package installed", f"≤ {FIRST_TASK}×")
    notes = [f"{asked} requests in all, which are those of the first process"]
    return empty.compared(Side(results[0]), Side(results[1]), FIRST_TASK, milliseconds, notes)
