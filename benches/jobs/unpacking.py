"""Unpacking 1,000 and 2,000 files, verified, against `unzip` on tmpfs and against uv's install of a wheel on disk.

Ours is `prefetch` where the pack is in the store already and the tree is not: the manifest is asked for, the pack is
hashed and unpacked, each file is verified, the tree is committed. Theirs is the process of `unzip` with the same files.
One row has the call of `prefetch` inside of its process on our side, one the whole process, interpreter included; the
floor is the process of `cp -r` with the same files.

On disk, where there is one: whole processes from a local site and a local wheel with an empty cache; ours syncs what it
commits, uv does not. What earlier rounds left to be written is synced before the time. The floor is ours without any
sync (`benches/nosync.c`).
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import fixtures
import machine
import measure
import native
import peers
import timed
from measure import Failure, Row, Side, interleave, ratio, time_of
from offer import Offer
from origin import Origin
from timed import Timed
from workplace import Workplace, remove

COUNTS = (1000, 2000)
MOST = 0.4
MOST_OF_UV = 0.7
PREFETCH = "magic_module.prefetch('magic_module.many')"


def row(count: int = COUNTS[0], what: str = "the call alone") -> Row:
    return Row(f"unpacking {count:,} files, verified: {what}", "the process of `unzip` in memory", f"≤ {MOST:.1f}×")


def disk_row(count: int = COUNTS[0]) -> Row:
    return Row(f"installing {count:,} files on disk, synced", "`uv pip install` of a wheel", f"≤ {MOST_OF_UV:.1f}×")


def run(workplace: Workplace) -> list[Row]:
    rows = []
    most = workplace.size("files to unpack", COUNTS[-1], COUNTS[0])
    for count in [count for count in COUNTS if count <= most]:
        source = workplace.folder("source")
        fixtures.package(source, "many", count - 1, 3000)
        offer = Offer(source, workplace.folder("site"), "many")
        rows += against_unzip(workplace, offer, count)
        rows.append(against_uv(workplace, offer, disk_row(count)))
        remove(offer.site)
    return rows


def against_unzip(workplace: Workplace, offer: Offer, count: int) -> list[Row]:
    call, whole = row(count), row(count, "the whole process")
    if shutil.which("unzip") is None:
        return [empty.not_measured("no unzip") for empty in (call, whole)]
    cache, there = workplace.folder("cache"), workplace.folder("unpacked")
    with Origin(offer.site) as origin:
        environment = workplace.environment(cache, MAGIC_MODULE_MANIFEST_URL=origin.manifest_url)
        again = timed.process(workplace, PREFETCH, environment, "import magic_module")
        again()

        def ours() -> Timed:
            remove(cache / "v1" / "trees")
            result = again()
            if not any((cache / "v1" / "trees").rglob("module_0000.py")):
                raise Failure("the tree was not made again")
            return result

        def theirs() -> float:
            ended = measure.run(["unzip", "-qd", str(there), str(offer.site / "package.zip")], environment)
            remove(there)
            return ended.wall

        def floor() -> float:
            wall = measure.run(["cp", "-r", str(offer.site / "plain"), str(there)], environment).wall
            remove(there)
            return wall

        results, *others = interleave(workplace.rounds(15, 5), ours, theirs, floor)
    remove(cache)
    unzip, copying = (Side(values) for values in others)
    notes = [f"floor, `cp -r` of the files: {time_of(copying.median)}, {ratio(copying, unzip):.2f}×"]
    return [
        call.compared(Side([result.wall for result in results]), unzip, MOST, time_of, notes),
        whole.compared(Side([result.whole for result in results]), unzip, MOST, time_of, notes),
    ]


def against_uv(workplace: Workplace, offer: Offer, empty: Row) -> Row:
    if sys.platform == "win32":
        return empty.not_measured("not measured on Windows")
    disk = Path(tempfile.gettempdir())
    if machine.file_system(disk) == "tmpfs":
        return empty.not_measured("the temporary directory is not a disk")
    try:
        uv = peers.command("uv")
    except Failure as failure:
        return empty.not_measured(str(failure))
    with tempfile.TemporaryDirectory(prefix="magic_module-bench-", dir=disk) as folder:
        work = Path(folder, "work")
        shutil.copytree(offer.site, Path(folder, "site"))
        wheel = Path(folder, "site", "wheels", offer.wheel.name)

        def ours(under: Sequence[str] = ()) -> float:
            url = (Path(folder) / "site" / "manifest.json").as_uri()
            environment = workplace.environment(work / "cache", MAGIC_MODULE_MANIFEST_URL=url)
            os.sync()
            wall = measure.run([*under, *workplace.python(f"import magic_module; {PREFETCH}")], environment).wall
            remove(work)
            return wall

        def theirs() -> float:
            shutil.copytree(workplace.empty_environment(), work / "venv", symlinks=True)
            install = [uv, "pip", "install", "-q", "--offline", "--python", str(work / "venv"), str(wheel)]
            os.sync()
            wall = measure.run([*install, "--cache-dir", str(work / "cache")], workplace.environment()).wall
            remove(work)
            return wall

        contestants: list[Callable[[], float]] = [ours, theirs]
        notes = [f"on {machine.file_system(disk)}"]
        try:
            under = native.nosync()
            contestants.append(lambda: ours(under))
        except Failure as failure:
            notes.append(f"no floor: {failure}")
        sides = [Side(values) for values in interleave(workplace.rounds(9, 3), *contestants)]
    if len(sides) > 2:
        notes.append(f"floor, ours without any sync: {time_of(sides[2].median)}, {ratio(sides[2], sides[1]):.2f}×")
    return empty.compared(sides[0], sides[1], MOST_OF_UV, time_of, notes)
