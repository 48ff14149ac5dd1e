"""Modules of others that are mended when they are loaded. Most of them do not expect the view of a lock.

```text
importlib.metadata, importlib_metadata   a distribution's files need not be there yet     -> _py/installed.py
importlib.resources, importlib_resources what a folder holds need not be there yet          -> _py/portions.py
pkg_resources                            looks into a folder only if it knows the class of its finder
distlib.resources                        looks into a package only if it knows the class of its loader
pip.__main__                             installs nothing into a view
IPython.core.completerlib, _pyrepl._module_completer, jedi.inference.compiled.subprocess.functions
                                         what completes names, lock or not                  -> _py/completing.py
pdb, pydevd_file_utils                   set breakpoints in files that are there             -> _py/debugging.py
```

The first finder asks for this file when one of them is looked for, wherever it is installed.
"""

import sys

from magic_module import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType
    from typing import Any


def spec(
    ours: object, name: str, path: "Sequence[str] | None", target: "ModuleType | None", found: "ModuleSpec | None"
) -> "ModuleSpec | None":
    """The spec of a module that is mended, `found` or as the finders behind ours have it."""
    behind = iter(sys.meta_path)
    for finder in behind:
        if finder is ours:
            break
    for finder in behind:
        if found is not None:
            break
        find_spec = getattr(finder, "find_spec", None)
        found = find_spec and find_spec(name, path, target)
    # A loader that is a class is shared by all modules.
    loader: Any = getattr(found, "loader", None)
    if loader is not None and not isinstance(loader, type):
        if name == "pip.__main__":
            _refuse(loader, found.origin)  # type: ignore[union-attr]
        else:
            _mend_after(loader)
    return found


def mend(module: "ModuleType") -> None:
    """Mends a module that is loaded, if it is what its name says: others are called so, too."""
    if hasattr(module, "MetadataPathFinder"):
        from magic_module._py.installed import mend_metadata

        mend_metadata(module)
    elif hasattr(module, "MultiplexedPath"):
        from magic_module._py.portions import mend_readers

        mend_readers(module)
    elif hasattr(module, "get_root_modules"):
        from magic_module._py.completing import mend_ipython

        mend_ipython(module)
    elif hasattr(module, "get_module_info"):
        from magic_module._py.completing import mend_jedi

        mend_jedi(module)
    elif hasattr(module, "ModuleCompleter"):
        from magic_module._py.completing import mend_prompt

        mend_prompt(module)
    elif hasattr(module, "Pdb"):
        from magic_module._py.debugging import mend_pdb

        mend_pdb(module)
    elif hasattr(module, "canonical_normalized_path"):
        from magic_module._py.debugging import mend_pydevd

        mend_pydevd(module)
    elif hasattr(module, "find_on_path"):
        _mend_pkg_resources(module)
    elif hasattr(module, "ResourceFinder"):
        from magic_module._loader import UnitLoader

        module.register_finder(UnitLoader("", ""), module.ResourceFinder)


def _mend_after(loader: "Any") -> None:
    def exec_module(module: "ModuleType") -> None:
        # The next load of it, such as a reload, gets a loader of its own.
        del loader.exec_module
        loader.exec_module(module)
        mend(module)

    loader.exec_module = exec_module


def _mend_pkg_resources(module: "Any") -> None:
    module.register_finder(_native._Entry, module.find_on_path)
    module.register_namespace_handler(_native._Entry, module.file_ns_handler)
    # It has listed what is installed while it was loaded.
    for entry in sys.path:
        if _native._is_in_view(entry):
            for distribution in module.find_distributions(entry, only=True):
                module.working_set.add(distribution, entry, insert=False)


def _refuse(loader: "Any", origin: "str | None") -> None:
    """`python -m pip` is refused what `bin/pip` is. A view's pip that runs elsewhere installs there."""
    if origin is None or not _native._is_in_view(origin) or not _native._is_in_view(sys.prefix):
        return

    def get_code(fullname: str) -> "CodeType | None":
        from magic_module._py.pip import refusal

        del loader.get_code
        refused = refusal(sys.argv[1:])
        if refused is None:
            return loader.get_code(fullname)  # type: ignore[no-any-return]
        return compile(f"import sys\nsys.exit({'error: ' + refused!r})\n", origin, "exec")

    loader.get_code = get_code
