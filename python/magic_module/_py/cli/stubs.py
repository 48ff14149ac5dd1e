"""`stubs`: what type checkers read instead of units that are not downloaded."""

from __future__ import annotations

from pathlib import Path

from magic_module._py.cli.answer import Answer, count
from magic_module._py.cli.mounting import provide
from magic_module._py.stubs.folder import write

TYPE_CHECKING = False  # as type checkers know it; importing `typing` is a tenth of what a command takes
if TYPE_CHECKING:
    import argparse


def stubs(options: argparse.Namespace) -> Answer:
    """Writes stub packages."""
    provide(options, options.names)
    output = Path(options.output)
    units = write(options.names, output)
    lines = [f"{unit.name} {unit.version}: {count(unit.files, 'stub')} in {output}" for unit in units]
    lines += [f"{path} is not ours and stays as it is" for unit in units for path in unit.kept]
    rows = [{"name": it.name, "version": it.version, "files": it.files, "kept": it.kept} for it in units]
    return Answer({"output": str(output), "units": rows}, lines)
