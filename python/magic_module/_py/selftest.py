"""The program of a self-test: one package, tried in a process of its own.

```text
─▶ {"lock": "/srv/pylock.toml", "name": "PyYAML", "asked": "yaml", "use": "yaml.safe_load('[]')", "logins": []}
◀─ {"step": "directory", "status": "success", "message": "…", "path": "/…/site-packages", …}     a line for each step
```

Whatever the package does to its process, prints, or ends it with, is nothing to whoever asked.
"""

import importlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

STEPS = ("directory", "install", "import", "location", "usage", "sys_path")
"""In their order: what each finds, the next ones build on."""

SUFFIXES = (".py", ".so", ".pyd")


def step(name: str, status: str, message: str, **found: Any) -> dict[str, Any]:
    """One step, as it is told."""
    known = {"path": None, "module_file": None, "from_packages": None}
    return {"step": name, "status": status, "message": message, **known, **found}


def main() -> None:
    """Reads what is asked from stdin, and tells each step on what was stdout."""
    request = json.load(sys.stdin)
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for each in tried(request):
        print(json.dumps(each), file=told, flush=True)


def tried(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The steps; after one that failed the others are skipped by whoever asked."""
    from magic_module import _native
    from magic_module.errors import MagicModuleError, UnitNotFoundError

    name: str = request["name"]
    _native._tell_logins(request["logins"])
    try:
        mount = _native.mount_lock(request["lock"])
    except MagicModuleError as error:
        yield step("directory", "failed", str(error))
        return
    entries = mount.paths()
    site = entries[0] if entries else ""
    if not os.path.isdir(site):
        yield step("directory", "failed", f"{request['lock']} has no folder of packages", path=site or None)
        return
    yield step("directory", "success", "the folder of packages is there", path=site)
    try:
        unit = _native.info(name)
        was_there = unit.cached
        _native.prefetch(unit.name)
    except UnitNotFoundError as error:
        yield step("install", "not_installed", str(error), path=site)
        return
    except MagicModuleError as error:
        yield step("install", "failed", str(error), path=site)
        return
    what = f"{unit.name} {unit.version}"
    if was_there:
        yield step("install", "already_installed", f"{what} is already there", path=site)
    else:
        yield step("install", "success", f"{what} was fetched", path=site)
    full = _module(site, unit.name, request["asked"])
    if full is None:
        yield step("import", "failed", f"{what} has nothing that can be imported", path=site)
        return
    module, why = _attempt(lambda: importlib.import_module(full))
    if why is not None:
        yield step("import", "failed", f"import {full} failed: {why}", path=site)
        return
    file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
    yield step("import", "success", f"import {full} works", path=site, module_file=file)
    is_ours = file is not None and any(file.startswith(entry + os.sep) for entry in entries)
    found = {"path": site, "module_file": file, "from_packages": is_ours}
    if is_ours:
        yield step("location", "success", f"{full} comes from the folder of packages", **found)
    else:
        yield step("location", "failed", f"{full} comes from {file or 'no file'}, which is installed beside", **found)
    yield _used(request["use"], full, found)
    if site in sys.path:
        yield step("sys_path", "success", "the folder of packages is on sys.path", path=site)
    else:
        yield step("sys_path", "failed", f"importing {full} took the folder of packages off sys.path", path=site)


def _used(code: str | None, full: str, found: dict[str, Any]) -> dict[str, Any]:
    if code is None:
        return step("usage", "skipped", "it was not said how it is used: --use CODE", **found)
    names: dict[str, Any] = {"__name__": "__main__", full.partition(".")[0]: sys.modules[full.partition(".")[0]]}
    _, why = _attempt(lambda: exec(compile(code, "--use", "exec", dont_inherit=True), names))
    if why is not None:
        return step("usage", "failed", f"using {full} failed: {why}", **found)
    return step("usage", "success", f"using {full} works", **found)


def _attempt(act: Callable[[], Any]) -> tuple[Any, str | None]:
    """What it gives, or in one line why not; a package may even want to exit."""
    try:
        return act(), None
    except BaseException as error:
        return None, " ".join(f"{type(error).__name__}: {error}".split())


def _module(site: str, distribution: str, asked: str) -> str | None:
    """What is imported of a distribution: what was asked for, what is called like it, or what comes first."""
    found = importlib.metadata.distributions(name=distribution, path=[site])
    files = [str(file) for each in found for file in each.files or ()]
    modules = sorted(_modules(files), key=lambda name: (name.startswith("_"), name.count("."), name))
    for wanted in (asked, distribution):
        near = next((name for name in modules if _plain(name) == _plain(wanted)), None)
        if near is not None:
            return near
    if any(name.startswith(f"{asked}.") for name in modules):
        return asked
    return next(iter(modules), None)


def _modules(files: Iterable[str]) -> set[str]:
    """The modules and packages that stand in no other package."""
    paths = [PurePosixPath(file) for file in files]
    paths = [path for path in paths if path.suffix in SUFFIXES and all(part.isidentifier() for part in path.parts[:-1])]
    packages = {path.parent for path in paths if path.name.partition(".")[0] == "__init__" and path.parent.name}
    inside = {path for path in packages if any(above in packages for above in path.parents)}
    alone = {path.with_name(path.name.partition(".")[0]) for path in paths if not set(path.parents) & packages}
    names = {".".join(path.parts) for path in {*(packages - inside), *alone}}
    return {name for name in names if all(part.isidentifier() for part in name.split("."))}


def _plain(name: str) -> str:
    return name.lower().replace("-", ".").replace("_", ".")


if __name__ == "__main__":
    main()
