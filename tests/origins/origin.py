"""A static HTTP server for tests, which can be told to fail, to hold its bodies back, or to be slow.

A good answer has a strong ETag and honours If-None-Match, Range and If-Range, so
that a client under test can show all it knows. Every request is recorded.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

CHUNK = 64 << 10


@dataclass
class Request:
    """One request as the server saw it, without its query; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    #: Of the answer; 0 as long as there is none.
    status: int = 0


@dataclass
class Stall:
    """Holds back every good body whose path contains `part` after `after` bytes, until `release` is set.

    A body that has no more than `after` bytes is not held.
    """

    part: str
    after: int
    reached: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)


class Reply:
    """What a fault works with: the body that would be right, and the raw connection."""

    def __init__(self, origin: Origin, handler: BaseHTTPRequestHandler, request: Request, body: bytes | None) -> None:
        self.origin = origin
        self.request = request
        #: The file's bytes; ``None`` if there is no such file.
        self.body = body
        self._handler = handler

    def head(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        """Send a status line and headers, nothing else."""
        self.request.status = status
        self._handler.send_response(status)
        for name, value in (headers or {}).items():
            self._handler.send_header(name, value)
        self._handler.end_headers()

    def send(self, data: bytes) -> None:
        """Send some of the body."""
        self._handler.wfile.write(data)
        self._handler.wfile.flush()

    def whole(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Send a complete answer."""
        self.head(status, {"Content-Length": str(len(body)), **(headers or {})})
        if self._handler.command != "HEAD":
            self._send_by_and_by(body)

    def _send_by_and_by(self, body: bytes) -> None:
        sent = 0
        for stall in self.origin.stalls_of(self.request.path, len(body)):
            self.send(body[sent : stall.after])
            sent = max(sent, stall.after)
            stall.reached.set()
            stall.release.wait()
        step = CHUNK if self.origin.pace else max(len(body), 1)
        for at in range(sent, len(body), step):
            self.send(body[at : at + step])
            if self.origin.pace:
                self.wait(CHUNK / self.origin.pace)

    def content(self) -> bytes:
        """The body of the request itself; whoever answers a PUT has to read it."""
        return self._handler.rfile.read(int(self.request.headers.get("content-length", 0)))

    def chunk(self, data: bytes) -> None:
        """Send one chunk of a body with ``Transfer-Encoding: chunked``."""
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def well(self) -> None:
        """Answer as a good server does."""
        if self.body is None:
            self.whole(404, b"there is no such file\n")
            return
        tag = f'"{hashlib.sha256(self.body).hexdigest()}"'
        kind = "application/json" if self.request.path.endswith(".json") else "application/octet-stream"
        headers = {"ETag": tag, "Accept-Ranges": "bytes", "Content-Type": kind}
        if self.request.headers.get("if-none-match") == tag:
            self.head(304, {"ETag": tag})
            return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.request.headers.get("range", ""))
        if wanted and self.request.headers.get("if-range", tag) == tag:
            first, last = int(wanted[1]), int(wanted[2] or len(self.body) - 1)
            if first >= len(self.body):
                self.whole(416, headers={"Content-Range": f"bytes */{len(self.body)}"})
                return
            span = {"Content-Range": f"bytes {first}-{last}/{len(self.body)}"}
            self.whole(206, self.body[first : last + 1], {**headers, **span})
            return
        self.whole(200, self.body, headers)

    def hang_up(self) -> None:
        """Close the connection in good order, whatever is still owed."""
        self._handler.close_connection = True

    def reset(self) -> None:
        """Break the connection with a TCP reset."""
        self._handler.close_connection = True
        connection = self._handler.connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._handler.wfile = _Nowhere()  # type: ignore[assignment]
        self._handler.rfile.close()
        connection.close()

    def wait(self, seconds: float) -> bool:
        """Let time pass; false as soon as the server is being stopped."""
        return not self.origin.stopping.wait(seconds)


class _Nowhere:
    """Swallows what the standard handler flushes after a reset."""

    closed = True

    def write(self, data: bytes) -> int:
        return len(data)

    def flush(self) -> None: ...

    def close(self) -> None: ...


Fault = Callable[[Reply], None]


class Origin:
    """Serves a folder on a port of 127.0.0.1 from now on, with faults where they are asked for.

    `stop` and `start` keep the port, so that URLs stay valid; as a context it ends for good.
    """

    def __init__(
        self, folder: Path | str, faults: Mapping[str, Fault] | None = None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.folder = Path(folder).resolve()
        self.faults: dict[str, Fault] = dict(faults or {})
        self.stalls: list[Stall] = []
        self.pace = 0.0
        """Bytes a second on each connection, if it is a slow one."""
        self.requests: list[Request] = []
        self.stopping = threading.Event()
        self._tls = tls
        self._lock = threading.Lock()
        self._left: dict[str, int] = {}
        self._seated = 0
        #: So many connections at a time; more are broken off at once.
        self.most: int | None = None
        self._connections: set[socket.socket] = set()
        self._server: _Server | None = None
        # Bound but never listening: while the server is stopped, nobody else gets its port, and clients are refused.
        self._held = socket.socket()
        _share(self._held)
        self._held.bind(("127.0.0.1", 0))
        self.port: int = self._held.getsockname()[1]
        self.start()

    def __enter__(self) -> Origin:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``, without a slash at the end."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def manifest_url(self) -> str:
        """Where the folder's manifest is."""
        return f"{self.url}/manifest.json"

    def take(self) -> list[Request]:
        """The requests since the last call."""
        with self._lock:
            requests, self.requests = self.requests, []
        return requests

    def paths(self, pattern: str = "*") -> list[str]:
        """Those of the paths asked for since the last call that fit a glob, in order."""
        return [request.path for request in self.take() if fnmatch.fnmatchcase(request.path, pattern)]

    def fail(self, pattern: str, fault: Fault, *, times: int | None = None) -> None:
        """Answer what fits a glob with a fault from now on, or for the next ``times`` requests."""
        with self._lock:
            self.faults[pattern] = fault
            self._left.pop(pattern, None)
            if times is not None:
                self._left[pattern] = times

    def stall(self, part: str, after: int = 0) -> Stall:
        """Hold back good bodies from now on."""
        stall = Stall(part, after)
        self.stalls.append(stall)
        return stall

    def stalls_of(self, path: str, size: int) -> list[Stall]:
        """What holds back a body of so many bytes."""
        return [stall for stall in self.stalls if stall.part in path and stall.after < size]

    def heal(self) -> None:
        """Be a good server again, and forget the requests so far."""
        with self._lock:
            self.faults.clear()
            self.stalls.clear()
            self.pace = 0.0
            self._left.clear()
            self.requests.clear()

    @contextmanager
    def seat(self, seats: int) -> Iterator[bool]:
        """True for at most ``seats`` answers at a time."""
        with self._lock:
            seated = self._seated < seats
            self._seated += seated
        try:
            yield seated
        finally:
            with self._lock:
                self._seated -= seated

    def start(self) -> None:
        """Listen, at first and after `stop`."""
        assert self._server is None
        self.stopping.clear()
        self._server = _Server(("127.0.0.1", self.port), self)
        if self._tls:
            # The handshake is the connection's own thread's: who breaks it off delays nobody.
            self._server.socket = self._tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def stop(self) -> None:
        """Refuse connections from now on, and end the open ones; every thread has ended afterwards."""
        if self._server is None:
            return
        self.stopping.set()
        for stall in self.stalls:
            stall.release.set()
        self._server.shutdown()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
        self._thread.join()
        self._server = None

    def close(self) -> None:
        """Stop for good."""
        self.stop()
        self._held.close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request; called by the handler's thread."""
        path = unquote(urlsplit(handler.path).path)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        request = Request(handler.command, path, headers)
        file = (self.folder / path.lstrip("/")).resolve()
        inside = file.is_relative_to(self.folder) and file.is_file()
        reply = Reply(self, handler, request, file.read_bytes() if inside else None)
        with self._lock:
            self.requests.append(request)
            fault = self._choose(path)
        with suppress(ConnectionError, ValueError):  # the client left, or the fault closed the socket
            fault(reply)

    def _choose(self, path: str) -> Fault:
        for pattern, fault in self.faults.items():
            if fnmatch.fnmatchcase(path, pattern) and self._left.get(pattern, 1) > 0:
                if pattern in self._left:
                    self._left[pattern] -= 1
                return fault
        return Reply.well


def _share(held: socket.socket) -> None:
    """Lets a listener of ours have the port that is held."""
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


class _Server(ThreadingHTTPServer):
    """Ends its connections' threads when it is closed."""

    daemon_threads = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], origin: Origin) -> None:
        self.origin = origin
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        _share(self.socket)
        super().server_bind()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        with self.origin._lock:
            most = self.origin.most
            if most is None or len(self.origin._connections) < most:
                self.origin._connections.add(connection)
                return connection, address
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        raise ConnectionRefusedError("there are enough connections")

    def shutdown_request(self, request: Any) -> None:
        with self.origin._lock:
            self.origin._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    #: A body that follows its head at once: otherwise it waits 40 ms for the head to be acknowledged.
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self.server.origin.answer(self)

    def do_HEAD(self) -> None:
        self.server.origin.answer(self)

    def do_PUT(self) -> None:
        self.server.origin.answer(self)

    def log_message(self, *_: object) -> None:
        """Requests are recorded, not printed."""


class Silence:
    """Not an HTTP server: takes connections, answers with ``banner``, and hangs up or waits."""

    def __init__(self, banner: bytes = b"SSH-2.0-OpenSSH_9.6\r\n", *, hang_up: bool = True) -> None:
        self._banner = banner
        self._hang_up = hang_up
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Silence:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        for connection in self._open:
            connection.close()

    @property
    def manifest_url(self) -> str:
        """An address that looks like a manifest's."""
        return f"http://127.0.0.1:{self.port}/manifest.json"

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with suppress(OSError):
                    # After the question: before it, the client's sentence would depend on who is faster.
                    connection.recv(65536)
                    connection.sendall(self._banner)
                if self._hang_up:
                    connection.close()
                else:
                    self._open.append(connection)
