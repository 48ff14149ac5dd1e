"""Mounts for the children of multiprocessing: those that are spawned, or come from a fork server.

```text
parent   get_preparation_data ─ with it the mounts ─▶ pickle
child    unpickled first of all ─ mounted ─ then the main module and what the child is to do
```

A child that is forked has its parent's mounts anyway.
"""

import sys
from multiprocessing import spawn
from typing import Any

from magic_module import _native

#: Run by the child before it has its parent's `sys.path`: what stands there may be needed to find us.
_PROGRAM = """
import sys
sys.path.extend([entry for entry in {path!r} if entry not in sys.path])
from magic_module import _native
_native._mount_exported({mounts!r})
"""


class _Inheritance:
    """Is nothing but what happens when it is unpickled."""

    def __init__(self, mounts: str) -> None:
        self._mounts = mounts

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (_PROGRAM.format(path=[entry for entry in sys.path if entry], mounts=self._mounts),)


def inherit() -> None:
    """From now on the children of this process get its mounts."""
    original = spawn.get_preparation_data
    if getattr(original, "_has_mounts", False):
        return

    def get_preparation_data(name: str) -> dict[str, Any]:
        data = original(name)
        mounts = _native._exported()
        return {"magic_module": _Inheritance(mounts), **data} if mounts else data

    get_preparation_data._has_mounts = True  # type: ignore[attr-defined]
    spawn.get_preparation_data = get_preparation_data
