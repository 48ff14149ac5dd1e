"""A cold import of 201 small files at 20 ms a request, against one zip by curl and then a plain import.

Ours is one process with an empty cache: manifest, pack, verification, tree, compiling, import, everything durable.
Theirs is `curl -o` of a zip of the same files, then a plain import of its files, which lie unpacked already and have no
bytecode yet, as after any first download: unpacking is a gift. The notes tell other readings of "plain import".
"""

from __future__ import annotations

import shlex
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import fixtures
import measure
from measure import Ended, Failure, Row, Side, interleave, milliseconds, ratio
from offer import Offer
from origin import Origin
from workplace import Workplace, remove

MOST = 1.2
MODULES = 200
BYTECODE = 400
DELAY = 0.02

SCRIPT = """
for number in range({modules}):
    __import__({prefix!r} % number)
"""


def row() -> Row:
    return Row(
        "cold import of 201 small files at 20 ms a request", "one zip by curl, then a plain import", f"≤ {MOST:.1f}×"
    )


def run(workplace: Workplace) -> list[Row]:
    if shutil.which("curl") is None:
        raise Failure("no curl")
    source, site = workplace.folder("source"), workplace.folder("site")
    fixtures.package(source, "small", MODULES, BYTECODE)
    pack = Offer(source, site, "small").site / "package.zip"
    with Origin(site, DELAY) as origin:
        contest = Contest(workplace, origin, f"{origin.url}/{pack.relative_to(site).as_posix()}", pack)
        # The first is us; the second is what the target speaks of.
        labels = ["", "", "its files have bytecode already", "imported from the zip as it is"]
        contestants = [contest.ours, contest.plain(False), contest.plain(True), contest.from_zip]
        if shutil.which("unzip"):
            labels.append("unzip in the time")
            contestants.append(contest.unzipped)
        labels.append("curl alone")
        contestants.append(contest.curl_alone)
        results = interleave(workplace.rounds(25, 7), *contestants)
        asked = contest.requests
    sides = [Side([ended.wall for ended in side]) for side in results]
    notes = [f"{asked} requests"]
    for label, side in zip(labels[2:], sides[2:], strict=True):
        notes.append(f"{label}: {milliseconds(side.median)}, {ratio(sides[0], side):.2f}×")
    return [row().compared(sides[0], sides[1], MOST, milliseconds, notes)]


class Contest:
    """The ways from a server to an imported package; what each leaves is removed outside of its time."""

    def __init__(self, workplace: Workplace, origin: Origin, url: str, pack: Path) -> None:
        self.workplace = workplace
        self.origin = origin
        self.folder = workplace.folder("work")
        self.folder.mkdir()
        self.curl = f"curl -sfo {shlex.quote(str(self.folder / 'pack.zip'))} {shlex.quote(url)}"
        self.pack = pack
        self.requests = 0

    def ours(self) -> Ended:
        cache = self.folder / "cache"
        environment = self.workplace.environment(cache, MAGIC_MODULE_MANIFEST_URL=self.origin.manifest_url)
        self.origin.take_requests()
        ended = measure.run(self.workplace.python(self.script("magic_module.small")), environment)
        self.requests = sum(self.origin.take_requests().values())
        remove(cache)
        return ended

    def plain(self, compiled: bool) -> Callable[[], Ended]:
        def one() -> Ended:
            with zipfile.ZipFile(self.pack) as pack:
                pack.extractall(self.folder / "unpacked")
            if compiled:
                self.run("true", "unpacked")
            ended = self.run(self.curl, "unpacked")
            remove(self.folder / "unpacked")
            return ended

        return one

    def unzipped(self) -> Ended:
        there = shlex.quote(str(self.folder / "unpacked"))
        ended = self.run(f"{self.curl} && unzip -qd {there} {shlex.quote(str(self.folder / 'pack.zip'))}", "unpacked")
        remove(self.folder / "unpacked")
        return ended

    def from_zip(self) -> Ended:
        return self.run(self.curl, "pack.zip")

    def curl_alone(self) -> Ended:
        return measure.run(["sh", "-c", self.curl], self.workplace.environment())

    def run(self, before: str, path: str) -> Ended:
        """`before`, then the import with `path` searched first."""
        line = f"{before} && exec {shlex.join(self.workplace.python(self.script('small')))}"
        return measure.run(["sh", "-c", line], self.workplace.environment(PYTHONPATH=str(self.folder / path)))

    def script(self, package: str) -> str:
        return SCRIPT.format(modules=MODULES, prefix=f"{package}.module_%04d")
