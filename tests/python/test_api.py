"""The public names, and what runs in an event loop."""

import os
import signal

import pytest

import magic_module
from kit.process import PATIENCE
from kit.world import World
from origins import Stall

SOURCES = {"alpha.py": "value = 1\n", "alpha.bin": "x" * (4 << 20), "beta.py": "value = 2\n"}

PREFETCH = """
import asyncio, sys, threading
import magic_module

async def main():
    loop_thread, seen = threading.get_ident(), []

    def progress(event):
        assert threading.get_ident() == loop_thread
        seen.append(event)

    await magic_module.aprefetch("magic_module.alpha", "magic_module.beta==1", progress=progress)
    await asyncio.sleep(0)
    assert seen and all(event["event"] == "fetch" for event in seen)
    assert (seen[-1]["status"], seen[-1]["percentage"]) == ("done", 100.0)
    assert "magic_module.alpha" not in sys.modules

asyncio.run(main())
import magic_module.alpha, magic_module.beta
"""

CANCELLED = """
import asyncio, signal
import magic_module

async def main():
    task = asyncio.ensure_future(magic_module.aprefetch("magic_module.alpha"))
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        print("cancelled", flush=True)

asyncio.run(main())  # returns when the thread has ended
print("ended", flush=True)
"""


@pytest.mark.parametrize("name", [*magic_module.__all__, "_native"])
def test_every_public_name_in_a_fresh_interpreter(world: World, name: str) -> None:
    assert world.run(f"import magic_module; magic_module.{name}; print('here')").stdout == "here\n"
    assert world.run(f"from magic_module import {name}; print('here')").stdout == "here\n"


def test_a_name_that_is_not_there(world: World) -> None:
    script = (
        "import magic_module\ntry:\n    magic_module.nothing\nexcept AttributeError as error:\n    print(error.name)"
    )
    assert world.run(script).stdout == "nothing\n"


def test_aprefetch_tells_its_progress_in_the_loop(world: World) -> None:
    world.publish({**SOURCES, "magic-module.toml": "[beta]\nversion = '1'\n"})
    server = world.serve()
    world.extra["MAGIC_MODULE_MANIFEST_URL"] = server.manifest_url
    world.run(PREFETCH)
    paths = [request.path for request in server.requests]
    assert len(paths) == len(set(paths))


@pytest.mark.skipif(os.name == "nt", reason="an event loop on Windows takes no signals")
@pytest.mark.parametrize("part", ["/files/", "/manifest.json"])
def test_a_cancelled_aprefetch_ends_its_download_though_nothing_arrives(world: World, part: str) -> None:
    world.publish(SOURCES)
    server = world.serve()
    world.extra["MAGIC_MODULE_MANIFEST_URL"] = server.manifest_url
    stall = Stall(part, after=10)
    server.stalls.append(stall)
    child = world.start(CANCELLED)
    assert stall.reached.wait(PATIENCE)
    child.send_signal(signal.SIGUSR1)
    assert world.finish(child).stdout == "cancelled\nended\n"
    assert not stall.release.is_set()
    assert world.parts() == []
