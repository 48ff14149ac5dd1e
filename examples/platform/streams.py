"""Who watches a tenant: every open page gets each event once, and a page that does not read holds nobody up."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

#: Open pages of one tenant. A browser that opens more is told so.
MOST = 16
#: Events that a page may lag behind; the oldest are dropped, because the next one tells more.
BACKLOG = 64
#: Seconds after which a silent stream says that it is alive, so that no proxy ends it.
ALIVE = 15.0


class TooManyStreams(Exception):
    """All streams of this tenant are taken."""


class Streams:
    """The open pages of one tenant."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[bytes]] = set()

    def __len__(self) -> int:
        return len(self._queues)

    def tell(self, event: str, detail: dict[str, Any]) -> None:
        """Sends an event to every page, in the form of server-sent events."""
        message = f"event: {event}\ndata: {json.dumps(detail)}\n\n".encode()
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(message)

    def open(self) -> AsyncIterator[bytes]:
        """One page's events, until it goes away; raises `TooManyStreams` at once, before a byte is sent."""
        if len(self._queues) >= MOST:
            raise TooManyStreams
        queue: asyncio.Queue[bytes] = asyncio.Queue(BACKLOG)
        self._queues.add(queue)
        return self._events(queue)

    async def _events(self, queue: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
        with self._kept(queue):
            yield b": listening\n\n"
            while True:
                try:
                    yield await asyncio.wait_for(queue.get(), ALIVE)
                except asyncio.TimeoutError:
                    yield b": still here\n\n"

    @contextlib.contextmanager
    def _kept(self, queue: asyncio.Queue[bytes]) -> Iterator[None]:
        try:
            yield
        finally:
            self._queues.discard(queue)
