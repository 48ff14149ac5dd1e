"""How a run is started: what it may take, its environment, and its command line."""

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from magic_module import _native
from magic_module._py.running.inside import BOOT
from magic_module.errors import ConfigurationError, UnitNotFoundError

PASSED = ("PATH", "HOME", "LANG", "TZ", "TMPDIR")
"""With all that begin with `LC_`."""
MOUNTED = ("MAGIC_MODULE_LOCK", "MAGIC_MODULE_MOUNTS", "MAGIC_MODULE_MANIFEST_URL")
"""Of the process that starts the run; a lock or a space takes their place."""


@dataclass
class Wanted:
    """What is to run, and what it may take."""

    program: Sequence[str]
    """A script with its arguments, or `-m`, `-c` and what follows."""
    lock: dict[str, Any] | None = None
    """A mount, as `MAGIC_MODULE_MOUNTS` has it."""
    space: str | None = None
    timeout: float | None = None
    memory: int | None = None
    cpu: float | None = None
    open_files: int | None = None
    processes: int | None = None
    network: bool = True
    env: Mapping[str, str] = field(default_factory=dict)
    prefetch: Sequence[str] = ()
    flags: Sequence[str] = ()
    """Options of the interpreter."""
    stdin: int | None = None

    @property
    def script(self) -> str | None:
        """The file that runs, if it is one."""
        return None if self.program[0] in ("-m", "-c") else self.program[0]


def amount(name: str, value: float | None) -> float | None:
    """Seconds: more than none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be a number of seconds above 0, not {value!r}")
    return float(value)


def count(name: str, value: int | None) -> int | None:
    """A number of things: at least one."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1 << 63:
        raise ValueError(f"{name} must be a whole number above 0, not {value!r}")
    return value


def size(name: str, value: int | str | None) -> int | None:
    """Bytes, or a text such as `512M`."""
    if isinstance(value, str):
        parsed = _native._parse_size(value)
        if parsed is None:
            raise ValueError(f"{name} must be a size such as 512M or 2G, not {value!r}")
        value = parsed
    return count(name, value)


def checked(program: Sequence[str]) -> Sequence[str]:
    """An error for a script that is not a file."""
    path = program[0]
    if path in ("-m", "-c"):
        return program
    if os.path.isdir(path):
        hint = "name a file, or run the package with -m"
        raise ConfigurationError(f"cannot run {path}: it is a directory; {hint}", path=path, hint=hint)
    if not os.path.exists(path):
        hint = "check the path"
        raise UnitNotFoundError(f"cannot run {path}: there is no such file; {hint}", name=path, path=path, hint=hint)
    return program


def placed(lock: str | None, space: str | None) -> None:
    """An error for a run that would be in two places."""
    if lock is not None and space is not None:
        hint = "give one of them"
        raise ConfigurationError(f"a space has a lock of its own, but {lock} is another one; {hint}", hint=hint)


def environment(wanted: Wanted, view: str | None) -> dict[str, str]:
    """All that the run gets. No login is in it, and nothing that only the starter may know."""
    passed = {name: value for name, value in os.environ.items() if name in PASSED or name.startswith("LC_")}
    passed.update(_native.export_environment())
    if wanted.lock is not None or wanted.space is not None:
        for name in (*MOUNTED, "MAGIC_MODULE_SPACE"):
            passed.pop(name, None)
    if wanted.space is not None:
        passed.update(of_space(wanted.space))
    if wanted.lock is not None:
        if set(wanted.lock) == {"lock"}:
            passed["MAGIC_MODULE_LOCK"] = wanted.lock["lock"]
        else:
            passed["MAGIC_MODULE_MOUNTS"] = json.dumps([{"namespace": "", **wanted.lock}])
    if view is not None:
        passed["VIRTUAL_ENV"] = view
        passed["PATH"] = os.pathsep.join([os.path.join(view, "bin"), passed.get("PATH", os.defpath)])
    if not wanted.network:
        passed["MAGIC_MODULE_OFFLINE"] = "1"
    passed.update(wanted.env)
    return passed


def of_space(name: str) -> dict[str, str]:
    """What a process needs to work in a space that is there; as `Space.environment()`, which loads much more."""
    folder = _native._space_folder(name)
    return {"MAGIC_MODULE_SPACE": name, "MAGIC_MODULE_SPACES_DIR": str(folder.parent)}


def command(wanted: Wanted, view: str | None, life: int, report: int, environment: dict[str, str]) -> list[str]:
    """The command line; `environment` is told that no mounts are made before the fork."""
    plan = {
        "parent": os.getpid(),
        "life": life,
        "report": report,
        "timeout": wanted.timeout,
        "memory": wanted.memory,
        "cpu": wanted.cpu,
        "open_files": wanted.open_files,
        "processes": wanted.processes,
        "no_network": not wanted.network,
    }
    python = sys.executable if view is None else os.path.join(view, "bin", "python")
    start = environment.get("MAGIC_MODULE_START", "1").strip() or "1"
    environment["MAGIC_MODULE_START"] = "0"
    mounts = "0" if start.lower() in ("0", "false", "no", "off") else "1"
    return [python, *wanted.flags, "-c", BOOT, own_folder(), json.dumps(plan), mounts, *wanted.program]


def own_folder() -> str:
    """Where magic_module is imported from."""
    return str(Path(_native.__file__).parent.parent)
