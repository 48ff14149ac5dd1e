"""What a download takes of memory: the peak of the process above that of an interpreter that does nothing.

One file of 1 MiB to 1 GiB, a thousand small ones, a hundred of 1 MiB, a package of 1,500 modules, an upgrade of that
package where a file changed, and one unit out of a catalogue of 1,000. Each is `prefetch` (`upgrade`, an import) in a
fresh process, with an empty cache but for the upgrade; the peak is VmHWM, the worst of three. Flat is what the file's
size adds from 1 MiB to 1 GiB: at most 10 MB, a hundredth of the largest. MB are millions of bytes.
"""

from __future__ import annotations

import statistics
from pathlib import Path

import fixtures
import measure
from jobs import catalogue
from jobs.transfers import CASES, loose_files
from measure import Row, Table, megabytes
from origin import Origin
from plot import Plot
from workplace import Workplace, remove

MOST = 32_000_000
SIZES = (1, 16, 128, 1024)
QUICK = 128
MODULES = 1500
FEWER = 500
FLAT = 10_000_000

PEAK = """
try:
    lines = open("/proc/self/status").read().splitlines()
    peak = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
except OSError:
    import resource, sys
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(peak)
"""


def row() -> Row:
    return Row(
        "peak memory, the worst of all downloads", "an interpreter that does nothing", f"≤ {MOST / 1e6:.0f} MB more"
    )


def flat_row(largest: int = SIZES[-1]) -> Row:
    what = f"peak memory of one file, {SIZES[0]} MiB to {largest:,} MiB: most less least"
    return Row(what, "the least", f"≤ {FLAT / 1e6:.0f} MB more")


def run(workplace: Workplace) -> list[Row | Table | Plot]:
    workplace.room_for(3 << 30)
    bare = statistics.median(peak_of(workplace, PEAK, "", Path("unused")) for _ in range(5))
    more: dict[str, float] = {}
    largest = workplace.size("MiB in the largest file, for memory", SIZES[-1], QUICK)
    sizes = [size for size in SIZES if size <= largest]
    for size in sizes:
        more[one(size)] = fetched(workplace, one_file(workplace, size << 20), "large") - bare
    for count, size, label, _ in CASES:
        more[f"{count:,} files of {label}"] = fetched(workplace, loose_files(workplace, count, size), "loose") - bare
    more |= {label: peak - bare for label, peak in of_packages(workplace).items()}
    flat = [more[one(size)] for size in sizes]
    grown, shown = max(flat) - min(flat), (megabytes(max(flat)), megabytes(min(flat)))
    curve = [(float(size), max(more[one(size)], 0) / 1e6) for size in sizes]
    lines = [[name, megabytes(size)] for name, size in more.items()]
    return [
        worst_row(more, bare),
        flat_row(largest).judged(megabytes(grown), grown <= FLAT, [], *shown),
        Table("Memory", ["download", "more than a bare interpreter"], lines),
        Plot("memory", "Memory by size of the file", "MiB", "MB more than bare", {"ours": curve}, True),
    ]


def one(size: int) -> str:
    return f"one file of {size} MiB"


def worst_row(more: dict[str, float], bare: float) -> Row:
    worst = max(more, key=lambda name: more[name])
    ours = megabytes(bare + more[worst])
    return row().judged(megabytes(more[worst]), more[worst] <= MOST, [f"worst: {worst}"], ours, megabytes(bare))


def of_packages(workplace: Workplace) -> dict[str, float]:
    """A package of many modules, its upgrade, and an import out of a catalogue."""
    modules = workplace.size("modules in a package, for memory", MODULES, FEWER)
    source, site, cache = workplace.folder("source"), workplace.folder("site"), workplace.folder("cache")
    fixtures.realistic(source, "symbolic", modules, 0)
    fixtures.publish_again(source, site)
    fetches: list[float] = []
    upgrades: list[float] = []
    with Origin(site) as origin:

        def peak(call: str) -> float:
            script = f"import magic_module; magic_module.{call}('magic_module.symbolic')\n{PEAK}"
            return peak_of(workplace, script, origin.manifest_url, cache)

        for number in range(3):
            fetches.append(peak("prefetch"))
            with (source / "symbolic" / "module_0000.py").open("a") as file:
                file.write(f"CHANGED = {number}\n")
            fixtures.publish_again(source, site)
            upgrades.append(peak("upgrade"))
            remove(cache)
    for folder in (source, site):
        remove(folder)
    site = catalogue.published(workplace, catalogue.PUBLISHED)
    script = f"import magic_module.{catalogue.UNIT}"
    return {
        f"a package of {modules:,} modules": max(fetches),
        "an upgrade of it where one file changed": max(upgrades),
        f"an import out of a catalogue of {catalogue.PUBLISHED:,} units": fetched(workplace, site, "", script),
    }


def one_file(workplace: Workplace, size: int) -> Path:
    site = workplace.folder("site")
    package = site / "files" / "large"
    fixtures.noise(package / "large.bin", size, "memory")
    (package / "__init__.py").write_text("")
    fixtures.manifest(site, "large")
    return site


def fetched(workplace: Workplace, site: Path, unit: str, script: str = "") -> float:
    """The worst of three."""
    script = script or f"import magic_module; magic_module.prefetch('magic_module.{unit}')"
    peaks = []
    with Origin(site) as origin:
        for _ in range(3):
            cache = workplace.folder("cache")
            peaks.append(peak_of(workplace, f"{script}\n{PEAK}", origin.manifest_url, cache))
            remove(cache)
    remove(site)
    return max(peaks)


def peak_of(workplace: Workplace, script: str, url: str, cache: Path) -> float:
    environment = workplace.environment(cache, MAGIC_MODULE_MANIFEST_URL=url) if url else workplace.environment()
    return float(measure.run(workplace.python(script), environment, capture=True).stdout)
