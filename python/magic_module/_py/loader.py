"""What only some imports of units need: extension modules, namespace packages, and why a name was not found.

The loader of source modules is in `magic_module._loader`. Nothing is imported here but what every interpreter has
loaded already: the first import of an extension module needs this file.
"""

import _frozen_importlib
import _frozen_importlib_external as _external
import _imp
import _thread
import _weakref
import sys

from magic_module import _native
from magic_module._loader import UnitLoader, _upgrade_of, adopt

# Type checkers take this for true; importing `typing` would cost a warm import more than the rest of this file.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    class _NamespaceLoader:
        def __init__(self, name: str, path: Sequence[str], path_finder: Callable[..., None]) -> None: ...
        def get_resource_reader(self, module: str) -> Any: ...
else:
    # Python 3.10 has it under a private name only.
    _NamespaceLoader = getattr(_external, "NamespaceLoader", None) or _external._NamespaceLoader


class UnitExtensionLoader(_external.ExtensionFileLoader):
    """Loads an extension module of a unit."""

    _unit: "_native._Unit"
    _root = False

    _path: str

    __init__ = UnitLoader.__init__
    path = UnitLoader.path
    __hash__ = UnitLoader.__hash__
    __eq__ = UnitLoader.__eq__
    get_filename = UnitLoader.get_filename
    get_data = UnitLoader.get_data
    get_resource_reader = UnitLoader.get_resource_reader

    def create_module(self, spec: "ModuleSpec") -> "ModuleType":
        """Fetches and verifies the file, then lets the system load it."""
        _native._ready_extension(self, self._unit, spec)
        # The stock method, which reads `path` for what it says with `-v`.
        module = _frozen_importlib._call_with_frames_removed(_imp.create_dynamic, spec)  # type: ignore[attr-defined]
        return adopt(module) if self._root else module

    def exec_module(self, module: "ModuleType") -> None:
        """Runs what the file was loaded with."""
        _frozen_importlib._call_with_frames_removed(_imp.exec_dynamic, module)  # type: ignore[attr-defined]

    def is_package(self, fullname: str) -> bool:
        """Whether the file is an `__init__`."""
        return self._path.rpartition(_external.path_sep)[2].partition(".")[0] == "__init__"


class UnitNamespaceLoader(_NamespaceLoader):
    """A folder of a unit without an `__init__`."""

    _unit: "_native._Unit"
    _data = False  # nothing else can be imported from it

    def __init__(self, name: str, location: str) -> None:
        super().__init__(name, [location], _keep)

    def exec_module(self, module: "ModuleType") -> None:
        """What the import system gives a namespace package that has no loader.

        Who imports a folder of data looks into it next, by its path.
        """
        if self._data:
            _native._ready(self._unit)
        module.__file__ = None

    def get_resource_reader(self, module: str) -> "Any":
        """The folder's data."""
        _native._ready(self._unit)
        return super().get_resource_reader(module)


def _keep(name: str, path: "Sequence[str]") -> None:
    """The folders of a unit do not follow `sys.path`."""


def namespace_spec(
    fullname: str, path: "Sequence[str] | None", target: "ModuleType | None", ours: object, entry: str | None
) -> "Any":
    """The spec of a mounted namespace: whoever knows it provides it, and our entry joins its path."""
    spec: Any
    folder: Any = None
    for finder in sys.meta_path:
        find_spec = None if finder is ours else getattr(finder, "find_spec", None)
        spec = find_spec and find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            break
        # A folder without code is what is left if nobody has more.
        folder = folder or spec
    else:
        if folder is None:
            return virtual_namespace(fullname, entry)
        return folder if entry is None else _join(folder, entry)
    locations = spec.submodule_search_locations
    if entry is not None and locations is not None and entry not in locations:
        spec.submodule_search_locations = [*locations, entry]
    return spec


def joined_namespace(fullname: str, path: "Sequence[str] | None", entry: str | None) -> "ModuleSpec | None":
    """The namespace package of all folders that have this name, and of one more."""
    spec = _external.PathFinder.find_spec(fullname, path)
    if spec is None or spec.loader is not None:
        return spec
    return spec if entry is None else _join(spec, entry)


def _join(spec: "ModuleSpec", entry: str) -> "ModuleSpec":
    """Adds a folder to a namespace package, for good: it looks for its folders again whenever `sys.path` changes."""

    def again(name: str, path: "Sequence[str]") -> "ModuleSpec | None":
        found = _external.PathFinder.find_spec(name, path)
        if found is not None and found.loader is None:
            found.submodule_search_locations = add(found.submodule_search_locations)
        return found

    def add(locations: "Iterable[str] | None") -> "list[str]":
        known = list(locations or [])
        return known if entry in known else [*known, entry]

    locations = add(spec.submodule_search_locations)
    spec.submodule_search_locations = _external._NamespacePath(spec.name, locations, again)  # type: ignore[attr-defined]
    return spec


def virtual_namespace(fullname: str, entry: str | None) -> "ModuleSpec":
    """A namespace package that nobody else provides."""
    spec = _frozen_importlib.ModuleSpec(fullname, None, is_package=True)
    locations = [] if entry is None else [entry]
    spec.submodule_search_locations = _external._NamespacePath(fullname, locations, _keep)  # type: ignore[attr-defined]
    return spec


def is_importing(name: str) -> bool:
    """Whether this thread is importing a module right now."""
    return _import_of(name) is not None


def _import_of(name: str) -> "Any":
    reference = _frozen_importlib._module_locks.get(name)  # type: ignore[attr-defined]
    lock = None if reference is None else reference()
    return lock if getattr(lock, "owner", None) == _thread.get_ident() else None


_adopted: "dict[str, Any]" = {}


def adopt_later(name: str, place: str) -> None:
    """Gives the root of a unit that another loader loads its `_upgrade`, once its import has ended.

    The lock of a module is gone when nobody imports it any more.
    """
    lock = _import_of(name)
    if lock is None:
        return

    def ended(_: object) -> None:
        _adopted.pop(name, None)
        module = sys.modules.get(name)
        if isinstance(module, type(sys)):
            # Not by attribute: a lazy module would begin to load.
            content = object.__getattribute__(module, "__dict__")
            if content.get("__file__") == place:
                content.setdefault("_upgrade", _upgrade_of(name))

    _adopted[name] = _weakref.ref(lock, ended)


def explain_absolute_import(name: str, full: str, asking: str, namespace: str, url: str) -> None:
    """Raises the error for a unit that imports itself, or a unit beside it, as if that were at top level."""
    from magic_module.errors import UnitNotFoundError

    own = asking == full or asking.startswith(full + ".")
    hint = f"mount it at top level: magic_module.mount('', {url!r}), with a manifest published with --namespace ''"
    raise UnitNotFoundError(
        f"No module named {name!r}: {asking} imports {'its own package' if own else 'the unit ' + full} "
        f"by the absolute name {name}, but it lives below {namespace}; {hint}"
        + ("" if own else f", or install the distribution that holds {name}"),
        name=name,
        url=url,
        hint=hint,
    )


def hidden_by(name: str, root: str, first: bool) -> str | None:
    """The installed file, or the importer, that wins over a unit; None if there is none."""
    namespace, _, _ = name.rpartition(".")
    path = _folders(namespace) if namespace else None
    if name in sys.builtin_module_names and (not first or name in sys.modules):
        return f"the built-in module {name}"
    if first or (namespace and path is None):
        return None
    folders = [entry for entry in (sys.path if path is None else path) if not str(entry).startswith(root)]
    spec = _native._hidden_by(name, path, folders)
    if spec is None or hasattr(spec.loader, "_unit"):
        return None
    return spec.origin or f"{_named(spec.loader)} on sys.meta_path"


def _folders(package: str) -> "list[str] | None":
    """Where the submodules of a package are looked for; it need not be imported for that."""
    module = sys.modules.get(package)
    if module is not None:
        return list(getattr(module, "__path__", ()))
    above, _, _ = package.rpartition(".")
    try:
        spec = _frozen_importlib._find_spec(package, _folders(above) if above else None)  # type: ignore[attr-defined]
    except (KeyError, ModuleNotFoundError):
        # A namespace package looks for its folders in a parent that is imported (since 3.15 it says so): there is no
        # code that could hide.
        return None
    locations = None if spec is None else spec.submodule_search_locations
    return None if locations is None else list(locations)


def _named(loader: object) -> str:
    kind = loader if isinstance(loader, type) else type(loader)
    return f"{kind.__module__}.{kind.__qualname__}"
