"""`activate` and `deactivate`: every tool of a virtual environment sees a lock.

```text
VENV/lib/python3.12/site-packages/_magic_module_lock.pth   names the lock, unless MAGIC_MODULE_LOCK does
                                  magic_module.pth         read after it: mounts what is named
```
"""

import argparse
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from magic_module import _native
from magic_module._py.cli.answer import Answer, WrongUsage
from magic_module.errors import ConfigurationError, RequirementError, StoreError

FILE = "_magic_module_lock.pth"
"""`site` reads such files in the order of their names: this one before `magic_module.pth`."""

_LINE = (
    "import sys, os; sys.flags.ignore_environment or os.environ.get('MAGIC_MODULE_START') == '0'"
    " or os.environ.setdefault('MAGIC_MODULE_LOCK', {lock!r})\n"
)

#: Says where the environment keeps its packages, and what keeps the lock from being mounted there.
_PROGRAM = """
import json, sys, sysconfig
told = {"site": sysconfig.get_path("purelib"), "prefix": sys.prefix != sys.base_prefix}
try:
    import magic_module
except ImportError as error:
    told["missing"] = str(error)
else:
    if len(sys.argv) > 1:
        try:
            magic_module.mount_lock(sys.argv[1])
        except ImportError as error:
            told["wrong"] = str(error)
print(json.dumps(told))
"""


def activate(options: argparse.Namespace) -> Answer:
    """Once it is clear that the lock can be mounted there."""
    lock = Path(options.lock or _native._settings()["lock"] or _native._nearest_lock(Path.cwd()) or "")
    if lock == Path():
        raise WrongUsage("there is no lock here or above: give --lock FILE")
    lock = lock.absolute()
    told = _ask(Path(options.environment), lock)
    if "missing" in told:
        hint = f"install it: {_python_of(Path(options.environment))} -m pip install magic_module"
        message = f"{options.environment} does not have magic_module; {hint}"
        raise RequirementError(message, path=options.environment, hint=hint)
    if "wrong" in told:
        hint = "give a lock that is made for its Python: magic-module lock --python VERSION"
        message = f"{lock} cannot be mounted in {options.environment}: {told['wrong']}"
        raise RequirementError(message, path=str(lock), hint=hint)
    file = Path(told["site"]) / FILE
    _write(file, _LINE.format(lock=str(lock)))
    line = f"every program of {options.environment} has the packages of {lock}"
    undo = f"to undo it: magic-module deactivate {options.environment}"
    return Answer({"environment": options.environment, "lock": str(lock), "file": str(file)}, [line, undo])


def deactivate(options: argparse.Namespace) -> Answer:
    """Removes what `activate` wrote, and leaves what was installed."""
    file = Path(_ask(Path(options.environment))["site"]) / FILE
    try:
        file.unlink()
    except FileNotFoundError:
        said = {"environment": options.environment, "changed": False}
        return Answer(said, [f"{options.environment} has no lock"])
    except OSError as error:
        raise _cannot("remove", file, error) from error
    return Answer(
        {"environment": options.environment, "changed": True}, [f"{options.environment} no longer has its lock"]
    )


def _python_of(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _ask(environment: Path, lock: Path | None = None) -> dict[str, Any]:
    python = _python_of(environment)
    if not (environment / "pyvenv.cfg").is_file() or not python.exists():
        hint = f"make one: python -m venv {environment}"
        message = f"{environment} is not a virtual environment; {hint}"
        raise ConfigurationError(message, path=str(environment), hint=hint)
    asked = [str(python), "-c", _PROGRAM, *([str(lock)] if lock else [])]
    quiet = {
        name: value for name, value in os.environ.items() if name not in ("MAGIC_MODULE_LOCK", "MAGIC_MODULE_MOUNTS")
    }
    ended = subprocess.run(asked, capture_output=True, text=True, env=quiet, check=False)
    if ended.returncode == 0:
        try:
            told: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
        except (ValueError, IndexError):
            pass
        else:
            return told
    hint = f"try it: {python} -c pass"
    last = (ended.stderr.strip().splitlines() or ["it printed nothing"])[-1]
    raise ConfigurationError(f"{python} does not work: {last}; {hint}", path=str(python), hint=hint)


def _write(file: Path, text: str) -> None:
    aside = file.with_name(f"{FILE}.{os.getpid()}.part")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(file)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise _cannot("write", file, error) from error


def _cannot(act: str, file: Path, error: OSError) -> StoreError:
    hint = "run it as the owner of the environment"
    return StoreError(f"cannot {act} {file}: {error.strerror or error}; {hint}", path=str(file), hint=hint)
