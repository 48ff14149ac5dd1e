"""Processes of one machine ask a server once: who wants the same waits, and what was answered counts for all."""

from __future__ import annotations

import hashlib
import json
import os
import signal

import pytest

from kit.world import World
from origins import Origin, Reply

pytestmark = pytest.mark.once

MANY = 12

SOURCES = {"alpha/__init__.py": "VALUE = 1\n", "alpha/more.py": "VALUE = 2\n", "beta.py": "VALUE = 3\n"}

USE = "import magic_module.alpha as alpha, magic_module.alpha.more; print(alpha.VALUE)"
UPGRADE = "import magic_module.alpha as alpha; print(alpha._upgrade().changed, alpha.VALUE)"
FORCE = "import magic_module.alpha as alpha; print(alpha._upgrade(force=True).changed, alpha.VALUE)"
HOUR = {"MAGIC_MODULE_FRESH": "3600"}


@pytest.fixture
def server(world: World) -> Origin:
    world.publish(SOURCES)
    server = world.serve()
    world.extra["MAGIC_MODULE_MANIFEST_URL"] = server.manifest_url
    return server


def together(world: World, scripts: list[str], **env: str) -> list[str]:
    """Runs scripts that begin at once, and returns what each said."""
    started = [world.start(f"print(flush=True)\ninput()\n{script}", env=env, input=True) for script in scripts]
    for process in started:
        assert world.line(process) == ""
    for process in started:
        world.say(process)
    results = [world.finish(process) for process in started]
    assert [result.status for result in results] == [0] * len(scripts), [result.stderr for result in results]
    return [result.stdout for result in results]


def let_an_hour_pass(world: World) -> None:
    """As the cache has it written down."""
    (state,) = (world.cache / "v1" / "mounts").glob("*/state")
    known = json.loads(state.read_text().splitlines()[1])
    known["asked"] -= 2 * 3600 * 1_000_000
    body = json.dumps(known)
    state.write_text(f"{hashlib.sha256(body.encode()).hexdigest()}\n{body}\n")


def manifests(server: Origin) -> list[int]:
    """How the server answered who asked for the manifest."""
    return [request.status for request in server.take() if request.path == "/manifest.json"]


def saying(cache_control: str) -> dict[str, object]:
    def fault(reply: Reply) -> None:
        reply.whole(200, reply.body or b"", {"Cache-Control": cache_control})

    return {"/manifest.json": fault}


def test_cold_processes_fetch_one_manifest_and_one_pack(world: World, server: Origin) -> None:
    stall = server.stall("manifest.json")
    started = [world.start(USE) for _ in range(MANY)]
    assert stall.reached.wait(60)
    # Some come while it is on its way, others when it is there.
    stall.release.set()
    for process in started:
        assert world.finish(process).stdout == "1\n"
    asked = server.paths()
    assert asked.count("/manifest.json") == 1
    assert len(asked) == 2, asked


def test_upgrades_that_find_nothing_cost_one_request_in_a_period(world: World, server: Origin) -> None:
    world.run(USE)
    assert world.run(UPGRADE, env=HOUR).stdout == "False 1\n"
    assert manifests(server) == [200], "the import has asked just now"
    let_an_hour_pass(world)
    assert together(world, [UPGRADE] * MANY, **HOUR) == ["False 1\n"] * MANY
    assert manifests(server) == [304]
    world.publish({**SOURCES, "alpha/__init__.py": "VALUE = 10\n"})
    assert world.run(UPGRADE, env=HOUR).stdout == "False 1\n", "it is as fresh as it was said to be"
    assert manifests(server) == []
    assert world.run(FORCE, env=HOUR).stdout == "True 10\n"
    assert manifests(server) == [200]
    world.publish({**SOURCES, "alpha/__init__.py": "VALUE = 100\n"})
    assert world.run(UPGRADE).stdout == "True 100\n", "nobody says how long it is fresh: each asks"
    assert manifests(server) == [200]


def test_what_the_server_says_counts_before_the_setting(world: World, server: Origin) -> None:
    server.faults.update(saying("public, max-age=3600"))
    world.run(USE)
    assert world.run(UPGRADE).stdout == "False 1\n"
    assert manifests(server) == [200]
    server.faults.update(saying("no-cache"))
    world.run(FORCE)
    world.run(UPGRADE, env=HOUR)
    assert manifests(server) == [200, 200]


def test_absent_names_cost_one_request_in_a_period(world: World, server: Origin) -> None:
    world.run(USE)
    let_an_hour_pass(world)
    server.take()
    names = [f"nothing{number}" for number in range(MANY)]
    script = "try:\n    import magic_module.{name}\nexcept ModuleNotFoundError:\n    print('absent')"
    assert together(world, [script.format(name=name) for name in names], **HOUR) == ["absent\n"] * MANY
    assert manifests(server) == [304]


def test_an_asker_that_dies_is_replaced(world: World, server: Origin) -> None:
    stall = server.stall("manifest.json")
    first = world.start(USE)
    assert stall.reached.wait(60)
    others = [world.start(f"print(flush=True)\n{USE}") for _ in range(3)]
    for process in others:
        assert world.line(process) == ""
    server.stalls.clear()
    first.send_signal(signal.SIGKILL)
    for process in others:
        assert world.finish(process).stdout == "1\n"
    stall.release.set()
    assert manifests(server) == [200, 200]


def test_after_a_failure_nobody_waits_for_the_others(world: World, server: Origin) -> None:
    asked = 0

    def once(reply: Reply) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            reply.whole(403, b"not you\n")
        else:
            reply.well()

    server.faults["/manifest.json"] = once
    assert "403" in world.run(USE, status=1).stderr
    assert together(world, [USE] * 4) == ["1\n"] * 4
    assert asked == 2, "the next one asks, and the others wait for it"


def test_the_parts_of_a_catalogue_are_asked_for_once(world: World) -> None:
    names = [f"unit{number}" for number in range(200)]
    world.publish({f"{name}.py": "VALUE = 1\n" for name in names})
    server = world.serve()
    world.extra["MAGIC_MODULE_MANIFEST_URL"] = server.manifest_url
    assert together(world, ["import magic_module.unit7 as unit; print(unit.VALUE)"] * 6) == ["1\n"] * 6
    asked = server.paths()
    assert len(asked) == len(set(asked)) == 4, asked
    assert os.path.basename(asked[0]) == "manifest.json"
