"""Ctrl-C while something is downloaded: it ends at once and leaves nothing half."""

from __future__ import annotations

import signal
import sys

import pytest

from kit.process import PATIENCE, Result
from kit.world import Acme, World

UNITS = {
    "big/__init__.py": "SIZE = 1\n",
    "big/data.bin": bytes(range(256)) * (16 << 10),
    "small.py": "VALUE = 1\n",
}


def interrupt(world: World, script: str, part: str, after: int) -> tuple[Result, Acme]:
    """Interrupts a script while the server holds something back, which it does until the script has ended."""
    made = Acme(world, "hook", UNITS)
    assert made.server is not None
    stall = made.server.stall(part, after)
    started = world.start(script)
    assert stall.reached.wait(PATIENCE)
    started.send_signal(signal.SIGINT)
    ended = world.finish(started)
    made.server.stalls.clear()
    stall.release.set()
    return ended, made


def nothing_half(world: World, made: Acme) -> None:
    assert world.parts() == []
    assert not [tree for tree in world.trees() if list(tree.rglob("data.bin"))], "no half tree can be seen"
    assert world.run("import acme.big; print(acme.big.SIZE)").stdout.strip() == "1"
    assert made.server is not None


@pytest.mark.parametrize(
    ("part", "after"), [("files/", 100_000), ("files/", 0), ("manifest.json", 0), ("manifest.json", 20)]
)
def test_an_import_is_interrupted(world: World, part: str, after: int) -> None:
    done, made = interrupt(
        world,
        """
        import sys
        try:
            import acme.big
        except KeyboardInterrupt:
            print("interrupted", [name for name in sys.modules if name.startswith("acme.")])
        """,
        part,
        after,
    )
    assert done.stdout.strip() == "interrupted []", done.stderr
    assert done.status == 0
    nothing_half(world, made)


def test_uncaught(world: World) -> None:
    done, made = interrupt(world, "import acme.big", "files/", 100_000)
    assert done.status == -signal.SIGINT
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")
    nothing_half(world, made)


@pytest.mark.parametrize(
    "call", ["magic_module.prefetch('acme.big')", "magic_module.data_path('acme.big', 'data.bin')"]
)
def test_other_calls_are_interrupted(world: World, call: str) -> None:
    done, made = interrupt(
        world,
        f"""
        import acme, magic_module
        try:
            {call}
        except KeyboardInterrupt:
            print("interrupted")
        """,
        "files/",
        100_000,
    )
    assert done.stdout.strip() == "interrupted", done.stderr
    nothing_half(world, made)


def test_under_asyncio(world: World) -> None:
    done, made = interrupt(
        world,
        """
        import asyncio

        async def main():
            import acme.big

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted")
        """,
        "files/",
        100_000,
    )
    assert done.stdout.strip() == "interrupted", done.stderr
    nothing_half(world, made)


@pytest.mark.skipif(sys.platform == "win32", reason="limits the number of open files")
def test_work_that_cannot_begin_leaves_the_handler_of_asyncio(world: World) -> None:
    Acme(world, "hook", UNITS)
    script = """
        import asyncio, os, resource, signal
        import acme, magic_module

        async def main():
            before = signal.getsignal(signal.SIGINT)
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            free = os.open(os.devnull, os.O_RDONLY)
            os.close(free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, limits[1]))
            try:
                magic_module.prefetch("acme.small")
            except magic_module.errors.StoreError as error:
                print(error)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            print(signal.getsignal(signal.SIGINT) is before)

        asyncio.run(main())
        """
    error, kept = world.run(script).stdout.splitlines()
    assert error.startswith("cannot open what a download waits with: Too many open files")
    assert kept == "True"


def test_aprefetch_under_asyncio(world: World) -> None:
    done, made = interrupt(
        world,
        """
        import asyncio
        import acme, magic_module

        try:
            asyncio.run(magic_module.aprefetch("acme.big"))
        except KeyboardInterrupt:
            print("interrupted")
        """,
        "files/",
        100_000,
    )
    assert done.stdout.strip() == "interrupted", done.stderr
    nothing_half(world, made)


def test_the_own_handler_of_asyncio_works_afterwards(world: World) -> None:
    """An import inside a coroutine leaves asyncio's handling of SIGINT as it was."""
    Acme(world, "hook", UNITS)
    result = world.run(
        """
        import asyncio, os, signal

        async def main():
            before = signal.getsignal(signal.SIGINT)
            import acme.big
            print(signal.getsignal(signal.SIGINT) is before)
            try:
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                print("cancelled")
                raise

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    lines = result.stdout.split()
    assert lines[0] == "True" and lines[-1] == "interrupted"


def test_a_handler_of_the_programs_own_runs_and_the_import_goes_on(world: World) -> None:
    made = Acme(world, "hook", UNITS)
    assert made.server is not None
    stall = made.server.stall("files/", 100_000)
    started = world.start(
        """
        import signal
        signal.signal(signal.SIGINT, lambda number, frame: print("handled", flush=True))
        import acme.big
        print(acme.big.SIZE)
        """
    )
    assert stall.reached.wait(PATIENCE)
    started.send_signal(signal.SIGINT)
    assert world.line(started) == "handled"
    made.server.stalls.clear()
    stall.release.set()
    assert world.finish(started).stdout.strip() == "1"


def test_interrupted_while_another_process_downloads(world: World) -> None:
    """Who only waits for another's download can be interrupted too, and the other goes on."""
    made = Acme(world, "hook", UNITS)
    assert made.server is not None
    stall = made.server.stall("files/", 100_000)
    holder = world.start("import acme.big; print(acme.big.SIZE)")
    assert stall.reached.wait(PATIENCE)
    waiter = world.start(
        """
        import acme, magic_module
        magic_module.on_event(lambda event: print(event["event"], flush=True))
        try:
            import acme.big
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    while world.line(waiter) != "fetch":
        assert waiter.poll() is None, "the waiter ended before it saw the other's progress"
    waiter.send_signal(signal.SIGINT)
    ended = world.finish(waiter)
    assert ended.stdout.split()[-1] == "interrupted", ended.stderr
    made.server.stalls.clear()
    stall.release.set()
    assert world.finish(holder).stdout.strip() == "1"
    assert world.parts() == []


def test_a_thread_that_downloads_does_not_keep_the_interpreter_from_ending(world: World) -> None:
    done, made = interrupt(
        world,
        """
        import threading, time

        def work():
            try:
                import acme.big
            except BaseException as error:
                print(type(error).__name__)

        threading.Thread(target=work).start()
        while True:
            # A signal that comes right before a system call does not end it: let none last.
            time.sleep(0.05)
        """,
        "files/",
        100_000,
    )
    assert done.status == -signal.SIGINT, done.stderr
    nothing_half(world, made)


def test_cancelling_the_task_of_aprefetch(world: World) -> None:
    made = Acme(world, "hook", UNITS)
    assert made.server is not None
    stall = made.server.stall("files/", 100_000)
    started = world.start(
        """
        import asyncio, sys
        import acme, magic_module

        async def main():
            task = asyncio.ensure_future(magic_module.aprefetch("acme.big"))
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                print("cancelled", flush=True)

        asyncio.run(main())
        """,
        input=True,
    )
    assert stall.reached.wait(PATIENCE)
    world.say(started)
    assert world.line(started) == "cancelled"
    assert world.finish(started).status == 0
    assert world.parts() == []
    made.server.stalls.clear()
    stall.release.set()
