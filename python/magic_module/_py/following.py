"""What happens, as data: `mm.events()` for servers, and `mm.progress` for whoever shows it.

```text
the thread that waits ─ each event ─▶ a queue for each reader, in its own event loop ─▶ `async for event in mm.events()`
```

A reader that does not keep up loses the oldest events, and slows nobody; one that goes away leaves nothing.
"""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from magic_module import _native
from magic_module._py import records as progress

__all__ = ["events", "progress"]

KEPT = 1000
"""So many events wait for a reader: more than a minute of them."""


async def events() -> AsyncIterator[dict[str, Any]]:
    """Follow what happens in this process, in an event loop: resolve, fetch, verify, load, upgrade.

    Any number of readers may follow, beside the callback of `on_event()`. One that is slow misses the oldest events.
    A reader that stops early has to close it, as `contextlib.aclosing` does.

    Returns:
        Each event, a dict as `on_event()` tells it, at most 10 times a second with progress.

    Raises:
        ConfigurationError: a variable is wrong.

    Example:
        >>> async for event in mm.events():
        ...     await page.send(mm.progress.record(event))
    """
    loop, process = asyncio.get_running_loop(), os.getpid()
    waiting: deque[dict[str, Any]] = deque(maxlen=KEPT)
    arrived = asyncio.Event()

    def arrive(event: dict[str, Any]) -> None:
        waiting.append(event)
        arrived.set()

    def watch(event: dict[str, Any]) -> None:
        # A fork has the reader, and not its loop.
        if not loop.is_closed() and os.getpid() == process:
            loop.call_soon_threadsafe(arrive, event)

    _native._watch(watch)
    try:
        while True:
            await arrived.wait()
            arrived.clear()
            while waiting:
                yield waiting.popleft()
    finally:
        _native._unwatch(watch)
