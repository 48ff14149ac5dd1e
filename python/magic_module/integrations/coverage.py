"""coverage.py: reports name the files of units as if they were installed, and not by where the cache keeps them.

```toml
[tool.coverage.run]
plugins = ["magic_module.integrations.coverage"]
```

`…/v1/trees/<digest>/alpha/part.py` is `magic_module/alpha/part.py` in a report, and a file of a lock's package is
called by its path below `site-packages`. What is measured, and what the data file holds, stays as it is: only the
process that reports needs the plug-in, and any core of coverage.py will do.
"""

from __future__ import annotations

import functools
import os
import re
from typing import TYPE_CHECKING, Any

from coverage.python import PythonFileReporter

from magic_module import _native

if TYPE_CHECKING:
    from coverage.plugin_support import Plugins
    from coverage.types import TConfigurable

#: A file below the cache: in which folder of it, below which digest, and its path there.
_IN_CACHE = re.compile(r"/v1/(trees|knots|views)/([0-9a-f]{64})/(.+)$")
_PACKAGES = "/site-packages/"

#: What was asked before, by the digest of a tree.
_NAMESPACES: dict[str, str | None] = {}


def coverage_init(reg: Plugins, options: TConfigurable) -> None:
    """Called by coverage.py, which finds it in its settings.

    Args:
        reg: takes nothing: coverage.py has no plug-ins that only name files.
        options: none are heeded.
    """
    reporter: Any = PythonFileReporter
    stock = reporter.relative_filename
    if hasattr(stock, "__wrapped__"):
        return  # by another measurement of this process

    @functools.wraps(stock)
    def relative_filename(self: PythonFileReporter) -> str:
        return installed_name(self.filename) or str(stock(self))

    reporter.relative_filename = relative_filename


def installed_name(path: str) -> str | None:
    """Where a file would be below `site-packages`, had an installer put it there.

    Args:
        path: of the file, as its module's `__file__` has it.

    Returns:
        The path, or None for a file that is not in a cache.
    """
    found = _IN_CACHE.search(path.replace(os.sep, "/"))
    if found is None:
        return None
    kind, digest, below = found.groups()
    _, packages, inside = f"/{below}".partition(_PACKAGES)
    if packages:
        return inside.replace("/", os.sep)
    namespace = _namespace_of(digest) if kind == "trees" else None
    return os.path.join(*(namespace or "").split("."), *below.split("/"))


def _namespace_of(digest: str) -> str | None:
    if digest not in _NAMESPACES:
        try:
            _NAMESPACES[digest] = _native._namespace_of(digest)
        except ImportError:
            _NAMESPACES[digest] = None  # the cache cannot be read; its file is named without the namespace
    return _NAMESPACES[digest]
