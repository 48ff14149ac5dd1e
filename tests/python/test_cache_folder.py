"""The cache's folder: how it is named, what becomes of it under a running process, and what its file system lacks."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.compiler import extension, suffix
from kit.preload import layered, without_locks
from kit.world import World

pytestmark = pytest.mark.once

WHERE = "import magic_module; print(magic_module.cache_dir())"

SOURCES: dict[str, str | bytes] = {
    "alpha/__init__.py": "VALUE = 1\n",
    "alpha/inner/__init__.py": "VALUE = 2\n",
    "alpha/inner/deep.py": "VALUE = 3\n",
    "alpha/data.txt": "text\n",
    "alpha/big.bin": b"big" * 1000,
    "beta.py": "VALUE = 4\n",
    "magic-module.toml": '[alpha]\nlazy = ["big.bin"]\n',
}

USE = """
    import json, pkgutil, magic_module as mm
    from magic_module.alpha.inner import deep
    import magic_module.alpha as alpha
    data = pkgutil.get_data("magic_module.alpha", "data.txt").decode()
    big = len(mm.data_path("magic_module.alpha", "big.bin").read_bytes())
    print(json.dumps([alpha.VALUE, deep.VALUE, data, big]))
    """
USED = [1, 3, "text\n", 3000]


@pytest.fixture
def served(world: World) -> World:
    world.publish(SOURCES)
    world.extra["MAGIC_MODULE_MANIFEST_URL"] = world.serve().manifest_url
    return world


def where(world: World, folder: str, **more: str | None) -> str:
    return world.run(WHERE, env={"MAGIC_MODULE_CACHE_DIR": folder, **more}).stdout.removesuffix("\n")


def refused(world: World, **env: str | None) -> str:
    result = world.run(WHERE, env=env, status=1)
    line = result.stderr.strip().splitlines()[-1]
    assert "ConfigurationError" in line, result.stderr
    return line


@pytest.mark.parametrize(("text", "below"), [("~", ""), ("~/", ""), ("~/a/b", "a/b"), ("~//a", "a"), ("~/~", "~")])
def test_a_tilde_is_the_home_directory(world: World, text: str, below: str) -> None:
    assert Path(where(world, text)) == world.home / below


@pytest.mark.parametrize("text", ["a~", "./~", "./~b/c", "a/~/b"])
def test_a_tilde_elsewhere_is_a_letter(world: World, text: str) -> None:
    assert Path(where(world, text)) == world.work / text


def test_an_absolute_path_stays_as_it_is(world: World) -> None:
    assert where(world, str(world.path / "~" / "a")) == str(world.path / "~" / "a")


def test_a_blank_one_is_none(world: World) -> None:
    for blank in ("", " ", "\t\n"):
        assert Path(where(world, blank, XDG_CACHE_HOME=None)).is_relative_to(world.home)


@pytest.mark.parametrize("text", ["~root", "~root/cache", "~nobody.of.this.name/cache"])
def test_the_home_of_another_user_is_refused(world: World, text: str) -> None:
    line = refused(world, MAGIC_MODULE_CACHE_DIR=text)
    assert f"MAGIC_MODULE_CACHE_DIR begins with {text.split('/')[0]}: " in line


def test_a_home_that_moves_is_none(world: World) -> None:
    """A relative one would be another folder after every `chdir`."""
    assert "has no home directory" in refused(world, MAGIC_MODULE_CACHE_DIR="~/cache", HOME="relative")
    assert "has no home directory" in refused(world, MAGIC_MODULE_CACHE_DIR=None, HOME="relative", XDG_CACHE_HOME=None)


@pytest.mark.parametrize("variable", ["MAGIC_MODULE_CACHE_DIR", "HOME", "XDG_CACHE_HOME"])
def test_a_path_that_is_no_text_is_refused(world: World, variable: str) -> None:
    odd = os.fsdecode(os.fsencode(world.path) + b"/odd\xff")
    env = {"MAGIC_MODULE_CACHE_DIR": None, "XDG_CACHE_HOME": None, variable: odd}
    line = refused(world, **env)
    assert "is not valid UTF-8" in line and "MAGIC_MODULE_CACHE_DIR" in line
    assert [path for path in world.path.iterdir() if path.name.startswith("odd")] == []


def test_the_credentials_may_lie_at_home(world: World) -> None:
    assert "NETRC begins with ~root" in refused(world, NETRC="~root/netrc")


VERBS = {
    "data": "mm.data_path('magic_module.alpha', 'data.txt').read_text() == 'text\\n'",
    "lazy data": "len(mm.data_path('magic_module.alpha', 'big.bin').read_bytes()) == 3000",
    "get_data": "pkgutil.get_data('magic_module.alpha', 'data.txt') == b'text\\n'",
    "resources": "resources.files('magic_module.alpha').joinpath('data.txt').read_text() == 'text\\n'",
    "submodule": "importlib.import_module('magic_module.alpha.inner.deep').VALUE == 3",
    "reload": "importlib.reload(alpha).VALUE == 1",
    "source": "inspect.getsource(alpha) == 'VALUE = 1\\n'",
    "other unit": "importlib.import_module('magic_module.beta').VALUE == 4",
    "extension": "importlib.import_module('magic_module.fast._fast').NUMBER == 42",
    "prefetch": "mm.prefetch('magic_module.alpha') is None or True",
    "available": "[name for name in mm.available() if 'alpha' in str(name)] != []",
    "info": "mm.info('magic_module.alpha').version is not None",
    "verify": "mm.verify() is not None",
    "prune": "mm.prune() is not None",
    "upgrade": "mm.upgrade() is not None",
    "force": "alpha._upgrade(force=True) is not None",
}


@pytest.mark.parametrize("removed", ["", "v1/trees", "v1/tmp", "v1/locks"])
def test_every_verb_heals_what_is_removed_under_a_running_process(world: World, removed: str) -> None:
    fast: dict[str, str | bytes] = {"fast/__init__.py": "", f"fast/_fast{suffix()}": extension(world.path, "_fast")}
    world.publish({**SOURCES, **fast})
    world.extra["MAGIC_MODULE_MANIFEST_URL"] = world.serve().manifest_url
    script = """
        import importlib, inspect, json, pkgutil, shutil, sys
        from importlib import resources
        import magic_module as mm
        import magic_module.alpha as alpha, magic_module.fast
        mm.data_path("magic_module.alpha", "big.bin")
        gone, verb = sys.argv[1:]
        shutil.rmtree(gone, ignore_errors=True)  # what a verb did not need is still gone
        assert eval(verb)
        """
    for name, verb in VERBS.items():
        result = world.run(script, args=[str(world.cache / removed), verb], status=None)
        assert result.status == 0, (name, result.stderr)
    assert world.run(USE).json == USED


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOTSUP], ids=os.strerror)
def test_where_there_are_no_locks_work_is_done_twice_and_nothing_fails(served: World, error: int) -> None:
    env = without_locks(served.path, error)
    started = [served.start(USE, env=env) for _ in range(8)]
    for process in started:
        result = served.finish(process)
        assert result.status == 0, result.stderr
        assert result.json == USED
    (server,) = served.servers
    server.take()
    assert served.run(USE, env=env).json == USED
    assert server.take() == [], "warm"
    force = "import magic_module.alpha as alpha; alpha._upgrade(force=True); print(alpha.VALUE)"
    for process in [served.start(force, env=env) for _ in range(4)]:
        result = served.finish(process)
        assert (result.status, result.stdout) == (0, "1\n"), result.stderr
    assert served.run("import magic_module as mm; print(mm.verify().ok)").stdout == "True\n"
    assert served.run("import magic_module as mm; mm.prune()", env=env).status == 0
    assert served.run(USE).json == USED


def inodes(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_ino for path in folder.rglob("*")}


def test_a_whole_tree_is_never_taken_away(served: World) -> None:
    """Somebody else has just named it, and not written its index yet: where there are no locks, both build it."""
    served.run(USE)
    trees = [tree for tree in served.trees() if (tree / "alpha").is_dir()]
    before = inodes(trees[0])
    for index in (served.cache / "v1" / "trees").glob("*.index"):
        index.unlink()
    for env in ({}, without_locks(served.path, errno.ENOLCK)):
        assert served.run(USE, env=env).json == USED
        assert inodes(trees[0]) == before
    assert served.run("import magic_module as mm; print(mm.verify().ok)").stdout == "True\n"
    (trees[0] / "alpha" / "__init__.py").unlink()
    for index in (served.cache / "v1" / "trees").glob("*.index"):
        index.unlink()
    assert served.run(USE).json == USED
    assert inodes(trees[0]) != before


def test_a_tree_of_an_image_is_built_anew(served: World) -> None:
    """A folder of a lower layer cannot be renamed: EXDEV."""
    served.run(USE)
    env = layered(served.path, "/v1/trees/")
    force = "import magic_module.alpha as alpha; alpha._upgrade(force=True); print(alpha.VALUE)"
    assert served.run(force, env=env).stdout == "1\n"
    for index in (served.cache / "v1" / "trees").glob("*.index"):
        index.write_text("damaged")
    assert served.run(USE, env=env).json == USED
    assert served.run("import magic_module as mm; print(mm.verify().ok)", env=env).stdout == "True\n"
    assert served.run("import magic_module as mm; mm.prune()", env=env).status == 0


def link(folder: Path) -> None:
    elsewhere = folder.parent / f"{folder.name}.elsewhere"
    shutil.move(folder, elsewhere)
    folder.symlink_to(elsewhere)


def open_to_others(folder: Path) -> None:
    folder.chmod(0o777)


def somebody_elses(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(folder, 65533, 65533)


STRANGERS = [link, open_to_others, somebody_elses]


@pytest.mark.parametrize("part", ["tmp", "locks", "lazy"])
@pytest.mark.parametrize("stranger", STRANGERS, ids=lambda stranger: stranger.__name__)
def test_nothing_is_written_through_a_folder_that_is_not_ours(
    served: World, stranger: Callable[[Path], None], part: str
) -> None:
    """Who may write to `tmp/` could swap a file between its check and its rename."""
    served.run("import magic_module.beta")
    stranger(served.cache / "v1" / part)
    result = served.run("import magic_module.alpha", status=1)
    assert f"v1/{part} cannot be used as a cache: " in result.stderr


@pytest.mark.parametrize("stranger", STRANGERS, ids=lambda stranger: stranger.__name__)
@pytest.mark.parametrize("inside", ["trees/*/alpha", "trees/*/alpha/inner", "lazy/*"])
def test_a_folder_inside_that_is_not_ours_is_damage(
    served: World, stranger: Callable[[Path], None], inside: str
) -> None:
    served.run(USE)
    (folder,) = (served.cache / "v1").glob(inside)
    stranger(folder)
    for _ in range(2):
        assert served.run(USE).json == USED
    assert folder.is_dir() and not folder.is_symlink()
    found = folder.stat()
    assert (found.st_mode & 0o022, found.st_uid) == (0, os.geteuid())
