"""The part of the public interface that is Python's own: what runs in an event loop."""

import asyncio
import contextlib
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from magic_module import _native


class _Cancelled(Exception):
    """Ends the download of a task that nobody waits for any more."""


class _Listener:
    """Stands between the thread that downloads and the event loop."""

    def __init__(self, progress: Callable[[dict[str, Any]], object] | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._progress = progress
        self.cancelled = False

    def __call__(self, event: dict[str, Any]) -> None:
        if self._progress is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._progress, event)

    def tick(self) -> None:
        """Asked many times a second while the download lasts, also when nothing arrives."""
        if self.cancelled:
            raise _Cancelled


async def aprefetch(*names: str, progress: Callable[[dict[str, Any]], object] | None = None) -> None:
    """Download units and what they require, in parallel, while the event loop runs; import nothing.

    Cancelling the task ends the download; what is complete by then stays cached.

    Args:
        names: what follows `import`, also with a version: `acme.heavy==1.1.0`.
        progress: told about the download (`bytes`, `total`, `percentage`), in the event loop's thread.

    Raises:
        MagicModuleError: as `prefetch` does.

    Example:
        >>> await mm.aprefetch("acme.heavy", "acme.light==1.1.0")
    """
    listener = _Listener(progress)

    def work() -> None:
        # Nobody looks at what a cancelled task's thread raises.
        with contextlib.suppress(_Cancelled):
            _native.prefetch(*names, progress=listener)

    # One of its own: the loop's would be left without a thread where none is to be had, and the loop with it.
    executor = ThreadPoolExecutor(1, "magic_module")
    try:
        waiting = asyncio.get_running_loop().run_in_executor(executor, contextvars.copy_context().run, work)
    except RuntimeError:
        # No thread is to be had: the loop waits.
        waiting = None
        work()
    try:
        if waiting is not None:
            await waiting
    except asyncio.CancelledError:
        listener.cancelled = True
        raise
    finally:
        executor.shutdown(wait=False)
