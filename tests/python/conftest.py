"""Fixtures for every test of the Python side.

| fixture | gives                                                                     |
|---------|---------------------------------------------------------------------------|
| `world` | a `kit.world.World`: `run(script)`, `publish(sources)`, `serve()`, with a cache of its own |
| `how`   | "installed" and "hook": the two forms in which a behaviour must be the same |
| `acme`  | `acme(units, …)` makes a `kit.world.Acme` in that form: `acme(units).run(script)` |
| `cache` | the path of a cache that is not there yet                               |
| `lock`  | a `kit.locks.Lock` of a few packages, whose wheels lie beside it          |
| `served` | the same, with the server that has its wheels                            |
| `desk` | a `kit.desk.Desk`: a lock, the server of its wheels, and the site that is published of it |
| `canaries` | a `kit.canaries.Canaries`: a world full of secrets, with a server and one to be redirected to |

A test of a behaviour takes `acme` and compares what the script prints with
what CPython is known to do; the "installed" form shows that the expectation is right,
the "hook" form runs the script cold, warm, and with the server stopped.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.canaries import Canaries
from kit.desk import Desk, opened
from kit.locks import Lock, packages
from kit.sources import Sources
from kit.world import Acme, World
from origins import Origin


def pytest_configure() -> None:
    """A shell's background job ignores SIGINT, and so would every process that a test starts and interrupts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips on Windows what tests/windows.txt lists, each with its reason."""
    if sys.platform != "win32":
        return
    reasons = not_on_windows()
    for item in items:
        # Without the folders; a case may have slashes of its own.
        name = item.nodeid[item.nodeid.index(item.path.name) :]
        for listed in (name, name.partition("[")[0], name.partition("::")[0]):
            if listed in reasons:
                item.add_marker(pytest.mark.skip(reason=reasons[listed]))


def not_on_windows() -> dict[str, str]:
    """What is listed there, and why: a reason in brackets, and below it files, tests, or cases of them."""
    reasons, reason = {}, ""
    for line in (Path(__file__).parents[1] / "windows.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            reason = line.strip("[]")
        elif line and not line.startswith("#"):
            reasons[line] = reason
    return reasons


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with opened(tmp_path) as desk:
        yield desk


@pytest.fixture(params=["installed", "hook"])
def how(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def acme(world: World, how: str) -> Callable[..., Acme]:
    def make(units: Sources, **options: Any) -> Acme:
        return Acme(world, how, units, **options)

    return make


@pytest.fixture
def canaries(world: World) -> Canaries:
    data = bytes(range(256)) * 512
    world.publish({"alpha/__init__.py": "VALUE = 1\n", "alpha/data.bin": data, "beta.py": "VALUE = 2\n"})
    return Canaries(world, world.serve(), world.serve())


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def lock(tmp_path: Path) -> Lock:
    return Lock(tmp_path / "project", packages())


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Lock, Origin]]:
    folder = tmp_path / "project"
    (folder / "wheels").mkdir(parents=True)
    with Origin(folder / "wheels") as origin:
        yield Lock(folder, packages(), url=origin.url), origin
