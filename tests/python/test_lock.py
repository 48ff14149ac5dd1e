"""A lock as a lazy environment: every package is importable, and only what is imported is fetched."""

from __future__ import annotations

import sys
from pathlib import Path

from kit.compiler import extension, suffix
from kit.locks import Lock, python, whole
from kit.wheels import Wheel, native_tag, wheel
from origins import Origin

MOUNT = "import magic_module as mm; mount = mm.mount_lock({lock!r})\n"


def mounted(lock: Lock, cache: Path, program: str, status: int | None = 0, **settings: str) -> str:
    """What a program prints in a plain interpreter that mounts the lock by itself."""
    return python(cache, MOUNT.format(lock=str(lock.path)) + program, settings, status).stdout.strip()


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
    assert said.startswith("tool is not in the cache, and MAGIC_MODULE_OFFLINE forbids asking ")


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
    path = "NamespacePath None" if sys.version_info >= (3, 15) else "_NamespacePath None"
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


def test_a_requirement_that_cannot_be_read_counts_for_nothing(tmp_path: Path, cache: Path) -> None:
    old = wheel("old", "1", {"old.py": "import new"}, requires=["new", ">=2 ; what"])
    lock = Lock(tmp_path / "project", [old, wheel("new", "1", {"new.py": ""})])
    assert mounted(lock, cache, "import old; print(old.new.__name__)") == "new"


def test_settings_are_there_before_anything_is_imported(tmp_path: Path, cache: Path) -> None:
    kernel = wheel("kernel", "1", {"kernel.py": ""}, data={"data/etc/jupyter/shim.json": "{}", "data/share/x": "far"})
    lock = Lock(tmp_path / "project", [kernel, wheel("other", "1", {"other.py": ""}, data={"data/share/y": "far"})])
    program = """
import os
print(open(os.path.join(mount.view, "etc", "jupyter", "shim.json")).read())
print(os.path.exists(os.path.join(mount.view, "share", "y")))
"""
    assert mounted(lock, cache, program) == "{}\nFalse"


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
