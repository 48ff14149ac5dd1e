"""`mm.events()`: any number of readers in event loops, and progress in the shape that pages show."""

from __future__ import annotations

import random

import magic_module as mm
from kit.world import World

HEAVY = random.Random(1).randbytes(200_000)


def test_readers_follow_several_downloads_beside_the_callback(world: World) -> None:
    world.publish({"one.py": "", "one.bin": HEAVY, "two.py": "", "two.bin": HEAVY}, "acme")
    url = world.serve().manifest_url
    program = f"""
        import asyncio, contextlib, json, threading
        import magic_module as mm
        mm.mount("acme", {url!r})
        called, slow = [], []
        mm.on_event(lambda event: called.append(event["event"]))

        async def follow(latest, until):
            async with contextlib.aclosing(mm.events()) as events:
                async for event in events:
                    if found := mm.progress.record(event):
                        latest[found["module"]] = found
                        if sum(each["percentage"] == 100 for each in latest.values()) == until:
                            return

        async def main():
            first, second = {{}}, {{}}
            readers = [asyncio.ensure_future(follow(first, 2)), asyncio.ensure_future(follow(second, 1))]
            await asyncio.sleep(0)
            await asyncio.gather(mm.aprefetch("acme.one"), mm.aprefetch("acme.two"))
            await asyncio.gather(*readers)
            return first, mm.progress.total(first.values()), len(second)

        first, together, count = asyncio.run(main())
        mm.on_event(None)
        # Nobody is left who listens: nothing is told, and nothing is raised.
        import acme.one
        others = sorted(set(called) - {{"fetch", "resolve", "verify"}})
        print(json.dumps([first, together, count, "fetch" in called, others]))
    """
    first, together, count, is_called, others = world.run(program).json
    assert sorted(first) == ["acme.one", "acme.two"]
    assert all(each["bytes_downloaded"] == each["total_bytes"] >= len(HEAVY) for each in first.values())
    assert list(first["acme.one"]) == ["module", "bytes_downloaded", "total_bytes", "percentage"]
    assert together["total_bytes"] == sum(each["total_bytes"] for each in first.values())
    assert together["bytes_downloaded"] == together["total_bytes"] and together["percentage"] == 100
    assert set(together["module"].split(", ")) == {"acme.one", "acme.two"}
    assert (count >= 1, is_called, others) == (True, True, [])


def test_a_record_is_of_a_download() -> None:
    event = {"event": "fetch", "unit": "a", "bytes": 1, "total": 4}
    assert mm.progress.record(event) == {
        "module": "a",
        "bytes_downloaded": 1,
        "total_bytes": 4,
        "percentage": 25.0,
    }
    assert mm.progress.record({**event, "event": "load"}) is None
    assert mm.progress.total([]) == {"module": "", "bytes_downloaded": 0, "total_bytes": 0, "percentage": 100.0}
