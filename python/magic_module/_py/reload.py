"""Making loaded modules new, or leaving them exactly as they were.

```text
needs_restart(moves)   an extension module that is loaded has other bytes: nothing can be reloaded
save(moves)            the dictionaries and sys.modules entries of what is loaded
reload(saved)          submodules before those that use them, the root last; what is gone leaves sys.modules
restore(saved)         everything as it was saved
```

A move is `(full name of the unit, changed paths, folder of the old tree)`; the paths are a manifest's, with slashes.
What a module did outside of its own dictionary cannot be undone.
"""

import importlib
import os
import sys
from collections.abc import Iterable
from importlib.machinery import ExtensionFileLoader
from types import ModuleType
from typing import Any, NamedTuple

Move = tuple[str, list[str], str | None]


class Saved(NamedTuple):
    """What is loaded of the units that move."""

    units: list[str]
    folders: list[str]
    modules: dict[str, ModuleType]
    dictionaries: dict[str, dict[str, Any]]
    before: set[str]


def needs_restart(moves: list[Move]) -> bool:
    """Whether the bytes of a loaded extension module change."""
    for unit, changed, folder in moves:
        if folder is None:
            continue
        files = {os.sep.join([folder, *path.split("/")]) for path in changed}
        for module in _loaded([unit]).values():
            spec = module.__spec__
            loader = None if spec is None else spec.loader
            if isinstance(loader, ExtensionFileLoader) and spec is not None and spec.origin in files:
                return True
    return False


def save(moves: list[Move]) -> Saved:
    """Remembers every loaded module of the units that move."""
    units = [unit for unit, _, _ in moves]
    modules = _loaded(units)
    dictionaries = {name: dict(vars(module)) for name, module in modules.items()}
    folders = [folder for _, _, folder in moves if folder is not None]
    return Saved(units, folders, modules, dictionaries, {name for name in sys.modules if _belongs(name, units)})


def reload(saved: Saved) -> None:
    """Reloads what was saved; the caller's objects stay the same ones."""
    for name in _order(saved.modules):
        module = saved.modules[name]
        if sys.modules.get(name) is not module:
            continue
        if _is_gone(name, saved.folders):
            _forget(name, module)
        elif not isinstance(getattr(module.__spec__, "loader", None), ExtensionFileLoader):
            was_package = hasattr(module, "__path__")
            importlib.reload(module)
            spec = module.__spec__
            if was_package and spec is not None and spec.submodule_search_locations is None:
                # `reload` sets what a package has and leaves it where the package became a module.
                vars(module).pop("__path__", None)


def restore(saved: Saved) -> None:
    """Undoes `reload`, wherever it stopped."""
    for name in [name for name in sys.modules if _belongs(name, saved.units) and name not in saved.before]:
        _forget(name, sys.modules[name])
    for name, module in saved.modules.items():
        dictionary = vars(module)
        dictionary.clear()
        dictionary.update(saved.dictionaries[name])
        sys.modules[name] = module


def _loaded(units: list[str]) -> dict[str, ModuleType]:
    found = {}
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and _belongs(name, units) and _is_ours(module):
            found[name] = module
    return found


def _is_ours(module: ModuleType) -> bool:
    return hasattr(getattr(module.__spec__, "loader", None), "_unit")


def _belongs(name: str, units: Iterable[str]) -> bool:
    return any(name == unit or name.startswith(f"{unit}.") for unit in units)


def _is_gone(name: str, folders: list[str]) -> bool:
    # `importlib.util.find_spec` answers from sys.modules; the finders have to be asked. The parent's
    # path still leads to the old tree: what is found there alone is gone.
    parent = sys.modules.get(name.rpartition(".")[0])
    path = getattr(parent, "__path__", None)
    for finder in sys.meta_path:
        find_spec = getattr(finder, "find_spec", None)
        spec = None if find_spec is None else find_spec(name, path, None)
        if spec is not None:
            places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or [])
            if not any(place.startswith(folder) for place in places for folder in folders):
                return False
    return True


def _forget(name: str, module: ModuleType) -> None:
    sys.modules.pop(name, None)
    parent_name, _, tail = name.rpartition(".")
    parent = sys.modules.get(parent_name)
    if parent is not None and vars(parent).get(tail) is module:
        delattr(parent, tail)


def _order(modules: dict[str, ModuleType]) -> list[str]:
    """Names so that a module comes after those whose contents it holds; roots come last."""
    ordered: dict[str, None] = {}
    under_way: set[str] = set()

    def visit(name: str) -> None:
        if name in ordered or name in under_way:
            return
        under_way.add(name)
        for value in list(vars(modules[name]).values()):
            used = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if isinstance(used, str) and used in modules:
                visit(used)
        for child in modules:
            if child.startswith(f"{name}."):
                visit(child)
        ordered[name] = None

    for name in sorted(modules, key=lambda name: -name.count(".")):
        visit(name)
    return list(ordered)
