"""What a run writes: its output within a bound, and its report."""

import codecs
import json
import os
import selectors
from collections.abc import Callable
from typing import Any

BOUND = 1 << 20
"""Bytes that are kept of each stream: half from its beginning, half from its end."""
CHUNK = 1 << 16
MOST = 10_000
"""Entries that are kept of each kind: a script that writes them itself fills no memory."""

Listener = Callable[[str, str], object]


class Output:
    """One stream."""

    def __init__(self, name: str, listener: Listener | None) -> None:
        self._name = name
        self._listener = listener
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._head = bytearray()
        self._tail = bytearray()
        self.left_out = 0

    def add(self, data: bytes) -> None:
        """Keeps it within the bound, and tells whoever listens; nothing is the end."""
        if self._listener is not None and (text := self._decoder.decode(data, final=not data)):
            self._listener(self._name, text)
        room = BOUND // 2 - len(self._head)
        self._head += data[:room] if room > 0 else b""
        self._tail += data[max(room, 0) :]
        # Not at every chunk: what is moved is as long as what is kept.
        if len(self._tail) > BOUND:
            self._cut()

    def _cut(self) -> None:
        more = len(self._tail) - BOUND // 2
        if more > 0:
            self.left_out += more
            del self._tail[:more]

    def text(self) -> str:
        """What was kept."""
        self._cut()
        gap = f"\n… {self.left_out} bytes are left out …\n".encode() if self.left_out else b""
        return bytes(self._head + gap + self._tail).decode("utf-8", "replace")


class Report:
    """What the run tells beside its output."""

    def __init__(self) -> None:
        self._rest = b""
        self.end: dict[str, Any] | None = None
        self.used: dict[str, dict[str, Any]] = {}
        self.fetched: dict[str, int] = {}
        self.seconds = 0.0
        self.refused: dict[tuple[str, str], dict[str, Any]] = {}

    def add(self, data: bytes) -> None:
        """Reads whole lines; lines that `magic_module` did not write are passed over."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        # A line of ours is shorter.
        self._rest = self._rest[-CHUNK:]
        for line in lines:
            try:
                self.hear(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                continue

    def hear(self, line: dict[str, Any]) -> None:
        """One line."""
        for kind, value in line.items():
            if kind == "end":
                self.end = value
            elif kind == "waited":
                self.seconds += float(value)
            elif kind == "used" and len(self.used) < MOST:
                self.used[value["name"]] = {"name": value["name"], "version": value["version"]}
            elif kind == "fetched" and len(self.fetched) < MOST:
                self.fetched[value["name"]] = self.fetched.get(value["name"], 0) + int(value["bytes"])
            elif kind == "refused" and len(self.refused) < MOST:
                self.refused[value["type"], value["message"]] = {key: value[key] for key in ("name", "type", "message")}

    @property
    def downloaded(self) -> dict[str, Any]:
        """All that came, for the run and before it."""
        units = [{"name": name, "bytes": size} for name, size in self.fetched.items()]
        return {"bytes": sum(self.fetched.values()), "seconds": round(self.seconds, 3), "units": units}


def watch(streams: dict[int, Output], report: int, told: Report) -> None:
    """Reads until the run is over: then nobody holds the report any more.

    What a stream still has is read; nobody waits for its end, as somebody else may have been given it.
    """
    with selectors.DefaultSelector() as selector:
        for descriptor in (*streams, report):
            os.set_blocking(descriptor, False)
            selector.register(descriptor, selectors.EVENT_READ)
        while report in selector.get_map():
            for key, _ in selector.select():
                data = _read(key.fd)
                if data is None:
                    continue
                if key.fd == report:
                    told.add(data)
                elif data:
                    streams[key.fd].add(data)
                if not data:
                    selector.unregister(key.fd)
    for descriptor, output in streams.items():
        while data := _read(descriptor):
            output.add(data)
        output.add(b"")


def _read(descriptor: int) -> bytes | None:
    try:
        return os.read(descriptor, CHUNK)
    except BlockingIOError:
        return None
