"""Importing the product itself: the whole process, against an interpreter that does nothing, and against each peer.

All processes have the same flags, which is none: `python -c …`, as users start it. Measured with the manifest URL set,
as it is where somebody uses it. The floor is a package of one line that loads an extension module which does nothing.
A last row tells what a package pays that mounts itself: two lines at its top, against the same package without them.
"""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import measure
import native
import peers
from jobs import cells
from measure import NO_TARGET, Ended, Failure, Row, Side, contest, interleave, milliseconds, ratio
from ways import PEERS
from workplace import Workplace

MOST = 1.06
MODULES = "import sys; loaded = sorted(sys.modules); import json; print(json.dumps(loaded))"


def row() -> Row:
    return Row("`import magic_module`, whole process", "`python -c pass`", f"≤ {MOST:.2f}×")


def run(workplace: Workplace) -> list[Row]:
    url = "http://127.0.0.1:9/manifest.json"
    with_url = workplace.environment(workplace.folder("cache"), MAGIC_MODULE_MANIFEST_URL=url)
    without = workplace.environment(workplace.folder("cache"))
    ours = workplace.python("import magic_module")
    sides = [
        process(ours, with_url),
        process(workplace.python("pass"), with_url),
        process(ours, without),
    ]
    floor = ""
    try:
        sides.append(process(workplace.python(f"import {empty_package(workplace)}"), with_url))
    except Failure as failure:
        floor = f"no floor: {failure}"
    results = interleave(workplace.rounds(200, 40), *sides)
    wall = [Side([ended.wall for ended in side]) for side in results]
    cpu = [Side([ended.cpu for ended in side]) for side in results]
    notes = [
        f"{milliseconds(wall[0].median - wall[1].median)} more; by processor time {ratio(cpu[0], cpu[1]):.2f}×",
        f"without a manifest URL {ratio(wall[2], wall[1]):.2f}×, by processor time {ratio(cpu[2], cpu[1]):.2f}×",
        floor or f"floor: an extension module that does nothing {ratio(wall[3], wall[1]):.3f}×",
    ]
    return [
        row().compared(wall[0], wall[1], MOST, milliseconds, notes),
        among_peers(workplace, with_url),
        modules_row(workplace, with_url),
        mounting(workplace, without),
    ]


def empty_package(workplace: Workplace) -> str:
    """Installs the least that loads an extension module."""
    include = sysconfig.get_path("include")
    module = native.compiled("empty.c", "cc", "-O2", "-shared", "-fPIC", f"-I{include}", suffix=".so")
    package = workplace.site_packages / "empty"
    package.mkdir()
    shutil.copy(module, package / "_native.abi3.so")
    Path(package, "__init__.py").write_text("from empty import _native\n")
    return "empty"


def mounting(workplace: Workplace, environment: dict[str, str]) -> Row:
    """A package that mounts itself, as the guide for authors shows it."""
    lines = "import magic_module\n\nmagic_module.mount(__name__, 'http://127.0.0.1:9/manifest.json')\n"
    for name, text in (("mounting", lines), ("unmounted", "")):
        package = workplace.site_packages / name
        package.mkdir()
        (package / "__init__.py").write_text(f'"""An installed package."""\n{text}')
    names = ("mounting", "unmounted")
    sides = [process(workplace.python(f"import {name}"), environment) for name in names]
    results = interleave(workplace.rounds(200, 40), *sides)
    ours, theirs = (Side([ended.wall for ended in result]) for result in results)
    cpu = [Side([ended.cpu for ended in result]) for result in results]
    notes = [f"{milliseconds(ours.median - theirs.median)} more; by processor time {ratio(*cpu):.2f}×"]
    empty = Row("import of a package that mounts itself, whole process", "the same without mounting", NO_TARGET)
    return empty.told(ours, theirs, milliseconds, notes)


def among_peers(workplace: Workplace, environment: dict[str, str]) -> Row:
    """Each in its own environment."""

    def of(peer: str) -> Callable[[], Ended]:
        return lambda: measure.run([peers.python(peer), "-c", f"import {peer}"], environment)

    ours = process(workplace.python("import magic_module"), environment)
    results = contest(workplace.rounds(40, 7), {"ours": ours, **{peer: of(peer) for peer in PEERS}})
    judged = cells.judged(cells.row("the same, against each peer"), results)
    notes = [f"{peer} {cells.cell(results, peer)}" for peer in PEERS if isinstance(results[peer], Side)]
    notes.append("pip and uv are commands: importing their packages loads nothing of what they do")
    return replace(judged, notes=[*judged.notes, *notes])


def process(command: list[str], environment: dict[str, str]) -> Callable[[], Ended]:
    return lambda: measure.run(command, environment)


def modules_row(workplace: Workplace, environment: dict[str, str]) -> Row:
    """What `import magic_module` loads beyond its own modules."""
    import_and_list = workplace.python(f"import magic_module; {MODULES}")
    bare = measure.run(workplace.python(MODULES), environment, capture=True).json
    ours = measure.run(import_and_list, environment, capture=True).json
    more = [name for name in ours if name not in bare and name.partition(".")[0] != "magic_module"]
    empty = Row("the same: standard-library modules in `sys.modules`", "the stock start", "none more")
    return replace(empty, ours=str(len(ours)), theirs=str(len(bare)), got=", ".join(more) or "none", reached=not more)
