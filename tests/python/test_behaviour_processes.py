"""Other processes: pickle, multiprocessing, many processes on one cold cache, fork."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import pytest

from kit.locks import Lock
from kit.process import PATIENCE
from kit.sources import write_tree
from kit.world import Acme, World

Make = Callable[..., Acme]

UNITS = {
    "shapes.py": """
        class Point:
            def __init__(self, x, y):
                self.x, self.y = x, y

            def __eq__(self, other):
                return (self.x, self.y) == (other.x, other.y)

        def double(number):
            return number * 2

        def where(_):
            import os
            return os.getpid()
        """,
    "big/__init__.py": "from pathlib import Path\nSIZE = (Path(__file__).parent / 'data.bin').stat().st_size\n",
    "big/data.bin": os.urandom(3 << 20),
    "other.py": "OTHER = 'other'\n",
}


def test_pickle_into_a_fresh_process(acme: Make) -> None:
    made = acme(UNITS)
    result = made.run(
        """
        import pickle, subprocess, sys
        from acme.shapes import Point, double
        data = pickle.dumps((Point(1, 2), double))
        script = (
            "import pickle, sys; point, double = pickle.loads(sys.stdin.buffer.read());"
            "print(type(point).__module__, point.x, double(point.y))"
        )
        done = subprocess.run([sys.executable, "-c", script], input=data, stdout=subprocess.PIPE, check=True)
        print(done.stdout.strip())
        """
    )
    assert result.stdout.strip() == "b'acme.shapes 1 4'"


def test_a_mount_is_pickled_as_its_call(world: World, lock: Lock) -> None:
    world.publish({"shapes.py": "VALUE = 8\n"}, namespace="acme")
    url = world.serve().url + "/manifest.json"
    result = world.run(
        f"""
        import pickle, subprocess, sys
        import magic_module as mm
        mount = mm.mount("acme", {url.replace("://", "://user:secret@")!r}, max_age="fail")
        data = pickle.dumps((mount, mm.mount_lock({str(lock.path)!r}, first=True)))
        assert b"secret" not in data and pickle.loads(data)[0] == mount
        script = (
            "import pickle, sys; mounts = pickle.loads(sys.stdin.buffer.read());"
            "import acme.shapes; print(acme.shapes.VALUE, [it.manifest_url for it in mounts])"
        )
        done = subprocess.run([sys.executable, "-c", script], input=data, stdout=subprocess.PIPE, check=True)
        print(done.stdout.strip())
        """
    )
    assert str([url, lock.path.as_uri()]) in result.stdout.replace('b"8 ', "")


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_multiprocessing(acme: Make, method: str) -> None:
    made = acme(UNITS)
    write_tree(
        made.world.work,
        {
            "main.py": f"""
                import multiprocessing


                def local(number):
                    import acme.shapes
                    return acme.shapes.double(number)


                def main():
                    context = multiprocessing.get_context({method!r})
                    with context.Pool(2) as pool:
                        print(pool.map(local, range(4)))
                        from acme import shapes
                        print(sum(pool.map(local, range(9))))
                    with context.Pool(2) as pool:
                        print(pool.map(shapes.double, range(4)), pool.apply(shapes.Point, (1, 2)) == shapes.Point(1, 2))


                if __name__ == "__main__":
                    main()
                """
        },
    )
    result = made.run(None, args=["main.py"], warnings=False)
    assert result.stdout.split("\n")[:3] == ["[0, 2, 4, 6]", "72", "[0, 2, 4, 6] True"]


def test_process_pool_executor(acme: Make) -> None:
    made = acme(UNITS)
    write_tree(
        made.world.work,
        {
            "main.py": """
                import multiprocessing
                from concurrent.futures import ProcessPoolExecutor

                from acme import shapes

                if __name__ == "__main__":
                    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
                        print(list(pool.map(shapes.double, range(3))))
                """
        },
    )
    assert made.run(None, args=["main.py"], warnings=False).stdout.strip() == "[0, 2, 4]"


MAIN = """
    import multiprocessing, sys
    from concurrent.futures import ProcessPoolExecutor

    def local(number):
        from acme import other
        return other.OTHER * number

    if __name__ == "__main__":
        import magic_module
        magic_module.mount("acme", {url!r})
        {before}
        from acme import shapes
        context = multiprocessing.get_context({method!r})
        with context.Pool(2) as pool:
            print(pool.map(shapes.double, range(3)), pool.apply(shapes.Point, (1, 2)) == shapes.Point(1, 2))
            print(pool.map(local, range(2)))
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            print(pool.submit(shapes.double, 4).result())
        process = context.Process(target=print, args=(shapes.Point(3, 4).x,))
        process.start()
        process.join()
        print(process.exitcode)
    """


@pytest.mark.skipif(os.name != "posix", reason="there is one way to start a child here")
@pytest.mark.parametrize("before", ["", "import multiprocessing.popen_spawn_posix, multiprocessing.popen_forkserver"])
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_children_have_the_mounts_of_their_parent(world: World, method: str, before: str) -> None:
    """A script that mounts in its own main part only: its children never run that."""
    server = world.serve()
    world.publish(UNITS, "acme")
    write_tree(world.work, {"main.py": MAIN.format(url=server.manifest_url, method=method, before=before)})
    result = world.run(None, args=["main.py"], warnings=False)
    assert result.stdout.splitlines() == ["[0, 2, 4] True", "['', 'other']", "8", "3", "0"]


@pytest.mark.slow
def test_thirty_two_processes_share_a_cold_cache(world: World) -> None:
    made = Acme(world, "hook", UNITS)
    assert made.server is not None
    script = "import acme.big, acme.shapes; print(acme.big.SIZE, acme.shapes.double(1))"
    started = [world.start(script) for _ in range(32)]
    results = [world.finish(process) for process in started]
    assert [(result.stdout.strip(), result.status) for result in results] == [(f"{3 << 20} 2", 0)] * 32, results[0]
    counts = Counter(path for path in made.server.paths() if path != "/manifest.json")
    assert counts and set(counts.values()) == {1}, counts
    assert world.parts() == []


def test_a_killed_process_blocks_nobody(world: World) -> None:
    """What held a download dies without a word; the next one takes it over."""
    made = Acme(world, "hook", UNITS)
    assert made.server is not None
    stall = made.server.stall("files/", after=100_000)
    first = world.start("import acme.big")
    assert stall.reached.wait(PATIENCE)
    second = world.start("import acme.big; print(acme.big.SIZE)")
    first.kill()
    first.wait()
    made.server.stalls.remove(stall)
    stall.release.set()
    assert world.finish(second).stdout.strip() == str(3 << 20)
    assert world.parts() == []


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")

FORK = """
    import os, sys

    def child(act):
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                act()
                status = 0
            except BaseException:
                import traceback
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    """


def fork_script(body: str) -> str:
    import textwrap

    return textwrap.dedent(FORK) + textwrap.dedent(body)


@needs_fork
def test_fork_before_and_after_a_download(acme: Make) -> None:
    result = acme(UNITS).run(
        fork_script(
            """
            import acme

            def use():
                from acme import shapes, big
                assert shapes.double(2) == 4 and big.SIZE == 3 << 20

            print(child(use))
            from acme import shapes
            print(child(use))
            use()
            print(child(use))

            def nested():
                import acme.other
                assert child(use) == 0

            print(child(nested))
            """
        )
    )
    assert result.stdout.split() == ["0", "0", "0", "0"]


@needs_fork
def test_fork_during_a_download_of_another_thread(world: World) -> None:
    """The child neither hangs on its parent's download nor on its module locks."""
    made = Acme(world, "hook", UNITS)
    assert made.server is not None
    stall = made.server.stall("files/", after=100_000)
    started = world.start(
        fork_script(
            """
            import threading
            import acme.shapes, acme.other

            def big():
                from acme import big
                print("size", big.SIZE, flush=True)

            thread = threading.Thread(target=big)
            thread.start()
            sys.stdin.readline()

            def elsewhere():
                import acme.other, acme.shapes, wave
                assert acme.shapes.double(3) == 6

            print("elsewhere", child(elsewhere), flush=True)
            pid = os.fork()
            if pid == 0:
                # The same unit that the parent's other thread is importing right now.
                try:
                    big()
                    os._exit(0)
                finally:
                    os._exit(1)
            print("forked", flush=True)
            sys.stdin.readline()
            print("same", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
            thread.join()
            """
        ),
        input=True,
        warnings=False,
    )
    assert stall.reached.wait(PATIENCE)

    world.say(started)
    assert world.line(started).split() == ["elsewhere", "0"]
    assert world.line(started).split() == ["forked"]
    made.server.stalls.remove(stall)
    stall.release.set()
    world.say(started)
    result = world.finish(started)
    assert sorted(result.stdout.splitlines()) == ["same 0", f"size {3 << 20}", f"size {3 << 20}"], result.stderr
    assert world.parts() == []


@needs_fork
def test_a_thread_that_looks_for_a_unit_does_not_stop_a_fork(acme: Make) -> None:
    """It may run between what libraries have registered for a fork, and needs what the session knows."""
    result = acme(UNITS).run(
        fork_script(
            """
            import threading
            at_fork, looked, found = threading.Event(), threading.Event(), []

            def wait_for_the_thread():
                at_fork.set()
                found.append(looked.wait(60))

            # Such functions are called in reverse order: this one after what an import of ours registers.
            os.register_at_fork(before=wait_for_the_thread)
            import importlib.util, acme.other
            known = importlib.util.find_spec("acme.shapes").name

            def look():
                at_fork.wait()
                found.append(importlib.util.find_spec("acme.shapes").name == known)
                looked.set()

            thread = threading.Thread(target=look)
            thread.start()

            def use():
                from acme import shapes
                assert shapes.double(2) == 4

            print(child(use), found)
            """
        ),
        warnings=False,
    )
    assert result.stdout == "0 [True, True]\n"


@needs_fork
def test_fork_while_another_thread_runs_the_body_of_a_unit(acme: Make) -> None:
    """CPython's own module lock of the half-made module must not be held for ever in the child."""
    units = UNITS | {
        "waits.py": """
            import builtins
            if not hasattr(builtins, "in_child"):
                builtins.reached.set()
                builtins.proceed.wait()
            VALUE = 5
            """
    }
    result = acme(units).run(
        fork_script(
            """
            import builtins, threading
            builtins.reached, builtins.proceed = threading.Event(), threading.Event()
            thread = threading.Thread(target=lambda: __import__("acme.waits"))
            thread.start()
            builtins.reached.wait()

            def other():
                builtins.in_child = True
                import acme.shapes
                assert acme.shapes.double(1) == 2

            print(child(other))
            builtins.proceed.set()
            thread.join()
            import acme.waits
            print(acme.waits.VALUE)
            """
        ),
        warnings=False,
    )
    assert result.stdout.split() == ["0", "5"]


@needs_fork
def test_fork_and_import_the_unit_that_a_thread_is_importing(world: World) -> None:
    """More than CPython promises: the child may import the very unit whose body ran in another thread."""
    units = UNITS | {
        "waits.py": """
            import builtins
            if not hasattr(builtins, "in_child"):
                builtins.reached.set()
                builtins.proceed.wait()
            VALUE = 5
            """
    }
    Acme(world, "hook", units)
    result = world.run(
        fork_script(
            """
            import builtins, threading
            builtins.reached, builtins.proceed = threading.Event(), threading.Event()
            thread = threading.Thread(target=lambda: __import__("acme.waits"))
            thread.start()
            builtins.reached.wait()

            def same():
                builtins.in_child = True
                import acme.waits
                assert acme.waits.VALUE == 5

            print(child(same))
            builtins.proceed.set()
            thread.join()
            print(child(same))
            """
        ),
        warnings=False,
    )
    assert result.stdout.split() == ["0", "0"]


def test_a_child_started_by_subprocess_shares_the_cache(acme: Make) -> None:
    made = acme(UNITS)
    result = made.run(
        """
        import subprocess, sys
        import acme.shapes
        print(subprocess.run([sys.executable, "-c", "import acme.shapes as s; print(s.double(8))"],
            stdout=subprocess.PIPE, check=True).stdout.strip())
        """
    )
    assert result.stdout.strip() == "b'16'"
    paths = [request.path for request in made.cold]
    assert len(paths) == len(set(paths))
