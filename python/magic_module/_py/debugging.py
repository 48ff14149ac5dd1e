"""Breakpoints of `pdb` in units that are not downloaded.

```text
b magic_module.alpha:3, b alpha/part.py:3   a module, or its file    what an import would find
b <cache>/v1/views/…/alpha/part.py:3        the file's own path      the unit that it belongs to
b magic_module.alpha.double                 a function               the module is the longest name that is one
```

`pdb` looks for a file, and reads its lines. So the unit is downloaded when the breakpoint is set; nothing of it is run.
"""

import os

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
