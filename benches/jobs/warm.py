"""A warm import of 1, 20, 200 and 2,000 modules, verification on, against the same files installed with their bytecode.

Tiny modules and such of 3 KB bytecode, with 1, 20 and 200 entries on `sys.path` up to the one that holds the package.
Measured is the processor time of the import inside a fresh process, in the kernel too, from the first name of the
package to the last of its modules: a warm import waits for nobody, and processor time does not count the neighbours on
a shared machine. Mounting, opening the store and checking the tree are in it; starting the interpreter and `import
magic_module` are not, they are a row of their own. The server is stopped before the first measurement. The floor is
what the interpreter alone takes to make the modules and to unmarshal and execute code that is in memory already.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import fixtures
import measure
import timed
from measure import Failure, Row, Side, Table, interleave, milliseconds, ratio
from origin import Origin
from plot import Plot
from workplace import Workplace, remove

MOST = 0.60
MOST_ANYWHERE = 0.95
COUNTS = (1, 20, 200, 2000)
ENTRIES = (1, 20, 200)
KINDS = {"tiny": 200, "3 KB": 3000}
FEWER = (1, 20, 200, 1000)
"""In a quick run."""
JUDGED = "3 KB"

READ = """
import marshal, sys
from pathlib import Path
codes = [("floor_" + path.stem, path.read_bytes()[16:]) for path in sorted(Path({folder!r}).glob("*.pyc"))]
"""
EXECUTE = """
for name, code in codes:
    module = type(sys)(name)
    sys.modules[name] = module
    exec(marshal.loads(code), module.__dict__)
"""


def row(count: int = 200, kind: str = "3 KB") -> Row:
    what = f"warm import of {count:,} modules of {kind} bytecode, verification on"
    return Row(what, "the same files in site-packages", f"≤ {MOST:.2f}×")


def run(workplace: Workplace) -> list[Row | Table | Plot]:
    rows: list[Row | Table | Plot] = []
    lines: list[list[str]] = []
    ratios: dict[str, float] = {}
    curves: dict[str, list[tuple[float, float]]] = {}
    alike: Row | None = None
    once = ""
    workplace.size("modules in a warm import", COUNTS[-1], FEWER[-1])
    counts = FEWER if workplace.quick else COUNTS
    for kind, bytecode in KINDS.items():
        for count in counts:
            ours, theirs, floor = Grid(workplace, kind, count, bytecode).measured()
            for at, entries in enumerate(ENTRIES):
                ratios[f"{count:,} modules, {kind}, {entries} on sys.path"] = ratio(ours[at][1], theirs[at][1])
            cells = [f"{milliseconds(ours[at][1].median)}, {ratio(ours[at][1], theirs[at][1]):.2f}×" for at in range(3)]
            lines.append([f"{count:,}, {kind}", *cells])
            for label, side in (("ours", ours[0][1]), ("installed", theirs[0][1])):
                curves.setdefault(f"{label}, {kind}", []).append((count, side.median))
            if (count, kind) == (COUNTS[0], "tiny"):
                once = f"opening the store and making the first module once: {milliseconds(ours[0][1].median)}"
            if kind == JUDGED and count in counts[2:]:
                notes = [f"by the clock {ratio(ours[0][0], theirs[0][0]):.2f}×"]
                notes.append(f"floor, making modules and executing their code: {ratio(floor[1], theirs[0][1]):.2f}×")
                rows.append(row(count, kind).compared(ours[0][1], theirs[0][1], MOST, milliseconds, notes))
            if (count, kind) == (counts[2], JUDGED):
                alike = path_row().compared(ours[2][1], ours[0][1], 1.0, milliseconds)
                alike.notes.append(f"installed {ratio(theirs[2][1], theirs[0][1]):.2f}×")
    worst = max(ratios, key=lambda name: ratios[name])
    everywhere = Row("warm import, the worst of all sizes", "the same files in site-packages", f"≤ {MOST_ANYWHERE}×")
    got = measure.times(ratios[worst], MOST_ANYWHERE)
    from_20 = max(value for name, value in ratios.items() if not name.startswith("1 "))
    notes = [f"at {worst}", once, f"from {COUNTS[1]} modules on {from_20:.2f}× at most"]
    rows.append(everywhere.judged(got, ratios[worst] <= MOST_ANYWHERE, notes))
    if alike is not None:
        rows.append(alike)
    rows.append(nameless(workplace))
    head = ["modules", *(f"{entries} on `sys.path`" for entries in ENTRIES)]
    note = "Ours by processor time, and the ratio to the same files in site-packages."
    plot = Plot("warm", "Warm import by number of modules", "modules", "seconds of processor time", curves)
    return [*rows, Table("Warm imports", head, lines, note), plot]


def path_row() -> Row:
    return Row("warm import of 200 modules with 200 entries on `sys.path`", "the same with one entry", "≤ 1.0×")


NAMELESS = ["unshare", "-m", "sh", "-c", 'mount --bind /dev/null /proc/sys/kernel/random/boot_id && exec "$@"', "sh"]
NAMED = ["unshare", "-m", "sh", "-c", 'exec "$@"', "sh"]
MOST_NAMELESS = 1.3


def nameless(here: Workplace) -> Row:
    """As in a container without /proc, and on systems that do not number their boots."""
    what = "warm import of 1,000 files where the boot has no name"
    row = Row(what, "the same where it has one", f"≤ {MOST_NAMELESS}×")
    if (
        shutil.which("unshare") is None
        or subprocess.run([*NAMELESS, "true"], capture_output=True, check=False).returncode
    ):
        return row.not_measured("the name of the boot cannot be hidden here (unshare -m, mount)")
    source, site = here.folder("source"), here.folder("site")
    fixtures.package(source, "many", 1000, KINDS["tiny"])
    fixtures.publish(source, site)
    body = timed.modules("magic_module.many", 1000)
    with Origin(site) as origin:
        contestants = []
        for under in (NAMELESS, NAMED):
            environment = here.environment(here.folder("cache"), MAGIC_MODULE_MANIFEST_URL=origin.manifest_url)
            contestants.append(timed.process(here, body, environment, "import magic_module", under=under))
        for first in contestants:
            first()
    hidden, shown = (timed.sides(side) for side in interleave(here.rounds(20, 5), *contestants))
    return row.compared(hidden[0], shown[0], MOST_NAMELESS, milliseconds)


class Grid:
    """One package, installed and fetched."""

    def __init__(self, workplace: Workplace, kind: str, count: int, bytecode: int) -> None:
        self.workplace = workplace
        self.count = count
        source, site = workplace.folder("source"), workplace.folder("site")
        name = f"bulk_{count}_{bytecode}"
        fixtures.package(source, name, count, bytecode)
        self.installed = workplace.site_packages / name
        shutil.copytree(source / name, self.installed)
        fixtures.publish(source, site)
        self.cache = workplace.folder("cache")
        self.theirs = timed.modules(name, count)
        self.ours = timed.modules(f"magic_module.{name}", count)
        self.site = site

    def measured(self) -> tuple[list[tuple[Side, Side]], list[tuple[Side, Side]], tuple[Side, Side]]:
        """By the clock and by processor time: ours and theirs for each number of entries on `sys.path`; the floor."""
        here = self.workplace
        with Origin(self.site) as origin:
            environment = here.environment(self.cache, MAGIC_MODULE_MANIFEST_URL=origin.manifest_url)
            warm = timed.process(here, self.ours, environment, "import magic_module")
            warm()
            origin.take()
            warm()
            if asked := origin.take():
                raise Failure(f"the warm import asked the server: {asked}")
        plain = here.environment()
        timed.process(here, self.theirs, plain)()
        if len(list(self.installed.rglob("*.pyc"))) != self.count + 1:
            raise Failure("the installed package has no bytecode")
        contestants = []
        for entries in ENTRIES:
            fillers = [self._filler(number) for number in range(entries - 1)]
            contestants.append(timed.process(here, self.ours, environment, "import magic_module", fillers))
            contestants.append(timed.process(here, self.theirs, plain, fillers=fillers))
        before = READ.format(folder=str(self.installed / "__pycache__"))
        contestants.append(timed.process(here, EXECUTE, plain, before))
        rounds = here.rounds(40, 7) if self.count <= 200 else here.rounds(9, 3)
        results = [timed.sides(side) for side in interleave(rounds, *contestants)]
        for folder in (self.site, self.cache, self.installed):
            remove(folder)
        *results, floor = results
        return results[0::2], results[1::2], floor

    def _filler(self, number: int) -> Path:
        folder = self.workplace.place / "fillers" / f"{number:03}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder
