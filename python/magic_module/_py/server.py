"""A static file server for trying things out: `magic-module serve`, the demo and the tests.

Any static host will do in its place. What this one has that `python -m http.server` lacks: connections that stay
open, conditional requests, ranges, and caching headers that fit a published folder.

```text
GET /manifest.json          no-cache                 asked again each time, answered 304 while it is the same
GET /files/ab/ab12….csv     immutable for a year     the name holds the sha256 of the bytes
```
"""

import hashlib
import mimetypes
import os
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from types import TracebackType
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

# Beyond this size an ETag comes from the file's identity; below, from its bytes: a manifest that is replaced twice
# within one tick of the file system's clock must not look unchanged.
HASHED = 1 << 20

CONTENT_ADDRESSED = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
RANGE = re.compile(r"bytes=(\d*)-(\d*)")

# The machine's own tables are left out: the same file has the same type everywhere.
TYPES = mimetypes.MimeTypes(filenames=())
TYPES.add_type("application/wasm", ".wasm")
TYPES.add_type("text/markdown", ".md")
TYPES.add_type("text/x-python", ".py")
TYPES.add_type("text/plain", ".minisig")
ENCODINGS = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}


@dataclass(frozen=True)
class Request:
    """One answer; it is noted before its first byte leaves, so that who has it can count it."""

    method: str
    path: str
    status: int
    bytes: int
    """The body's bytes, if the client stays for all of them."""

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status} {self.bytes}"


class Server:
    """Serves a folder until it is closed; a context manager.

    Args:
        directory: the folder; nothing outside of it is ever served, nor what starts with a dot.
        bind: the address to listen on.
        port: 0 takes a free one.
        on_request: told about every answer, on the thread that gave it.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        bind: str = "127.0.0.1",
        port: int = 0,
        on_request: Callable[[Request], object] | None = None,
    ) -> None:
        self.directory = Path(directory).resolve(strict=True)
        self._on_request = on_request
        self._requests: list[Request] = []
        self._lock = threading.Lock()
        self._http = _HTTPServer((bind, port), self)
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address of the folder, with a slash at its end."""
        host, port = self._http.server_address[:2]
        name = host.decode() if isinstance(host, (bytes, bytearray)) else str(host)
        name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(name, name)
        return f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"

    @property
    def manifest_url(self) -> str:
        """What to set `MAGIC_MODULE_MANIFEST_URL` to."""
        return f"{self.url}manifest.json"

    @property
    def requests(self) -> list[Request]:
        """Every answer so far."""
        with self._lock:
            return list(self._requests)

    def take_requests(self) -> list[Request]:
        """The answers since the last call."""
        with self._lock:
            taken, self._requests = self._requests, []
            return taken

    def settle(self) -> None:
        """Waits until everything that processes asked which have ended is answered, and so counted.

        What they sent may still wait to be read. Connections are taken in the order in which they were made: once our
        own is, all before it were, and each of those ends with what its client sent.
        """
        if self._thread is not None:
            with socket.socket(self._http.address_family) as last:
                last.connect(self._http.server_address)
                self._http.wait_for(last.getsockname())
        self._http.wait_for(None)

    def start(self) -> "Server":
        """Serves in a thread of its own."""
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def run(self) -> None:
        """Serves in this thread until the process is interrupted."""
        self._http.serve_forever()

    def close(self) -> None:
        """Stops listening and ends every open connection, idle ones too."""
        if self._thread is not None:
            self._http.shutdown()
            self._thread.join()
            self._thread = None
        self._http.server_close()
        self._http.close_connections()

    def __enter__(self) -> "Server":
        return self if self._thread is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def log(self, request: Request) -> None:
        """Remembers an answer."""
        with self._lock:
            self._requests.append(request)
        if self._on_request is not None:
            self._on_request(request)

    def find(self, target: str) -> Path | None:
        """The file behind a request's target, or None."""
        try:
            path = unquote(urlsplit(target).path, errors="strict")
        except (UnicodeDecodeError, ValueError):
            return None
        parts = [part for part in path.split("/") if part]
        if not parts or any(part.startswith(".") or set(part) & set("\\:\0") for part in parts):
            return None
        try:
            found = self.directory.joinpath(*parts).resolve(strict=True)
        except (OSError, RuntimeError):
            return None
        inside = found.is_relative_to(self.directory)
        return found if inside and found.is_file() and not path.endswith("/") else None


class _HTTPServer(ThreadingHTTPServer):
    # The default of 5 drops connections when many processes start at once.
    request_queue_size = 256
    daemon_threads = True
    #: The thread that accepts connections answers, too: none may keep it for itself.
    alone = False

    def __init__(self, address: tuple[str, int], owner: Server) -> None:
        self.owner = owner
        self._connections: dict[socket.socket, object] = {}
        self._connections_lock = threading.Condition()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks the name service who we are, which may take seconds; nobody needs the answer.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        with self._connections_lock:
            self._connections[request] = client_address
            self._connections_lock.notify_all()
        try:
            super().process_request(request, client_address)
        except RuntimeError:
            # No thread is to be had: one answer after the other.
            self.alone = True
            self.process_request_thread(request, client_address)
            self.alone = False

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        with self._connections_lock:
            self._connections.pop(request, None)
            self._connections_lock.notify_all()
        super().shutdown_request(request)

    def wait_for(self, client: object) -> None:
        """Until the connection of `client` is taken; without one, until no connection is left."""

        def is_so() -> bool:
            return client in self._connections.values() if client else not self._connections

        with self._connections_lock:
            self._connections_lock.wait_for(is_so)

    def close_connections(self) -> None:
        with self._connections_lock:
            for connection in self._connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the other side was faster

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "magic-module"
    sys_version = ""
    disable_nagle_algorithm = True
    timeout = 60
    server: _HTTPServer

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Answers are logged with their sizes by `_send`."""

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing on stderr: `Server.log` is the log."""

    def _answer(self, body: bool) -> None:
        body_follows = int(self.headers.get("Content-Length") or 0) or self.headers.get("Transfer-Encoding")
        # A body that nobody reads would be taken for the next request.
        if body_follows or self.server.alone:
            self.close_connection = True
        path = self.server.owner.find(self.path)
        try:
            file = None if path is None else path.open("rb")
        except OSError:
            file = None
        if path is None or file is None:
            self._send_text(HTTPStatus.NOT_FOUND, "no such file; the manifest is /manifest.json\n", body)
            return
        with file:
            self._answer_file(path, file, body)

    def _answer_file(self, path: Path, file: BinaryIO, body: bool) -> None:
        status = os.fstat(file.fileno())
        tag = etag(file, status)
        headers = {
            "ETag": tag,
            "Last-Modified": formatdate(status.st_mtime, usegmt=True),
            "Accept-Ranges": "bytes",
            "Cache-Control": cache_control(path.relative_to(self.server.owner.directory)),
        }
        if self._is_current(tag, status.st_mtime):
            self._send(HTTPStatus.NOT_MODIFIED, headers)
            return
        headers["Content-Type"] = content_type(path.name)
        headers["X-Content-Type-Options"] = "nosniff"
        size = status.st_size
        wanted = self._range(size, tag, headers["Last-Modified"])
        if wanted is None:
            self._send(HTTPStatus.OK, headers, size, file if body else None)
        elif wanted == (0, 0):
            headers["Content-Range"] = f"bytes */{size}"
            self._send(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers, 0)
        else:
            start, stop = wanted
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
            self._send(HTTPStatus.PARTIAL_CONTENT, headers, stop - start, file if body else None, start)

    def _is_current(self, tag: str, modified: float) -> bool:
        known = self.headers.get("If-None-Match")
        if known is not None:
            tags = [text.strip().removeprefix("W/") for text in known.split(",")]
            return tag in tags or "*" in tags
        since = self.headers.get("If-Modified-Since")
        if since is None:
            return False
        try:
            return int(modified) <= parsedate_to_datetime(since).timestamp()
        except (TypeError, ValueError):
            return False

    def _range(self, size: int, tag: str, modified: str) -> tuple[int, int] | None:
        """Start and stop; None is the whole file, (0, 0) what cannot be satisfied."""
        match = RANGE.fullmatch(self.headers.get("Range", "").strip())
        condition = self.headers.get("If-Range")
        if match is None or match.groups() == ("", "") or condition not in (None, tag, modified):
            return None
        first, last = match.groups()
        if not first:
            start, stop = max(0, size - int(last)), size
        else:
            start, stop = int(first), min(int(last) + 1, size) if last else size
            if last and int(last) < int(first):
                return None
        return (start, stop) if start < stop else (0, 0)

    def _send_text(self, status: HTTPStatus, text: str, body: bool) -> None:
        content = text.encode()
        headers = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-cache"}
        self._send(status, headers, len(content))
        if body:
            self.wfile.write(content)

    def _send(
        self,
        status: HTTPStatus,
        headers: dict[str, str],
        size: int | None = None,
        file: BinaryIO | None = None,
        start: int = 0,
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if size is not None:
            self.send_header("Content-Length", str(size))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.server.owner.log(Request(self.command, self.path, int(status), size if file and size else 0))
        self.end_headers()
        if file is not None and size and self.connection.sendfile(file, offset=start, count=size) != size:
            self.close_connection = True  # the file shrank under us


def etag(file: BinaryIO, status: os.stat_result) -> str:
    """A strong ETag of an open file."""
    if status.st_size <= HASHED:
        content = file.read(HASHED)
        file.seek(0)
        return f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return f'"{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ino:x}"'


def cache_control(path: Path) -> str:
    """For a year when a part of the path is a sha256; everything else is asked for again."""
    if any(CONTENT_ADDRESSED.search(part) for part in path.parts):
        return "public, max-age=31536000, immutable"
    return "no-cache"


def content_type(name: str) -> str:
    """What a file is, by its suffix; compressed files are what they are, not what is in them."""
    kind, encoding = TYPES.guess_type(name)
    if encoding is not None:
        return ENCODINGS.get(encoding, "application/octet-stream")
    if kind is None:
        return "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
