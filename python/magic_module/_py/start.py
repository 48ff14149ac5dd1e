"""What an interpreter does when it starts: it mounts what the environment says.

`magic_module.pth`, which the wheel ships and every view has, imports this file if `MAGIC_MODULE_SPACE`,
`MAGIC_MODULE_LOCK`, `MAGIC_MODULE_MOUNTS` or `MAGIC_MODULE_AUTO_INSTALL` is set, and the interpreter heeds the
environment (not with `-E` or `-I`).
"""

import os
import sys

from magic_module import _native

try:
    if "magic_module_trace" in sys._xoptions or "MAGIC_MODULE_TRACE_PART" in os.environ:
        from magic_module._py import trace

        trace.begin()
    _native._start()
except ImportError as error:
    # The program may not need what could not be mounted; what it needs is missing then, and this says why.
    if sys.stderr is not None:
        print(f"magic-module: {error}", file=sys.stderr)
