"""The first import after a download, compiling included: 350 modules in the sizes of a real package.

Ours is prefetched by a process of its own; theirs is a plain install without bytecode. Measured by the clock inside the
process that imports the package, whose modules import each other, because compiling may use several cores. Where the
author published bytecode for this interpreter nothing is left to compile: that is compared with ours when warm.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import fixtures
import measure
import timed
from measure import Failure, Row, interleave, ratio, time_of
from origin import Origin
from timed import Timed
from workplace import Workplace, remove

MOST = 0.5
MOST_PUBLISHED = 1.15
MODULES = 350
FEWER = 150
"""In a quick run."""
IMPORT = "import magic_module"
PREFETCH = "import magic_module; magic_module.prefetch('magic_module.real')"


def row(modules: int = MODULES) -> Row:
    what = f"first import of {modules} modules of real size, compiling included"
    return Row(what, "a plain install without bytecode", f"≤ {MOST:.1f}×")


def published_row() -> Row:
    what = "the same with bytecode that the author published"
    return Row(what, "ours when warm", f"≤ {MOST_PUBLISHED:.2f}×")


def run(workplace: Workplace) -> list[Row]:
    with Cold(workplace) as ours:
        plain = plain_install(workplace)
        theirs, rounds = plain, workplace.rounds(7, 3)
        results = [timed.sides(side) for side in interleave(rounds, ours.first, theirs)]
    notes = [f"by processor time {ratio(results[0][1], results[1][1]):.2f}×"]
    rows = [row(number_of_modules(workplace)).compared(results[0][0], results[1][0], MOST, time_of, notes)]
    if not fixtures.can_publish("--compile"):
        return [*rows, published_row().not_measured("this build's `publish` has no `--compile`")]
    with Cold(workplace, "--compile") as ours:
        first, warm = (timed.sides(side)[0] for side in interleave(rounds, ours.first, ours.warm))
    return [*rows, published_row().compared(first, warm, MOST_PUBLISHED, time_of)]


def number_of_modules(workplace: Workplace) -> int:
    return workplace.size("modules in a first import", MODULES, FEWER)


class Cold:
    """A server with the package; each first import begins with a fresh download."""

    def __init__(self, workplace: Workplace, *options: str) -> None:
        self.workplace = workplace
        source, self.site = workplace.folder("source"), workplace.folder("site")
        modules = number_of_modules(workplace)
        fixtures.realistic(source, "real", modules, modules)
        fixtures.publish(source, self.site, "magic_module", *options)
        self.origin = Origin(self.site)
        self.body = "import magic_module.real"

    def first(self) -> Timed:
        cache = self.workplace.folder("cache")
        environment = self._environment(cache)
        measure.run(self.workplace.python(PREFETCH), environment)
        result = timed.process(self.workplace, self.body, environment, IMPORT)()
        remove(cache)
        return result

    def warm(self) -> Timed:
        cache = self.workplace.place / f"warm-{self.site.name}"
        one = timed.process(self.workplace, self.body, self._environment(cache), IMPORT)
        if not cache.exists():
            one()
        return one()

    def _environment(self, cache: Path) -> dict[str, str]:
        return self.workplace.environment(cache, MAGIC_MODULE_MANIFEST_URL=self.origin.manifest_url)

    def __enter__(self) -> Cold:
        return self

    def __exit__(self, *_: object) -> None:
        self.origin.stop()
        remove(self.site)


def plain_install(workplace: Workplace) -> Callable[[], Timed]:
    source, modules = workplace.folder("source"), number_of_modules(workplace)
    fixtures.realistic(source, "real", modules, modules)

    def one() -> Timed:
        installed = workplace.folder("installed")
        shutil.copytree(source, installed)
        environment = workplace.environment(PYTHONPATH=str(installed))
        result = timed.process(workplace, "import real", environment)()
        if not any(installed.rglob("*.pyc")):
            raise Failure("the plain install wrote no bytecode")
        remove(installed)
        return result

    return one
