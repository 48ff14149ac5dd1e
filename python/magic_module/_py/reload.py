"""Making loaded modules new, or leaving them exactly as they were.

```text
needs_restart(moves)   an extension module that is loaded has other bytes: nothing can be reloaded
save(moves)            the sys.modules entries of the units, with the classes and dictionaries of what is loaded
reload(saved)          submodules before those that use them, the root last; what is gone leaves sys.modules
restore(saved)         everything as it was saved
```

A move is `(full name of the unit, changed paths, folder of the old tree)`; the paths are a manifest's, with slashes.
What a module did outside of its own dictionary cannot be undone.

A module's body may put another object into `sys.modules` in the module's place. The names that its functions see are
in the dictionary of the module that was replaced, so that body is run in a new module, as if it were imported for the
first time. Where the objects are modules, the old one then takes class and contents of the new one, and whoever holds
it has the new version; any other old object stays what it is, and only a restart reaches those who hold it.
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from types import ModuleType
from typing import Any, NamedTuple

Move = tuple[str, list[str], str | None]


class Saved(NamedTuple):
    """What is loaded of the units that move."""

    units: list[str]
    folders: list[str]
    modules: dict[str, Any]
    """Every module of the units, or what took its place."""
    states: dict[str, tuple[type, dict[str, Any]]]
    """Class and contents of those that are modules."""
    entries: dict[str, Any]
    """All that `sys.modules` has below the units' names."""
    held: list[tuple[Any, str, dict[str, Any]]]
    """Each unit's package outside, the name in it, and what stood there."""


def needs_restart(moves: list[Move]) -> bool:
    """Whether the bytes of a loaded extension module change."""
    for unit, changed, folder in moves:
        if folder is None:
            continue
        files = {os.sep.join([folder, *path.split("/")]) for path in changed}
        for module in _loaded([unit], [folder]).values():
            spec = _spec_of(module)
            if isinstance(getattr(spec, "loader", None), ExtensionFileLoader) and spec.origin in files:
                return True
    return False


def save(moves: list[Move]) -> Saved:
    """Remembers every loaded module of the units that move."""
    units = [unit for unit, _, _ in moves]
    folders = [folder for _, _, folder in moves if folder is not None]
    modules = _loaded(units, folders)
    states = {name: (type(module), dict(vars(module))) for name, module in modules.items() if _is_module(module)}
    entries = {name: module for name, module in list(sys.modules.items()) if _belongs(name, units)}
    held = []
    for unit in units:
        parent, tail = _parent_of(unit)
        contents = _contents_of(parent)
        held.append((parent, tail, {tail: contents[tail]} if tail in contents else {}))
    return Saved(units, folders, modules, states, entries, held)


def reload(saved: Saved) -> bool:
    """Reloads what was saved; the caller's objects stay the same ones, or the result is true: restart is required."""
    stale = False
    for name in _order(saved.modules):
        module = saved.modules[name]
        if name not in sys.modules or sys.modules[name] is not module:
            continue
        if _is_gone(name, saved.folders):
            _forget(name, module)
        elif isinstance(getattr(_spec_of(module), "loader", None), ExtensionFileLoader):
            continue
        elif _is_namespace_of_its_body(name, module):
            _run_again(module)
            new = sys.modules[name]
            stale |= new is not module
            _take_place(name, module, new)
        else:
            del sys.modules[name]
            new = importlib.import_module(name)
            _take_place(name, module, new)
            stale |= not _become(name, module, new)
    return stale


def restore(saved: Saved) -> None:
    """Undoes `reload`, wherever it stopped."""
    for name in [name for name in sys.modules if _belongs(name, saved.units) and name not in saved.entries]:
        _forget(name, sys.modules[name])
    for name, (kind, contents) in saved.states.items():
        module = saved.modules[name]
        _set_class(module, kind)
        dictionary = vars(module)
        dictionary.clear()
        dictionary.update(contents)
    sys.modules.update(saved.entries)
    for parent, tail, before in saved.held:
        contents = _contents_of(parent)
        contents.pop(tail, None)
        contents.update(before)


def _run_again(module: ModuleType) -> None:
    was_package = hasattr(module, "__path__")
    # A class that the body gave it is given again by the new body, or by none.
    _set_class(module, ModuleType)
    importlib.reload(module)
    spec = module.__spec__
    if was_package and spec is not None and spec.submodule_search_locations is None:
        # `reload` sets what a package has and leaves it where the package became a module.
        vars(module).pop("__path__", None)


def _take_place(name: str, old: Any, new: Any) -> None:
    """What the import system does once for a module that it loads: parents and children know it."""
    if new is old:
        return
    parent, tail = _parent_of(name)
    if _contents_of(parent).get(tail) is old:
        setattr(parent, tail, new)
    contents = _contents_of(old)
    for child in [child for child in sys.modules if child.rpartition(".")[0] == name]:
        tail = child.rpartition(".")[2]
        if contents.get(tail) is sys.modules[child] and tail not in _contents_of(new):
            # As the import system does, for an object that takes no attributes.
            with contextlib.suppress(AttributeError):
                setattr(new, tail, sys.modules[child])


def _become(name: str, old: Any, new: Any) -> bool:
    """Gives class and contents of the new module to the old one, which stays where it was; False if it cannot be."""
    if new is old:
        return True
    if not (_is_module(old) and _is_module(new)) or _is_namespace_of_its_body(name, new):
        return False
    # One that is known by another name, too, is not this module's alone.
    if any(module is old or (module is new and key != name) for key, module in list(sys.modules.items())):
        return False
    try:
        _set_class(old, type(new))
    except TypeError:
        return False
    contents = vars(old)
    contents.clear()
    contents.update(vars(new))
    sys.modules[name] = old
    _take_place(name, new, old)
    return True


def _loaded(units: list[str], folders: list[str]) -> dict[str, Any]:
    return {
        name: module
        for name, module in list(sys.modules.items())
        if module is not None and _belongs(name, units) and _is_ours(name, module, folders)
    }


def _is_ours(name: str, module: Any, folders: list[str]) -> bool:
    spec = _spec_of(module)
    if isinstance(spec, ModuleSpec) and spec.name == name:
        # Some import hooks load a unit's file with a loader of their own.
        place = spec.origin if isinstance(spec.origin, str) else ""
        return hasattr(spec.loader, "_unit") or any(place.startswith(folder + os.sep) for folder in folders)
    # Another object is in the module's place; the finders know whose the name is.
    found = next(_specs_of(name), None)
    return hasattr(getattr(spec, "loader", None), "_unit") or hasattr(getattr(found, "loader", None), "_unit")


def _spec_of(module: Any) -> Any:
    return getattr(module, "__spec__", None)


def _is_module(module: Any) -> bool:
    # Not `isinstance`, which believes what an object says of its class.
    return issubclass(type(module), ModuleType)


def _is_namespace_of_its_body(name: str, module: Any) -> bool:
    """Whether the names that the body sees are the module's: running it adds `__builtins__` to them."""
    spec = _spec_of(module)
    if not _is_module(module) or getattr(spec, "name", name) != name:
        return False
    # A package without a body cannot have replaced itself.
    has_body = spec is None or spec.origin is not None
    return "__builtins__" in vars(module) or not has_body


def _set_class(module: ModuleType, kind: type) -> None:
    if type(module) is not kind:
        # Not by the class's own `__setattr__`.
        ModuleType.__setattr__(module, "__class__", kind)


def _parent_of(name: str) -> tuple[Any, str]:
    parent, _, tail = name.rpartition(".")
    return sys.modules.get(parent), tail


def _contents_of(module: Any) -> dict[str, Any]:
    contents = getattr(module, "__dict__", None)
    return contents if isinstance(contents, dict) else {}


def _belongs(name: str, units: Iterable[str]) -> bool:
    return any(name == unit or name.startswith(f"{unit}.") for unit in units)


def _specs_of(name: str) -> Iterator[ModuleSpec]:
    # `importlib.util.find_spec` answers from sys.modules; the finders have to be asked.
    path = getattr(_parent_of(name)[0], "__path__", None)
    for finder in sys.meta_path:
        find_spec = getattr(finder, "find_spec", None)
        spec = None if find_spec is None else find_spec(name, path, None)
        if spec is not None:
            yield spec


def _is_gone(name: str, folders: list[str]) -> bool:
    # The parent's path still leads to the old tree: what is found there alone is gone.
    for spec in _specs_of(name):
        places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or [])
        if not any(place.startswith(folder) for place in places for folder in folders):
            return False
    return True


def _forget(name: str, module: Any) -> None:
    sys.modules.pop(name, None)
    parent, tail = _parent_of(name)
    if _contents_of(parent).get(tail) is module:
        delattr(parent, tail)


def _order(modules: dict[str, Any]) -> list[str]:
    """Names so that a module comes after those whose contents it holds; roots come last."""
    ordered: dict[str, None] = {}
    under_way: set[str] = set()

    def visit(name: str) -> None:
        if name in ordered or name in under_way:
            return
        under_way.add(name)
        for value in list(_contents_of(modules[name]).values()):
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
