"""What not every import of a unit needs: extension modules, namespace packages, and why a name was not found.

The loader of source modules is in `magic_module._loader`. Nothing is imported here but what every interpreter has
loaded already: a first import of an extension module stands on this file.
"""

import _frozen_importlib
import _frozen_importlib_external as _external
import sys

from magic_module import _native
from magic_module._loader import UnitLoader, adopt

# Type checkers take this for true; importing `typing` would cost a warm import more than the rest of this file.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
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

    get_data = UnitLoader.get_data
    get_resource_reader = UnitLoader.get_resource_reader

    def create_module(self, spec: "ModuleSpec") -> "ModuleType":
        """Fetches and verifies the file, then lets the system load it."""
        _native._ready_extension(self, self._unit, spec)
        module = super().create_module(spec)
        return adopt(module) if self._root else module


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
