"""Many files at once: 1,000 of 10 KiB and 100 of 1 MiB, sha256 and rename included, against `curl --parallel`.

A manifest without packs, so that every file is a request of its own. Ours is the call of `prefetch` in a fresh process:
manifest, downloads, verification, commit and tree; theirs the whole process of curl, which neither verifies nor syncs.
The notes tell the whole process of ours, and aria2 where it is installed.
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
from workplace import Workplace, remove

CASES = ((1000, 10 << 10, "10 KiB", 0.70), (100, 1 << 20, "1 MiB", 0.60))


def row(count: int = 1000, size: str = "10 KiB", most: float = 0.70) -> Row:
    return Row(f"{count:,} files of {size}, sha256 and rename included", "`curl --parallel`", f"≤ {most:.2f}×")


def run(workplace: Workplace) -> list[Row]:
    if shutil.which("curl") is None:
        raise Failure("no curl")
    rows = []
    for count, size, label, most in CASES:
        site = loose_files(workplace, count, size)
        with Origin(site) as origin:
            contest = Contest(workplace, origin, count)
            contestants: list[Callable[[], tuple[float, float]]] = [contest.ours, contest.curl]
            if shutil.which("aria2c"):
                contestants.append(contest.aria2)
            results = interleave(workplace.rounds(15, 5), *contestants)
        sides = [Side([wall for wall, _ in result]) for result in results]
        whole = Side([process for _, process in results[0]])
        notes = [f"the whole process {time_of(whole.median)}, {ratio(whole, sides[1]):.2f}×"]
        notes.append(f"aria2: {ratio(sides[0], sides[2]):.2f}×" if len(sides) > 2 else "aria2 is not installed")
        rows.append(row(count, label, most).compared(sides[0], sides[1], most, time_of, notes))
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

    def ours(self) -> tuple[float, float]:
        cache = self.folder / "cache"
        environment = self.workplace.environment(cache, MAGIC_MODULE_MANIFEST_URL=self.origin.manifest_url)
        body = "magic_module.prefetch('magic_module.loose')"
        script = timed.SCRIPT.format(before="import magic_module", body=body, fillers=[])
        ended = measure.run(self.workplace.python(script), environment, capture=True)
        if len(list(cache.rglob("*.bin"))) != self.count:
            raise Failure("not all files arrived")
        remove(self.folder)
        return ended.json[0], ended.wall

    def curl(self) -> tuple[float, float]:
        lines = [f'url = "{self._url(name)}"\noutput = "{self.folder / name}"\n' for name in self.names]
        return self._whole(["curl", "-sf", "--parallel", "-K"], lines)

    def aria2(self) -> tuple[float, float]:
        lines = [f"{self._url(name)}\n  out={name}\n" for name in self.names]
        return self._whole(["aria2c", "-q", "--max-concurrent-downloads=64", "-d", str(self.folder), "-i"], lines)

    def _url(self, name: str) -> str:
        return f"{self.origin.url}/files/loose/{name}"

    def _whole(self, command: list[str], lines: list[str]) -> tuple[float, float]:
        self.folder.mkdir()
        (self.folder / "list").write_text("".join(lines))
        line = shlex.join([*command, str(self.folder / "list")])
        ended = measure.run(["sh", "-c", f"exec {line}"], self.workplace.environment())
        remove(self.folder)
        return ended.wall, ended.wall
