"""Names that finders know which are neither ours nor Python's own: editable installs, and hooks of tools."""

import sys

_STOCK = ("BuiltinImporter", "FrozenImporter", "PathFinder")


def has(name: str) -> bool:
    """Whether such a finder has a top-level module; nothing is imported for the answer."""
    for finder in list(sys.meta_path):
        if getattr(finder, "__name__", "") in _STOCK or type(finder).__module__.startswith("magic_module"):
            continue
        try:
            if finder.find_spec(name, None) is not None:
                return True
        except Exception:
            # What a stranger's finder raises says nothing of the name.
            continue
    return False
