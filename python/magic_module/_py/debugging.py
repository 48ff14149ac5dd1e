"""Breakpoints in units that are not downloaded.

```text
pdb
b magic_module.alpha:3, b alpha/part.py:3   a module, or its file    what an import would find
b <cache>/v1/views/…/alpha/part.py:3        the file's own path      the unit that it belongs to
b magic_module.alpha.double                 a function               the module is the longest name that is one

debugpy, and whoever else is made from pydevd
<cache>/v1/trees/…/alpha/part.py, line 3    the file's own path      is kept until the file is loaded
```

`pdb` looks for a file, and reads its lines. So the unit is downloaded when the breakpoint is set; nothing of it is run.
pydevd only compares paths, and is told that the file may come.
"""

import os
import sys

from magic_module import _native
from magic_module._loader import UnitLoader
from magic_module._py.completing import spec_of, top_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def mend_pdb(module: "Any") -> None:
    """Has `pdb` find the files of units, and download them."""
    debugger = module.Pdb
    look_up, line_of = debugger.lookupmodule, debugger.lineinfo

    def lookupmodule(self: "Any", filename: str) -> "str | None":
        found: str | None = look_up(self, filename)
        if found is not None and os.path.exists(found):
            return found
        try:
            return _file_of(filename) or found
        except ImportError as error:
            self.error(str(error))
            return found

    def lineinfo(self: "Any", identifier: str) -> "Any":
        parts = identifier.strip().split(".")
        for end in range(len(parts) - 1, 0, -1):
            try:
                file = _file_of(".".join(parts[:end]))
            except ImportError as error:
                self.error(str(error))
                break
            if file is not None:
                return module.find_function(parts[end], file) or (None, None, None)
        return line_of(self, identifier)

    debugger.lookupmodule, debugger.lineinfo = lookupmodule, lineinfo


def mend_pydevd(module: "Any") -> None:
    """Has pydevd keep breakpoints in files of the cache that are not there yet."""
    is_there = module.exists

    def exists(path: str) -> bool:
        return is_there(path) or _may_come(path)

    module.exists = exists
    # What it was told before we were imported, and has put aside.
    debugger, calls = sys.modules.get("pydevd"), sys.modules.get("_pydevd_bundle.pydevd_api")
    running = calls and debugger and debugger.get_global_debugger()
    for _, breakpoint in list(getattr(running, "api_received_breakpoints", {}).values()):
        if not is_there(breakpoint[0]) and _may_come(breakpoint[0]):
            calls.PyDevdAPI().add_breakpoint(running, *breakpoint)  # type: ignore[union-attr]


def _may_come(path: str) -> bool:
    """Whether a module would have this file in the cache; it may be one that no unit has."""
    try:
        cache = os.path.join(_native.cache_dir(), "v1")
    except ImportError:
        return False  # a setting is wrong, which whoever imports something is told
    folders = tuple(os.path.join(cache, folder, "") for folder in ("trees", "views", "knots"))
    return path.endswith(".py") and path.startswith(folders)


def _file_of(place: str) -> "str | None":
    """The file of a unit's module, which is there now; the module is told by its name, or by its path."""
    if os.path.isabs(place):
        return place if _native._ready_at(place) else None
    parts = place.removesuffix(".py").replace("\\", ".").replace("/", ".").split(".")
    if parts[-1] == "__init__":
        del parts[-1]
    if not parts or not all(part.isidentifier() for part in parts) or parts[0] not in top_names():
        return None
    loader = getattr(spec_of(".".join(parts)), "loader", None)
    return loader.path if isinstance(loader, UnitLoader) else None
