"""`python -m pdb`: breakpoints in units that are not downloaded, by module, by file and by function."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest

from kit import locks
from kit.locks import Lock
from kit.process import Result
from kit.wheels import wheel
from kit.world import World

PACKAGE = {
    "pack/__init__.py": "print('imported')\n",
    "pack/core.py": """\
        def double(number):
            twice = number * 2
            return twice


        def half(number):
            return number / 2
        """,
}


@pytest.fixture
def program(world: World) -> Path:
    path = world.work / "program.py"
    path.write_text("from magic_module.pack import core\nprint('says', core.double(4), core.half(4))\n")
    return path


def debug(world: World, program: Path, commands: Sequence[str], url: str, status: int | None = 0) -> Result:
    """Runs the program under `pdb`, which mounts nothing by itself before the program does."""
    options = [option for command in ("import magic_module", *commands, "q") for option in ("-c", command)]
    settings = {"MAGIC_MODULE_MANIFEST_URL": url}
    return world.run(None, args=["-m", "pdb", *options, str(program)], env=settings, status=status)


def places(said: str) -> list[tuple[str, int]]:
    """The file, below the package, and the line of each breakpoint that was set."""
    found = re.findall(r"Breakpoint \d+ at (.+):(\d+)$", said, re.MULTILINE)
    return [(file.replace("\\", "/").partition("/pack/")[2], int(line)) for file, line in found]


@pytest.mark.parametrize(
    "place", ["magic_module.pack.core:2", "magic_module/pack/core.py:2", "magic_module/pack/core:2"]
)
def test_a_breakpoint_by_module_or_file(world: World, program: Path, place: str) -> None:
    world.publish(PACKAGE)
    url = world.serve().manifest_url
    commands = [f"b {place}", "p 'is set'", "c", "w", "p ('number', number)", "c"]
    said = debug(world, program, commands, url).stdout
    assert places(said) == [("core.py", 2)], said
    assert said.index("is set") < said.index("imported"), "nothing is run when a breakpoint is set"
    assert "-> twice = number * 2" in said and "('number', 4)" in said and "says 8 2.0" in said


def test_a_breakpoint_by_function(world: World, program: Path) -> None:
    world.publish(PACKAGE)
    url = world.serve().manifest_url
    commands = ["tbreak magic_module.pack.core.half", "c", "n", "w", "p ('number', number)", "c"]
    said = debug(world, program, commands, url).stdout
    assert places(said) in ([("core.py", 6)], [("core.py", 7)]), said
    assert "-> return number / 2" in said and "('number', 4)" in said and "says 8 2.0" in said


def test_what_is_no_place_in_a_unit_is_not_found(world: World, program: Path) -> None:
    world.publish(PACKAGE)
    server = world.serve()
    commands = ["b magic_module.absent:1", "b magic_module.pack.core:99", "b magic_module.pack.core.absent", "b os:1"]
    said = debug(world, program, commands, server.manifest_url).stdout
    assert "'magic_module.absent' not found from sys.path" in said
    assert "End of file" in said and "'magic_module.pack.core.absent' is not a function" in said.replace("object ", "")
    assert "imported" not in said


def test_a_unit_that_cannot_be_downloaded_is_told(world: World, program: Path) -> None:
    world.publish(PACKAGE)
    server = world.serve()
    server.stop()
    said = debug(world, program, ["b magic_module.pack.core:2", "b magic_module.pack.core.half"], server.manifest_url)
    assert said.stdout.count("*** cannot fetch") == 2, said.stdout
    assert places(said.stdout) == []


def test_a_program_that_is_debugged_already(world: World) -> None:
    """The breakpoint is set from within the program, by a `pdb` that is loaded after us."""
    world.publish(PACKAGE)
    script = """
    import magic_module
    import io, pdb
    commands = io.StringIO("b magic_module.pack.core:3\\nc\\np ('twice', twice)\\nc\\n")
    debugger = pdb.Pdb(stdin=commands, nosigint=True, readrc=False)
    debugger.use_rawinput = False
    def run():
        from magic_module.pack import core
        return core.double(4)
    print(debugger.runcall(run))
    """
    said = world.run(script, env={"MAGIC_MODULE_MANIFEST_URL": world.serve().manifest_url}).stdout
    assert places(said) == [("core.py", 3)] and "('twice', 8)" in said and said.endswith("8\n"), said


@pytest.mark.parametrize("place", ["pack.core:2", "pack/core.py:2", "pack.core.double", "{folder}/core.py:2"])
def test_packages_of_a_lock(tmp_path: Path, cache: Path, place: str) -> None:
    """Also by the path that the file will have."""
    files = {name: textwrap.dedent(text) for name, text in PACKAGE.items()}
    lock = Lock(tmp_path / "project", [wheel("Pack", "1.0", files)])
    (tmp_path / "program.py").write_text("import pack.core as core\nprint('says', core.double(4), core.half(4))\n")
    finding = "import importlib.util as it; print(it.find_spec('pack').submodule_search_locations[0])"
    folder = locks.run(lock, cache, "-c", finding, here=tmp_path).stdout.strip()
    assert not Path(folder, "core.py").exists()
    commands = [f"b {place.format(folder=folder)}", "p 'is set'", "c", "p ('number', number)", "c", "q"]
    options = [option for command in commands for option in ("-c", command)]
    said = locks.run(lock, cache, "-m", "pdb", *options, "program.py", here=tmp_path).stdout
    assert [file for file, _ in places(said)] == ["core.py"], said
    assert said.index("is set") < said.index("imported")
    assert "('number', 4)" in said and "says 8 2.0" in said
