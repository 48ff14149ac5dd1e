"""The loaders of units: the stock ones, with their bytes and their code from the verified store.

Nothing is imported here but what every interpreter has loaded already, because this file stands on the path of a warm
import. Frames of this file never show in a traceback of a module's body: `exec_module` is the stock one.
"""

import _frozen_importlib
import _frozen_importlib_external as _external
import sys

from magic_module import _native

# Type checkers take this for true; importing `typing` would cost a warm import more than the rest of this file.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.abc import FileLoader
    from importlib.machinery import ModuleSpec
    from types import FrameType, ModuleType
    from typing import Any

    _Loader = FileLoader

    class _NamespaceLoader:
        def __init__(self, name: str, path: Sequence[str], path_finder: Callable[..., None]) -> None: ...
        def get_resource_reader(self, module: str) -> Any: ...
else:
    _Loader = object
    # Python 3.10 has it under a private name only.
    _NamespaceLoader = getattr(_external, "NamespaceLoader", None) or _external._NamespaceLoader


class _OfUnit(_Loader):
    """What the loaders share: the unit, and whether the module is its root."""

    _unit: "_native._Unit"
    _root = False

    def get_data(self, path: str) -> bytes:
        """The verified bytes of a file of the unit, fetched first if need be (PEP 302)."""
        data = _native._get_data(self._unit, path)
        return super().get_data(path) if data is None else data

    def get_resource_reader(self, name: "Any" = None) -> "Any":
        """The package's data, lazy files included."""
        _native._ready(self._unit)
        directory = self.path.rpartition(_external.path_sep)[0]
        if not _native._lazy_files(directory):
            return super().get_resource_reader(name)
        from magic_module._py.resources import reader

        return reader(self, directory)

    def _adopt(self, module: "ModuleType") -> "ModuleType":
        if self._root:
            module._upgrade = _upgrade_of(module.__name__)  # type: ignore[attr-defined]
        return module


class UnitLoader(_OfUnit, _external.SourceFileLoader):  # type: ignore[misc]
    """Loads a source module of a unit."""

    def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
        """A plain module; the root of a unit has `_upgrade`, which its body may redefine."""
        return self._adopt(type(sys)(spec.name)) if self._root else None

    def get_code(self, fullname: str) -> "Any":
        """The module's code; the unit is fetched here if it is not on disk."""
        return _native._get_code(self, self._unit, fullname)

    def path_stats(self, path: str) -> "Any":
        """Size and time of a source file, fetched first if need be."""
        _native._ready(self._unit)
        return super().path_stats(path)

    def set_data(self, path: str, data: "Any", *, _mode: int = 0o666) -> None:
        """Does nothing: nobody writes into a tree."""


class UnitExtensionLoader(_OfUnit, _external.ExtensionFileLoader):
    """Loads an extension module of a unit."""

    def create_module(self, spec: "ModuleSpec") -> "ModuleType":
        """Fetches and verifies the file, then lets the system load it."""
        _native._ready_extension(self, self._unit, spec)
        return self._adopt(super().create_module(spec))


class UnitNamespaceLoader(_NamespaceLoader):
    """A folder of a unit without an `__init__`."""

    _unit: "_native._Unit"

    def __init__(self, name: str, location: str) -> None:
        super().__init__(name, [location], _keep)

    def exec_module(self, module: "ModuleType") -> None:
        """What the import system gives a namespace package that has no loader."""
        module.__file__ = None

    def get_resource_reader(self, module: str) -> "Any":
        """The folder's data."""
        _native._ready(self._unit)
        return super().get_resource_reader(module)


def _keep(name: str, path: "Sequence[str]") -> None:
    """The folders of a unit do not follow `sys.path`."""


def _upgrade_of(name: str) -> "Callable[..., _native.Upgrade]":
    def _upgrade(*, force: bool = False) -> _native.Upgrade:
        """Move this module, and what it requires, to the newest version; or change nothing.

        Args:
            force: drop the cached bytes and fetch all of them again.

        Returns:
            magic_module.Upgrade: what was done.

        Raises:
            magic_module.errors.MagicModuleError: nothing has changed, and the module works as before.
        """
        return _native._upgrade_unit(name, force)

    _upgrade.__module__ = name
    _upgrade.__qualname__ = "_upgrade"
    return _upgrade


def namespace_spec(
    fullname: str, path: "Sequence[str] | None", target: "ModuleType | None", ours: object, entry: str | None
) -> "Any":
    """The spec of a mounted namespace: whoever knows it provides it, and our entry joins its path."""
    spec: Any
    for finder in sys.meta_path:
        find_spec = None if finder is ours else getattr(finder, "find_spec", None)
        spec = find_spec and find_spec(fullname, path, target)
        if spec is not None:
            break
    else:
        return virtual_namespace(fullname, entry)
    locations = spec.submodule_search_locations
    if entry is not None and locations is not None and entry not in locations:
        locations.append(entry)
    return spec


def virtual_namespace(fullname: str, entry: str | None) -> "ModuleSpec":
    """A namespace package that nobody else provides."""
    spec = _frozen_importlib.ModuleSpec(fullname, None, is_package=True)
    locations = [] if entry is None else [entry]
    spec.submodule_search_locations = _external._NamespacePath(fullname, locations, _keep)  # type: ignore[attr-defined]
    return spec


def importing_module() -> str:
    """The name of the module whose import statement is being executed; empty if there is none."""
    frame: FrameType | None = sys._getframe(1)
    importing = ("importlib", "_frozen_importlib")
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in importing:
        frame = frame.f_back
    while frame is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", "")) if frame is not None else ""


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


def after_fork_in_child() -> None:
    """Forget what the parent's other threads were importing: they will never finish it here.

    A module lock whose owner does not exist any more would be waited for forever.
    """
    import _thread

    me = _thread.get_ident()
    locks: dict[str, Any] = _frozen_importlib._module_locks  # type: ignore[attr-defined]
    held: dict[int, list[str]] = {}
    for name, reference in list(locks.items()):
        lock = reference()
        owner = getattr(lock, "owner", None)
        if owner is not None and owner != me:
            held.setdefault(owner, []).append(name)
    for names in held.values():
        specs = [getattr(sys.modules.get(name), "__spec__", None) for name in names]
        if not any(isinstance(getattr(spec, "loader", None), (_OfUnit, UnitNamespaceLoader)) for spec in specs):
            continue
        for name, spec in zip(names, specs, strict=True):
            locks.pop(name, None)
            if spec is not None and getattr(spec, "_initializing", False):
                sys.modules.pop(name, None)


def hidden_by(name: str, root: str) -> str | None:
    """The installed file that wins over a unit; None if there is none."""
    namespace, _, _ = name.rpartition(".")
    if namespace:
        parent = sys.modules.get(namespace)
        path = None if parent is None else [entry for entry in parent.__path__ if not entry.startswith(root)]
        if not path:
            return None
    else:
        path = None
        if name in sys.builtin_module_names:
            return f"the built-in module {name}"
    spec = _external.PathFinder.find_spec(name, path)
    if spec is None or spec.loader is None or hasattr(spec.loader, "_unit"):
        return None
    return spec.origin
