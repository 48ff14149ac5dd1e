"""A commit that survives a power cut, against the same without any sync: 201 small files, and one of 16 MiB, on disk.

Both are the call of `prefetch` in a fresh process, from an empty cache on the disk of the temporary directory and from
a site in a folder (a `file:` URL): no network is in it, but reading, hashing and writing the artifacts, unpacking them
and making the tree are. Both run behind a filter (`benches/nosync.c`), which answers every sync of the second with
success; a full run notes what it is when a server on this machine has the site. What earlier rounds left to be written
is synced before the time. The floor is what the disk takes: the bytes of the artifacts written to one file, with one
sync and without.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import fixtures
import machine
import native
import timed
from measure import Row, Side, interleave, ratio, time_of
from origin import Origin
from workplace import Workplace, remove

MOST = 1.3


def row(what: str = "201 small files") -> Row:
    return Row(f"fetch of {what} from a folder and its durable commit", "the same without any sync", f"≤ {MOST:.1f}×")


def run(workplace: Workplace) -> list[Row]:
    filters = native.nosync("--synced"), native.nosync()
    disk = Path(tempfile.gettempdir())
    if machine.file_system(disk) == "tmpfs":
        return [row().not_measured("the temporary directory is not a disk")]
    rows = []
    for what, name in (("201 small files", "small"), ("one file of 16 MiB", "large")):
        source, site = workplace.folder("source"), workplace.folder("site")
        fixtures.package(source, name, 200 if name == "small" else 0, 400)
        if name == "large":
            fixtures.noise(source / name / "large.bin", 16 << 20, name)
        fixtures.publish(source, site)
        with tempfile.TemporaryDirectory(prefix="magic_module-bench-", dir=disk) as folder, Origin(site) as origin:
            place, url = Path(folder), (site / "manifest.json").as_uri()
            size = fetched_bytes(workplace, place, url, name)
            ways = [fetching(workplace, place, url, name, under) for under in filters]
            ways += [writing(place, size, synced) for synced in (True, False)]
            if not workplace.quick:
                ways += [fetching(workplace, place, origin.manifest_url, name, under) for under in filters]
            sides = [Side(values) for values in interleave(workplace.rounds(15, 5), *ways)]
        remove(site)
        notes = [f"on {machine.file_system(disk)}"]
        floor = f"{time_of(sides[2].median)} with a sync, {time_of(sides[3].median)} without"
        notes.append(f"floor, {size / 1e3:,.0f} kB written to one file: {floor}, {ratio(sides[2], sides[3]):.2f}×")
        if len(sides) > 4:
            notes.append(f"from a server {time_of(sides[4].median)}, {ratio(sides[4], sides[5]):.2f}×")
        rows.append(row(what).compared(sides[0], sides[1], MOST, time_of, notes))
    return rows


def fetching(workplace: Workplace, folder: Path, url: str, name: str, under: list[str]) -> Callable[[], float]:
    cache = folder / "cache"
    environment = workplace.environment(cache, MAGIC_MODULE_MANIFEST_URL=url)
    body = f"magic_module.prefetch('magic_module.{name}')"
    one_process = timed.process(workplace, body, environment, "import magic_module", under=under)

    def one() -> float:
        os.sync()
        wall = one_process().wall
        remove(cache)
        return wall

    return one


def fetched_bytes(workplace: Workplace, folder: Path, url: str, name: str) -> int:
    """What the store keeps of the artifacts of one fetch."""
    cache = folder / "counted"
    environment = workplace.environment(cache, MAGIC_MODULE_MANIFEST_URL=url)
    timed.process(workplace, f"magic_module.prefetch('magic_module.{name}')", environment, "import magic_module")()
    size = sum(path.stat().st_size for path in (cache / "v1" / "blobs").rglob("*") if path.is_file())
    remove(cache)
    return size


def writing(folder: Path, size: int, synced: bool) -> Callable[[], float]:
    data, path = os.urandom(size), folder / "floor"

    def one() -> float:
        os.sync()
        begin = time.perf_counter()
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            if synced:
                os.fsync(file.fileno())
        wall = time.perf_counter() - begin
        path.unlink()
        return wall

    return one
