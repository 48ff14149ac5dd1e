"""A program that closes every descriptor, ours among them, and gets the numbers for its own files."""

from __future__ import annotations

import os
import sys
import textwrap
import time

import pytest

from kit.process import PATIENCE
from kit.world import Acme, World

pytestmark = [pytest.mark.once, pytest.mark.skipif(sys.platform == "win32", reason="descriptors are not numbers here")]

UNITS = {
    "one.py": "VALUE = 1\n",
    "two.py": "VALUE = 2\n",
    "deep/__init__.py": "VALUE = 3\n",
    **{f"deep/m{number}.py": f"VALUE = {number}\n" for number in range(40)},
    "many/__init__.py": "",
    **{f"many/{number}.bin": os.urandom((1 << 20) + number) for number in range(13)},
    "big/__init__.py": "",
    "big/data.bin": os.urandom(3 << 20),
}

TAKE_OVER = """
    import os, sys, tempfile, time

    def take_over():
        '''Closes everything, as a daemon does, and opens files of its own under the same numbers.'''
        os.closerange(3, 256)
        return own_files()

    def own_files():
        # Bare numbers: a file object would close its own later, whosever it is by then.
        files = []
        for number in range(40):
            file = os.open(f"{tempfile.gettempdir()}/{os.getpid()}-{number}", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            os.unlink(f"{tempfile.gettempdir()}/{os.getpid()}-{number}")
            os.write(file, b"mine")
            files.append((file, os.fstat(file).st_ino))
        return files

    def untouched(files):
        for file, inode in files:
            status = os.fstat(file)
            assert (status.st_ino, status.st_size) == (inode, 4), (file, status)
            assert os.pread(file, 8, 0) == b"mine"
        return "untouched"

    import acme, magic_module as mm
    """


def script(body: str) -> str:
    return textwrap.dedent(TAKE_OVER) + textwrap.dedent(body)


def mounted(world: World) -> Acme:
    made = Acme(world, "hook", UNITS)
    assert made.server is not None
    return made


def test_files_outlive_an_upgrade_a_mount_and_the_end(world: World) -> None:
    mounted(world)
    warm = "import acme.one, acme.two"
    world.run(warm)
    world.publish(UNITS | {"one.py": "VALUE = 'new'\n"}, "acme")
    result = world.run(
        script(
            """
            import acme.one
            files = take_over()
            print(acme.one._upgrade().changed, acme.one.VALUE, untouched(files))
            print(mm.upgrade(), untouched(files))
            files = take_over()
            print(mm.rollback("acme.one").new_version, untouched(files))
            mm.prune()
            print(mm.verify().ok, untouched(files))
            """
        ),
        warnings=False,
    )
    lines = result.stdout.splitlines()
    assert all(line.endswith("untouched") for line in lines) and len(lines) == 4, result.stdout
    assert lines[0] == "True new untouched"


def test_downloads_go_on_over_new_connections(world: World) -> None:
    """Connections, what waits for them and what wakes them have numbers, too."""
    made = mounted(world)
    result = world.run(
        script(
            """
            from acme import one
            files = take_over()
            from acme import two
            print(two.VALUE, untouched(files))
            from acme import many
            files = take_over()
            from acme import deep, big
            from acme.deep import m1, m39
            print(deep.VALUE, m1.VALUE, m39.VALUE, untouched(files))
            mm.upgrade()
            print(untouched(files))
            """
        ),
        warnings=False,
    )
    assert result.stdout.splitlines() == ["2 untouched", "3 1 39 untouched", "untouched"]
    assert made.server is not None and world.parts() == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_a_forked_child_closes_nothing_of_its_parents(world: World) -> None:
    """The worker of a server: its listening socket has the number of a lock file."""
    mounted(world)
    world.run("import acme.one")
    result = world.run(
        script(
            """
            import socket
            import acme.one
            os.closerange(3, 256)
            listening = [socket.create_server(("127.0.0.1", 0)) for _ in range(20)]
            files = own_files()
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    for one in listening:
                        assert one.getsockname()[1] and one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                    untouched(files)
                    from acme import two
                    for one in listening:
                        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                    untouched(files)
                    status = 0
                finally:
                    os._exit(status)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), untouched(files))
            """
        ),
        warnings=False,
    )
    assert result.stdout.strip() == "0 untouched"


def test_the_generation_is_kept_again(world: World) -> None:
    """Whoever prunes meanwhile must find the lock that the program had closed, taken again."""
    import fcntl

    mounted(world)
    world.run("import acme.one")
    started = world.start(
        script(
            """
            import acme.one
            files = take_over()
            from acme import two
            print(untouched(files), flush=True)
            sys.stdin.readline()
            """
        ),
        input=True,
        warnings=False,
    )
    assert world.line(started).strip() == "untouched"
    locks = sorted((world.cache / "v1" / "mounts").glob("*/generations/*.lock"))
    taken = []
    for path in locks:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                taken.append(path)
    world.say(started)
    assert world.finish(started).status == 0
    assert taken == locks[-1:]


def test_a_download_whose_connections_are_closed_ends_with_a_sentence(world: World) -> None:
    made = mounted(world)
    assert made.server is not None
    stall = made.server.stall("files/", after=100_000)
    started = world.start(
        script(
            """
            import threading
            failures = []

            def import_big():
                try:
                    import acme.big
                except mm.errors.MagicModuleError as error:
                    failures.append(error)

            thread = threading.Thread(target=import_big)
            thread.start()
            sys.stdin.readline()
            files = take_over()
            thread.join()
            print(type(failures[0]).__name__, failures[0], untouched(files), flush=True)
            sys.stdin.readline()
            import acme.big
            print(untouched(files), flush=True)
            """
        ),
        input=True,
        warnings=False,
    )
    assert stall.reached.wait(PATIENCE)
    # What is being read at this very moment has no number that anybody could look at first.
    while sum(part.stat().st_size for part in world.parts()) < 100_000:
        time.sleep(0.01)
    world.say(started)
    expected = "StoreError a download ended: this program closed its files and connections; try again untouched"
    assert world.line(started).strip() == expected
    made.server.stalls.remove(stall)
    stall.release.set()
    world.say(started)
    result = world.finish(started)
    assert (result.stdout.strip(), result.status) == ("untouched", 0), result.stderr


def test_helpers_that_compile_are_left_alone(world: World) -> None:
    """The pipes to helper interpreters have numbers, too."""
    body = "\n".join(f"def function_{number}(value):\n    return value + {number}\n" for number in range(400))
    sources = {f"large/m{number}.py": f"from . import m{number + 1}\n{body}" for number in range(60)}
    sources |= {"large/__init__.py": "", "large/m60.py": ""}
    made = Acme(world, "hook", UNITS | sources)
    assert made.server is not None
    result = world.run(
        script(
            """
            import acme.large.m30
            files = take_over()
            import acme.large.m0
            import acme.one
            print(untouched(files))
            del sys.modules["acme.large.m5"]
            import acme.large.m5
            print(untouched(files))
            """
        ),
        warnings=False,
    )
    assert result.stdout.split() == ["untouched", "untouched"]
