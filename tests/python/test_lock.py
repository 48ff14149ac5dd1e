"""A lock as a lazy environment: every package is importable, and only what is imported is fetched."""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.compiler import extension, suffix
from kit.locks import Lock, python, run
from kit.wheels import Wheel, native_tag, wheel
from origins import Origin

MOUNT = "import magic_module as mm; mount = mm.mount_lock({lock!r})\n"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def packages() -> list[Wheel]:
    """A namespace that three share, a data scheme, scripts, entry points, and what requires what."""
    return [
        wheel("alpha", "1.0", {"alpha/__init__.py": "import beta; VALUE = beta.VALUE + 1"}, requires=["Beta>=1"]),
        wheel("Beta", "2.0", {"beta.py": "VALUE = 41"}, folders=True),
        wheel("space-one", "1.0", {"space/one.py": "NAME = __name__"}),
        wheel("space-two", "1.0", {"space/two/__init__.py": "from space import one; NAME = __name__ + one.NAME"}),
        wheel("space.three", "1.0", {"space/deep/three.py": "import space.one as it; NAME = it.NAME"}),
        wheel(
            "tool",
            "3.1",
            {"tool/__init__.py": "import sys\ndef main(): print('tool', *sys.argv[1:]); return 7"},
            scripts={"tool": "tool:main"},
            entry_points={"kit.plugins": {"first": "tool:main"}},
            data={
                "scripts/raw": "#!python\nimport sys, tool; print('raw', *sys.argv[1:])\n",
                "data/share/tool.txt": "x",
            },
        ),
    ]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Lock, Origin]]:
    folder = tmp_path / "project"
    (folder / "wheels").mkdir(parents=True)
    with Origin(folder / "wheels") as origin:
        yield Lock(folder, packages(), url=origin.url), origin


@pytest.fixture
def lock(tmp_path: Path) -> Lock:
    return Lock(tmp_path / "project", packages())


def mounted(lock: Lock, cache: Path, program: str, status: int | None = 0, **settings: str) -> str:
    """What a program prints in a plain interpreter that mounts the lock by itself."""
    return python(cache, MOUNT.format(lock=str(lock.path)) + program, settings, status).stdout.strip()


def whole(origin: Origin) -> set[str]:
    """The wheels that were downloaded, and not only looked into."""
    taken = [request for request in origin.take() if "range" not in request.headers]
    return {request.path.strip("/").partition("-")[0] for request in taken}


def test_only_what_is_imported_is_fetched_and_with_it_what_it_requires(
    served: tuple[Lock, Origin], cache: Path
) -> None:
    lock, origin = served
    assert mounted(lock, cache, "import alpha; print(alpha.VALUE)") == "42"
    assert whole(origin) == {"alpha", "beta"}


def test_a_warm_run_asks_nobody(served: tuple[Lock, Origin], cache: Path) -> None:
    lock, origin = served
    mounted(lock, cache, "import alpha")
    origin.take()
    assert mounted(lock, cache, "import alpha; print(alpha.VALUE)", MAGIC_MODULE_OFFLINE="1") == "42"
    assert origin.take() == []


def test_offline_the_error_names_the_package_and_the_variable(served: tuple[Lock, Origin], cache: Path) -> None:
    lock, _ = served
    mounted(lock, cache, "import alpha")
    program = """
    import magic_module.errors as errors
    try:
        import tool
    except errors.OfflineError as error:
        print(error)
    """
    said = mounted(lock, cache, program.replace("\n    ", "\n"), MAGIC_MODULE_OFFLINE="1")
    assert said.startswith("tool is not in the cache, and MAGIC_MODULE_OFFLINE forbids to ask ")


def test_nothing_is_asked_for_what_is_not_in_the_lock(served: tuple[Lock, Origin], cache: Path) -> None:
    lock, origin = served
    program = "try: import nowhere\nexcept ModuleNotFoundError as error: print(type(error).__name__)"
    assert mounted(lock, cache, program) == "ModuleNotFoundError"
    assert whole(origin) == set()


def test_find_spec_answers_and_downloads_nothing(served: tuple[Lock, Origin], cache: Path) -> None:
    lock, origin = served
    program = """
from importlib.util import find_spec
spec = find_spec("tool")
print(spec.origin.endswith("site-packages/tool/__init__.py"), spec.cached is not None, find_spec("nowhere"))
print(spec.origin.startswith(str(mount.view)), find_spec("space").origin, find_spec("beta").submodule_search_locations)
"""
    assert mounted(lock, cache, program) == "True True None\nTrue None None"
    assert whole(origin) == set()


def test_a_namespace_that_wheels_share(lock: Lock, cache: Path) -> None:
    program = """
import pkgutil, space, space.two, space.deep.three
print(space.two.NAME, space.deep.three.NAME, type(space.__path__).__name__, space.__file__)
print(sorted(name for _, name, _ in pkgutil.iter_modules(space.__path__)))
print(sorted(name for _, name, _ in pkgutil.iter_modules() if name in {"alpha", "beta", "space", "tool"}))
"""
    path = "_NamespacePath None"
    assert (
        mounted(lock, cache, program)
        == f"space.twospace.one space.one {path}\n['one', 'two']\n['alpha', 'beta', 'tool']"
    )


def test_a_folder_of_a_wheel_on_the_path_has_what_is_in_it_and_nothing_else(tmp_path: Path, cache: Path) -> None:
    program = """
    import os, sys
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "vendored"))
    import bundled, platform, stringprep
    NAME = bundled.NAME
    """
    files = {"host/__init__.py": program, "host/vendored/bundled.py": "NAME = __name__"}
    lock = Lock(tmp_path / "project", [wheel("host", "1", files)])
    assert mounted(lock, cache, "import host; print(host.NAME, 'site' in host.platform.__file__)") == "bundled False"


def test_files_are_seen_through_the_view(lock: Lock, cache: Path) -> None:
    program = """
import inspect, os, alpha, beta
site = os.path.join(mount.view, "lib", "python%d.%d" % __import__("sys").version_info[:2], "site-packages")
print(alpha.__file__ == os.path.join(site, "alpha", "__init__.py"), beta.__file__ == os.path.join(site, "beta.py"))
print(inspect.getsource(beta).strip(), os.path.islink(os.path.join(site, "beta.py")), hasattr(alpha, "_upgrade"))
"""
    assert mounted(lock, cache, program) == "True True\nVALUE = 41 True False"


def test_an_extension_module(tmp_path: Path, cache: Path) -> None:
    fast = wheel("fast", "1", {f"fast{suffix()}": extension(tmp_path, "fast")}, tag=native_tag())
    lock = Lock(tmp_path / "project", [fast])
    assert mounted(lock, cache, "import fast; print(fast.twice(21), fast.NUMBER)") == "42 42"


def test_what_is_installed_wins_unless_the_lock_comes_first(lock: Lock, cache: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed" / "site-packages"
    installed.mkdir(parents=True)
    (installed / "beta.py").write_text("VALUE = 'installed'")
    ahead = f"import sys; sys.path.append({str(installed)!r})\n"
    program = "import magic_module as mm; mm.mount_lock({!r}, first={})\nimport beta; print(beta.VALUE)"
    for first, value in ((False, "installed"), (True, "41")):
        assert python(cache, ahead + program.format(str(lock.path), first)).stdout.strip() == value


def test_closing_takes_the_packages_away(lock: Lock, cache: Path) -> None:
    program = """
import beta
mount.close()
try: import tool
except ModuleNotFoundError: print(beta.VALUE, str(mount.view) in "".join(__import__("sys").path))
"""
    assert mounted(lock, cache, program) == "41 False"


def test_the_same_call_is_the_same_mount(lock: Lock, cache: Path) -> None:
    program = f"print(mm.mount_lock({str(lock.path)!r}) == mount, mount.namespace == '')"
    assert mounted(lock, cache, program) == "True True"


def test_units_of_a_lock_are_not_moved(lock: Lock, cache: Path) -> None:
    program = """
import beta
for act in (mm.upgrade, mm.rollback):
    try: act("beta")
    except mm.errors.PolicyError as error: print(str(error).replace({folder!r}, "."))
print(mm.upgrade())
"""
    sentence = "the lock ./pylock.toml says which versions are used; resolve it again: magic-module lock --upgrade NAME"
    said = mounted(lock, cache, program.replace("{folder!r}", repr(str(lock.folder))))
    assert said == f"{sentence}\n{sentence}\n[]"


def test_run_is_the_program_in_an_environment_of_its_own(lock: Lock, cache: Path, tmp_path: Path) -> None:
    script = tmp_path / "report.py"
    script.write_text(
        "import alpha, sys\nprint(alpha.VALUE, sys.argv[1:], sys.prefix != sys.base_prefix, __name__)\nsys.exit(3)"
    )
    ended = run(lock, cache, "report.py", "--lock", "x", "-m", status=3)
    assert (ended.stdout, ended.stderr) == ("42 ['--lock', 'x', '-m'] True __main__\n", "")


@pytest.mark.parametrize(
    ("program", "printed", "status"),
    [
        (("-c", "import alpha, sys; print(alpha.VALUE, sys.argv)", "a"), "42 ['-c', 'a']\n", 0),
        (("-m", "beta"), "", 0),
        (("tool", "a", "-b"), "tool a -b\n", 7),
        (("raw", "a"), "raw a\n", 0),
    ],
)
def test_run_takes_modules_code_and_scripts(
    lock: Lock, cache: Path, program: tuple[str, ...], printed: str, status: int
) -> None:
    ended = run(lock, cache, *program, status=status)
    assert (ended.stdout, ended.stderr) == (printed, "")


@pytest.mark.parametrize("arguments", [(), ("-m",), ("-c",)])
def test_run_without_a_program_is_wrong_usage(lock: Lock, cache: Path, arguments: tuple[str, ...]) -> None:
    assert "nothing to run" in run(lock, cache, *arguments, status=2).stderr


def test_run_finds_its_lock(lock: Lock, cache: Path, tmp_path: Path) -> None:
    inside = lock.folder / "inside"
    inside.mkdir()
    code = ("-c", "import beta; print(beta.VALUE)")
    assert run(None, cache, *code, here=inside).stdout == "41\n"
    assert run(None, cache, *code, settings={"MAGIC_MODULE_LOCK": str(lock.path)}).stdout == "41\n"
    assert "there is no pylock.toml here or above" in run(None, cache, *code, status=2).stderr
    (inside / "job.py").write_text("import beta; print(beta.VALUE)")
    lock.path.rename(inside / "pylock.job.toml")
    (lock.folder / "wheels").rename(inside / "wheels")
    assert run(None, cache, str(inside / "job.py")).stdout == "41\n"


def test_what_is_neither_a_file_nor_a_script_is_named(lock: Lock, cache: Path) -> None:
    assert run(lock, cache, "nowhere", status=1).stderr == (
        "magic-module: nowhere is neither a file nor a script of the lock; "
        "check the path; a console script must be one of the lock's packages\n"
    )


def test_children_see_the_same_environment(lock: Lock, cache: Path, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        """
import multiprocessing, shutil, subprocess, sys

def value(number):
    import alpha
    return alpha.VALUE + number

if __name__ == "__main__":
    code = "import alpha; print(alpha.VALUE)"
    for python in (sys.executable, "python"):
        print(subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip())
    print(subprocess.run(["tool", "x"], capture_output=True, text=True).stdout.strip(), shutil.which("raw") is not None)
    for method in ("spawn", "fork"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            print(pool.map(value, [0, 1]))
"""
    )
    assert run(lock, cache, "parent.py").stdout == "42\n42\ntool x True\n[42, 43]\n[42, 43]\n"


def test_spawned_children_have_what_their_parent_mounted(lock: Lock, cache: Path, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        f"""
import multiprocessing

def value(_):
    import alpha
    return alpha.VALUE

if __name__ == "__main__":
    import magic_module
    magic_module.mount_lock({str(lock.path)!r})
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(value, [0]))
"""
    )
    assert python(cache, f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')").stdout == "[42]\n"


def has_start_line() -> bool:
    line = Path(sysconfig.get_path("purelib"), "magic_module.pth")
    return line.is_file() and "_py.start" in line.read_text()


@pytest.mark.skipif(not has_start_line(), reason="the wheel is not installed: an editable install has no start line")
def test_the_environment_mounts_when_an_interpreter_starts(lock: Lock, cache: Path) -> None:
    program = "import importlib.util; print(importlib.util.find_spec('alpha') is not None)"
    one = {"MAGIC_MODULE_LOCK": str(lock.path)}
    many = {"MAGIC_MODULE_MOUNTS": json.dumps([{"lock": str(lock.path)}])}
    assert python(cache, program).stdout == "False\n"
    assert python(cache, program, one).stdout == "True\n"
    assert python(cache, program, many).stdout == "True\n"
    assert python(cache, program, {**one, "MAGIC_MODULE_START": "0"}).stdout == "False\n"


def test_two_that_bring_different_code_to_one_path(tmp_path: Path, cache: Path) -> None:
    both = [wheel("one", "1", {"both.py": "X = 1", "one.py": ""}), wheel("two", "1", {"both.py": "X = 2"})]
    lock = Lock(tmp_path / "project", both)
    program = "try: import one, both\nexcept ImportError as error: print(type(error).__name__, error)"
    assert mounted(lock, cache, program) == (
        "IntegrityError one and two each bring another both.py; "
        "leave one of them out of the lock, or ask their authors which belongs there"
    )


TRY = """
try: import beta
except ImportError as error: print(type(error).__name__)
else: print(beta.VALUE)
"""


def another(right: Wheel) -> Wheel:
    """Other code in a wheel of the same name and size."""
    others = (wheel("Beta", "2.0", {"beta.py": f"VALUE = {value}"}, folders=True) for value in range(42, 99))
    return next(other for other in others if len(other.data) == len(right.data))


def test_a_wheel_that_is_not_what_the_lock_says(served: tuple[Lock, Origin], cache: Path) -> None:
    lock, _ = served
    mounted(lock, cache, "pass")
    right = lock.wheels["Beta"]
    (lock.folder / "wheels" / right.filename).write_bytes(another(right).data)
    assert mounted(lock, cache, TRY) == "IntegrityError"


def test_what_a_server_said_of_a_wheel_that_it_did_not_give_is_not_kept(
    served: tuple[Lock, Origin], cache: Path
) -> None:
    lock, _ = served
    right = lock.wheels["Beta"]
    place = lock.folder / "wheels" / right.filename
    place.write_bytes(another(right).data)
    mounted(lock, cache, "pass")
    place.write_bytes(right.data)
    assert mounted(lock, cache, TRY) == "IntegrityError"
    assert mounted(lock, cache, TRY) == "41"
