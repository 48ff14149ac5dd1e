"""Object stores as others speak them: publish, import, publish again, and two publishers at once.

moto is S3 and comes with Python; azurite is Azure's own emulator and comes with npm: the variable AZURITE names it.
"""

from __future__ import annotations

import base64
import email.utils
import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kit.sources import write_tree
from kit.world import World

USE = "import magic_module.alpha as alpha; print(alpha.VALUE)"
#: Of every azurite.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass
class Store:
    """Where to publish, and what lets one in."""

    url: str
    environment: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    said: str = ""


@contextmanager
def serving(command: Sequence[str | Path], port: int, folder: Path) -> Iterator[str]:
    """A server of somebody else's, which is there when the block begins."""
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([*command], stdout=log, stderr=log, cwd=folder)
    try:
        until = time.monotonic() + 120
        while True:
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, "the server does not begin"
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "world")
    yield world
    world.close()


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[Store]:
    port = free_port()
    with serving([sys.executable, "-m", "moto.server", "-p", str(port)], port, tmp_path) as url:
        urllib.request.urlopen(urllib.request.Request(f"{url}/models", method="PUT"))
        own = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": url}
        wrong = {"MAGIC_MODULE_MANIFEST_URL": "s3://other/manifest.json"}
        yield Store("s3://models/env", own, wrong, "(NoSuchBucket); check the name of the bucket")


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[Store]:
    azurite = os.environ.get("AZURITE") or shutil.which("azurite-blob")
    if azurite is None:
        pytest.skip("azurite is Azure here: npm install azurite, and let AZURITE name its azurite-blob")
    port = free_port()
    command = [azurite, "--blobPort", str(port), "--silent", "--skipApiVersionCheck", "--inMemoryPersistence"]
    with serving(command, port, tmp_path) as url:
        make_container(f"{url}/{ACCOUNT}", "models")
        own = {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": ACCOUNT_KEY,
            "AZURE_STORAGE_ENDPOINT": f"{url}/{ACCOUNT}",
        }
        wrong = {"AZURE_STORAGE_ACCOUNT_KEY": base64.b64encode(b"wrong").decode()}
        said = "a store says the same of what is not there to whoever may not list the bucket"
        yield Store("az://models/env", own, wrong, said)


def make_container(account_url: str, name: str) -> None:
    date = email.utils.formatdate(usegmt=True)
    headers = {"x-ms-date": date, "x-ms-version": "2023-11-03"}
    resource = f"/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    signed = "PUT\n" + "\n" * 11 + "".join(f"{key}:{value}\n" for key, value in headers.items()) + resource
    made = hmac.new(base64.b64decode(ACCOUNT_KEY), signed.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(made).decode()}"
    headers["Content-Length"] = "0"
    request = urllib.request.Request(f"{account_url}/{name}?restype=container", method="PUT", headers=headers)
    urllib.request.urlopen(request)


def prepared(world: World, store: Store) -> None:
    world.extra |= store.environment
    world.extra["MAGIC_MODULE_MANIFEST_URL"] = f"{store.url}/manifest.json"


def line(world: World, name: str, store: Store, value: int) -> list[str]:
    source = world.path / name
    write_tree(source, {"alpha/__init__.py": f"VALUE = {value}\n", "large.py": "# " + "x" * 300_000 + "\n"})
    return ["-m", "magic_module", "publish", str(source), store.url, "--json"]


def whole_way(world: World, store: Store) -> None:
    prepared(world, store)
    published = world.run(None, args=line(world, "first", store, 1)).json
    assert published["changed"]
    assert world.run(USE).stdout == "1\n"
    assert not world.run(None, args=line(world, "first", store, 1)).json["changed"]
    upgrade = "import magic_module.alpha as alpha; print(alpha._upgrade(force=True).changed, alpha.VALUE)"
    assert world.run(upgrade).stdout == "False 1\n"
    world.run(None, args=line(world, "first", store, 2))
    assert world.run(upgrade).stdout == "True 2\n"
    # As many at once as there may be: each finds a place after another one.
    lines = [line(world, f"at-once-{value}", store, value)[2:] for value in (3, 4, 5)]
    run = "runpy.run_module('magic_module', run_name='__main__')"
    started = [world.start(f"import runpy, sys\nsys.argv[1:] = {each!r}\n{run}") for each in lines]
    for value, each in zip((3, 4, 5), [world.finish(each) for each in started], strict=True):
        (alpha,) = [unit for unit in each.json["units"] if unit["name"] == "alpha"]
        env = {"MAGIC_MODULE_CACHE_DIR": str(world.path / f"cache-{value}")}
        pinned = world.run(USE, env={**env, "MAGIC_MODULE_PINS": f"alpha=={alpha['version']}"})
        assert pinned.stdout == f"{value}\n", "its version is there, whoever was faster"
    failed = world.run(USE, env={"MAGIC_MODULE_CACHE_DIR": str(world.path / "other"), **store.wrong}, status=1)
    assert failed.stderr.rstrip().endswith(store.said)


def test_s3(world: World, s3: Store) -> None:
    whole_way(world, s3)


def test_azure(world: World, azure: Store) -> None:
    whole_way(world, azure)
