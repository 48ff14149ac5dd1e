"""An upgrade where 1 of 200 files changed: what is transferred, against the changed file and the manifest.

Counted at the server: the bytes of all bodies. The manifest, and what an index says of a wheel, are told apart from
the artifacts: most of an upgrade is the manifest. A full fetch is that of the new version into an empty cache. `pip
install -U` and `uv pip install -U` do the same, from the wheel of the old version, installed and cached, to the new.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import fixtures
import measure
import peers
from measure import NO_TARGET, Failure, Row, Side, Table
from offer import Offer
from origin import Origin
from workplace import Workplace, remove

MOST = 1.1
UNIT = "magic_module.moving"
UPGRADE = f"import magic_module; assert magic_module.upgrade({UNIT!r})[0].files_changed == 1"
FETCH = f"import magic_module; magic_module.prefetch({UNIT!r})"
INFORMATION = (".json", ".html", ".metadata")
"""How the paths end of what tells where artifacts are."""


@dataclass(frozen=True)
class Moved:
    """What was transferred."""

    requests: int
    information: int
    artifacts: int
    wall: float

    @property
    def bytes(self) -> int:
        return self.information + self.artifacts


def row(what: str = "bytes", against: str = "the changed file and the manifest", target: str = f"≤ {MOST}×") -> Row:
    return Row(f"upgrade, 1 of 200 files changed: {what}", against, target)


def run(workplace: Workplace) -> list[Row | Table]:
    first, second = sources(workplace)
    changed = (second / "moving" / "module_0042.py").stat().st_size
    source, site = workplace.folder("source"), workplace.folder("site")
    used, fresh = workplace.folder("cache"), workplace.folder("cache")
    shutil.copytree(first, source)
    fixtures.publish(source, site)
    with Origin(site) as origin:

        def ours(script: str, cache: Path) -> Moved:
            environment = workplace.environment(cache, MAGIC_MODULE_MANIFEST_URL=origin.manifest_url)
            return moved(origin, workplace.python(script), environment)

        ours(FETCH, used)
        fixtures.publish_again(second, site)
        upgrade, full = ours(UPGRADE, used), ours(FETCH, fresh)
    manifest = (site / "manifest.json").stat().st_size
    results: dict[str, Moved | Failure] = {"ours": upgrade, "ours, a full fetch": full}
    for peer in ("pip", "uv"):
        results[f"{peer}, `install -U`"] = of_wheels(workplace, first, second, peer)
    for folder in (first, second, site, used, fresh):
        remove(folder)
    lines = [[name, *cells(result, upgrade)] for name, result in results.items()]
    head = ["", "requests", "manifest or index", "artifacts", "of ours", "time, once"]
    return [
        judged(row(), upgrade.bytes, changed + manifest, [f"{upgrade.requests} requests"]),
        judged(row("bytes of artifacts", "the changed file"), upgrade.artifacts, changed),
        told(row("bytes", "a full fetch", NO_TARGET), upgrade, full, lambda one: one.bytes),
        told(row("bytes of artifacts", "a full fetch", NO_TARGET), upgrade, full, lambda one: one.artifacts),
        told(row("bytes", "`pip install -U`", NO_TARGET), upgrade, results["pip, `install -U`"], lambda one: one.bytes),
        Table("An upgrade where 1 of 200 files changed", head, lines),
    ]


def moved(origin: Origin, command: list[str], environment: dict[str, str]) -> Moved:
    origin.take()
    wall = measure.run(command, environment).wall
    asked = origin.take()
    information = sum(size for path, size in asked if path.endswith(INFORMATION) or path.endswith("/"))
    return Moved(len(asked), information, sum(size for _, size in asked) - information, wall)


def judged(empty: Row, got: int, least: int, notes: list[str] | None = None) -> Row:
    shown = measure.times(got / least, MOST)
    return empty.judged(shown, got <= MOST * least, notes or [], kilobytes(got), kilobytes(least))


def told(empty: Row, ours: Moved, theirs: Moved | Failure, bytes_of: Callable[[Moved], int]) -> Row:
    if isinstance(theirs, Failure):
        return empty.not_measured(str(theirs))
    return empty.told(Side([bytes_of(ours)]), Side([bytes_of(theirs)]), kilobytes)


def cells(result: Moved | Failure, ours: Moved) -> list[str]:
    if isinstance(result, Failure):
        return [str(result), "-", "-", "-", "-"]
    times = f"{result.bytes / ours.bytes:.2f}×"
    sizes = [kilobytes(result.information), kilobytes(result.artifacts)]
    return [str(result.requests), *sizes, times, measure.time_of(result.wall)]


def sources(workplace: Workplace) -> tuple[Path, Path]:
    first, second = workplace.folder("first"), workplace.folder("second")
    fixtures.package(first, "moving", 199, 3000)
    shutil.copytree(first, second)
    with (second / "moving" / "module_0042.py").open("a") as file:
        file.write("CHANGED = True\n")
    return first, second


def of_wheels(workplace: Workplace, first: Path, second: Path, peer: str) -> Moved | Failure:
    """What the peer transfers for the second version, when the first is installed and cached."""
    site, home, cache = workplace.folder("index"), workplace.folder("home"), workplace.folder("cache")
    try:
        if peer == "uv":
            install = [peers.command("uv"), "pip", "install", "-q", "-U", "--python", str(home)]
            install += ["--cache-dir", str(cache), "--default-index"]
        else:
            install = [peers.python("pip"), "-m", "pip", "--python", str(home), "install", "-q", "-U"]
            install += ["--disable-pip-version-check", "--cache-dir", str(cache), "--index-url"]
    except Failure as failure:
        return failure
    shutil.copytree(workplace.empty_environment(), home, symlinks=True)
    result = Moved(0, 0, 0, 0.0)
    for version, files in (("1.0", first), ("2.0", second)):
        Offer(shutil.copytree(files, workplace.folder("source")), site / version, "moving", version)
        # An index that is asked again: what it may keep of the old page is not the question.
        with Origin(site / version) as origin:
            result = moved(origin, [*install, f"{origin.url}/simple", "moving"], workplace.environment())
    remove(site)
    return result


def kilobytes(size: float) -> str:
    return f"{size / 1e3:.1f} kB"
