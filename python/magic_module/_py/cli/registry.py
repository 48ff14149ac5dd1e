"""What an installation approves: `registry list`, `info`, `lock`, `check`, `init`."""

import argparse
from dataclasses import asdict
from pathlib import Path

from magic_module._native import _shown as shown
from magic_module._py.cli import lock as locks
from magic_module._py.cli.answer import Answer, table
from magic_module._py.locking.request import Request
from magic_module._py.progress import size
from magic_module._py.registry.registry import FILE, Registry
from magic_module._py.registry.starter import TEXT
from magic_module.errors import ConfigurationError, StoreError

LOCK_IT = "magic-module registry lock"

_STATES = {"missing": "there is no lock", "stale": "the file does not match its lock"}


def list_modules(options: argparse.Namespace) -> Answer:
    """All that is approved."""
    registry = Registry(options.registry)
    modules = registry.list_modules()
    rows = [
        (
            module.name,
            module.locked or module.version or "",
            "" if module.size is None else size(module.size),
            module.description or module.display_name,
        )
        for module in modules
    ]
    lines = table(rows, right=(2,)) or [f"{shown(str(registry.path))} approves nothing"]
    data = {
        "registry": str(registry.path),
        "lock": str(registry.lock_path),
        "state": registry.lock_state if not registry.check() else None,
        "modules": [module.to_dict() for module in modules],
    }
    return Answer(data, lines)


def info(options: argparse.Namespace) -> Answer:
    """One entry, and what it needs in the order in which that is needed."""
    registry = Registry(options.registry)
    dependencies = registry.get_dependencies(options.name)
    module = registry.get_module(options.name)
    said = module.to_dict() if module is not None else {}
    data = said | {"dependencies": dependencies}
    words = {key: ", ".join(map(str, value)) if isinstance(value, list) else value for key, value in data.items()}
    words["system"] = "; ".join(f"{name}: {text}" for name, text in data["system"].items())
    words["options"] = ", ".join(f"{name} = {value}" for name, value in data["options"].items())
    words["size"] = None if data["size"] is None else size(data["size"])
    rows = [
        (key.replace("_", " "), str(words[key])) for key in words if words[key] and key not in ("size_mb", "pypi_name")
    ]
    return Answer(data, table(rows))


def lock(options: argparse.Namespace) -> Answer:
    """Resolves the whole file into one lock."""
    registry = Registry(options.registry)
    found = registry.inputs()
    request = Request(
        inputs=found,
        output=str(registry.lock_path),
        upgrade=None if options.upgrade is None else tuple(options.upgrade),
    )
    # An entry's own index is meant.
    moved = [*options.allow_index_change, *(each.name for each in found.wanted if each.index and each.name)]
    made = locks.resolved(request, moved, quiet=options.json)
    data = {
        "registry": str(registry.path),
        "lock": request.output,
        "resolver": made.resolver,
        "packages": made.packages,
        "written": made.written,
        "changes": [asdict(change) for change in made.changes],
    }
    return Answer(data, locks.told(request, made))


def check(options: argparse.Namespace) -> Answer:
    """Whether the file can be locked, and its lock is of today; nobody is asked."""
    registry = Registry(options.registry)
    findings = [{"place": place, "problem": why} for place, why in registry.check()]
    state = None if findings else registry.lock_state
    if state in _STATES:
        findings.append({"place": str(registry.lock_path), "problem": f"{_STATES[state]}; {LOCK_IT}"})
    data = {
        "ok": not findings,
        "registry": str(registry.path),
        "lock": str(registry.lock_path),
        "state": state,
        "findings": findings,
    }
    lines = [shown(f"{finding['place']}: {finding['problem']}") for finding in findings]
    return Answer(data, lines or [shown(f"{registry.path}: all is well")], 1 if findings else 0)


def init(options: argparse.Namespace) -> Answer:
    """Writes a file to begin with."""
    path = Path(options.registry or FILE)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEXT)
    except FileExistsError:
        hint = "give another name with --registry FILE"
        raise ConfigurationError(f"{path} is already there; {hint}", path=str(path), hint=hint) from None
    except OSError as error:
        why = error.strerror or str(error)
        hint = "check its folder"
        raise StoreError(f"cannot write {path}: {why}; {hint}", path=str(path), hint=hint, causes=(why,)) from None
    return Answer({"registry": str(path)}, [shown(f"{path}: edit it, then run {LOCK_IT}")])
