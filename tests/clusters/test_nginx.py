"""nginx as the server of a published folder, as Debian has it: with sendfile and gzip, ranges and ETags.

It writes down how it answered: `METHOD PATH STATUS BYTES ENCODING`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit import locks, process
from kit.wheels import wheel
from kit.world import World

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
if NGINX is None:
    pytest.skip("nginx is not installed (on Debian: apt-get install nginx-light)", allow_module_level=True)

CONFIGURATION = """
daemon off;
{user}
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    types {{ application/json json; application/zip zip whl; }}
    log_format kept '$request_method $uri $status $body_bytes_sent "$sent_http_content_encoding"';
    access_log {folder}/access.log kept;
    {temporary}
    sendfile on;
    etag on;
    gzip on;
    gzip_types *;
    gzip_min_length 1;
    server {{
        listen {address}:{port};
        root {site};
        location /kept/ {{ alias {site}/; add_header Cache-Control "public, max-age=3600"; }}
    }}
}}
"""

UNITS = {
    "alpha.py": "__version__ = '1.0'\nVALUE = 1\n",
    "beta/__init__.py": "VALUE = 2\n",
    "beta/data.txt": "a\n" * 5000,
}
USE = "import acme.alpha, acme.beta; print(acme.alpha.VALUE, acme.beta.VALUE)"
UPGRADE = "import acme.alpha; print(acme.alpha._upgrade().changed, acme.alpha.VALUE)"


class Nginx:
    """Runs until the test ends; it is given a socket that listens, so that nobody else can have the port."""

    def __init__(self, world: World, site: Path) -> None:
        self.folder = world.path / "nginx"
        self.folder.mkdir()
        self.log = self.folder / "access.log"
        listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        address, port = listening.getsockname()
        places = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        text = CONFIGURATION.format(
            user="user root;" if os.geteuid() == 0 else "",
            temporary="\n    ".join(f"{place}_temp_path {self.folder}/{place};" for place in places),
            folder=self.folder,
            site=site,
            address=address,
            port=port,
        )
        (self.folder / "nginx.conf").write_text(text)
        assert NGINX is not None
        line = [NGINX, "-p", str(self.folder), "-e", str(self.folder / "error.log"), "-c", "nginx.conf"]
        number = listening.fileno()
        # So a new nginx takes over the sockets of an old one.
        environment = {**os.environ, "NGINX": f"{number};"}
        self.process = subprocess.Popen(line, env=environment, pass_fds=[number])
        listening.close()
        self.address = address, port
        self.url = f"http://{address}:{port}"

    def answers(self) -> list[str]:
        """How it answered since the last call. It answers one after the other, and writes that down last: what came
        before a request of ours is there when that one is."""
        with socket.create_connection(self.address) as mark:
            mark.sendall(b"GET /mark HTTP/1.0\r\n\r\n")
        end = time.monotonic() + process.PATIENCE
        while "/mark" not in (text := self.log.read_text()):
            assert time.monotonic() < end
            time.sleep(0.01)
        os.truncate(self.log, 0)
        return [line.removeprefix("GET ") for line in text.splitlines() if "/mark" not in line]

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(process.PATIENCE)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


@pytest.fixture
def nginx(world: World) -> Iterator[Nginx]:
    world.publish(UNITS, namespace="acme")
    nginx = Nginx(world, world.path / "site")
    yield nginx
    nginx.close()


def mounted(script: str, url: str) -> str:
    return f"import magic_module as mm; mm.mount('acme', {url!r})\n{script}"


def test_a_published_folder(world: World, nginx: Nginx) -> None:
    url = f"{nginx.url}/manifest.json"
    manifest = (world.path / "site" / "manifest.json").stat().st_size
    assert world.run(mounted(USE, url)).stdout == "1 2\n"
    first, *packs = nginx.answers()
    assert first == f'/manifest.json 200 {manifest} "-"', "nothing is compressed that nobody asked to be"
    assert len(packs) == 2
    assert all(" 200 " in line and line.endswith('"-"') for line in packs), packs

    assert world.run(mounted(USE, url)).stdout == "1 2\n"
    assert nginx.answers() == [], "a warm import asks nobody"

    assert world.run(mounted(UPGRADE, url)).stdout == "False 1\n"
    assert nginx.answers() == ['/manifest.json 304 0 "-"']

    world.publish({**UNITS, "alpha.py": "__version__ = '1.1'\nVALUE = 1000\n"}, namespace="acme")
    assert world.run(mounted(UPGRADE, url)).stdout == "True 1000\n"
    first, *packs = nginx.answers()
    assert first.startswith("/manifest.json 200 ")
    assert len(packs) == 1


def test_an_age_that_it_says_is_kept_to(world: World, nginx: Nginx) -> None:
    url = f"{nginx.url}/kept/manifest.json"
    assert world.run(mounted(USE, url)).stdout == "1 2\n"
    assert len(nginx.answers()) == 3
    assert world.run(mounted(UPGRADE, url)).stdout == "False 1\n"
    assert nginx.answers() == [], "it is fresh for an hour"
    assert world.run(mounted(UPGRADE.replace("()", "(force=True)", 1), url)).stdout == "False 1\n"
    first, *packs = nginx.answers()
    assert first == '/kept/manifest.json 304 0 "-"'
    assert len(packs) == 1, "what it has is fetched again, too"


def test_wheels_are_looked_into_by_range(world: World, nginx: Nginx) -> None:
    # Its directory is in the last bytes, and all of it is much more.
    data = {f"large/{name}.bin": os.urandom(300_000) for name in "abc"}
    large = wheel("large", "1.0", {"large/__init__.py": "VALUE = 3\n", **data})
    lock = locks.Lock(world.path / "site", [large], url=f"{nginx.url}/wheels")
    assert locks.run(lock, world.cache, "-c", "import large; print(large.VALUE)").stdout == "3\n"
    looked, *fetched = nginx.answers()
    assert looked.startswith("/wheels/large-1.0-py3-none-any.whl 206 ")
    assert fetched == [f'/wheels/large-1.0-py3-none-any.whl 200 {len(large.data)} "-"']
