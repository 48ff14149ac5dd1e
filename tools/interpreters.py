"""Which CPython interpreters this machine has, one per supported version.

pyenv's versions come first, then `python3.X` and `python3` on PATH. `PYTHONS="3.11 3.13"` limits the choice, and
`PYTHONS="3.13 /opt/python/bin/python3.15"` names an interpreter that is somewhere else. Free-threaded ones, such as
`3.14t`, are found in the same way, but apart from the others: they need a wheel of their own.
Run as a script it lists what it found.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SUPPORTED = ("3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
SPAN = f"{SUPPORTED[0]} to {SUPPORTED[-1]}"
FREE_THREADED = ("3.14t", "3.15t")

# Asked of the interpreter itself: a name on PATH may be a shim, an alias or a virtual environment.
_QUESTION = """
import json, os, platform, sys, sysconfig
get = sysconfig.get_config_var
def library():
    # The folder with the name that a linker looks for: Debian installs it with python3-dev only.
    if get("PYTHONFRAMEWORK"):
        return get("LIBDIR")
    if not get("Py_ENABLE_SHARED"):
        return None
    folders = [get("LIBDIR") or "", os.path.join(get("LIBDIR") or "", get("MULTIARCH") or "")]
    return next((folder for folder in folders if os.path.exists(os.path.join(folder, get("LDLIBRARY")))), None)
try:
    import ensurepip, venv
    complete = True
except ImportError:
    complete = False
print(json.dumps({
    "executable": getattr(sys, "_base_executable", None) or sys.executable,
    "implementation": platform.python_implementation(),
    "version": list(sys.version_info[:3]),
    "free_threaded": bool(get("Py_GIL_DISABLED")),
    "complete": complete,
    "library_directory": library(),
}))
"""


@dataclass(frozen=True)
class Interpreter:
    executable: Path
    version: tuple[int, int, int]
    complete: bool
    """Has venv and ensurepip."""
    library_directory: Path | None
    """Where its shared library lies; None when it has none, so that no Rust test can link it."""
    free_threaded: bool = False

    @property
    def minor(self) -> str:
        """`3.14`, or `3.14t`."""
        return f"{self.version[0]}.{self.version[1]}{'t' if self.free_threaded else ''}"


def find() -> list[Interpreter]:
    """The best interpreter of each supported version, oldest version first."""
    return _found(SUPPORTED)


def find_free_threaded() -> list[Interpreter]:
    """The same of those without a global interpreter lock."""
    return _found(FREE_THREADED)


def _found(supported: tuple[str, ...]) -> list[Interpreter]:
    asked = os.environ.get("PYTHONS", "").split()
    wanted = {name for name in asked if os.sep not in name} if asked else set(supported)
    best: dict[str, Interpreter] = {}
    for name in asked:
        if os.sep in name:
            interpreter = _ask(Path(name))
            if interpreter is None or interpreter.minor not in SUPPORTED + FREE_THREADED:
                raise LookupError(f"{name}, which PYTHONS names, is not a CPython {SPAN}")
            best[interpreter.minor] = interpreter
    wanted -= best.keys()
    for candidate in _candidates():
        interpreter = _ask(candidate)
        if interpreter is None or interpreter.minor not in wanted:
            continue
        known = best.get(interpreter.minor)
        if known is None or (interpreter.complete and not known.complete):
            best[interpreter.minor] = interpreter
    return [best[minor] for minor in supported if minor in best]


def missing(found: list[Interpreter]) -> list[str]:
    """The supported versions that are not there or were not asked for."""
    there = {interpreter.minor for interpreter in found}
    return [minor for minor in SUPPORTED if minor not in there]


def _candidates() -> list[Path]:
    candidates: list[Path] = []
    versions = _pyenv_root() / "versions"
    if versions.is_dir():
        names = [path for path in versions.iterdir() if path.name.startswith("3.") and not path.is_symlink()]
        candidates += [path / "bin" / "python" for path in sorted(names, key=_newest_first)]
    for name in [*(f"python{minor}" for minor in SUPPORTED + FREE_THREADED), "python3", "python"]:
        found = shutil.which(name)
        if found:
            candidates.append(Path(found))
    return [*candidates, Path(sys.executable)]


def _newest_first(path: Path) -> list[int]:
    return [-int(part) if part.isdigit() else 0 for part in path.name.split(".")]


def _pyenv_root() -> Path:
    if root := os.environ.get("PYENV_ROOT"):
        return Path(root)
    if pyenv := shutil.which("pyenv"):
        answer = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            return Path(answer.stdout.strip())
    return Path.home() / ".pyenv"


def _ask(executable: Path) -> Interpreter | None:
    if not executable.exists():
        return None
    try:
        answer = subprocess.run(
            [str(executable), "-I", "-c", _QUESTION], capture_output=True, text=True, check=False, timeout=60
        )
        facts = json.loads(answer.stdout) if answer.returncode == 0 else {}
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    if facts.get("implementation") != "CPython":
        return None
    major, minor, micro = facts["version"]
    library = facts["library_directory"]
    return Interpreter(
        Path(facts["executable"]),
        (major, minor, micro),
        facts["complete"],
        Path(library) if library else None,
        facts["free_threaded"],
    )


if __name__ == "__main__":
    interpreters = find()
    for each in interpreters + find_free_threaded():
        print(".".join(map(str, each.version)), each.executable, "" if each.complete else "(has no venv)")
    for absent in missing(interpreters):
        print(absent, "not found or not asked for")
