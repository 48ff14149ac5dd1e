"""The examples run, each with one command; so does the demo."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kit import typed
from magic_module._py import cli
from magic_module._py.cli import demo

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("MAGIC_MODULE_")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**own, "MAGIC_MODULE_CACHE_DIR": str(folder / "cache"), "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


def test_alpha(tmp_path: Path) -> None:
    done = run(tmp_path, str(EXAMPLES / "first_import.py"))
    assert done.returncode == 0, done.stderr
    first, _, second = done.stdout.partition("\nsecond import: the server is gone\n")
    assert first.endswith(second)
    assert "Saturn    274\n" in second
    assert not (tmp_path / "cache").exists()


def test_acme(tmp_path: Path) -> None:
    done = run(tmp_path, str(EXAMPLES / "acme" / "run.py"))
    assert done.returncode == 0, done.stderr
    assert "shipped with the wheel: ['small', 'but', 'here']\n" in done.stdout
    assert "downloaded: german version 2.0.0\n" in done.stdout
    assert re.search(r"^acme\.heavy  2\.0\.0  .*  cached$", done.stdout, re.MULTILINE)


def test_notebook(tmp_path: Path) -> None:
    notebook = json.loads((EXAMPLES / "notebook.ipynb").read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["metadata"]["kernelspec"]["name"]) == (4, "python3")
    assert all(cell["outputs"] == [] for cell in notebook["cells"] if cell["cell_type"] == "code")
    # A cell shows the value of its last line, as the interactive interpreter does.
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    (tmp_path / "alpha").mkdir()
    for file in (EXAMPLES / "alpha").iterdir():
        if file.is_file():
            (tmp_path / "alpha" / file.name).write_bytes(file.read_bytes())
    script = tmp_path / "cells.py"
    script.write_text(
        "import ast, sys\n"
        f"for cell in {cells!r}:\n"
        "    tree = ast.parse(cell)\n"
        "    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None\n"
        "    exec(compile(tree, 'cell', 'exec'), globals())\n"
        "    if last is not None:\n"
        "        value = eval(compile(ast.Expression(last.value), 'cell', 'eval'), globals())\n"
        "        print(repr(value), flush=True)\n",
        encoding="utf-8",
    )
    done = run(tmp_path, str(script))
    assert done.returncode == 0, done.stderr
    assert "{'planet': 'Saturn', 'moons': '274'}" in done.stdout
    assert "nothing changed" in done.stdout


def test_the_demo_tells_the_story_and_every_claim_is_so(tmp_path: Path) -> None:
    done = run(tmp_path, "-m", "magic_module", "demo")
    assert done.returncode == 0, done.stdout
    assert done.stderr == ""
    assert "NOT SO" not in done.stdout
    assert done.stdout.endswith("Every claim above is true.\n")
    assert [line[0] for line in done.stdout.splitlines() if re.match(r"\d\. ", line)] == list("1234567")
    assert list(tmp_path.iterdir()) == []


def test_a_claim_that_is_not_so_fails_the_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Damage that does not happen cannot be healed or refused: the claims must see that.
    monkeypatch.setattr(demo, "damage", lambda path: None)
    assert cli.main(["demo", "--json"]) == 1
    story = typed.answer(capsys.readouterr().out, "demo")
    assert not story["ok"]
    failed = [claim["claim"] for act in story["acts"] for claim in act["claims"] if not claim["holds"]]
    assert "the damage is refused" in failed
