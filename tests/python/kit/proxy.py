"""A forward proxy on the loopback that records what it is asked, and knows names that nobody else does."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Asked:
    """One request to the proxy; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]


class Proxy:
    """Forwards requests and tunnels for the hosts in `ports` to the loopback, everything else is a 502."""

    def __init__(self, ports: Mapping[str, int], credentials: str | None = None) -> None:
        self.ports = ports
        #: What `Proxy-Authorization` must be; everything else is a 407.
        self.credentials = credentials
        self.asked: list[Asked] = []
        self.open: list[socket.socket] = []
        self._http = _Listener(("127.0.0.1", 0), _handler(self))
        self.port: int = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        for connection in self.open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._http.server_close()
        self._thread.join()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no news."""


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

        def setup(self) -> None:
            super().setup()
            proxy.open.append(self.connection)

        def refused(self) -> bool:
            headers = {name.lower(): value for name, value in self.headers.items()}
            proxy.asked.append(Asked(self.command, self.path, headers))
            if proxy.credentials in (None, headers.get("proxy-authorization")):
                return False
            self.send_response(407)
            self.send_header("Proxy-Authenticate", 'Basic realm="the proxy"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return True

        def do_GET(self) -> None:
            if self.refused():
                return
            url = urlsplit(self.path)
            port = proxy.ports.get(url.hostname or "")
            if port is None:
                self.send_error(502)
                return
            passed = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
                connection.request("GET", url.path + (f"?{url.query}" if url.query else ""), headers=passed)
                with connection.getresponse() as answer:
                    body = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "connection", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_CONNECT(self) -> None:
            if self.refused():
                return
            port = proxy.ports.get(self.path.rpartition(":")[0])
            if port is None:
                self.send_error(502)
                return
            self.close_connection = True
            with socket.create_connection(("127.0.0.1", port)) as server:
                proxy.open.append(server)
                self.send_response_only(200)
                self.end_headers()
                back = threading.Thread(target=_pump, args=(server, self.connection))
                back.start()
                _pump(self.connection, server)
                back.join()

    return Handler


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
