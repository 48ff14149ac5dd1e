"""The static server: what it answers on the wire."""

import http.client
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.process import PATIENCE
from magic_module._py.server import Request, Server, content_type

pytestmark = pytest.mark.once

DIGEST = "ab" * 32
BODY = bytes(range(256)) * 8


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "site"
    (root / "files" / "ab" / DIGEST).mkdir(parents=True)
    (root / "manifest.json").write_text('{"manifest": 1}')
    (root / "files" / "ab" / DIGEST / "data.csv").write_bytes(BODY)
    (root / "empty").touch()
    (root / ".hidden").write_text("secret")
    (tmp_path / "outside").write_text("secret")
    return root


@pytest.fixture
def server(site: Path) -> Iterator[Server]:
    with Server(site) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[http.client.HTTPConnection]:
    port = int(server.url.rstrip("/").rsplit(":", 1)[1])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    yield connection
    connection.close()


def get(
    client: http.client.HTTPConnection, path: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    client.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = client.getresponse()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


DATA = f"/files/ab/{DIGEST}/data.csv"


def test_one_connection_serves_every_kind_of_answer(client: http.client.HTTPConnection, server: Server) -> None:
    status, headers, body = get(client, DATA)
    assert (status, body) == (200, BODY)
    assert headers["content-type"] == "text/csv; charset=utf-8"
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["accept-ranges"] == "bytes"
    first = client.sock
    assert get(client, DATA, If_None_Match=headers["etag"])[0] == 304
    assert get(client, DATA, If_None_Match=f'"x", W/{headers["etag"]}')[0] == 304
    assert get(client, DATA, If_None_Match='"x"')[0] == 200
    assert get(client, DATA, If_Modified_Since=headers["last-modified"])[0] == 304
    assert get(client, DATA, If_Modified_Since="garbage")[0] == 200
    assert get(client, "/missing")[0] == 404
    status, headers, body = get(client, DATA, "HEAD")
    assert (status, headers["content-length"], body) == (200, str(len(BODY)), b"")
    assert get(client, "/empty")[::2] == (200, b"")
    assert client.sock is first
    assert server.requests[0] == Request("GET", DATA, 200, len(BODY))
    assert [request.status for request in server.take_requests()] == [200, 304, 304, 200, 304, 200, 404, 200, 200]
    assert server.requests == []


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=100-", 100, len(BODY)),
        ("bytes=-7", len(BODY) - 7, len(BODY)),
        (f"bytes=2000-{10**9}", 2000, len(BODY)),
        (f"bytes=-{10**9}", 0, len(BODY)),
    ],
)
def test_a_range(client: http.client.HTTPConnection, wanted: str, start: int, stop: int) -> None:
    status, headers, body = get(client, DATA, Range=wanted)
    assert (status, body) == (206, BODY[start:stop])
    assert headers["content-range"] == f"bytes {start}-{stop - 1}/{len(BODY)}"


@pytest.mark.parametrize("wanted", ["bytes=5-2", "bytes=-", "bytes=0-1,3-4", "lines=1-2", "bytes=x-"])
def test_a_range_that_is_none_gets_the_whole_file(client: http.client.HTTPConnection, wanted: str) -> None:
    assert get(client, DATA, Range=wanted)[::2] == (200, BODY)


@pytest.mark.parametrize("wanted", [f"bytes={len(BODY)}-", "bytes=-0"])
def test_a_range_behind_the_end(client: http.client.HTTPConnection, wanted: str) -> None:
    status, headers, body = get(client, DATA, Range=wanted)
    assert (status, headers["content-range"], body) == (416, f"bytes */{len(BODY)}", b"")


def test_if_range_holds_only_for_the_same_bytes(client: http.client.HTTPConnection) -> None:
    headers = get(client, DATA)[1]
    assert get(client, DATA, Range="bytes=1-", If_Range=headers["etag"])[0] == 206
    assert get(client, DATA, Range="bytes=1-", If_Range=headers["last-modified"])[0] == 206
    assert get(client, DATA, Range="bytes=1-", If_Range='"other"')[::2] == (200, BODY)


def test_a_manifest_that_was_replaced_never_looks_unchanged(client: http.client.HTTPConnection, site: Path) -> None:
    manifest = site / "manifest.json"
    before = manifest.stat()
    headers = get(client, "/manifest.json")[1]
    assert headers["cache-control"] == "no-cache"
    assert headers["content-type"] == "application/json"
    manifest.write_text('{"manifest": 2}')
    os.utime(manifest, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert get(client, "/manifest.json", If_None_Match=headers["etag"])[::2] == (200, b'{"manifest": 2}')


OUTSIDE = ["/../outside", "/%2e%2e/outside", "/files/%2E%2E/%2e%2e/outside", "/..%2foutside", "/..%5coutside", "/link"]
NO_FILE = ["/.hidden", "/", "/files", "/files/", "/manifest.json/", "/%00", "/%ff", "/C:/outside", "//manifest.json/x"]


@pytest.mark.parametrize("path", [*OUTSIDE, *NO_FILE])
def test_nothing_else_is_served(client: http.client.HTTPConnection, site: Path, path: str) -> None:
    (site / "link").symlink_to(site.parent / "outside")
    status, _, body = get(client, path)
    assert status == 404
    assert b"secret" not in body


def test_close_ends_idle_connections_and_frees_the_port(site: Path) -> None:
    server = Server(site).start()
    port = int(server.url.rstrip("/").rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as idle:
        idle.sendall(b"GET /manifest.json HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(15) == b"HTTP/1.1 200 OK"
        server.close()
        while idle.recv(4096):
            pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    with Server(site, port=port) as again:
        assert again.url == server.url


def test_the_hook_hears_of_each_request_before_its_answer_arrives(site: Path) -> None:
    heard: list[str] = []
    with Server(site, on_request=lambda request: heard.append(str(request))) as server:
        port = int(server.url.rstrip("/").rsplit(":", 1)[1])
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        get(client, "/manifest.json?token=x")
        assert heard == ["GET /manifest.json?token=x 200 15"]
        client.close()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("alpha.py", "text/x-python; charset=utf-8"),
        ("manifest.json", "application/json"),
        ("pack.zip", "application/zip"),
        ("x.csv.gz", "application/gzip"),
        ("x.unknown", "application/octet-stream"),
    ],
)
def test_content_types(name: str, kind: str) -> None:
    assert content_type(name) == kind


def test_what_ended_clients_asked_is_counted(site: Path) -> None:
    """Also where they did not wait for an answer, and the server is slow to take their connections."""
    server = Server(site)
    address = ("127.0.0.1", int(server.url.rstrip("/").rsplit(":", 1)[1]))
    # Nobody accepts yet: all of it waits in the queue of the socket.
    for number in range(20):
        with socket.create_connection(address) as client:
            client.sendall(b"GET /empty?%d HTTP/1.1\r\nHost: x\r\n\r\n" % number)
    with server:
        server.settle()
        assert sorted(request.path for request in server.take_requests()) == sorted(f"/empty?{n}" for n in range(20))
        server.settle()
        assert server.take_requests() == []
    server.settle()
