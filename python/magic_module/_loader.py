"""The loader of a unit's source modules: the stock one, with its bytes and its code from the verified store.

This file stands on the path of every warm import: it imports nothing, makes one class, and leaves what few imports
need to `magic_module._py.loader`. Frames of this file never show in a traceback of a module's body: `exec_module` is
the stock one.
"""

import _frozen_importlib
import _frozen_importlib_external as _external
import sys

from magic_module import _native

# Type checkers take this for true; importing `typing` would cost a warm import more than the rest of this file.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any


class UnitLoader(_external.SourceFileLoader):
    """Loads a source module of a unit."""

    _unit: "_native._Unit"
    _root = False

    def __init__(self, fullname: str, path: str) -> None:
        self.name = fullname
        self._path = path

    @property
    def path(self) -> str:  # type: ignore[override]
        """The file. Whoever reads this may open it: the unit is fetched, and the file is right, before it is told."""
        if "_unit" in self.__dict__:
            _native._make_whole(self, self._unit)
        return self._path

    def __hash__(self) -> int:
        return hash(self.name) ^ hash(self._path)

    def __eq__(self, other: object) -> bool:
        return self.__class__ == other.__class__ and self.__dict__ == other.__dict__

    @_external._check_name  # type: ignore[attr-defined, untyped-decorator]
    def get_filename(self, name: "str | None" = None) -> str:
        """The file, which need not be there yet."""
        return self._path

    def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
        """A plain module; the root of a unit has `_upgrade`, which its body may redefine."""
        return adopt(type(sys)(spec.name)) if self._root else None

    def get_code(self, fullname: str) -> "Any":
        """The module's code; the unit is fetched here if it is not on disk."""
        return _native._get_code(self, self._unit, fullname)

    def get_data(self, path: str) -> bytes:
        """The verified bytes of a file of the unit, fetched first if need be (PEP 302)."""
        data = _native._get_data(self._unit, path)
        return _external.FileLoader.get_data(self, path) if data is None else data

    def get_resource_reader(self, name: "Any" = None) -> "Any":
        """The package's data, lazy files included."""
        _native._ready(self._unit)
        directory = self._path.rpartition(_external.path_sep)[0]
        if not _native._lazy_files(directory):
            # Data is read by path as it is; the source of the package is not looked at for it.
            stock: Any = _external.SourceFileLoader(self.name, self._path).get_resource_reader(name or self.name)
            if _native._lacks_rest(directory):
                from magic_module._py.portions import ViewPath

                stock.path = ViewPath(directory)
            return stock
        from magic_module._py.resources import reader

        return reader(self, directory)

    def path_stats(self, path: str) -> "Any":
        """Size and time of a source file, fetched first if need be."""
        _native._ready(self._unit)
        return super().path_stats(path)

    def set_data(self, path: str, data: "Any", *, _mode: int = 0o666) -> None:
        """Does nothing: nobody writes into a tree."""


def adopt(module: "ModuleType") -> "ModuleType":
    """Gives the root of a unit its `_upgrade`."""
    module._upgrade = _upgrade_of(module.__name__)  # type: ignore[attr-defined]
    return module


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
        if not any(hasattr(getattr(spec, "loader", None), "_unit") for spec in specs):
            continue
        for name, spec in zip(names, specs, strict=True):
            locks.pop(name, None)
            if spec is not None and getattr(spec, "_initializing", False):
                sys.modules.pop(name, None)
