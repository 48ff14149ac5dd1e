"""A data file of 1 GiB, sha256 included, against `curl -o`; and the same out of a bucket, with signed requests.

Whole processes, into memory (tmpfs) where there is room: what a disk takes is the disk's. On a disk ours syncs what it
downloaded, which curl does not; that is a note.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import fixtures
import machine
import measure
from measure import Ended, Failure, Row, Side, interleave, ratio, time_of
from origin import Origin
from workplace import Workplace, remove

SIZE = 1 << 30
QUICK = 256 << 20
MOST = 1.10
MOST_SIGNED = 1.15
BUCKET = "models"

FETCH = "import magic_module; magic_module.prefetch('magic_module.large')"


def row(size: int = SIZE) -> Row:
    return Row(f"data file of {size >> 20:,} MiB, sha256 included", "`curl -o`", f"≤ {MOST:.2f}×")


def signed_row() -> Row:
    return Row("the same out of a bucket (`s3://`)", "`curl -o`", f"≤ {MOST_SIGNED:.2f}×")


def run(workplace: Workplace) -> list[Row]:
    if shutil.which("curl") is None:
        raise Failure("no curl")
    size = workplace.size("MiB in the large file", SIZE >> 20, QUICK >> 20) << 20
    workplace.room_for(3 * size + (256 << 20))
    source, served = workplace.folder("source"), workplace.folder("served")
    site = served / BUCKET
    source.mkdir()
    (source / "large.py").write_text("LARGE = True\n")
    fixtures.noise(source / "large.bin", size, "large")
    fixtures.publish(source, site)
    large = max((path for path in site.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    with Origin(served) as origin:
        contest = Contest(workplace, origin, size, f"{origin.url}/{large.relative_to(served).as_posix()}")
        place = workplace.folder("work")
        signed = contest.ours(place, f"s3://{BUCKET}/manifest.json")
        sides = interleave(workplace.rounds(9, 3), contest.ours(place), contest.theirs(place), signed)
        ours, theirs, out_of_bucket = sides
        notes = contest.on_disk()
    remove(served)
    wall = [Side([ended.wall for ended in side]) for side in (ours, theirs)]
    cpu = [Side([ended.cpu for ended in side]) for side in (ours, theirs)]
    notes.insert(0, f"by processor time {ratio(cpu[0], cpu[1]):.2f}×")
    bucket = Side([ended.wall for ended in out_of_bucket])
    return [
        row(size).compared(wall[0], wall[1], MOST, time_of, notes),
        signed_row().compared(bucket, wall[1], MOST_SIGNED, time_of, []),
    ]


class Contest:
    """Both ways to get the file into a folder; what was fetched is looked at and removed outside of the time."""

    def __init__(self, workplace: Workplace, origin: Origin, size: int, url: str) -> None:
        self.workplace = workplace
        self.origin = origin
        self.size = size
        self.url = url

    def ours(self, place: Path, url: str | None = None):  # type: ignore[no-untyped-def]
        settings = {
            "MAGIC_MODULE_MANIFEST_URL": url or f"{self.origin.url}/{BUCKET}/manifest.json",
            # The server looks at no signature; that there is one costs what it costs.
            "AWS_ENDPOINT_URL": self.origin.url,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }

        def one() -> Ended:
            environment = self.workplace.environment(place / "cache", **settings)
            ended = measure.run(self.workplace.python(FETCH), environment)
            if not any(path.stat().st_size == self.size for path in (place / "cache").rglob("large.bin")):
                raise Failure("the file did not arrive")
            remove(place)
            return ended

        return one

    def theirs(self, place: Path, sync: bool = False):  # type: ignore[no-untyped-def]
        def one() -> Ended:
            place.mkdir(parents=True, exist_ok=True)
            target = str(place / "large.bin")
            command = ["curl", "-sfo", target, self.url]
            if sync:
                command = ["sh", "-c", f'{" ".join(command)} && sync "{target}"']
            ended = measure.run(command, self.workplace.environment())
            remove(place)
            return ended

        return one

    def on_disk(self) -> list[str]:
        """The same on the disk of the temporary directory, if that is another place."""
        disk = Path(tempfile.gettempdir())
        kind = machine.file_system(disk)
        if self.workplace.quick or kind == machine.file_system(self.workplace.place):
            return []
        if shutil.disk_usage(disk).free < 4 * self.size:
            return [f"on {kind}: not measured, no room"]
        with tempfile.TemporaryDirectory(prefix="magic_module-bench-", dir=disk) as folder:
            place = Path(folder, "work")
            results = interleave(3, self.ours(place), self.theirs(place), self.theirs(place, sync=True))
        ours, theirs, synced = (Side([ended.wall for ended in side]) for side in results)
        unsynced, alike = ratio(ours, theirs), ratio(ours, synced)
        return [f"on {kind}: {time_of(ours.median)}, synced; {unsynced:.2f}× of curl, {alike:.2f}× of curl and `sync`"]
