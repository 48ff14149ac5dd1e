"""Threads, circular imports across threads, and an event loop in the importing thread."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Callable

from kit.process import PATIENCE
from kit.world import Acme, World

Make = Callable[..., Acme]

# Each script imports `acme` itself first: a submodule is looked up without waiting for a package whose body is still
# running in another thread (`_find_and_load_unlocked`), and the body of `acme` is what makes the mount. A package that
# extends its own `__path__` has the same limit when it is plainly installed.

UNITS = {
    f"unit{number}.py": f"import acme.common\nNUMBER = {number}\nRUNS = acme.common.ran(__name__)\n"
    for number in range(16)
} | {
    "common.py": """
        import threading
        lock = threading.Lock()
        seen = []

        def ran(name):
            with lock:
                seen.append(name)
                return seen.count(name)
        """,
    "left.py": "import builtins\nbuiltins.meet.wait()\nimport acme.right\nLEFT = 1\n",
    "right.py": "import builtins\nbuiltins.meet.wait()\nimport acme.left\nRIGHT = 2\n",
}


def test_sixteen_threads_import_the_same_unit(acme: Make) -> None:
    made = acme(UNITS)
    result = made.run(
        """
        import importlib, json, threading
        import acme
        barrier = threading.Barrier(16)
        modules, errors = [], []

        def work():
            barrier.wait()
            try:
                module = importlib.import_module("acme.unit3")
                modules.append((id(module), module.NUMBER, module.RUNS))
            except BaseException as error:
                errors.append(repr(error))

        threads = [threading.Thread(target=work) for _ in range(16)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        print(json.dumps([len(modules), len(set(modules)), modules[0][1:] if modules else None, errors]))
        """
    )
    assert result.json == [16, 1, [3, 1], []]
    paths = [request.path for request in made.cold]
    assert len(paths) == len(set(paths)), "no artifact is asked for twice"


def test_sixteen_threads_import_different_units(acme: Make) -> None:
    made = acme(UNITS)
    result = made.run(
        """
        import importlib, json, threading
        import acme
        barrier = threading.Barrier(16)
        numbers, errors = [], []

        def work(number):
            barrier.wait()
            try:
                module = importlib.import_module(f"acme.unit{number}")
                numbers.append(module.NUMBER)
                assert module.RUNS == 1
            except BaseException as error:
                errors.append(repr(error))

        threads = [threading.Thread(target=work, args=[number]) for number in range(16)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        import acme.common
        print(json.dumps([sorted(numbers), errors, len(acme.common.seen)]))
        """
    )
    assert result.json == [list(range(16)), [], 16]
    paths = [request.path for request in made.cold]
    assert len(paths) == len(set(paths))


def test_two_threads_in_a_circle(acme: Make) -> None:
    """CPython sees the deadlock of two module locks and breaks it, once both bodies run."""
    result = acme(UNITS).run(
        """
        import builtins, importlib, threading
        import acme
        builtins.meet = threading.Barrier(2)
        done = []

        def work(name):
            done.append(importlib.import_module(name).__name__)

        threads = [threading.Thread(target=work, args=[name]) for name in ("acme.left", "acme.right")]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        import acme.left, acme.right
        print(sorted(done), acme.left.LEFT, acme.right.RIGHT)
        """
    )
    assert result.stdout.strip() == "['acme.left', 'acme.right'] 1 2"


def test_import_inside_a_running_event_loop(acme: Make) -> None:
    result = acme(UNITS).run(
        """
        import asyncio, json

        async def main():
            import acme.unit1
            loop = asyncio.get_running_loop()
            second = await loop.run_in_executor(None, lambda: __import__("acme.unit2", fromlist=["x"]))
            return acme.unit1.NUMBER, second.NUMBER

        print(json.dumps(asyncio.run(main())))
        """
    )
    assert result.json == [1, 2]


def test_other_imports_go_on_while_one_downloads(world: World) -> None:
    """Nobody waits for the network under the import lock: while one thread's download stands, another imports."""
    made = Acme(world, "hook", UNITS)
    assert made.server is not None
    (world.path / "plainly").mkdir()
    (world.path / "plainly" / "besides.py").write_text("DONE = True\n")
    stall = made.server.stall("/", after=0)
    started = world.start(
        """
        import sys, threading
        sys.path.insert(0, PLAINLY)
        thread = threading.Thread(target=lambda: __import__("acme.unit1"))
        thread.start()
        sys.stdin.readline()
        import besides, fractions, wave
        print(besides.DONE, "acme.unit1" in sys.modules and hasattr(sys.modules["acme.unit1"], "NUMBER"), flush=True)
        thread.join()
        print(sys.modules["acme.unit1"].NUMBER)
        """.replace("PLAINLY", repr(str(world.path / "plainly"))),
        input=True,
        warnings=False,
    )
    assert stall.reached.wait(PATIENCE)
    world.say(started)
    assert world.line(started) == "True False"
    made.server.stalls.remove(stall)
    stall.release.set()
    result = world.finish(started)
    assert result.stdout.strip() == "1", result.stderr


def test_threads_while_a_manifest_is_asked_for(world: World) -> None:
    """Many threads that need the same manifest ask for it once."""
    made = Acme(world, "hook", UNITS)
    assert made.server is not None
    result = world.run(
        """
        import importlib, threading
        import acme
        barrier = threading.Barrier(8)

        def work(number):
            barrier.wait()
            importlib.import_module(f"acme.unit{number}")

        threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        print("done")
        """
    )
    assert result.stdout.strip() == "done"
    assert made.server.paths().count("/manifest.json") == 1


def test_aprefetch_and_gather(world: World) -> None:
    made = Acme(world, "hook", UNITS)
    assert made.server is not None
    result = world.run(
        """
        import asyncio, json, sys
        import acme, magic_module

        async def main():
            ticks = 0

            async def tick():
                nonlocal ticks
                while True:
                    ticks += 1
                    await asyncio.sleep(0)

            ticking = asyncio.ensure_future(tick())
            names = ["acme.common", *(f"acme.unit{number}" for number in range(16))]
            await asyncio.gather(*map(magic_module.aprefetch, names))
            ticking.cancel()
            return ticks

        ticks = asyncio.run(main())
        print(json.dumps([ticks > 1, [name for name in sys.modules if name.startswith("acme.")]]))
        """
    )
    assert result.json == [True, []]
    made.server.stop()
    assert world.run("import acme.unit7; print(acme.unit7.NUMBER)").stdout.strip() == "7"


def test_progress_is_of_the_operation_that_it_was_asked_for(world: World) -> None:
    """Also where another operation downloads what this one waits for."""
    large = {"one.py": "", "one.bin": os.urandom(2 << 20), "two.py": "", "two.bin": os.urandom(2 << 20)}
    made = Acme(world, "hook", large)
    assert made.server is not None
    # No file is whole before both operations have been told of their first bytes.
    stall = made.server.stall("files/", after=100_000)
    started = world.start(
        """
        import asyncio, acme, magic_module
        seen = {"one": [], "two": []}
        begun = []
        def heard(name):
            def callback(event):
                seen[name].append(event)
                if all(seen.values()) and not begun:
                    begun.append(True)
                    print("both have begun", flush=True)
            return callback
        async def main():
            await asyncio.gather(
                magic_module.aprefetch("acme.one", progress=heard("one")),
                magic_module.aprefetch("acme.two", progress=heard("two")),
                *(magic_module.aprefetch("acme.one") for _ in range(4)))
        asyncio.run(main())
        for name, events in seen.items():
            print({event["unit"] for event in events}, events[-1]["percentage"])
        """
    )
    assert world.line(started) == "both have begun"
    stall.release.set()
    result = world.finish(started)
    assert result.stdout.splitlines() == ["{'acme.one'} 100.0", "{'acme.two'} 100.0"], result.stderr


def test_an_operation_that_finds_everything_there_has_no_progress(world: World) -> None:
    Acme(world, "hook", {"one.py": "ONE = 1\n"})
    result = world.run(
        """
        import acme, magic_module
        for _ in range(2):
            seen = []
            magic_module.prefetch("acme.one", progress=seen.append)
            print([event["percentage"] for event in seen][-1:])
        """
    )
    assert result.stdout.splitlines() == ["[100.0]", "[]"]


def test_a_callback_may_end_in_python(world: World) -> None:
    result = world.run(
        """
        import magic_module
        class Bar:
            def __call__(self, event): pass
            def __del__(self): magic_module.on_event(None); print("closed")
        magic_module.on_event(Bar())
        magic_module.on_event(None)
        """
    )
    assert result.stdout.split() == ["closed"]


def test_a_path_may_run_python_while_the_finder_looks_at_it(world: World) -> None:
    world.publish({"plain.py": ""}, "")
    result = world.run(
        f"""
        import sys, magic_module
        magic_module.mount("", {world.serve().manifest_url!r})
        class Path(list):
            def __getitem__(self, at):
                magic_module.mount("other", "file:///nowhere/else.json")
                return "/foreign"
        for finder in sys.meta_path:
            if "magic_module" in repr(finder) and "behind" not in repr(finder):
                print(finder.find_spec("google.cloud", Path(["/foreign"])))
        """
    )
    assert result.stdout.split() == ["None"]


FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def test_sixteen_threads_import_many_units_again_and_again(world: World) -> None:
    """Each run has an empty cache and an order of its own per thread. Without the lock of the interpreter it counts."""
    files = {f"m{number}.py": f"import acme.base\nNUMBER = {number}\n" for number in range(30)}
    files |= {f"p{number}/__init__.py": "from acme import base\nfrom . import inner\n" for number in range(12)}
    files |= {f"p{number}/inner.py": f"NUMBER = {number}\n" for number in range(12)}
    Acme(world, "hook", files | {"base.py": "import json\nNUMBER = -1\n"})
    names = ["base", *(f"m{number}" for number in range(30)), *(f"p{number}" for number in range(12))]
    script = f"""
        import importlib, random, sys, threading
        sys.setswitchinterval(1e-5)
        import acme
        names, barrier, told, wrong = {names!r}, threading.Barrier(16), [], []

        def work(number):
            own = random.Random(number).sample(names, len(names))
            barrier.wait()
            try:
                told.append({{name: id(importlib.import_module("acme." + name)) for name in own}})
            except BaseException as error:
                wrong.append(repr(error))

        threads = [threading.Thread(target=work, args=[number]) for number in range(16)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        has_lock = getattr(sys, "_is_gil_enabled", lambda: True)()
        print(len(names), len(told), all(found == told[0] for found in told), wrong, has_lock)
        """
    for _ in range(40 if FREE_THREADED else 2):
        shutil.rmtree(world.cache, ignore_errors=True)
        assert world.run(script).stdout.split() == ["43", "16", "True", "[]", str(not FREE_THREADED)]
