"""The rest of wheels whose first part was fetched: it comes in a thread beside the program.

```text
import pandas ─ its first part is fetched ─ the import ends ─▶ thread: what is left of pandas, of numpy …
                                 a fork, or the end of the program ─▶ the thread ends
```

A failure is not reported here: whoever asks for that part gets the error.
"""

import _frozen_importlib
import _thread
import _weakref
import contextlib
import os
import threading
from typing import Any

from magic_module import _native
from magic_module.errors import MagicModuleError

_guard = threading.Lock()
_awaited: Any = None
"""The lock of the import that is waited for, while it lasts."""
_asked = False
"""Something more was fetched since the thread looked."""
_thread_of_rests: threading.Thread | None = None


def after_this_import() -> None:
    """Begins once the outermost import of this thread has ended."""
    global _awaited
    me = _thread.get_ident()
    references: Any = list(_frozen_importlib._module_locks.values())  # type: ignore[attr-defined]
    locks = (reference() for reference in references)
    held = next((lock for lock in locks if getattr(lock, "owner", None) == me), None)
    if held is None:
        _begin()
    else:
        # The lock of a module is gone when nobody imports it any more.
        _awaited = _weakref.ref(held, lambda _: _begin())


def _begin() -> None:
    global _asked, _awaited, _thread_of_rests
    with _guard:
        _awaited, _asked = None, True
        if _thread_of_rests is not None and _thread_of_rests.is_alive():
            return
        if _thread_of_rests is None:
            os.register_at_fork(before=_stop, after_in_child=_forget)
            # Before the threads of a program are waited for; nothing public comes that early.
            threading._register_atexit(_stop)  # type: ignore[attr-defined]
        thread = threading.Thread(target=_bring, name="magic_module-rest")
        # A program that ends, or may have no more threads, does without.
        with contextlib.suppress(RuntimeError):
            thread.start()
            _thread_of_rests = thread


def _forget() -> None:
    """Another thread may have held it at the fork."""
    global _guard
    _guard = threading.Lock()


def _bring() -> None:
    global _asked
    while _asked:
        _asked = False
        try:
            _native._bring_rests()
        except (MagicModuleError, SystemExit):
            return


def _stop() -> None:
    global _asked
    _asked = False
    _native._stop_rests()
    if _thread_of_rests is not None and _thread_of_rests is not threading.current_thread():
        _thread_of_rests.join()
