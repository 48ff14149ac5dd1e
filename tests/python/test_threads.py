"""Where few threads are to be had, or none: everything works, only more slowly."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from kit.process import PATIENCE
from kit.world import Acme, World

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="makes threads fail with LD_PRELOAD")

#: Everything that has threads of its own: a large file, many artifacts, many small files, what is synced.
UNITS = {
    "small.py": "VALUE = 1\n",
    "other.py": "VALUE = 2\n",
    "large/__init__.py": "from pathlib import Path\nSIZE = (Path(__file__).parent / 'data.bin').stat().st_size\n",
    "large/data.bin": os.urandom(9 << 20),
    "many/__init__.py": "",
    **{f"many/{number}.bin": os.urandom((1 << 20) + number) for number in range(13)},
    "wide/__init__.py": "",
    **{f"wide/m{number}.py": f"VALUE = {number}\n" for number in range(120)},
    **{f"heavy/m{number}.py": f"from . import m{number + 1}\n" + "x = [1, 2, 3]\n" * 2000 for number in range(10)},
    "heavy/__init__.py": "",
    "heavy/m10.py": "",
}

#: After the first `THREADS_LEFT` of them no thread can be had, as with `ulimit -u` or a limit of a container.
FEW = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

static int left = -1;

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
    if (left < 0) {
        const char *text = getenv("THREADS_LEFT");
        left = text ? atoi(text) : 0;
    }
    if (__atomic_fetch_sub(&left, 1, __ATOMIC_SEQ_CST) <= 0) {
        __atomic_store_n(&left, 0, __ATOMIC_SEQ_CST);
        return EAGAIN;
    }
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = dlsym(RTLD_NEXT, "pthread_create");
    return real(thread, attributes, start, argument);
}
"""


@pytest.fixture(scope="session")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("threads")
    source, target = folder / "few.c", folder / "few.so"
    source.write_text(FEW)
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    try:
        subprocess.run([*compiler, "-shared", "-fPIC", str(source), "-o", str(target), "-ldl"], check=True)
    except FileNotFoundError:
        pytest.skip("no C compiler on this machine")
    return target


def few(layer: Path, left: int) -> dict[str, str | None]:
    return {"LD_PRELOAD": str(layer), "THREADS_LEFT": str(left)}


def test_everything_is_imported_and_upgraded(world: World, layer: Path) -> None:
    Acme(world, "hook", UNITS)
    script = """
        import asyncio, _imp
        import acme, magic_module as mm
        from acme import small, large, many, wide
        from acme.wide import m0, m119
        import acme.heavy.m0
        print(small.VALUE, large.SIZE, m119.VALUE, mm.verify().ok, _imp.lock_held())
        asyncio.run(mm.aprefetch("acme.other"))
        print(mm.info("acme.other").cached)
        """
    for left in (0, 1, 3, 8):
        shutil.rmtree(world.cache, ignore_errors=True)
        result = world.run(script, env=few(layer, left))
        assert result.stdout.split() == ["1", str(9 << 20), "119", "True", "False", "True"], left
        assert (result.stderr, world.parts()) == ("", []), left
    world.publish({"small.py": "VALUE = 'new'\n"}, "acme")
    moved = world.run("from acme import small; print(small._upgrade().changed, small.VALUE)", env=few(layer, 0))
    assert (moved.stdout.split(), moved.stderr) == (["True", "new"], "")


def test_the_name_service_is_asked_without_a_thread(world: World, layer: Path) -> None:
    made = Acme(world, "hook", UNITS)
    assert made.server is not None
    url = made.server.manifest_url.replace("127.0.0.1", "localhost")
    script = f"import magic_module as mm; mm.mount('acme', {url!r}); import acme.small; print(acme.small.VALUE)"
    assert world.run(script, env={**few(layer, 0), "PYTHONPATH": None}).stdout.strip() == "1"


@pytest.mark.parametrize("left", [0, 1])
def test_the_keyboard_ends_a_download_that_the_caller_drives(world: World, layer: Path, left: int) -> None:
    """… and leaves the import lock as it was, and no half file."""
    made = Acme(world, "hook", UNITS)
    assert made.server is not None
    stall = made.server.stall("manifest.json" if left else "files/", after=10 if left else 100_000)
    started = world.start(
        """
        import _imp
        import acme
        try:
            from acme import large
        except KeyboardInterrupt:
            print("interrupted", _imp.lock_held(), flush=True)
        """,
        env=few(layer, left),
    )
    assert stall.reached.wait(PATIENCE)
    started.send_signal(signal.SIGINT)
    assert world.line(started).split() == ["interrupted", "False"]
    stall.release.set()
    assert world.finish(started).status == 0
    assert world.parts() == []


def test_threads_of_python_import_side_by_side(world: World, layer: Path) -> None:
    """Two callers drive the same connections in turn; neither waits for ever."""
    Acme(world, "hook", UNITS)
    script = """
        import sys, threading
        import acme

        begin = threading.Event()

        def import_it(name):
            begin.wait()
            __import__(name)

        names = ["acme.small", "acme.other", "acme.large", "acme.wide"]
        threads = [threading.Thread(target=import_it, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        # Now there are no more of them.
        begin.set()
        for thread in threads:
            thread.join()
        print(sorted(name for name in names if name in sys.modules))
        """
    result = world.run(script, env=few(layer, 4))
    assert result.stdout.strip() == "['acme.large', 'acme.other', 'acme.small', 'acme.wide']"


def test_a_site_is_published_and_served(world: World, layer: Path) -> None:
    from kit.sources import write_tree

    write_tree(world.work, {f"src/{name}": text for name, text in UNITS.items()})
    command = ["-m", "magic_module", "publish", "src", "out", "--namespace", "acme"]
    world.run(None, args=command, env=few(layer, 0))
    assert (world.work / "out" / "manifest.json").is_file()
    served = world.start(
        "import sys; from magic_module._py.cli import main; sys.exit(main(['serve', 'out', '--port', '0']))",
        env=few(layer, 0),
        warnings=False,
    )
    line = world.line(served)
    address = next(word for word in line.split() if word.startswith("http"))
    import urllib.request

    root = address.rstrip(".,").removesuffix("/manifest.json").rstrip("/")
    for _ in range(2):
        with urllib.request.urlopen(f"{root}/manifest.json") as answer:
            assert answer.read() == (world.work / "out" / "manifest.json").read_bytes()
    served.send_signal(signal.SIGINT)
    world.finish(served)


def test_a_fork_meets_no_thread_that_an_import_left(world: World) -> None:
    """CPython warns of a fork where there are other threads; helpers that compile wait for more for a second."""
    parts = {f"many/{number}.bin": os.urandom(number) for number in range(13)}
    Acme(world, "hook", {path: text for path, text in UNITS.items() if not path.startswith(("large", "many"))} | parts)
    script = """
        import os, pathlib

        def threads():
            return sorted(name.read_text().strip() for name in pathlib.Path("/proc/self/task").glob("*/comm"))

        at_fork = []
        # Such functions are called in reverse order: this one after what an import of ours registers.
        os.register_at_fork(before=lambda: at_fork.append(threads()))
        alone = threads()
        import acme
        for name in ("small", "many", "wide", "heavy.m0"):
            __import__("acme." + name)
            child = os.fork()
            if child == 0:
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        print([at for at in at_fork if at != alone], len(at_fork))
        """
    assert world.run(script).stdout.strip() == "[] 4"
