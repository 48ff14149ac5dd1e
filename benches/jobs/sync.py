"""`magic-module sync` with nothing changed, against `uv sync` and `pip install -r` with nothing changed.

Each has done it before, for the same requirements: uv has its environment and `uv.lock`, pip has installed all of them.
Whole processes, as their installed commands start them.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import measure
from measure import Ended, Failure, Row, Side, interleave, milliseconds
from workplace import Workplace

NAMES = ["pandas", "fastapi", "matplotlib", "requests", "httpx", "sqlalchemy", "openpyxl", "pytest", "rich", "boto3"]
FEWER = ["requests", "click", "rich"]
OURS = "import sys; from magic_module._py.cli import main; sys.exit(main(['sync', {folder!r}]))"
"""As the installed command starts it."""


def row(against: str = "`uv sync`") -> Row:
    return Row("`sync` with nothing changed, whole process", f"{against} with nothing changed", "< 1.0×")


def run(workplace: Workplace) -> list[Row]:
    names = FEWER if workplace.quick else NAMES
    workplace.size("requirements of the folder that is synced", len(NAMES), len(FEWER))
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    folder = workplace.folder("project")
    folder.mkdir(parents=True)
    version = "{}.{}".format(*sys.version_info)
    listed = ", ".join(f'"{name}"' for name in names)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "own"\nversion = "0"\nrequires-python = ">={version}"\ndependencies = [{listed}]\n'
    )
    (folder / "requirements.txt").write_text("\n".join(names) + "\n")
    environment = surroundings(workplace, uv)
    ours = process(workplace.python(OURS.format(folder=str(folder))), environment)
    uv_sync = process(uv_command(uv, folder), environment)
    python = str(folder / ".venv/bin/python")
    pip = process([python, "-m", "pip", "install", "--quiet", "-r", str(folder / "requirements.txt")], environment)
    try:
        uv_sync()
        measure.run([uv, "pip", "install", "--quiet", "--python", python, "pip"], environment)
        ours()
    except Failure as failure:
        return [row().not_measured(f"no package index: {failure}"), row("`pip install -r`").not_measured(str(failure))]
    # uv takes away what its lock does not have: pip comes last.
    return [
        compared(workplace, row(), ours, process([*uv_command(uv, folder), "--inexact"], environment)),
        compared(workplace, row("`pip install -r`"), ours, pip),
    ]


def uv_command(uv: str, folder: Path) -> list[str]:
    return [uv, "sync", "--quiet", "--python", sys.executable, "--directory", str(folder)]


def surroundings(workplace: Workplace, uv: str) -> dict[str, str]:
    """With what uv and pip are told of the index."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("UV_", "PIP_", "SSL_"))}
    cache = workplace.folder("uv-cache")
    return kept | workplace.environment(workplace.folder("cache"), UV=uv, UV_CACHE_DIR=str(cache))


def process(arguments: list[str], environment: dict[str, str]) -> Callable[[], Ended]:
    return lambda: measure.run(arguments, environment)


def compared(workplace: Workplace, empty: Row, ours: Callable[[], Ended], theirs: Callable[[], Ended]) -> Row:
    ours(), theirs()
    results = interleave(workplace.rounds(40, 15), ours, theirs)
    one, other = (Side([ended.wall for ended in side]) for side in results)
    cpu = [Side([ended.cpu for ended in side]) for side in results]
    return empty.compared(one, other, 1.0, milliseconds, [f"by processor time {measure.ratio(*cpu):.2f}×"])
