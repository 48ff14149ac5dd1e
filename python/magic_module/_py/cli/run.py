"""`run`: a program in the view of a lock."""

import argparse
import json
import os
from pathlib import Path
from typing import NoReturn

from magic_module import _native
from magic_module._py.cli.answer import Answer
from magic_module._py.run import command_in, execute
from magic_module.errors import ConfigurationError

LOCK = "pylock.toml"


def run(options: argparse.Namespace) -> Answer:
    """Turns this process into the program; it does not come back."""
    program: list[str] = options.program
    for flag, words in (("-m", options.module), ("-c", options.code)):
        if words is not None:
            program = [flag, *words] if words else []
    if not program:
        _wrong(options, "nothing to run: name a script, -m MODULE or -c CODE")
    lock = lock_for(options, program[0])
    if lock is None:
        _wrong(
            options,
            f"no lock to run with: there is no {LOCK} here or above; make one: magic-module lock NAME -o {LOCK}",
        )
    mount = _native.mount_lock(lock, extras=options.extra, groups=options.group, unhashed=options.allow_unhashed)
    environment = dict(os.environ)
    if options.extra or options.group or options.allow_unhashed:
        environment.pop("MAGIC_MODULE_LOCK", None)
        environment["MAGIC_MODULE_MOUNTS"] = json.dumps(
            [*json.loads(environment.get("MAGIC_MODULE_MOUNTS") or "[]"), *json.loads(_native._exported())]
        )
    else:
        environment["MAGIC_MODULE_LOCK"] = str(lock.absolute())
    view = mount.view
    if view is None:
        hint = "use a system whose file system has symbolic links"
        raise ConfigurationError(f"{lock} has no view to run in; {hint}", hint=hint)
    environment["VIRTUAL_ENV"] = str(view)
    environment.pop("PYTHONHOME", None)
    environment["PATH"] = os.pathsep.join([str(view / "bin"), environment.get("PATH", os.defpath)])
    execute(command_in(view, program), environment)


def _wrong(options: argparse.Namespace, message: str) -> NoReturn:
    options.wrong_usage(message)
    raise AssertionError("unreachable")


def lock_for(options: argparse.Namespace, script: str) -> Path | None:
    """The lock that is named, that of the environment, that of the script, or the nearest one."""
    if options.lock is not None:
        return Path(options.lock)
    named = _native._settings()["lock"]
    if named is not None:
        return Path(named)
    own = Path(script)
    if own.suffix == ".py" and own.is_file():
        beside = own.with_name(f"pylock.{own.stem}.toml")
        if beside.is_file():
            return beside
    return _native._nearest_lock(Path.cwd())
