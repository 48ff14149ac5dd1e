"""A static file server on the loopback that counts what it is asked for.

It answers like a good host: keep-alive, strong ETags, 304, ranges. Apart from
`stall`, which holds a body back until it is released, and `pace` it has no faults.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import ssl
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

CHUNK = 64 << 10


@dataclass(frozen=True)
class Request:
    """One request as it came in, and the status of its answer."""

    method: str
    path: str
    status: int
    headers: dict[str, str]


@dataclass
class Stall:
    """Holds back every body whose path contains `part` after `after` bytes, until `release` is set.

    A body that has no more than `after` bytes is not held.
    """

    part: str
    after: int
    reached: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)


class Server:
    """Serves `folder`; `stop` and `start` keep the port, so that URLs stay valid."""

    def __init__(self, folder: Path, tls: ssl.SSLContext | None = None) -> None:
        self.folder = folder
        self.tls = tls
        self.requests: list[Request] = []
        self.stalls: list[Stall] = []
        self.pace = 0.0
        """Bytes a second on each connection, if it is a slow one."""
        self._lock = threading.Lock()
        self._http: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        # Bound but never listening: while the server is stopped, nobody else gets its port, and clients are refused.
        self._port = reserve()
        self.port = self._port.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def manifest_url(self) -> str:
        return f"{self.url}/manifest.json"

    def start(self) -> None:
        assert self._http is None
        self._http = _Listener(("127.0.0.1", self.port), _handler(self))
        if self.tls:
            # The handshake is the connection's own thread's: who breaks it off delays nobody.
            self._http.socket = self.tls.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Refuses every further connection, and ends the ones that are open."""
        if self._http is None or self._thread is None:
            return
        for stall in self.stalls:
            stall.release.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        self._http = self._thread = None

    def close(self) -> None:
        """Stops for good."""
        self.stop()
        self._port.close()

    def stall(self, part: str, after: int = 0) -> Stall:
        stall = Stall(part, after)
        self.stalls.append(stall)
        return stall

    def note(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)

    def take(self) -> list[Request]:
        """The requests since the last call."""
        with self._lock:
            requests, self.requests = self.requests, []
        return requests

    def paths(self) -> list[str]:
        """The paths asked for since the last call, in order."""
        return [request.path for request in self.take()]

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def reserve() -> socket.socket:
    """A socket that holds a free port of the loopback, and lets a listener of ours have it too."""
    held = socket.socket()
    share(held)
    held.bind(("127.0.0.1", 0))
    return held


def share(held: socket.socket) -> None:
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.open: set[object] = set()
        super().__init__(address, handler)

    def server_bind(self) -> None:
        share(self.socket)
        super().server_bind()

    def process_request(self, request, client_address):  # type: ignore[no-untyped-def]
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):  # type: ignore[no-untyped-def]
        self.open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        # A connection that is kept alive would be answered after `stop`.
        for request in list(self.open):
            with contextlib.suppress(OSError):
                request.shutdown(2)  # type: ignore[attr-defined]
        super().server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no news."""


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: object) -> None:
            """Quiet: the test prints what it wants to know."""

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
            target = (server.folder / path.lstrip("/")).resolve()
            inside = target.is_relative_to(server.folder.resolve())
            if not inside or not target.is_file():
                self.note(404)
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            data = target.read_bytes()
            tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
            if self.headers.get("If-None-Match") == tag:
                self.note(304)
                self.send_response(304)
                self.send_header("ETag", tag)
                self.end_headers()
                return
            status, start = self.range(len(data), tag)
            self.note(status)
            self.send_response(status)
            self.send_header("ETag", tag)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(data) - start))
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.end_headers()
            if body:
                self.send_body(path, data[start:])

        def range(self, size: int, tag: str) -> tuple[int, int]:
            match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            if match is None or self.headers.get("If-Range", tag) != tag or int(match[1]) >= size:
                return 200, 0
            return 206, int(match[1])

        def note(self, status: int) -> None:
            server.note(Request(self.command, urllib.parse.unquote(self.path), status, dict(self.headers.items())))

        def send_body(self, path: str, data: bytes) -> None:
            sent = 0
            for stall in [stall for stall in server.stalls if stall.part in path and stall.after < len(data)]:
                self.wfile.write(data[sent : stall.after])
                self.wfile.flush()
                sent = max(sent, stall.after)
                stall.reached.set()
                stall.release.wait()
            while sent < len(data):
                self.wfile.write(data[sent : sent + CHUNK])
                if server.pace:
                    time.sleep(CHUNK / server.pace)
                sent += CHUNK

    return Handler
