"""Tools of others: a program that PyInstaller packs, shells that complete our commands, mypy that reads our stubs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kit.world import World

PROGRAM = """
import sys
import magic_module as mm
import magic_module.alpha
print(getattr(sys, "frozen", False), magic_module.alpha.VALUE, [unit.name for unit in mm.available()])
try:
    import magic_module.absent
except ModuleNotFoundError as error:
    print(type(error).__name__)
print(magic_module.alpha._upgrade().changed, mm.verify().ok)
"""

TYPED = """\
import magic_module.alpha
value: int = magic_module.alpha.double(1)
magic_module.alpha.double("one")
magic_module.alpha.triple
import magic_module.absent
magic_module.mount("acme", 1)
"""

COMPLETE = """
source ./completion
COMP_WORDS=(magic-module {words})
COMP_CWORD={at}
COMP_LINE="magic-module {words}"
COMP_POINT=${{#COMP_LINE}}
$(complete -p magic-module | sed -E 's/.*-F ([^ ]+).*/\\1/')
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def test_a_program_that_pyinstaller_packs(world: World) -> None:
    """Nothing of ours is named to it: the distribution says where its hook is."""
    world.publish({"alpha.py": "VALUE = 1\n"})
    server = world.serve()
    (world.work / "program.py").write_text(PROGRAM)
    line = [sys.executable, "-m", "PyInstaller", "--log-level", "WARN", "--onedir", "program.py"]
    # It lists what can be imported, and must not ask for units.
    settings = {"MAGIC_MODULE_MANIFEST_URL": server.manifest_url}
    subprocess.run(line, cwd=world.work, env=world.environment(settings), check=True)
    assert server.take() == []
    packed = world.work / "dist" / "program" / "program"
    ended = subprocess.run([packed], env=world.environment(settings), capture_output=True, text=True)
    said = "True 1 ['magic_module.alpha']\nModuleNotFoundError\nFalse True\n"
    assert (ended.returncode, ended.stdout) == (0, said), ended.stderr


def test_mypy_reads_stubs_of_what_is_not_downloaded(world: World) -> None:
    world.publish({"alpha.py": "import os\ndef double(x: int) -> int: return x * 2\n"})
    settings = {"MAGIC_MODULE_MANIFEST_URL": world.serve().manifest_url}
    world.run(None, args=["-m", "magic_module", "stubs", "magic_module.alpha"], env=settings, warnings=False)
    (world.work / "program.py").write_text(TYPED)
    ended = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context", "program.py"],
        cwd=world.work,
        env=world.environment({"PYTHONPATH": "typings"}),
        capture_output=True,
        text=True,
    )
    errors = [line.split(": ", 2)[0] + line.rpartition(" ")[2] for line in ended.stdout.splitlines() if "error" in line]
    assert errors == [
        "program.py:3[arg-type]",
        "program.py:4[attr-defined]",
        "program.py:5[import-not-found]",
        "program.py:6[arg-type]",
    ], ended.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_and_options(world: World, shell: str) -> None:
    script = world.run(None, args=["-m", "magic_module", "completion", shell], warnings=False).stdout
    assert "rollback" in script and "--manifest-url" in script
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: its script is made, and not run")
    path = world.work / "completion"
    path.write_text(script)
    subprocess.run([shell, "-n", path], check=True)
    if shell == "bash":
        assert completed(world.work, "rollb", 1) == ["rollback"]
        assert completed(world.work, "publish --sig", 2) == ["--sign"]


def completed(folder: Path, words: str, at: int) -> list[str]:
    script = COMPLETE.format(words=words, at=at)
    return subprocess.run(["bash", "-c", script], cwd=folder, check=True, capture_output=True, text=True).stdout.split()
