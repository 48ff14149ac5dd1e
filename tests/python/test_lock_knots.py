"""Wheels whose libraries find each other by `..`: their trees are seen together, in one folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kit import process
from kit.compiler import suffix
from kit.interpreter import environment
from kit.libraries import library, module
from kit.locks import Lock, python, run, whole
from kit.wheels import Wheel, native_tag, wheel
from origins import Origin

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform != "linux", reason="what libraries need is read of ELF alone"),
]

OPENED = """
    void *library = dlopen("@NAME@", RTLD_NOW);
    int (*called)(void) = library ? (int (*)(void))dlsym(library, "@CALLED@") : NULL;
    if (called) number = called();
"""
BESIDE = """
    Dl_info own;
    char path[4096];
    dladdr((void *)start, &own);
    int length = strrchr(own.dli_fname, '/') - own.dli_fname;
    snprintf(path, sizeof path, "%.*s/../near/libnear.so", length, own.dli_fname);
    void *library = dlopen(path, RTLD_NOW);
    int (*called)(void) = library ? (int (*)(void))dlsym(library, "near") : NULL;
    if (called) number = called();
"""


def opened(name: str) -> str:
    return OPENED.replace("@NAME@", f"lib{name}.so").replace("@CALLED@", name)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Wheel]:
    """Pairs: linked; found at run time by a search path, by the own place, in one package; and an unrelated one."""
    folder = tmp_path_factory.mktemp("compiled")
    core, tag = f"core{suffix()}", native_tag()
    linked_to = library(folder, "part", 1)
    linked = module(
        folder,
        "number = part();",
        *("-L.", "-l:libpart.so", "-Wl,-rpath,$ORIGIN/../part.libs"),
        declared="int part(void);",
    )
    searched = module(folder, opened("hidden"), "-Wl,-rpath,$ORIGIN/../../../../lib")
    placed = module(folder, BESIDE)
    split = module(folder, opened("more"), "-Wl,-rpath,$ORIGIN/deep/lib")
    return [
        wheel("linked", "1", {"linked/__init__.py": "", f"linked/{core}": linked}, tag=tag),
        wheel("part", "1", {"part.py": "", "part.libs/libpart.so": linked_to}, tag=tag),
        wheel(
            "searched", "1", {"searched/__init__.py": "", f"searched/{core}": searched}, requires=["hidden"], tag=tag
        ),
        wheel("hidden", "1", data={"data/lib/libhidden.so": library(folder, "hidden", 2)}, tag=tag),
        wheel("placed", "1", {"placed/__init__.py": "", f"placed/{core}": placed}, requires=["near"], tag=tag),
        wheel("near", "1", {"near/__init__.py": "", "near/libnear.so": library(folder, "near", 3)}, tag=tag),
        wheel("split", "1", {"split/__init__.py": "", f"split/{core}": split}, requires=["split-more"], tag=tag),
        wheel(
            "split-more",
            "1",
            {"split/more.py": "NAME = __name__", "split/deep/lib/libmore.so": library(folder, "more", 4)},
        ),
        wheel("split-late", "1", {"split/late.py": "from . import core, more; NUMBER = core.NUMBER"}),
        wheel("alone", "1", {"alone.py": ""}),
    ]


PROGRAM = """
import os, sys
import linked.core, searched.core, placed.core, split.core, split.more
print(linked.core.NUMBER, searched.core.NUMBER, placed.core.NUMBER, split.core.NUMBER, split.more.NAME)
print(linked.core.__file__.startswith(sys.prefix), os.path.realpath(linked.core.__file__).split(os.sep)[-7])
"""
SAID = "1 2 3 4 split.more\nTrue knots\n"


def knots(cache: Path) -> list[Path]:
    return sorted(path for path in (cache / "v1" / "knots").iterdir() if path.is_dir())


def test_libraries_find_those_of_other_wheels(tmp_path: Path, cache: Path, wheels: list[Wheel]) -> None:
    folder = tmp_path / "project" / "wheels"
    folder.mkdir(parents=True)
    with Origin(folder) as origin:
        lock = Lock(tmp_path / "project", wheels, url=origin.url)
        assert run(lock, cache, "-c", PROGRAM).stdout == SAID
        everything = {"linked", "part", "searched", "hidden", "placed", "near", "split", "split_more"}
        assert whole(origin) == everything
        offline = {"MAGIC_MODULE_OFFLINE": "1"}
        assert run(lock, cache, "-c", PROGRAM, settings=offline).stdout == SAID
        before = knots(cache)
        assert len(before) == 4
        # What comes later belongs to the knot of its package from then on.
        assert run(lock, cache, "-c", "import split.late; print(split.late.NUMBER)").stdout == "4\n"
        assert len(set(knots(cache)) - set(before)) == 1
    # Damage is mended from the trees, and a knot that is gone is made again.
    damaged = next(path for knot in knots(cache) for path in knot.rglob("libpart.so"))
    damaged.chmod(0o644)
    damaged.unlink()
    damaged.write_bytes(b"damage")
    for knot in [knot for knot in knots(cache) if next(knot.rglob("libhidden.so"), None)]:
        shutil.rmtree(knot)
    assert run(lock, cache, "-c", PROGRAM, settings=offline).stdout == SAID
    # No process holds the older one.
    line = [sys.executable, "-m", "magic_module", "prune"]
    process.run(line, environment(cache, None, {}), tmp_path, 0)
    assert len(knots(cache)) == 4
    assert run(lock, cache, "-c", f"import split.late\n{PROGRAM}", settings=offline).stdout == SAID
    changed = [sys.executable, "-m", "magic_module", "doctor", "--lock", str(lock.path)]
    assert "made again" not in process.run(changed, environment(cache, None, {}), tmp_path, None).stdout


def test_what_was_loaded_of_a_knot_is_kept_when_another_takes_its_place(
    tmp_path: Path, cache: Path, wheels: list[Wheel]
) -> None:
    lock = Lock(tmp_path / "project", wheels)
    program = """
import os, split.core
def loaded():
    with open("/proc/self/maps") as maps:
        return sorted({line.split()[-1] for line in maps if "/knots/" in line})
before, seen = loaded(), os.path.realpath(split.core.__file__)
import split.late
print(split.late.NUMBER, split.late.core is split.core, len(before), loaded() == before)
print(os.path.realpath(split.core.__file__) != seen)
"""
    assert run(lock, cache, "-c", program).stdout == "4 True 2 True\nTrue\n"


def test_processes_that_tie_one_knot_at_once(tmp_path: Path, cache: Path, wheels: list[Wheel]) -> None:
    lock = Lock(tmp_path / "project", wheels)
    run(lock, cache, "-c", "pass")
    assert knots(cache) == []
    program = f"print(flush=True)\ninput()\n{PROGRAM}"
    line = [sys.executable, "-m", "magic_module", "run", "--lock", str(lock.path), "-c", program]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = [subprocess.Popen(line, env=environment(cache, None, {}), text=True, **pipes) for _ in range(3)]
    for each in started:
        assert each.stdout is not None and each.stdout.readline() == "\n"
    for each in started:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    assert [(*each.communicate(), each.returncode) for each in started] == [(SAID, "", 0)] * 3
    links = [path for path in (cache / "v1" / "views").rglob("*") if path.is_symlink()]
    used = {knot for knot in knots(cache) if any(path.resolve().is_relative_to(knot) for path in links)}
    assert len(used) == 4, "each knot of the view is whole, whoever tied it"
    assert list((cache / "v1" / "tmp").iterdir()) == []
    assert run(lock, cache, "-c", PROGRAM, settings={"MAGIC_MODULE_OFFLINE": "1"}).stdout == SAID


def test_locks_share_a_knot_and_find_no_library_in_each_other(tmp_path: Path, cache: Path, wheels: list[Wheel]) -> None:
    by_name = {each.name: each for each in wheels}
    both = [by_name["searched"], by_name["hidden"]]
    one = Lock(tmp_path / "one", [by_name["linked"], *both])
    two = Lock(tmp_path / "two", [by_name["part"], *both])
    mounts = "".join(f"mm.mount_lock({str(lock.path)!r})\n" for lock in (one, two))
    program = f"""
import magic_module as mm
{mounts}
import part, searched.core
try:
    import linked.core
except ImportError as error:
    print(error)
print(searched.core.NUMBER)
"""
    # As the linker says it, where an installed wheel lacks a library.
    said = "libpart.so: cannot open shared object file: No such file or directory\n2\n"
    assert python(cache, program).stdout == said
    assert run(two, cache, "-c", "import searched.core; print(searched.core.NUMBER)").stdout == "2\n"
    assert len(knots(cache)) == 1, "a knot has its name from its trees, not from a lock"


def test_knots_and_trees_of_a_cache_behind_are_used_where_they_lie(
    tmp_path: Path, cache: Path, wheels: list[Wheel]
) -> None:
    lock = Lock(tmp_path / "project", wheels)
    assert run(lock, cache, "-c", PROGRAM).stdout == SAID
    shutil.rmtree(tmp_path / "project" / "wheels")
    own = tmp_path / "own"
    settings = {"MAGIC_MODULE_OFFLINE": "1", "MAGIC_MODULE_CACHE_DIR": f"{own}:{cache}"}
    for _ in range(2):
        assert run(lock, own, "-c", PROGRAM, settings=settings).stdout == SAID
    assert [path.readlink() for path in knots(own)] == knots(cache)
    assert list((own / "v1" / "blobs").iterdir()) == [], "not even what the lock is compiled to"
