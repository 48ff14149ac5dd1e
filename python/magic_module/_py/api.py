"""The part of the public interface that is Python's own: what runs in an event loop."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from magic_module import _native


class _Cancelled(Exception):
    """Ends the download of a task that nobody waits for any more."""


async def aprefetch(*names: str, progress: Callable[[dict[str, Any]], object] | None = None) -> None:
    """Download units and what they require, in parallel, while the event loop runs; import nothing.

    Cancelling the task ends the download with its next piece of progress; what is complete by then stays cached.

    Args:
        names: what follows `import`, also pinned to a version: `acme.heavy==1.1.0`.
        progress: told about the download (`bytes`, `total`, `percentage`), in the event loop's thread.

    Raises:
        MagicModuleError: as `prefetch` does.
    """
    loop = asyncio.get_running_loop()
    cancelled = threading.Event()

    def listen(event: dict[str, Any]) -> None:
        if cancelled.is_set():
            raise _Cancelled
        if progress is not None and not loop.is_closed():
            loop.call_soon_threadsafe(progress, event)

    def work() -> None:
        try:
            _native.prefetch(*names, progress=listen)
        except _Cancelled:
            return

    try:
        await asyncio.to_thread(work)
    except asyncio.CancelledError:
        cancelled.set()
        raise
