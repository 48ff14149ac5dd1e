"""Projects of a lock that are worked on: imported as they lie, and visible as an installer would have linked them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit import sentences
from kit.interpreter import Interpreter
from kit.locks import Lock, python, run
from kit.wheels import wheel

PROJECT = """
[project]
name = "My.Project"
version = "1.2"
requires-python = ">=3.10"
dependencies = ["beta>=1"]
optional-dependencies = {extra = ["gamma"]}
scripts = {mine = "mine.cli:main"}
"""
ENTRY = '[[packages]]\nname = "my-project"\ndirectory = {{ path = "{path}", editable = true }}\n'
MOUNT = "import magic_module as mm; mount = mm.mount_lock({!r})\n"


def make(folder: Path, files: dict[str, str], *, path: str = ".") -> Lock:
    """A project, and the lock that was exported beside it."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return Lock(folder, [wheel("beta", "2.0", {"beta.py": "VALUE = 41"})], more=ENTRY.format(path=path))


@pytest.fixture
def lock(tmp_path: Path) -> Lock:
    code = "import beta\nVALUE = beta.VALUE + 1\n"
    main = "import mine, sys\ndef main(): print('mine', mine.VALUE, *sys.argv[1:])\n"
    files = {"pyproject.toml": PROJECT, "src/mine/__init__.py": code, "src/mine/cli.py": main}
    return make(tmp_path / "project", files)


def test_it_is_imported_as_it_lies_and_each_change_is_seen(lock: Lock, cache: Path) -> None:
    program = MOUNT.format(str(lock.path)) + "import mine; print(mine.VALUE, mine.__file__)"
    source = lock.folder / "src/mine/__init__.py"
    assert python(cache, program).stdout == f"42 {source}\n"
    source.write_text("VALUE = 'changed'\n")
    assert python(cache, program).stdout == f"changed {source}\n"
    assert run(lock, cache, "-c", "import mine; print(mine.__file__)").stdout == f"{source}\n"


def test_its_metadata_is_there_as_if_it_were_installed(lock: Lock, cache: Path) -> None:
    program = """
import json
from importlib.metadata import distribution, entry_points
it = distribution("my_project")
print(it.metadata["Name"], it.version, it.requires, it.metadata["Requires-Python"])
print([point.load().__name__ for point in entry_points(group="console_scripts", name="mine")])
print(json.loads(it.read_text("direct_url.json")))
"""
    expected = "My.Project 1.2 ['beta>=1', 'gamma ; extra == \"extra\"'] >=3.10\n['main']\n" + str(
        {"url": lock.folder.as_uri(), "dir_info": {"editable": True}}
    )
    assert python(cache, MOUNT.format(str(lock.path)) + program).stdout.strip() == expected
    assert run(lock, cache, "-c", program).stdout.strip() == expected
    assert run(lock, cache, "mine", "a").stdout == "mine 42 a\n"


def test_what_it_says_of_itself_is_read_again_when_it_changed(lock: Lock, cache: Path) -> None:
    file = lock.folder / "pyproject.toml"
    program = MOUNT.format(str(lock.path)) + "from importlib.metadata import version; print(version('my-project'))"
    assert python(cache, program).stdout == "1.2\n"
    file.write_text(PROJECT.replace('version = "1.2"', 'dynamic = ["version"]'))
    assert python(cache, program).stdout == "0\n"
    file.write_text(PROJECT.replace("mine =", "other ="))
    assert python(cache, program).stdout == "1.2\n"
    assert run(lock, cache, "other").stdout == "mine 42\n"
    file.unlink()
    assert python(cache, program).stdout == "0\n"


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ("", "mine.py"),
        ("", "src/mine.py"),
        ("[tool.setuptools.packages.find]\nwhere = ['lib']", "lib/mine.py"),
        ("[tool.setuptools]\npackage-dir = {'' = 'code/python'}", "code/python/mine.py"),
        ("[tool.uv.build-backend]\nmodule-root = ''", "mine.py"),
        ("[tool.hatch.build.targets.wheel]\npackages = ['lib/mine']", "lib/mine/__init__.py"),
    ],
)
def test_the_folder_that_is_imported_is_the_builders(tmp_path: Path, cache: Path, settings: str, place: str) -> None:
    lock = make(tmp_path / "project", {"pyproject.toml": PROJECT + settings, place: "VALUE = 7\n"})
    program = MOUNT.format(str(lock.path)) + "import mine; print(mine.VALUE)"
    assert python(cache, program).stdout == "7\n"


def test_a_path_counts_from_the_lock_and_moves_with_it(tmp_path: Path, cache: Path) -> None:
    code = {"../tools/mine.py": "VALUE = __file__\n"}
    lock = make(tmp_path / "one" / "project", code, path="../tools")
    assert python(cache, MOUNT.format(str(lock.path)) + "import mine; print(mine.VALUE)").stdout == (
        f"{tmp_path}/one/tools/mine.py\n"
    )
    moved = (tmp_path / "one").rename(tmp_path / "two") / "project" / "pylock.toml"
    assert python(cache, MOUNT.format(str(moved)) + "import mine; print(mine.VALUE)").stdout == (
        f"{tmp_path}/two/tools/mine.py\n"
    )


def test_closing_leaves_the_path_as_it_was(lock: Lock, cache: Path) -> None:
    folder = str(lock.folder / "src")
    program = f"""
import sys
import magic_module as mm
for first in (False, True):
    sys.path.insert(0, {folder!r})
    before = list(sys.path)
    mount = mm.mount_lock({str(lock.path)!r}, first=first)
    inside = [entry for entry in sys.path if entry == {folder!r}]
    mount.close()
    print(len(inside), sys.path == before)
    sys.path.remove({folder!r})
"""
    assert python(cache, program).stdout == "2 True\n2 True\n"


def test_a_project_that_is_gone_or_broken_is_named(lock: Lock, cache: Path) -> None:
    file, away = lock.folder / "pyproject.toml", lock.folder.parent / "away"
    lock.path = lock.path.rename(lock.folder.parent / "pylock.toml")
    text = lock.path.read_text().replace('path = "."', 'path = "project"').replace('"wheels/', '"away/wheels/')
    lock.path.write_text(text)
    mount = MOUNT.format(str(lock.path))
    with Interpreter(cache) as interpreter:
        lock.folder.rename(away)
        failure = interpreter.fail(mount)
        names = {"lock": lock.path, "folder": lock.folder}
        sentences.check("bad_lock", "a project that is gone", f"{failure.kind}: {failure.sentence}", **names)
        assert interpreter.fail("import mine").kind == "ModuleNotFoundError"
        away.rename(lock.folder)
        lock.path.write_text(text.replace("away/", "project/"))
        file.write_text("a b")
        failure = interpreter.fail(mount)
        sentences.check("bad_lock", "a project that is broken", f"{failure.kind}: {failure.sentence}", **names)
        file.write_text(PROJECT)
        assert interpreter.do(mount + "import mine; result = mine.VALUE") == 42
