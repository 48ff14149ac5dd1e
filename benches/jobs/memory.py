"""What a download takes of memory: the peak of the process above that of an interpreter that does nothing.

One file of 1 MiB to 1 GiB, a thousand small ones, a hundred of 1 MiB, and a package of 1,500 modules. Each is
`prefetch` in a fresh process with an empty cache; the peak is VmHWM.
"""

from __future__ import annotations

import statistics
from pathlib import Path

import fixtures
import measure
from jobs.transfers import CASES, loose_files
from measure import Row, Table, mebibytes
from origin import Origin
from plot import Plot
from workplace import Workplace, remove

MOST = 32 << 20
SIZES = (1, 16, 128, 1024)

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
        "peak memory, the worst of all downloads", "an interpreter that does nothing", f"≤ {MOST >> 20} MiB more"
    )


def run(workplace: Workplace) -> list[Row | Table | Plot]:
    workplace.room_for(3 << 30)
    bare = statistics.median(peak_of(workplace, PEAK, "", Path("unused")) for _ in range(5))
    more: dict[str, float] = {}
    curve: list[tuple[float, float]] = []
    for size in SIZES:
        label = f"one file of {size} MiB"
        more[label] = fetched(workplace, one_file(workplace, size << 20), "magic_module.large") - bare
        curve.append((size, max(more[label], 0) / (1 << 20)))
    for count, size, label, _ in CASES:
        site = loose_files(workplace, count, size)
        more[f"{count:,} files of {label}"] = fetched(workplace, site, "magic_module.loose") - bare
    source, site = workplace.folder("source"), workplace.folder("site")
    fixtures.realistic(source, "symbolic", 1500, 0)
    fixtures.publish(source, site)
    more["a package of 1,500 modules"] = fetched(workplace, site, "magic_module.symbolic") - bare
    worst = max(more, key=lambda name: more[name])
    flat = [more[f"one file of {size} MiB"] for size in SIZES]
    notes = [f"worst: {worst}", f"one file of 1 MiB to 1 GiB: {mebibytes(min(flat))} to {mebibytes(max(flat))}"]
    ours = mebibytes(bare + more[worst])
    judged = row().judged(mebibytes(more[worst]), more[worst] <= MOST, notes, ours, mebibytes(bare))
    table = Table(
        "Memory", ["download", "more than a bare interpreter"], [[name, mebibytes(size)] for name, size in more.items()]
    )
    return [
        judged,
        table,
        Plot("memory", "Memory by size of the file", "MiB", "MiB more than bare", {"ours": curve}, True),
    ]


def one_file(workplace: Workplace, size: int) -> Path:
    site = workplace.folder("site")
    package = site / "files" / "large"
    fixtures.noise(package / "large.bin", size, "memory")
    (package / "__init__.py").write_text("")
    fixtures.manifest(site, "large")
    return site


def fetched(workplace: Workplace, site: Path, name: str) -> float:
    """The worst of three."""
    script = f"import magic_module; magic_module.prefetch({name!r})\n{PEAK}"
    with Origin(site) as origin:
        peaks = []
        for _ in range(3):
            cache = workplace.folder("cache")
            peaks.append(peak_of(workplace, script, origin.manifest_url, cache))
            remove(cache)
    remove(site)
    return max(peaks)


def peak_of(workplace: Workplace, script: str, url: str, cache: Path) -> float:
    environment = workplace.environment(cache, MAGIC_MODULE_MANIFEST_URL=url) if url else workplace.environment()
    return float(measure.run(workplace.python(script), environment, capture=True).stdout)
