"""The wheel and the virtual environments that `make` works with.

    dist/                the one wheel, for every interpreter
    .venv/tools          maturin, ruff, mypy, and the wheel
    .venv/3.10, 3.11, …  the test tools and the wheel
    .venv/clusters       those, and engines of clusters; .venv/platform: a web server and a driver of browsers
    .venv/clouds         those, and moto
    .venv/docs           what makes the documentation site

Each is made on first use, and again only when what it is made from has changed: a stamp beside it holds the digest.
Run as a script it makes the wheel and installs it into .venv/tools; with names (`3.12 clusters`), also those. The wheel
that people get is made by portable.py.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from interpreters import SPAN, Interpreter, find

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".venv"
DIST = ROOT / "dist"
TOOLS = ROOT / "tools"

# Settings of the caller that would lead pip or Python astray. Indexes, certificates and proxies stay.
_ASTRAY = (
    *("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONOPTIMIZE", "PYTHONPATH", "PYTHONPYCACHEPREFIX"),
    *("PYTHONSAFEPATH", "PYTHONWARNINGS", "PYTHONPLATLIBDIR", "VIRTUAL_ENV", "CONDA_PREFIX", "__PYVENV_LAUNCHER__"),
    *("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PIP_NO_DEPS", "PIP_DRY_RUN", "PIP_CONSTRAINT"),
    "CARGO_BUILD_TARGET",
)


class Failure(Exception):
    """One sentence for the person who ran make."""


def clean_environment(**more: str) -> dict[str, str]:
    """The caller's environment without what would change the outcome."""
    values = {
        name: value
        for name, value in os.environ.items()
        if name not in _ASTRAY and not name.startswith("MAGIC_MODULE_")
    }
    # A pip.conf that asks for `user` or `require-virtualenv` is overruled by these.
    values |= {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_NO_INPUT": "1"}
    return values | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"} | more


def interpreters() -> list[Interpreter]:
    """Those that can have a virtual environment; at least one."""
    try:
        found = [interpreter for interpreter in find() if interpreter.complete]
    except LookupError as error:
        raise Failure(str(error)) from error
    if not found:
        raise Failure(f"no CPython {SPAN} with venv was found: install one (on Debian also python3-venv)")
    return found


def tool_python(interpreter: Interpreter) -> Path:
    """The Python of .venv/tools, without the wheel."""
    return environment("tools", interpreter, TOOLS / "requirements-tools.txt")


def documentation_python(interpreter: Interpreter) -> Path:
    """The Python of .venv/docs, without the wheel: the docstrings are read from the sources."""
    return environment("docs", interpreter, TOOLS / "requirements-docs.txt")


def test_python(interpreter: Interpreter) -> Path:
    """The Python of the interpreter's test environment, with the wheel."""
    python = environment(interpreter.minor, interpreter, TOOLS / "requirements-test.txt")
    _install(python, wheel())
    return python


def free_threaded_python(interpreter: Interpreter) -> Path:
    """The Python of a free-threaded interpreter's test environment, with a wheel that is built for it each time."""
    return _with_own_wheel(interpreter.minor, interpreter)


def abi3t_python(interpreter: Interpreter) -> Path:
    """The same of CPython 3.15, whatever locks it has: one wheel is for all of them and for newer ones."""
    return _with_own_wheel(f"{interpreter.minor}-abi3t", interpreter, "--features", "abi3t")


def _with_own_wheel(name: str, interpreter: Interpreter, *features: str) -> Path:
    python = environment(name, interpreter, TOOLS / "requirements-test.txt")
    folder = DIST / name
    shutil.rmtree(folder, ignore_errors=True)
    maturin = executable(tool_python(interpreters()[0]), "maturin")
    # Not optimized: it is only tested.
    run([maturin, "build", "--locked", *features, "--out", folder, "-i", python])
    (built,) = folder.glob("*.whl")
    _install(python, built)
    return python


def named_python(name: str, interpreter: Interpreter) -> Path:
    """An environment with the wheel and what tools/requirements-NAME.txt lists."""
    python = environment(name, interpreter, TOOLS / f"requirements-{name}.txt")
    _install(python, wheel())
    return python


def tool_python_with_wheel(interpreter: Interpreter) -> Path:
    python = tool_python(interpreter)
    _install(python, wheel())
    return python


def executable(python: Path, name: str) -> Path:
    """A command that stands beside that Python."""
    return python.with_name(name + python.suffix)


def wheel() -> Path:
    """The release wheel of the sources as they are now; built only when they changed."""
    stamp = DIST / ".sources"
    digest = _digest_of_sources()
    found = sorted(DIST.glob("*.whl"))
    if len(found) == 1 and stamp.is_file() and stamp.read_text() == digest:
        return found[0]
    if not shutil.which("cargo"):
        raise Failure("cargo was not found: install Rust through rustup")
    python = tool_python(interpreters()[0])
    for old in [*found, stamp]:
        old.unlink(missing_ok=True)
    run([executable(python, "maturin"), "build", "--release", "--locked", "--out", DIST, "-i", python])
    (built,) = DIST.glob("*.whl")
    stamp.write_text(digest)
    return built


def run(command: list[str | Path], **more: str) -> None:
    """Runs a command that has to succeed."""
    words = [str(word) for word in command]
    print("$", " ".join(words), flush=True)
    if subprocess.run(words, cwd=ROOT, env=clean_environment(**more), stdin=subprocess.DEVNULL, check=False).returncode:
        raise Failure(f"{Path(words[0]).name} failed: {' '.join(words)}")


def environment(name: str, interpreter: Interpreter, requirements: Path) -> Path:
    """The Python of an environment with what the file lists; made when that or the interpreter has changed."""
    folder = ENVIRONMENTS / name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = folder / ".made-from"
    made_from = f"{interpreter.executable} {interpreter.version}\n{_text_of(requirements)}"
    if python.exists() and stamp.is_file() and stamp.read_text() == made_from:
        return python
    run([interpreter.executable, "-m", "venv", "--clear", folder])
    run([python, "-m", "pip", "install", "--quiet", "--requirement", requirements])
    stamp.write_text(made_from)
    return python


def _text_of(requirements: Path) -> str:
    """With the files that it includes."""
    text = requirements.read_text()
    included = [line.removeprefix("-r ") for line in text.splitlines() if line.startswith("-r ")]
    return text + "".join(_text_of(requirements.with_name(name)) for name in included)


def _install(python: Path, built: Path) -> None:
    stamp = python.parent.parent / ".wheel"
    digest = hashlib.sha256(built.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest:
        return
    stamp.unlink(missing_ok=True)
    # Its dependencies are pinned in the requirements; --no-deps keeps pip from looking for newer ones.
    run([python, "-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps", "--no-index", built])
    run([python, "-m", "pip", "check", "--quiet"])
    stamp.write_text(digest)


def _digest_of_sources() -> str:
    files = [ROOT / name for name in ("Cargo.toml", "Cargo.lock", "build.rs", "pyproject.toml", "README.md")]
    files += [TOOLS / "requirements-tools.txt", ROOT / "LICENSE-MIT", ROOT / "LICENSE-APACHE"]
    for folder in ("src", "python"):
        files += [path for path in (ROOT / folder).rglob("*") if path.suffix not in {".pyc", ".so", ".pyd"}]
    digest = hashlib.sha256()
    for path in sorted(path for path in files if path.is_file()):
        digest.update(f"{path.relative_to(ROOT)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def installed_wheel(*names: str) -> Path:
    """The wheel, once it is in .venv/tools and in the environments of these names, of which some may fail."""
    found = interpreters()
    tests = {each.minor: each for each in found}
    made = []
    for name in names:
        requirements = TOOLS / f"requirements-{'test' if name in tests else name}.txt"
        try:
            made.append(environment(name, tests.get(name, found[-1]), requirements))
        except Failure as failure:
            print(f"error: {failure}", flush=True)
    built = wheel()
    for python in [*made, tool_python(found[0])]:
        _install(python, built)
    return built


def main(make: Callable[[], Path]) -> int:
    """Makes a wheel, and prints where it is, or in one sentence why there is none."""
    try:
        built = make()
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    print(built.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main(lambda: installed_wheel(*sys.argv[1:])))
