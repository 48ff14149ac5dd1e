"""What `magic_module` itself requires: it can be imported here, although the view of a lock has no link to it."""

import contextlib
import os
import sys
from collections.abc import Iterator

import magic_module


@contextlib.contextmanager
def requirements_at_hand() -> Iterator[None]:
    """While this lasts, what was installed beside us can be imported, after all that the program itself has."""
    own = os.path.dirname(os.path.dirname(os.path.realpath(magic_module.__file__)))
    sys.path.append(own)
    try:
        yield
    finally:
        # The last one: the program may have the folder, too.
        del sys.path[len(sys.path) - 1 - sys.path[::-1].index(own)]
