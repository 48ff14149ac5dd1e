"""A lock of these inputs, mounted: logins are told, and what has no wheel is built first."""

from pathlib import Path
from typing import TYPE_CHECKING

from magic_module import _native
from magic_module._py.locking.inputs import Inputs
from magic_module._py.registry import building

if TYPE_CHECKING:
    from magic_module._native import Mount


def mounted(lock: Path, asked: Inputs, *, export: bool = False) -> "Mount":
    """The mount of a lock that was made of `asked`.

    Raises:
        MagicModuleError: as `mount_lock` does, or something could not be built.
    """
    _native._tell_logins(asked.logins())
    return _native.mount_lock(building.ready(lock, asked), export=export)
