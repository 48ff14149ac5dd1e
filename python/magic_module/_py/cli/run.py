"""`run`: a program in the view of a lock."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import NoReturn

from magic_module import _native
from magic_module._py.cli.answer import Answer, WrongUsage
from magic_module._py.progress import say
from magic_module._py.run import command_in, execute
from magic_module.errors import ConfigurationError, MagicModuleError, OfflineError

LOCK = "pylock.toml"


def run(options: argparse.Namespace) -> Answer:
    """Turns this process into the program; only a run within limits comes back."""
    program: list[str] = options.program
    for flag, words in (("-m", options.module), ("-c", options.code)):
        if words is not None:
            program = [flag, *words] if words else []
    if not program:
        _wrong(options, "nothing to run: name a script, -m MODULE or -c CODE")
    site = _site(options)
    lock = lock_for(options, program[0]) if options.space is None and site is None else None
    if site is not None and not is_asked(options):
        in_view(options, program, site, None)
    if is_asked(options):
        from magic_module._py.cli.within import within

        return within(options, program, None if lock is None else str(lock), _trace(options))
    if lock is None:
        _wrong(
            options,
            f"no lock to run with: there is no {LOCK} here or above; make one: magic-module lock NAME -o {LOCK}",
        )
    return become(options, program, lock)


def become(options: argparse.Namespace, program: list[str], lock: Path) -> NoReturn:
    """Turns this process into the program."""
    try:
        _native._sync_before(lock)
    except MagicModuleError as error:
        # The lock as it was may still do.
        say(sys.stderr, f"magic-module: {error}\n")
    special = bool(options.extra or options.group or options.build or options.allow_unhashed)
    _native._skip_start()
    mount = _native.mount_lock(
        lock,
        extras=options.extra,
        groups=options.group,
        build=options.build,
        unhashed=options.allow_unhashed,
        export=special,
    )
    in_view(options, program, mount, None if special else lock)


def in_view(options: argparse.Namespace, program: list[str], mount: _native.Mount, lock: Path | None) -> NoReturn:
    """Turns this process into the program; without a lock the environment says what is mounted."""
    view = mount.view
    if view is None:
        where = lock or mount.manifest_url
        hint = "use a system whose file system has symbolic links, and a manifest that has a lock"
        raise ConfigurationError(f"{where} has no view to run in; {hint}", hint=hint)
    execute(command_in(view, program, _trace(options)), _environment(view, lock))


def _site(options: argparse.Namespace) -> _native.Mount | None:
    """The lock that a manifest has: of the options, else of the environment."""
    settings = _native._settings()
    if options.lock is not None or options.space is not None:
        return None
    if options.namespace == "" and options.manifest_url is not None:
        _native._skip_start()
        return _native.mount("", options.manifest_url, public_key=options.public_key, export=True)
    if settings["lock"] is not None or settings["space"] is not None:
        return None
    for said in json.loads(settings["mounts"]):
        if not said.get("namespace") and "manifest_url" in said:
            _native._skip_start()
            mount = _native._unpickled(json.dumps([said]))
            if mount.view is not None:
                return mount
    return None


def is_asked(options: argparse.Namespace) -> bool:
    """True if the program cannot just take the place of this process: there is a limit, or somebody wants to know."""
    words = ("timeout", "memory", "cpu", "open_files", "processes", "no_network", "space", "env", "prefetch", "json")
    return any(getattr(options, word) not in (None, False, []) for word in words)


def _environment(view: Path, lock: Path | None) -> dict[str, str]:
    """That of an environment that was activated; `lock` is mounted when an interpreter starts in it."""
    environment = dict(os.environ)
    for name in ("MAGIC_MODULE_LOCK", "MAGIC_MODULE_START", "PYTHONHOME"):
        environment.pop(name, None)
    if lock is not None:
        environment["MAGIC_MODULE_LOCK"] = str(lock.absolute())
    environment["VIRTUAL_ENV"] = str(view)
    environment["PATH"] = os.pathsep.join([str(view / "bin"), environment.get("PATH", os.defpath)])
    return environment


def _trace(options: argparse.Namespace) -> list[str]:
    """Options of the interpreter: what it starts itself does not inherit them."""
    if options.trace_to is not None:
        return ["-X", f"magic_module_trace={os.path.abspath(options.trace_to)}"]
    return ["-X", "magic_module_trace"] if options.trace else []


def _wrong(options: argparse.Namespace, message: str) -> NoReturn:
    options.wrong_usage(message)
    raise AssertionError("unreachable")


def lock_for(options: argparse.Namespace, program: str) -> Path | None:
    """The lock that is named, that of the environment, that of the script, or the nearest one."""
    settings = _native._settings()
    if options.lock is not None:
        if settings["space"] is not None:
            space = settings["space"]
            raise WrongUsage(f"the space {space} has a lock of its own: leave out --lock, or unset MAGIC_MODULE_SPACE")
        return Path(options.lock)
    named = settings["lock"]
    if named is not None:
        return Path(named)
    own = _lock_of_script(program) if Path(program).is_file() else None
    return own or _native._nearest_lock(Path.cwd())


def _lock_of_script(path: str) -> Path | None:
    """The lock beside a script, else one that is made of what the script says of itself (PEP 723), once."""
    from magic_module._py.locking import script

    said = script.said_by(path)
    beside = Path(script.lock_of(path))
    if beside.is_file():
        if said is not None and script.is_stale(beside, said):
            what = f"{beside} was made before the metadata of {path} changed"
            say(sys.stderr, f"magic-module: {what}; make it again: magic-module lock --script {path}\n")
        return beside
    if said is None:
        return None
    lock = _native._script_folder(script.facts(path, said)) / LOCK
    if not lock.is_file():
        if _native._settings()["offline"]:
            hint = "unset MAGIC_MODULE_OFFLINE once"
            what = f"what {path} requires was not resolved yet, and MAGIC_MODULE_OFFLINE forbids asking an index"
            raise OfflineError(f"{what}; {hint}", path=path, hint=hint)
        # All that locks is loaded when there is something to lock: the next run begins at once.
        from magic_module._py.cli import lock as locks
        from magic_module._py.locking.request import Request

        locks.resolved(Request(script=path, output=str(lock)))
    return lock
