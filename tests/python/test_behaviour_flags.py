"""Interpreter flags, bytecode, planted files, zip applications, subinterpreters."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipapp
from collections.abc import Callable
from pathlib import Path

import pytest

import magic_module
from kit.sources import write_tree
from kit.world import Acme, World

Make = Callable[..., Acme]

UNITS = {
    "plain.py": '"""Documented."""\nVALUE = 1\nDEBUG = __debug__\n',
    "pack/__init__.py": "from . import inner\n",
    "pack/inner.py": "WHO = 'published'\n",
    "pack/data.txt": "data",
}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], "True True published"),
        (["-B"], "True True published"),
        (["-O"], "False True published"),
        (["-OO"], "False False published"),
        (["-I"], "True True published"),
        (["-E"], "True True published"),
        (["-s"], "True True published"),
        (["-X", "importtime"], "True True published"),
        (["-X", "dev"], "True True published"),
        (["-X", "utf8"], "True True published"),
        (["-v"], "True True published"),
        pytest.param(
            ["-P"],
            "True True published",
            marks=pytest.mark.skipif(sys.version_info < (3, 11), reason="-P is new in 3.11"),
        ),
        pytest.param(
            ["-X", "frozen_modules=off"],
            "True True published",
            marks=pytest.mark.skipif(sys.version_info < (3, 11), reason="frozen_modules is new in 3.11"),
        ),
    ],
)
def test_flags(acme: Make, flags: list[str], expected: str) -> None:
    made = acme(UNITS)
    # -I and -E ignore PYTHONPATH; the settings of magic_module are read all the same.
    script = f"""
        import sys
        sys.path.insert(0, {str(made.folder)!r})
        import acme.plain as plain, acme.pack
        print(plain.DEBUG, plain.__doc__ is not None, acme.pack.inner.WHO)
        """
    result = made.run(script, flags=flags, env={"PYTHONPATH": None})
    assert result.stdout.strip() == expected
    if "importtime" in flags:
        assert "acme.pack.inner" in result.stderr


def test_optimisation_levels_do_not_mix(acme: Make) -> None:
    """Compiled code of one level is never run at another."""
    units = {"level.py": '"""Doc."""\ndef check():\n    assert False, "asserted"\n    return "passed"\n'}
    made = acme(units)
    script = """
        import acme.level as level
        try:
            print(level.check(), level.__doc__)
        except AssertionError:
            print("asserted", level.__doc__)
        """
    made.run(script)
    for _ in range(2):
        assert made.world.run(script).stdout.strip() == "asserted Doc."
        assert made.world.run(script, flags=["-O"]).stdout.strip() == "passed Doc."
        assert made.world.run(script, flags=["-OO"]).stdout.strip() == "passed None"


def test_pycacheprefix(acme: Make) -> None:
    made = acme(UNITS)
    prefix = made.world.path / "prefix"
    result = made.run(
        """
        import importlib.util
        import acme.plain as plain
        print(plain.VALUE, plain.__spec__.cached == importlib.util.cache_from_source(plain.__file__),
            plain.__spec__.cached.startswith(PREFIX))
        """.replace("PREFIX", repr(str(prefix))),
        env={"PYTHONPYCACHEPREFIX": str(prefix)},
    )
    assert result.stdout.strip() == "1 True True"


PLANT = """
    import importlib._bootstrap_external as external, importlib.util, marshal, os, sys
    import acme.plain, acme.pack

    code = marshal.dumps(compile("WHO = VALUE = 'PLANTED'; DEBUG = None", "planted", "exec"))
    for module in (acme.plain, acme.pack, acme.pack.inner):
        status = os.stat(module.__file__)
        cached = importlib.util.cache_from_source(module.__file__)
        legacy = module.__file__ + "c"
        size, time = status.st_size, int(status.st_mtime)
        source = open(module.__file__, "rb").read()
        kinds = {
            "timestamp": external._code_to_timestamp_pyc(marshal.loads(code), time, size),
            "unchecked": external._code_to_hash_pyc(marshal.loads(code), importlib.util.source_hash(source), False),
            "checked": external._code_to_hash_pyc(marshal.loads(code), importlib.util.source_hash(source), True),
        }
        for target in (cached, legacy):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(kinds[KIND])
    print("planted")
    """
USE = "import acme.plain as p, acme.pack.inner as k; print(p.VALUE, k.WHO, p.DEBUG)"


@pytest.mark.parametrize("kind", ["timestamp", "unchecked", "checked"])
@pytest.mark.parametrize("prefix", [False, True], ids=["beside", "prefix"])
def test_planted_bytecode_is_never_run(world: World, kind: str, prefix: bool) -> None:
    made = Acme(world, "hook", UNITS)
    env = {"PYTHONPYCACHEPREFIX": str(world.path / "prefix")} if prefix else {}
    script = PLANT.replace("KIND", repr(kind))
    assert world.run(script, env=env).stdout.strip() == "planted"
    for flags in ([], ["-O"], ["--check-hash-based-pycs", "never"]):
        assert world.run(USE, env=env, flags=flags).stdout.split()[:2] == ["1", "published"]
    assert made.server is not None
    made.server.stop()
    assert world.run(USE, env=env).stdout.split()[:2] == ["1", "published"]


@pytest.mark.parametrize("kind", ["timestamp", "unchecked", "checked"])
def test_the_same_bytecode_runs_when_plainly_installed(world: World, kind: str) -> None:
    """Shows that the planted files are good ones: without the hook CPython runs them."""
    Acme(world, "installed", UNITS)
    assert world.run(PLANT.replace("KIND", repr(kind))).stdout.strip() == "planted"
    assert world.run(USE).stdout.split()[:2] == ["PLANTED", "PLANTED"]


def test_an_extra_source_in_a_tree_is_never_run(world: World) -> None:
    made = Acme(world, "hook", UNITS)
    world.run(
        """
        import os
        import acme.pack
        here = os.path.dirname(acme.pack.__file__)
        for path in ("extra.py", "inner/__init__.py", "sub/__init__.py", "extra2.pyc", "space/deep.py"):
            target = os.path.join(here, path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "w") as file:
                file.write("WHO = 'PLANTED'; print('PLANTED')")
        with open(os.path.join(os.path.dirname(here), "stray.py"), "w") as file:
            file.write("print('PLANTED')")
        """
    )
    for _ in range(2):
        result = world.run(
            """
            import importlib, importlib.util, pkgutil, sys
            import acme.pack
            print(acme.pack.inner.WHO)
            for name in ("extra", "sub", "extra2", "space", "space.deep"):
                try:
                    importlib.import_module(f"acme.pack.{name}")
                    print("ran", name)
                except ModuleNotFoundError as error:
                    assert importlib.util.find_spec(error.name) is None
            try:
                import acme.stray
            except ModuleNotFoundError:
                pass
            print(sorted(module.name for module in pkgutil.iter_modules(acme.pack.__path__)))
            print(sorted(module.name for module in pkgutil.iter_modules(acme.__path__)))
            sys.path.insert(0, acme.pack.__path__[0])
            try:
                import extra
            except ModuleNotFoundError:
                print("never")
            """
        )
        assert result.stdout.splitlines() == ["published", "['inner']", "['pack', 'plain']", "never"]
    assert made.server is not None


def test_a_changed_source_is_never_run(world: World) -> None:
    made = Acme(world, "hook", UNITS)
    assert made.server is not None
    change = """
        import os
        import acme.pack.inner as inner
        status = os.stat(inner.__file__)
        os.chmod(inner.__file__, 0o644)
        with open(inner.__file__, "w") as file:
            file.write("WHO = 'tamper!!!'\\n")
        os.utime(inner.__file__, ns=(status.st_atime_ns, status.st_mtime_ns))
        """
    world.run(change)
    for env in ({}, {"MAGIC_MODULE_VERIFY": "full"}):
        assert world.run(USE, env=env).stdout.split()[:2] == ["1", "published"]
    world.run(change)
    made.server.stop()
    result = world.run(USE, env={"MAGIC_MODULE_OFFLINE": "1"})
    assert result.stdout.split()[:2] == ["1", "published"], result.stderr


def test_compiled_code_is_kept_once(world: World) -> None:
    Acme(world, "hook", UNITS)
    full = {"MAGIC_MODULE_VERIFY": "full"}
    again = "import acme.pack\nfor _ in range(3):\n    acme.pack.__loader__.get_code('acme.pack')\n"

    def packs() -> list[Path]:
        return list(world.cache.glob("v1/mounts/*/code/*"))

    world.run(again, env=full)
    assert packs() == []
    world.run("import acme.pack")
    [pack] = packs()
    once = pack.read_bytes()
    world.run(again, env=full)
    assert pack.read_bytes() == once
    pack.unlink()
    world.run(again)
    assert len(pack.read_bytes()) == len(once)


def test_nothing_is_written_into_a_tree(world: World) -> None:
    made = Acme(world, "hook", UNITS)
    script = f"import sys; sys.dont_write_bytecode = False\n{USE}"
    world.run(script)
    before = sorted(str(path) for path in (world.cache / "v1" / "trees").rglob("*"))
    world.run(script)
    after = sorted(str(path) for path in (world.cache / "v1" / "trees").rglob("*"))
    assert before == after
    assert not [path for path in after if "__pycache__" in path]
    assert made.server is not None


def test_zipapp(acme: Make, tmp_path: Path) -> None:
    """The author's package, or the package itself, comes out of a zip archive."""
    made = acme(UNITS)
    archive = tmp_path / "app.pyz"
    write_tree(
        made.folder, {"__main__.py": "import acme.plain, acme.pack\nprint(acme.plain.VALUE, acme.pack.inner.WHO)\n"}
    )
    zipapp.create_archive(made.folder, archive)
    result = made.run(None, args=[str(archive)], env={"PYTHONPATH": None})
    assert result.stdout.strip() == "1 published"


def test_author_package_in_a_zip_on_the_path(acme: Make, tmp_path: Path) -> None:
    made = acme(UNITS)
    archive = tmp_path / "library.zip"
    zipapp.create_archive(made.folder, archive, main="acme.plain:VALUE")
    result = made.run(USE, env={"PYTHONPATH": str(archive)})
    assert result.stdout.strip() == "1 published True"


def test_working_directory_that_is_gone(acme: Make) -> None:
    made = acme(UNITS)
    result = made.run(
        """
        import os, tempfile
        gone = tempfile.mkdtemp()
        os.chdir(gone)
        os.rmdir(gone)
        import acme.plain
        print(acme.plain.VALUE)
        """
    )
    assert result.stdout.strip() == "1"


def test_standard_streams_that_are_closed(acme: Make, tmp_path: Path) -> None:
    made = acme(UNITS)
    script = f"import acme.plain; open({str(tmp_path / 'seen')!r}, 'w').write(str(acme.plain.VALUE))"
    made.run(script)
    line = f"exec {sys.executable!r} -W error -c {script!r} <&- >&- 2>&-".replace("'" + script + "'", f'"{script}"')
    (tmp_path / "seen").unlink()
    subprocess.run(["sh", "-c", line], env=made.world.environment(), cwd=made.world.work, check=True)
    assert (tmp_path / "seen").read_text() == "1"


@pytest.mark.once
def test_a_zip_archive_with_the_product_inside_gets_a_clear_answer(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "application"
    shutil.copytree(Path(magic_module.__file__).parent, folder / "magic_module")
    (folder / "__main__.py").write_text("import magic_module\n")
    zipapp.create_archive(folder, tmp_path / "application.pyz")
    said = world.run(None, args=[str(tmp_path / "application.pyz")], status=1).stderr.splitlines()[-1]
    assert said.startswith("ImportError: magic_module cannot be loaded from a zip archive") and "shiv" in said


@pytest.mark.once
def test_a_free_threaded_interpreter_gets_a_clear_answer(world: World) -> None:
    """None is needed here: what it does when it loads the wheel, a finder does in its place."""
    said = world.run(
        """
        import sys
        sys.abiflags += "t"
        class Finder:
            def find_spec(name, path=None, target=None):
                if name == "magic_module._native":
                    raise SystemError("initialization of _native did not return an extension module")
        sys.meta_path.insert(0, Finder)
        try:
            import magic_module
        except ImportError as error:
            print(error, "|", type(error.__cause__).__name__, "|", "magic_module" in sys.modules)
        """
    ).stdout
    assert said.startswith("magic_module cannot be loaded by this free-threaded Python: ")
    assert said.endswith(" | SystemError | False\n")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="isolated subinterpreters are new in 3.12")
def test_isolated_subinterpreter_gets_a_clear_answer(world: World) -> None:
    Acme(world, "hook", UNITS)
    if sys.version_info >= (3, 13):
        create = "import _interpreters as i; sub = i.create('isolated'); run = lambda s: i.run_string(sub, s)"
    else:
        create = "import _xxsubinterpreters as i; sub = i.create(isolated=True); run = lambda s: i.run_string(sub, s)"
    result = world.run(
        f"""
        import os
        import acme.plain
        {create}
        script = '''
        import sys
        sys.path.insert(0, {(world.path / "hook").as_posix()!r})
        try:
            import magic_module
            print("imported")
        except ImportError as error:
            print(type(error).__name__, error, flush=True)
        '''
        import textwrap
        problem = run(textwrap.dedent(script))
        print(problem)
        """,
        warnings=False,
    )
    first, problem = result.stdout.strip().splitlines()
    assert problem == "None"
    assert first.startswith("ImportError") and "interpreter" in first, first
    assert "magic_module" in first, "the sentence names who cannot be imported"


def test_a_subinterpreter_of_the_old_kind(world: World) -> None:
    """Works, where it is the first that imports the product."""
    Acme(world, "hook", UNITS)
    result = world.run(
        """
        import textwrap
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        import sys
        if sys.version_info >= (3, 13):
            sub = interpreters.create("legacy")
        elif sys.version_info >= (3, 10):
            sub = interpreters.create(isolated=False)
        interpreters.run_string(sub, textwrap.dedent('''
            try:
                import acme.plain
                print("value", acme.plain.VALUE, flush=True)
            except ImportError as error:
                print("refused", error, flush=True)
            '''))
        print("alive")
        """,
        warnings=False,
    )
    first, last = result.stdout.strip().splitlines()
    assert last == "alive"
    assert first == "value 1"
