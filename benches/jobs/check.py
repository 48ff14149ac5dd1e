"""Checking scripts: 1,000 real files against pipreqs and deptry, and one script against starting Python's own parser.

The files are those of the standard library and of the packages installed here that Python itself can parse, copied
into one folder, so that no tool takes one for a module of another. Whole processes; pipreqs with `--use-local`, which
asks no index. Whoever reads files must find what is in them: every import that they find has to be among ours. What
pipreqs takes for one does not count: `from .name import x` imports no `name`.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path

import measure
import peers
from measure import Ended, Failure, Row, Side, interleave, milliseconds, time_of
from workplace import Workplace

FILES = 1000
FEWER = 200
"""In a quick run."""
MOST_PIPREQS = 0.1
MOST_DEPTRY = 0.5
MOST_ONE = 2.5

PIPREQS = "import json, sys; from pipreqs import pipreqs; print(json.dumps(pipreqs.get_all_imports(sys.argv[1])))"
CHECK = "import sys; from magic_module._py.cli import main; sys.exit(main({arguments!r}))"
"""As the installed command starts it."""


def row(against: str = "pipreqs", most: float = MOST_PIPREQS, files: int = FILES) -> Row:
    return Row(f"checking {files:,} real files, whole process", against, f"≤ {most:.1f}×")


def one_row() -> Row:
    return Row("checking one script, whole process", '`python -c "import ast"`', f"≤ {MOST_ONE:.1f}×")


def run(workplace: Workplace) -> list[Row]:
    environment = workplace.environment(workplace.folder("cache"))
    folder = workplace.folder("files")
    count = copy_real_files(folder, workplace.size("real files to check", FILES, FEWER))
    (folder / "pyproject.toml").write_text('[project]\nname = "files"\nversion = "0"\ndependencies = []\n')
    ours = command(workplace, "check", "--json", str(folder))
    found = {need["import"] for need in needs(ours, environment)}
    real = absolute(folder)
    rows = []
    for name, most, theirs, names in (
        ("pipreqs", MOST_PIPREQS, ["--print", "--use-local", str(folder)], pipreqs_names),
        ("deptry", MOST_DEPTRY, [str(folder), "--config", str(folder / "pyproject.toml")], deptry_names),
    ):
        line = row(name, most, count)
        try:
            tool = peers.command(name)
            missed = sorted(top for top in {*names(folder)} & real if not any(covers(top, each) for each in found))
        except Failure as failure:
            rows.append(line.not_measured(str(failure)))
            continue
        # All of them end with 1 where something is missing.
        sides = [process(tolerant(each), environment) for each in (ours, [tool, *theirs])]
        results = [Side([ended.wall for ended in side]) for side in interleave(workplace.rounds(7, 3), *sides)]
        notes = [f"imports that it finds and we do not: {', '.join(missed) or 'none'}"]
        rows.append(line.compared(results[0], results[1], most, time_of, notes))
    return [*rows, one(workplace, environment)]


def one(workplace: Workplace, environment: dict[str, str]) -> Row:
    """A script that needs the standard library and what is installed."""
    script = workplace.folder("one") / "script.py"
    script.parent.mkdir()
    script.write_text("import json, os, packaging\n\nprint(json.dumps(os.listdir()), packaging)\n")
    sides = [
        process(command(workplace, "check", str(script)), environment),
        process(workplace.python("import ast"), environment),
    ]
    results = interleave(workplace.rounds(60, 15), *sides)
    wall = [Side([ended.wall for ended in side]) for side in results]
    cpu = [Side([ended.cpu for ended in side]) for side in results]
    notes = [f"by processor time {measure.ratio(*cpu):.2f}×"]
    return one_row().compared(wall[0], wall[1], MOST_ONE, milliseconds, notes)


def copy_real_files(folder: Path, most: int) -> int:
    """The first files that Python can parse, under names that nobody imports."""
    folder.mkdir()
    roots = [Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("stdlib"))]
    count = 0
    for root in roots:
        for path in sorted(root.rglob("*.py")):
            if count == most:
                return count
            try:
                text = path.read_bytes().decode("utf-8")
                ast.parse(text)
            except (SyntaxError, ValueError, RecursionError):
                continue
            (folder / f"file_{count:04}.py").write_text(text, "utf-8", newline="")
            count += 1
    return count


def absolute(folder: Path) -> set[str]:
    """The first parts of the names that Python's own parser finds, relative imports left out."""
    found = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found.add(node.module.partition(".")[0])
    return found


def command(workplace: Workplace, *arguments: str) -> list[str]:
    return workplace.python(CHECK.format(arguments=list(arguments)))


def tolerant(arguments: Sequence[str]) -> list[str]:
    return ["sh", "-c", '"$@" || :', "sh", *arguments]


def process(arguments: Sequence[str], environment: dict[str, str]) -> Callable[[], Ended]:
    return lambda: measure.run(arguments, environment)


def needs(arguments: Sequence[str], environment: dict[str, str]) -> list[dict[str, str]]:
    scripts = measure.run(tolerant(arguments), environment, capture=True).json["scripts"]
    return [need for script in scripts for need in script["needs"]]


def covers(top: str, name: str) -> bool:
    return name == top or name.startswith(f"{top}.")


def pipreqs_names(folder: Path) -> list[str]:
    arguments = [peers.python("pipreqs"), "-W", "ignore", "-c", PIPREQS, str(folder)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"pipreqs ended with {done.returncode}: {measure.brief(done.stderr.strip().splitlines())}")
    return [name.partition(".")[0] for name in json.loads(done.stdout)]


def deptry_names(folder: Path) -> list[str]:
    output = folder.with_suffix(".json")
    arguments = [peers.command("deptry"), str(folder), "--config", str(folder / "pyproject.toml")]
    subprocess.run([*arguments, "--json-output", str(output)], capture_output=True, check=False)
    if not output.is_file():
        raise Failure("deptry wrote no answer")
    return [issue["module"].partition(".")[0] for issue in json.loads(output.read_text())]
