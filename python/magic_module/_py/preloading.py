"""What `preload = […]` of a registry names is fetched beside a program that starts, before anybody imports it.

```text
a program starts ─ not fetched yet? ─▶ a process of its own, of the lowest priority ─ each name ─▶ the cache
its end closes the other end of that process's stdin ─▶ it ends, too
```

Nobody waits here for a failure: the import of that package fails, too, and gives the reason.
"""

import os
import sys
from collections.abc import Sequence

from magic_module import _native

OPTION = "magic_module_preload"
"""Says to an interpreter that it is the one that fetches."""

_PROGRAM = "from magic_module._py import preloading; preloading.fetch()"

_held: list[int] = []
"""What ends with this process."""


def begin() -> None:
    """Starts the process that fetches, and does not wait for it."""
    if OPTION in sys._xoptions or not sys.executable or not hasattr(os, "posix_spawn"):
        return
    reading, writing = os.pipe()
    try:
        actions = [
            (os.POSIX_SPAWN_DUP2, reading, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ]
        line = [sys.executable, "-X", OPTION, "-c", _PROGRAM]
        os.posix_spawn(sys.executable, line, os.environ, file_actions=actions)
        _held.append(writing)
    except OSError:
        os.close(writing)  # then it is fetched when it is imported
    finally:
        os.close(reading)


def fetch() -> None:
    """Fetches what the registry names, one after the other, until whoever started this ends."""
    import contextlib
    import threading

    from magic_module._py.registry.registry import Registry

    threading.Thread(target=_end_with_stdin, daemon=True).start()
    with contextlib.suppress(OSError):
        os.nice(19)
    with contextlib.suppress(ImportError):
        _native._mount_said()
    names: Sequence[str] = ()
    is_done = True
    with contextlib.suppress(ImportError):
        names = Registry().document["preload"]
    for name in names:
        try:
            _native.prefetch(name)
        except Exception:
            is_done = False
    _native._note_preloaded(is_done)


def _end_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)
