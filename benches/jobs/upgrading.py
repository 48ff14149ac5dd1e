"""An upgrade where 1 of 200 files changed: what is transferred, against the changed file and the manifest.

Counted at the server: the bytes of all bodies. The notes tell a full fetch, and what `pip install -U` and
`uv pip install -U` transfer for the same change.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import fixtures
import measure
import peers
from measure import Failure, Row
from offer import Offer
from origin import Origin
from workplace import Workplace, remove

MOST = 1.1
UPGRADE = "import magic_module; assert magic_module.upgrade('magic_module.moving')[0].files_changed == 1"


def row() -> Row:
    return Row("upgrade, 1 of 200 files changed: bytes", "the changed file and the manifest", f"≤ {MOST:.1f}×")


def run(workplace: Workplace) -> list[Row]:
    first, second = sources(workplace)
    changed = (second / "moving" / "module_0042.py").stat().st_size
    source, site, cache = workplace.folder("source"), workplace.folder("site"), workplace.folder("cache")
    shutil.copytree(first, source)
    fixtures.publish(source, site)
    with Origin(site) as origin:
        environment = workplace.environment(cache, MAGIC_MODULE_MANIFEST_URL=origin.manifest_url)
        measure.run(workplace.python("import magic_module; magic_module.prefetch('magic_module.moving')"), environment)
        full = origin.take_bytes()
        fixtures.publish_again(second, site)
        ended = measure.run(workplace.python(UPGRADE), environment)
        asked = origin.take()
    moved = sum(size for _, size in asked)
    least = changed + (site / "manifest.json").stat().st_size
    notes = [f"{len(asked)} requests, {measure.time_of(ended.wall)}", f"a full fetch {kilobytes(full)}"]
    notes += [f"{peer}: {of_wheels(workplace, first, second, peer)}" for peer in ("pip", "uv")]
    got = measure.times(moved / least, MOST)
    return [row().judged(got, moved <= MOST * least, notes, kilobytes(moved), kilobytes(least))]


def sources(workplace: Workplace) -> tuple[Path, Path]:
    first, second = workplace.folder("first"), workplace.folder("second")
    fixtures.package(first, "moving", 199, 3000)
    shutil.copytree(first, second)
    with (second / "moving" / "module_0042.py").open("a") as file:
        file.write("CHANGED = True\n")
    return first, second


def of_wheels(workplace: Workplace, first: Path, second: Path, peer: str) -> str:
    """What the peer transfers for the second version, when the first is installed and cached."""
    site, home, cache = workplace.folder("index"), workplace.folder("home"), workplace.folder("cache")
    offers = [shutil.copytree(folder, workplace.folder("source")) for folder in (first, second)]
    try:
        if peer == "uv":
            install = [peers.command("uv"), "pip", "install", "-q", "-U", "--python", str(home)]
            install += ["--cache-dir", str(cache), "--default-index"]
        else:
            install = [peers.python("pip"), "-m", "pip", "--python", str(home), "install", "-q", "-U"]
            install += ["--disable-pip-version-check", "--cache-dir", str(cache), "--index-url"]
    except Failure as failure:
        return str(failure)
    shutil.copytree(workplace.empty_environment(), home, symlinks=True)
    moved, wall = 0, 0.0
    for version, source in (("1.0", offers[0]), ("2.0", offers[1])):
        Offer(source, site / version, "moving", version)
        # An index that is asked anew: what it may keep of the old page is not the question.
        with Origin(site / version) as origin:
            ended = measure.run([*install, f"{origin.url}/simple", "moving"], workplace.environment())
            moved, wall = origin.take_bytes(), ended.wall
    remove(site)
    return f"{kilobytes(moved)}, {measure.time_of(wall)}"


def kilobytes(size: float) -> str:
    return f"{size / 1e3:.1f} kB"
