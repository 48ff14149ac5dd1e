"""Many files at once: 1,000 of 10 KiB and 100 of 1 MiB, sha256 and rename included, against `curl --parallel`.

A manifest without packs, so that every file is a request of its own. Ours is `prefetch` in a fresh process: manifest,
downloads, verification, commit and tree. One row has the call inside of that process, one the whole process,
interpreter included; theirs is the whole process of curl, which neither verifies nor syncs. The floor is our call from
a folder (a `file:` URL): hashing, writing, commit and tree without any network.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import fixtures
import measure
import timed
from measure import Failure, Row, Side, interleave, ratio, time_of
from origin import Origin
from timed import Timed
from workplace import Workplace, remove

CASES = ((1000, 10 << 10, "10 KiB", 0.70), (100, 1 << 20, "1 MiB", 0.60))


def row(count: int = 1000, size: str = "10 KiB", most: float = 0.70, what: str = "the call alone") -> Row:
    named = f"{count:,} files of {size}, sha256 and rename included: {what}"
    return Row(named, "the process of `curl --parallel`", f"≤ {most:.2f}×")


def run(workplace: Workplace) -> list[Row]:
    if shutil.which("curl") is None:
        raise Failure("no curl")
    rows = []
    for count, size, label, most in CASES:
        site = loose_files(workplace, count, size)
        with Origin(site) as origin:
            contest = Contest(workplace, origin, count)
            contestants: list[Callable[[], Timed]] = [contest.ours, contest.curl, contest.from_folder]
            if shutil.which("aria2c"):
                contestants.append(contest.aria2)
            results = interleave(workplace.rounds(15, 5), *contestants)
        call, whole = (Side([getattr(one, field) for one in results[0]]) for field in ("wall", "whole"))
        curl, floor, *aria2 = (timed.sides(result)[0] for result in results[1:])
        notes = [f"floor, the call from a folder: {time_of(floor.median)}, {ratio(floor, curl):.2f}×"]
        for what, side in (("the call alone", call), ("the whole process", whole)):
            more = f"aria2: {ratio(side, aria2[0]):.2f}×" if aria2 else "aria2 is not installed"
            rows.append(row(count, label, most, what).compared(side, curl, most, time_of, [*notes, more]))
        remove(site)
    return rows


def loose_files(workplace: Workplace, count: int, size: int) -> Path:
    """A site with one package whose files are requests of their own."""
    site = workplace.folder("site")
    package = site / "files" / "loose"
    for number in range(count):
        fixtures.noise(package / f"{number:04}.bin", size, f"{size} {number}")
    (package / "__init__.py").write_text("")
    fixtures.manifest(site, "loose")
    return site


class Contest:
    def __init__(self, workplace: Workplace, origin: Origin, count: int) -> None:
        self.workplace = workplace
        self.origin = origin
        self.count = count
        self.folder = workplace.folder("work")
        self.names = sorted(path.name for path in (origin.folder / "files" / "loose").iterdir())

    def ours(self) -> Timed:
        return self._fetched_from(self.origin.manifest_url)

    def from_folder(self) -> Timed:
        return self._fetched_from((self.origin.folder / "manifest.json").as_uri())

    def _fetched_from(self, url: str) -> Timed:
        cache = self.folder / "cache"
        environment = self.workplace.environment(cache, MAGIC_MODULE_MANIFEST_URL=url)
        body = "magic_module.prefetch('magic_module.loose')"
        result = timed.process(self.workplace, body, environment, "import magic_module")()
        if len(list(cache.rglob("*.bin"))) != self.count:
            raise Failure("not all files arrived")
        remove(self.folder)
        return result

    def curl(self) -> Timed:
        lines = [f'url = "{self._url(name)}"\noutput = "{self.folder / name}"\n' for name in self.names]
        return self._whole(["curl", "-sf", "--parallel", "-K"], lines)

    def aria2(self) -> Timed:
        lines = [f"{self._url(name)}\n  out={name}\n" for name in self.names]
        return self._whole(["aria2c", "-q", "--max-concurrent-downloads=64", "-d", str(self.folder), "-i"], lines)

    def _url(self, name: str) -> str:
        return f"{self.origin.url}/files/loose/{name}"

    def _whole(self, command: list[str], lines: list[str]) -> Timed:
        self.folder.mkdir()
        (self.folder / "list").write_text("".join(lines))
        line = shlex.join([*command, str(self.folder / "list")])
        ended = measure.run(["sh", "-c", f"exec {line}"], self.workplace.environment())
        remove(self.folder)
        return Timed(ended.wall, ended.cpu, ended.wall)
