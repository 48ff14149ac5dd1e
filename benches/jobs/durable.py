"""A commit that survives a power cut, against the same without any sync: 201 small files, and one of 16 MiB, on disk.

Both are `prefetch` in a fresh process from an empty cache on the disk of the temporary directory, the second behind a
filter that answers every sync with success (`benches/unsynced.py`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import fixtures
import machine
import timed
import unsynced
from measure import Row, interleave, time_of
from origin import Origin
from workplace import Workplace, remove

MOST = 1.3


def row(what: str = "201 small files") -> Row:
    return Row(f"commit of {what}, durable", "the same without any sync", f"≤ {MOST:.1f}×")


def run(workplace: Workplace) -> list[Row]:
    if not unsynced.possible():
        return [row().not_measured("syncs can be filtered on Linux only")]
    disk = Path(tempfile.gettempdir())
    if machine.file_system(disk) == "tmpfs":
        return [row().not_measured("the temporary directory is no disk")]
    rows = []
    for what, name in (("201 small files", "small"), ("one file of 16 MiB", "large")):
        source, site = workplace.folder("source"), workplace.folder("site")
        fixtures.package(source, name, 200 if name == "small" else 0, 400)
        if name == "large":
            fixtures.noise(source / name / "large.bin", 16 << 20, name)
        fixtures.publish(source, site)
        with tempfile.TemporaryDirectory(prefix="magic_module-bench-", dir=disk) as folder, Origin(site) as origin:
            ways = [
                fetching(workplace, Path(folder), origin, name, unsynced.script(wanted)) for wanted in (False, True)
            ]
            results = [timed.sides(side)[0] for side in interleave(workplace.rounds(15, 5), *ways)]
        notes = [f"on {machine.file_system(disk)}"]
        rows.append(row(what).compared(results[0], results[1], MOST, time_of, notes))
    return rows


def fetching(workplace: Workplace, folder: Path, origin: Origin, name: str, before: str) -> Callable[[], timed.Timed]:
    def one() -> timed.Timed:
        cache = folder / "cache"
        environment = workplace.environment(cache, MAGIC_MODULE_MANIFEST_URL=origin.manifest_url)
        body = f"magic_module.prefetch('magic_module.{name}')"
        result = timed.process(workplace, body, environment, f"{before}\nimport magic_module")()
        remove(cache)
        return result

    return one
