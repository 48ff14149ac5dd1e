"""What a warm import may cost, written down as exact numbers: time is not tested, but every file and module counts.

Whoever has to raise a number here makes every start of every user slower, and should know why.
"""

from __future__ import annotations

import collections
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence

import pytest

from kit import process
from kit.world import World

MODULES = 20

SOURCES = {
    "bulk/__init__.py": "",
    **{f"bulk/module_{number:02}.py": f"NUMBER = {number}\n" for number in range(MODULES)},
    "bulk/table.csv": "number\n1\n",
}

IMPORT = f"""
import magic_module.bulk
for number in range({MODULES}):
    __import__(f"magic_module.bulk.module_{{number:02}}")
"""

LOADED = "import sys\nbefore = set(sys.modules)\n{}\nprint(*sorted(set(sys.modules) - before))"

# Path below the cache, with every digest as *: how often it is opened.
OPENED = {
    "v1/mounts/*/current": 1,
    "v1/mounts/*/generations/1.lock": 1,
    "v1/mounts/*/generations/1": 1,
    "v1/mounts/*/state": 1,
    "v1/trees/*.index": 1,
    "v1/mounts/*/code/*": 1,
}

# The same for what is only looked at: who owns the folders, also those inside of the tree, what is still there, and
# each file's stamp once.
LOOKED_AT = {
    "": 1,
    "v1": 1,
    "v1/trees": 1,
    "v1/mounts": 1,
    "v1/blobs": 1,
    "v1/mounts/*": 1,
    "v1/mounts/*/code": 1,
    "v1/mounts/*/generations": 1,
    "v1/mounts/*/generations/1.lock": 1,
    "v1/trees/*": 1,
    "v1/trees/*/bulk": 1,
    "v1/trees/*.index": 1,
    **{f"v1/trees/*/{path}": 1 for path in SOURCES},
}


# Every system call about files, sockets and processes between `import magic_module` and the last of the modules. The
# project's folder is the current one, where the search for its lock ends.
CALLS = {
    "openat": 8,  # the six files above, the machine's boot, and `magic.lock`, which is not there
    "read": 6,  # each file, whole
    "close": 6,
    # Who may write to each of the five files, and how long it is; the lock's open file, once for what it is and once
    # for where it is; the project's folder and its marker; the interpreter looks whether the package that is installed
    # has changed.
    "stat": len(LOOKED_AT) + 10,
    "flock": 1,
    "getcwd": 1,
}


@pytest.fixture
def warm(world: World) -> World:
    """A world whose cache has everything that `IMPORT` needs; its server is still there and counts."""
    world.publish(SOURCES)
    server = world.serve()
    world.extra["MAGIC_MODULE_MANIFEST_URL"] = server.manifest_url
    world.run(IMPORT)
    server.take()
    return world


def test_importing_the_product_loads_two_modules(world: World) -> None:
    world.extra["MAGIC_MODULE_MANIFEST_URL"] = "http://127.0.0.1:9/manifest.json"
    loaded = world.run(LOADED.format("import magic_module")).stdout.split()
    assert loaded == ["magic_module", "magic_module._native"]


def test_units_are_listed_and_found_before_the_first_of_them_is_imported(warm: World) -> None:
    listed = "[module.name for module in pkgutil.iter_modules(magic_module.__path__) if module.name == 'bulk']"
    script = f"""
        import pkgutil, magic_module
        print({listed}, {listed}, magic_module.__path__[1].endswith("units"), len(magic_module.__path__))
    """
    assert warm.run(script).stdout == "['bulk'] ['bulk'] True 2\n"
    script = """
        import magic_module, magic_module.errors, magic_module.bulk
        print(magic_module.__path__[1].endswith("units"), len(magic_module.__path__))
    """
    assert warm.run(script).stdout == "True 2\n"


def test_a_warm_import_loads_the_loader_and_what_was_asked_for(warm: World) -> None:
    loaded = warm.run(LOADED.format(IMPORT)).stdout.split()
    product = ["magic_module", "magic_module._loader", "magic_module._native"]
    modules = [f"magic_module.bulk.module_{number:02}" for number in range(MODULES)]
    assert loaded == sorted([*product, "magic_module.bulk", *modules])


def test_a_warm_import_asks_nobody(warm: World) -> None:
    warm.run(IMPORT)
    assert warm.servers[0].paths() == []


def test_a_warm_import_touches_these_files_of_the_cache_and_no_other(warm: World) -> None:
    opened: collections.Counter[str] = collections.Counter()
    looked_at: collections.Counter[str] = collections.Counter()
    for call, path in calls(warm, IMPORT, "%file"):
        if path is not None:
            (opened if call in ("open", "openat", "creat") else looked_at)[path] += 1
    assert opened == OPENED
    assert looked_at == LOOKED_AT


def test_a_warm_import_makes_these_system_calls_and_no_other(warm: World) -> None:
    (warm.work / "pyproject.toml").touch()
    # What the interpreter does to find our own files differs between versions, and is done before.
    script = f"import os, magic_module._loader\nos.mkdir('begin')\n{IMPORT}\nos.mkdir('end')"
    made = [call for call, _ in calls(warm, script, "%file,%desc,%process,%network")]
    between = made[made.index("mkdir") + 1 : len(made) - 1 - made[::-1].index("mkdir")]
    # Memory is not counted, nor how a debug build makes sure of each file that it closes.
    names = [re.sub(r"(newf|l|f)?stat(at|x)?(64)?", "stat", call) for call in between]
    assert collections.Counter(name for name in names if name not in ("mmap", "munmap", "fcntl")) == CALLS


def test_a_warm_import_starts_no_thread_no_process_and_no_connection(warm: World) -> None:
    started = {call for call, path in calls(warm, IMPORT, "%process,%network") if path is None}
    assert started == {"execve", "exit_group"}


NAMELESS = ["unshare", "-m", "sh", "-c", 'mount --bind /dev/null /proc/sys/kernel/random/boot_id && exec "$@"', "sh"]


def test_a_warm_import_opens_no_more_where_the_boot_has_no_name(warm: World) -> None:
    """As in a container without /proc: if nothing else told the boot, every start would hash all files."""
    if (
        shutil.which("unshare") is None
        or subprocess.run([*NAMELESS, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("the name of the boot cannot be hidden here (unshare -m, mount)")
    # The first process sees another boot.
    process.run([*NAMELESS, *process.command(IMPORT)], warm.environment(), warm.work)
    made = [path for call, path in calls(warm, IMPORT, "%file", NAMELESS) if call in ("open", "openat", "creat")]
    assert collections.Counter(path for path in made if path is not None) == OPENED


def calls(world: World, script: str, which: str, under: Sequence[str] = ()) -> Iterator[tuple[str, str | None]]:
    """The system calls of a script, each with the path below the cache that it names, or None.

    `under` begins the command.
    """
    strace = shutil.which("strace")
    if (
        strace is None
        or subprocess.run([strace, "-o", "/dev/null", "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("strace is not here, or may not trace")
    log = world.path / "strace"
    line = [strace, "-f", "-qq", "-e", f"trace={which}", "-e", "signal=none", "-o", str(log)]
    process.run([*under, *line, *process.command(script)], world.environment(), world.work)
    for text in log.read_text(encoding="utf-8", errors="replace").splitlines():
        call = re.sub(r"^\d+ +", "", text).partition("(")[0]
        found = re.search(rf'"{re.escape(str(world.cache))}/?([^"]*)"', text)
        path = found and re.sub(r"[0-9a-f]{64}[^/]*?(?=(\.index)?$|/)", "*", found[1])
        yield call, path
