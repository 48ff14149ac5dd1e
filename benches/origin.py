"""A static HTTP server in a process of its own, that can delay each answer and counts what it is asked.

    origin.py FOLDER LOG [--delay SECONDS]     prints its port

It does as little as a server can (a thread per connection, sendfile), so that it is never what is measured. Every
request is one line in LOG, written before it is answered.
"""

from __future__ import annotations

import argparse
import collections
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote


class Origin:
    """Runs the server for as long as the context lasts."""

    def __init__(self, folder: Path, delay: float = 0.0) -> None:
        self.folder = folder
        self._log = folder.with_name(folder.name + ".requests")
        self._log.write_bytes(b"")
        command = [sys.executable, "-I", "-S", __file__, str(folder), str(self._log), "--delay", str(delay)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    @property
    def manifest_url(self) -> str:
        return f"{self.url}/manifest.json"

    def take_requests(self) -> collections.Counter[str]:
        """How often each path was asked for since the last call. Nobody may be asking meanwhile."""
        lines = self._log.read_text().splitlines()
        os.truncate(self._log, 0)
        return collections.Counter(lines)

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Origin:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def serve(folder: str, log: int, delay: float) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=converse, args=(connection, folder, log, delay), daemon=True).start()


def converse(connection: socket.socket, folder: str, log: int, delay: float) -> None:
    """Answers one connection for as long as it stays open."""
    waiting = b""
    with connection:
        while True:
            while b"\r\n\r\n" not in waiting:
                try:
                    received = connection.recv(65536)
                except OSError:
                    return
                if not received:
                    return
                waiting += received
            head, _, waiting = waiting.partition(b"\r\n\r\n")
            path = unquote(head.split(b" ", 2)[1].decode())
            os.write(log, f"{path}\n".encode())
            if delay:
                time.sleep(delay)
            try:
                answer(connection, folder + path, head)
            except OSError:
                return


def answer(connection: socket.socket, path: str, head: bytes) -> None:
    try:
        file = open(path, "rb")  # noqa: SIM115 (an absent file is an answer of its own)
    except OSError:
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        return
    with file:
        status = os.fstat(file.fileno())
        tag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        if f"if-none-match: {tag}".encode() in head.lower():
            connection.sendall(f"HTTP/1.1 304 Not Modified\r\nETag: {tag}\r\n\r\n".encode())
            return
        fields = f"Content-Length: {status.st_size}\r\nETag: {tag}\r\n"
        connection.sendall(f"HTTP/1.1 200 OK\r\n{fields}\r\n".encode())
        connection.sendfile(file)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("log")
    parser.add_argument("--delay", type=float, default=0.0)
    options = parser.parse_args()
    log = os.open(options.log, os.O_WRONLY | os.O_APPEND)
    serve(options.folder, log, options.delay)


if __name__ == "__main__":
    main()
