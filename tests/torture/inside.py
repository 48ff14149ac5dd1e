"""The process under torture: imports the units of `acme`, and tells what it got.

    inside.py FOLDERS URL ACTION…       ACTION: report, upgrade, force, rollback, prune, verify,
                                        import:NAMES, upgrade:NAMES, rollback:NAME
    inside.py SOURCES "" report         the same from plain sources: the right answers

FOLDERS are where packages are found, separated as in PYTHONPATH. TORTURE_UNITS names the units of a report, where they
are not the usual four; TORTURE_KEY is the public key of the mount.

Prints one line of JSON: a list with one entry for each action. Structured errors are entries; any other exception
ends the process with a traceback, which is what the caller looks for.
"""

# Imported before anything is injected: what fails afterwards is ours.
import hashlib
import json
import os
import sys

UNITS = "alpha base tool late"

Failure: "type[BaseException]" = ImportError


def told(error: BaseException) -> "dict[str, object]":
    return {"error": type(error).__name__, "text": str(error), "hint": getattr(error, "hint", None)}


def units() -> "list[str]":
    return os.environ.get("TORTURE_UNITS", UNITS).split()


def lazy(name: str, path: str) -> bytes:
    if "magic_module" in sys.modules:
        return own_read(magic_module.data_path(f"acme.{name}", path))
    return own_read(os.path.join(os.path.dirname(sys.modules[f"acme.{name}"].__file__), path))


class OwnRead(Exception):
    """A read by path, as any program does it, that the injected fault hit: not ours to dress up."""


def own_read(place: str) -> bytes:
    try:
        with open(place, "rb") as file:
            return file.read()
    except OSError as error:
        raise OwnRead(str(error)) from error


def answer(name: str) -> "dict[str, object]":
    """The version, and the digest of everything that the unit's code and data say."""
    try:
        __import__(f"acme.{name}")
        modules = sorted(known for known in sys.modules if f"{known}.".startswith(f"acme.{name}."))
        digest = hashlib.sha256()
        for known in modules:
            values = sys.modules[known].values()
            digest.update(repr((known, values)).encode())
        module = sys.modules[f"acme.{name}"]
        for path in module.DATA:
            place = os.path.join(os.path.dirname(module.__file__), path)
            served = module.__loader__.get_data(place)
            digest.update(served + own_read(place))
        for path in module.LAZY:
            digest.update(lazy(name, path))
    except Failure as error:
        return told(error)
    except OwnRead as error:
        return {"error": "OwnRead", "text": str(error), "hint": "the disk, not the cache"}
    return {"version": module.VERSION, "digest": digest.hexdigest(), "base": getattr(module, "BASE", None)}


def act(action: str) -> object:
    if action == "report":
        return {name: answer(name) for name in units()}
    verb, _, rest = action.partition(":")
    names = [f"acme.{name}" for name in rest.split(",")]
    if verb == "import":
        return {name: answer(name) for name in rest.split(",")}
    try:
        if verb == "upgrade" and rest:
            return [[step.name, step.new_version] for step in magic_module.upgrade(*names)]
        if verb == "rollback" and rest:
            return magic_module.rollback(names[0]).new_version
        if action == "upgrade":
            # What others require moves with them.
            names = [f"acme.{name}" for name in units() if name != "base"]
            return [[step.name, step.new_version] for step in magic_module.upgrade(*names)]
        if action == "force" and "acme.tool" not in sys.modules:
            return None
        if action == "force":
            return sys.modules["acme.tool"]._upgrade(force=True).new_version
        if action == "rollback":
            return magic_module.rollback("acme.tool").new_version
        if action == "prune":
            return magic_module.prune().removed
        if action == "verify":
            report = magic_module.verify()
            return {"ok": report.ok, "problems": report.problems}
    except Failure as error:
        return told(error)
    raise ValueError(action)


def main(folders: str, url: str, *actions: str) -> None:
    global Failure, magic_module
    sys.path[:0] = folders.split(os.pathsep)
    if url:
        import magic_module

        Failure = magic_module.errors.MagicModuleError
        try:
            magic_module.mount("acme", url, public_key=os.environ.get("TORTURE_KEY"))
        except Failure as error:
            print(json.dumps([told(error)]))
            return
    print(json.dumps([act(action) for action in actions]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
