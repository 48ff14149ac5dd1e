"""What is installed wins over a lock: it must be what the lock's packages require, and is told where it differs."""

from __future__ import annotations

import shutil
import zipfile
from io import BytesIO
from pathlib import Path

import packaging
import pytest

import magic_module
from kit import process, sentences
from kit.interpreter import Interpreter, environment
from kit.locks import Lock, python, run
from kit.wheels import Wheel, wheel

try:
    import tomllib
except ModuleNotFoundError:  # before Python 3.11
    tomllib = None  # type: ignore[assignment]

ALPHA = {"alpha.py": "import sys; import beta; sys.stdout.write('ran ')\nVALUE = beta.VALUE\n"}


def install(folder: Path, *wheels: Wheel) -> Path:
    """As `pip install --target` does it."""
    for each in wheels:
        with zipfile.ZipFile(BytesIO(each.data)) as archive:
            archive.extractall(folder)
    return folder


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    return tmp_path / "installed"


@pytest.fixture
def lock(tmp_path: Path) -> Lock:
    beta = wheel("beta", "2.0", {"beta.py": "VALUE = 'locked'\n"})
    return Lock(tmp_path / "project", [wheel("alpha", "1.0", ALPHA, requires=["beta>=1.5"]), beta])


def mount(lock: Lock, installed: Path, first: bool = False) -> str:
    return (
        f"import sys; sys.path.append({str(installed)!r})\n"
        f"import magic_module as mm; mount = mm.mount_lock({str(lock.path)!r}, first={first})\n"
    )


def test_what_does_not_meet_a_requirement_is_named_before_the_code_runs(
    lock: Lock, cache: Path, installed: Path
) -> None:
    install(installed, wheel("beta", "1.0", {"beta.py": "VALUE = 'old'\n"}))
    with Interpreter(cache) as interpreter:
        failure = interpreter.fail(mount(lock, installed) + "import alpha")
        assert interpreter.do("result = 'alpha' in sys.modules or 'beta' in sys.modules") is False
        shown = failure.sentence.replace(interpreter.do("result = sys.executable"), "{python}")
        sentences.check("bad_lock", "installed, and not what is required", f"{failure.kind}: {shown}")
        assert interpreter.do("import beta; result = beta.VALUE") == "old"
        shutil.rmtree(installed)
        install(installed, wheel("beta", "2.0", {"beta.py": "VALUE = 'new'\n"}))
        assert interpreter.do("del sys.modules['beta']; import alpha; result = alpha.VALUE") == "new"


def test_another_version_is_told_once_with_both(lock: Lock, cache: Path, installed: Path) -> None:
    install(installed, wheel("beta", "1.7", {"beta.py": "VALUE = 'installed'\n"}))
    program = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import alpha
    del sys.modules["alpha"]
    import alpha
print(alpha.VALUE, [(it.category.__name__, str(it.message)) for it in caught])
"""
    said = python(cache, mount(lock, installed) + program).stdout.replace("ran ", "").strip()
    value, _, told = said.partition(" ")
    assert value == "installed"
    sentences.check("bad_lock", "installed in another version", told)
    first = python(cache, mount(lock, installed, first=True) + program).stdout.replace("ran ", "").strip()
    assert first == "locked []"


@pytest.mark.parametrize("version", ["2.0", "2"])
def test_the_same_version_is_nothing_to_tell(lock: Lock, cache: Path, installed: Path, version: str) -> None:
    """Warnings are errors in this interpreter."""
    install(installed, wheel("beta", version, {"beta.py": "VALUE = 'installed'\n"}))
    assert python(cache, mount(lock, installed) + "import alpha; print(alpha.VALUE)").stdout == "ran installed\n"


def test_what_no_requirement_names_is_not_looked_at(lock: Lock, cache: Path, installed: Path) -> None:
    install(installed, wheel("alpha", "0.1", {"alpha.py": "VALUE = 'installed'\n"}))
    program = mount(lock, installed) + "import alpha, beta; print(alpha.VALUE, beta.VALUE)"
    assert python(cache, program).stdout == "installed locked\n"


def test_in_a_view_nothing_is_installed(lock: Lock, cache: Path) -> None:
    assert run(lock, cache, "-c", "import alpha; print(alpha.VALUE)").stdout == "ran locked\n"


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """A folder of installed packages in which nobody but our own wheel requires `packaging`."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "magic_module").symlink_to(Path(magic_module.__file__).parent)
    (folder / "packaging").symlink_to(Path(packaging.__file__).parent)
    for name, lines in {"packaging-26.1": "", "magic_module-0.1.0": "Requires-Dist: packaging>=26.1\n"}.items():
        info = folder / f"{name}.dist-info"
        info.mkdir()
        title, _, version = name.partition("-")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {title}\nVersion: {version}\n{lines}")
    return folder


def bare(cache: Path, folder: Path, program: str) -> str:
    """What a program prints that has nothing installed but what is in the folder."""
    line = process.command(f"import sys; sys.path.append({str(folder)!r})\n" + program, flags=["-S"])
    return process.run(line, environment(cache, None), cache.parent).stdout.strip()


def test_what_only_our_wheel_requires_is_the_locks(tmp_path: Path, cache: Path, ours: Path) -> None:
    own = wheel("packaging", "99.0", {"packaging/__init__.py": "WHO = 'lock'\n", "packaging/inside.py": "IN = 1\n"})
    asking = wheel("asking", "1.0", {"asking.py": "import packaging\nWHO = packaging.WHO\n"}, requires=["packaging>90"])
    lock = Lock(tmp_path / "project", [own, asking, wheel("gamma", "2.0", {"gamma.py": ""})])
    mount = f"import magic_module as mm; mm.mount_lock({str(lock.path)!r})\n"
    program = (
        mount + "import packaging, packaging.inside, asking; print(packaging.WHO, asking.WHO, packaging.inside.IN)"
    )
    assert bare(cache, ours, program) == "lock lock 1"
    # The program imported it before.
    program = "import packaging\n" + mount + "import packaging.version; print(hasattr(packaging, 'WHO'))"
    assert bare(cache, ours, program) == "False"
    # Something else on the path comes first, as ever.
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "packaging.py").write_text("WHO = 'beside'\n")
    program = f"sys.path.insert(0, {str(beside)!r})\n" + mount + "import packaging; print(packaging.WHO)"
    assert bare(cache, ours, program) == "beside"
    # Somebody else requires it, too, or asked for it.
    asked = ours / "packaging-26.1.dist-info" / "REQUESTED"
    asked.touch()
    program = mount + "import packaging; print(hasattr(packaging, 'WHO'))"
    assert bare(cache, ours, program) == "False"
    asked.unlink()
    install(ours, wheel("other", "1.0", {"other.py": ""}, requires=["Packaging>20"]))
    assert bare(cache, ours, program) == "False"


def test_what_we_import_for_ourselves_is_not_what_the_program_gets(tmp_path: Path, cache: Path, ours: Path) -> None:
    own = wheel("packaging", "99.0", {"packaging/__init__.py": "WHO = 'lock'\n"})
    alpha = wheel(
        "alpha", "1.0", {"alpha.py": "import packaging\nWHO = packaging.WHO\n"}, requires=["gamma", "packaging"]
    )
    lock = Lock(tmp_path / "project", [own, alpha, wheel("gamma", "2.0", {"gamma.py": ""})])
    install(ours, wheel("gamma", "1.0", {"gamma.py": ""}))
    mount = f"import magic_module as mm; mm.mount_lock({str(lock.path)!r})\n"
    program = mount + "import warnings; warnings.simplefilter('ignore'); import alpha; print(alpha.WHO)"
    assert bare(cache, ours, program) == "lock"


@pytest.mark.skipif(tomllib is None, reason="NOT TESTED: this Python reads no TOML")
def test_all_that_our_wheel_requires_is_known(tmp_path: Path) -> None:
    from packaging.requirements import Requirement

    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    names = [Requirement(text).name for text in project["dependencies"]]
    listed = ", ".join(f'"{name}"' for name in names)
    source = (root / "src/mount/installed.rs").read_text("utf-8")
    assert f"OWN_REQUIREMENTS: [&str; {len(names)}] = [{listed}];" in source
