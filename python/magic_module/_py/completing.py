"""What completers of others offer after `import`: also units that are not downloaded.

```text
IPython.core.completerlib      IPython, and Jupyter through it: imports a module to find out what is in it
jedi…subprocess.functions      beside IPython: reads the source of whatever the finders know
_pyrepl._module_completer      the prompt of Python 3.14 and newer: lists folders of files alone
```

Finders are asked instead, and what they list is there before anything is downloaded. Nothing is imported.
"""

import os
import sys

from magic_module import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

OWN = "magic_module"


def mend_ipython(module: "Any") -> None:
    """Has IPython offer units, and import none of them for that."""
    top_names_of_ipython, names_of_ipython = module.get_root_modules, module.try_import
    files_of_ipython = module.module_list

    def get_root_modules() -> "list[str]":
        return [*{*top_names_of_ipython(), *top_names()}]

    def try_import(mod: str, only_modules: bool = False) -> "list[str]":
        name = mod.rstrip(".")
        below = names_below(name)
        if below is None:
            return names_of_ipython(mod, only_modules)  # type: ignore[no-any-return]
        loaded = None if only_modules else sys.modules.get(name)
        return [*{*below, *(it for it in dir(loaded) if loaded is not None and not it.startswith("__"))}]

    def module_list(path: str) -> "list[str]":
        # The first completion imports the package that mounts, and looks into its folder afterwards.
        return [*files_of_ipython(path), *(it for name in _packages_in(path) for it in names_below(name) or ())]

    module.get_root_modules, module.try_import, module.module_list = get_root_modules, try_import, module_list


def mend_jedi(module: "Any") -> None:
    """Has Jedi read no source of a unit that is not imported: that would download it."""
    info = module.get_module_info

    def get_module_info(state: "Any", sys_path: "Any" = None, full_name: "str | None" = None, **more: "Any") -> "Any":
        name = full_name or more.get("string") or ""
        if name.partition(".")[0] in top_names() and name not in sys.modules:
            try:
                if hasattr(getattr(spec_of(name), "loader", None), "_unit"):
                    return None, None
            except ImportError:
                return None, None
        return info(state, sys_path=sys_path, full_name=full_name, **more)

    module.get_module_info = get_module_info


def mend_prompt(module: "Any") -> None:
    """Has the prompt of Python offer units."""
    completer = module.ModuleCompleter
    find_modules = completer._find_modules

    def _find_modules(self: "Any", path: str, prefix: str) -> "list[str]":
        below = names_below(path) if path else None
        if below is None:
            found = find_modules(self, path, prefix)
            below = [] if path else [it for it in top_names() if it not in found]
        else:
            found = []
        return sorted([*found, *(it for it in below if self.is_suggestion_match(it, prefix))])

    completer._find_modules = _find_modules


def top_names() -> "set[str]":
    """The first parts of all names that mounts serve."""
    import pkgutil

    names = {name.partition(".")[0] for name in _namespaces()}
    for entry in sys.path:
        finder = pkgutil.get_importer(entry)
        if isinstance(finder, _native._Entry):
            names |= {name for name, _ in finder.iter_modules()}
    return names


def _namespaces() -> "set[str]":
    try:
        return {OWN, *(mount["namespace"] for mount in _native._mounts())} - {""}
    except ImportError:
        return {OWN}  # a setting is wrong, which whoever imports something is told


def _packages_in(path: str) -> "list[str]":
    """The namespaces whose own package is in a folder."""
    files = {name: getattr(sys.modules.get(name), "__file__", None) or "" for name in _namespaces()}
    return [name for name, file in files.items() if os.path.dirname(file) == path]


def names_below(name: str) -> "list[str] | None":
    """The modules directly below a name, as far as finders know; None for a name that no mount serves."""
    import pkgutil

    if name.partition(".")[0] not in top_names():
        return None
    try:
        return [module.name for module in pkgutil.iter_modules(_search_path(name))]
    except ImportError:
        return []


def _search_path(name: str) -> "Iterable[str]":
    """Where the parts of a package are: its own list, or that of its spec."""
    loaded: ModuleType | None = sys.modules.get(name)
    if loaded is not None:
        return getattr(loaded, "__path__", ())
    return getattr(spec_of(name), "submodule_search_locations", None) or ()


def spec_of(name: str) -> "ModuleSpec | None":
    """As an import would find it; but its parents are not imported."""
    parent, _, _ = name.rpartition(".")
    path = [*_search_path(parent)] if parent else None
    found = (finder.find_spec(name, path) for finder in sys.meta_path if path != [])
    return next(filter(None, found), None)
