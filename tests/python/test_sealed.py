"""A sealed cache: read by many, settled by a listing, locked and written by nobody."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit import process, typed
from kit.locks import Lock
from kit.preload import failing, without_locks
from kit.process import Result
from kit.world import World
from test_caches_behind import snapshot
from test_warm_path import calls

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform == "win32", reason="caches are sealed on Linux and macOS"),
]

MODULES = 200

SOURCES: dict[str, str | bytes] = {
    "alpha/__init__.py": "from magic_module.beta import VALUE\n",
    "alpha/data.txt": "text\n",
    "beta.py": "VALUE = 1\n",
    "gamma.py": "VALUE = 3\n",
    "magic-module.toml": '[alpha]\nrequires = ["beta"]\n',
}

MANY: dict[str, str | bytes] = {
    "bulk/__init__.py": "",
    **{f"bulk/module_{number:03}.py": f"NUMBER = {number}\n" for number in range(MODULES)},
}

IMPORT = f"""
import magic_module.bulk
for number in range({MODULES}):
    __import__(f"magic_module.bulk.module_{{number:03}}")
"""

USE = """
    import os, pkgutil, magic_module.alpha as alpha
    data = pkgutil.get_data("magic_module.alpha", "data.txt").decode().strip()
    print(alpha.VALUE, data, open(os.path.join(os.path.dirname(alpha.__file__), "data.txt")).read().strip())
    """
USED = "1 text text\n"

METADATA = ("open", "openat", "stat", "lstat", "fstat", "newfstatat", "statx", "access", "faccessat", "readlink")
METADATA += ("readlinkat", "getdents", "getdents64")


class Cache:
    """A cache that has all but `gamma`, sealed; and the server that filled it."""

    def __init__(self, world: World) -> None:
        self.world, self.path = world, world.cache
        world.publish(SOURCES)
        self.server = world.serve()
        world.extra["MAGIC_MODULE_MANIFEST_URL"] = self.server.manifest_url
        world.run(USE)
        self.sealed = self.say("seal")
        self.before = snapshot(self.path)
        self.server.take()

    def say(self, *words: str, status: int = 0, **options: Any) -> Result:
        return self.world.run(None, args=["-m", "magic_module", *words], status=status, **options)

    def file(self, pattern: str) -> Path:
        (found,) = (self.path / "v1").glob(pattern)
        return found

    def write(self, pattern: str, text: str) -> None:
        """Damage: the file has other bytes, and the folders are as they were."""
        path = self.file(pattern)
        mode = path.stat().st_mode
        path.chmod(0o644)
        path.write_text(text)
        path.chmod(mode)

    def fails(self, script: str, **options: Any) -> str:
        return self.world.run(script, status=1, **options).stderr.splitlines()[-1]

    def asked(self) -> list[str]:
        return [path for path in self.server.paths() if path != "/manifest.json"]


@pytest.fixture
def cache(world: World) -> Cache:
    return Cache(world)


def test_it_serves_what_it_has_and_nothing_in_it_ever_changes(cache: Cache) -> None:
    remedy = f"the cache {cache.path} is sealed; set MAGIC_MODULE_CACHE_DIR=DIR:{cache.path}, where DIR is a directory"
    # A home that cannot be made: whoever has none compares at each start.
    for env in ({}, {"MAGIC_MODULE_VERIFY": "full"}, {"HOME": "/dev/null/home"}):
        assert cache.world.run(USE, env=env).stdout == USED
    gamma = cache.fails("import magic_module.gamma")
    assert gamma.startswith(f"magic_module.errors.StoreError: magic_module.gamma is not in the cache: {remedy}")
    assert "ModuleNotFoundError" in cache.fails("import magic_module.nothing")
    assert (
        "cannot roll back magic_module.alpha: the cache" in cache.say("rollback", "magic_module.alpha", status=1).stderr
    )
    newest = "only the server knows the newest manifest of magic_module"
    assert f"{newest}: {remedy}" in cache.say("upgrade", status=1).stderr
    assert (
        f"magic_module.gamma is not in the cache: {remedy}" in cache.say("fetch", "magic_module.gamma", status=1).stderr
    )
    pruned = cache.say("prune", status=1).stderr
    assert f"cannot remove anything from the cache {cache.path}, which is sealed" in pruned
    assert f"magic-module seal --undo {cache.path}" in pruned
    assert cache.say("fetch", "magic_module.alpha").stdout == "magic_module.alpha: nothing to download\n"
    assert "no damage" in cache.say("verify").stdout
    healthy = cache.say("doctor").stdout
    assert f"{cache.path} is sealed, and has the files that were sealed" in healthy and "is not asked" in healthy
    for words in (["list"], ["cache"], ["info", "magic_module.alpha"]):
        cache.say(*words)
    assert cache.server.take() == [], "nobody is asked for what cannot come"
    assert snapshot(cache.path) == cache.before
    again = typed.answer(cache.say("seal", "--json").stdout, "seal")
    assert (again["sealed"], again["before"]) == (True, True)
    assert again["digest"] in cache.sealed.stdout
    assert snapshot(cache.path) == cache.before


def test_a_warm_import_makes_few_calls_and_takes_no_lock(world: World) -> None:
    world.publish(MANY)
    world.extra["MAGIC_MODULE_MANIFEST_URL"] = world.serve().manifest_url
    world.run(IMPORT)
    world.run(None, args=["-m", "magic_module", "seal"])
    world.run("import magic_module.bulk")
    (world.work / "pyproject.toml").touch()  # where the search for the project's lock ends
    script = f"import os, magic_module._loader\nos.mkdir('begin')\n{IMPORT}\nos.mkdir('end')"
    made = [call for call, _ in calls(world, script, "%file,%desc,%process,%network")]
    between = made[made.index("mkdir") + 1 : len(made) - 1 - made[::-1].index("mkdir")]
    assert sum(call in METADATA for call in between) <= 30, "60 were wished for; a look at each module would be 200"
    # Nor is there a lock of another kind; a debug build makes sure of each file that it closes by an fcntl.
    log = (world.path / "strace").read_text()
    assert not re.search(r"flock\(|F_(OFD_)?SETLK", log)


def test_the_schema_has_the_fields_that_there_are() -> None:
    path = Path(__file__).parents[2] / "docs/reference/seal.schema.json"
    schema = json.loads(path.read_text("utf-8"))["oneOf"][0]
    assert {"schema", "command", *typed.ANSWERS["seal"]} == set(schema["required"]) == set(schema["properties"])


def test_it_can_be_opened_again_and_closed_again(cache: Cache) -> None:
    assert cache.say("seal", "--undo").stdout == f"{cache.path} can be written to again\n"
    assert cache.say("seal", "--undo").stdout == f"{cache.path} was not sealed\n"
    typed.answer(cache.say("seal", "--undo", "--json").stdout, "seal")
    assert cache.world.run("import magic_module.gamma as it; print(it.VALUE)").stdout == "3\n"
    assert cache.say("prune").status == 0
    for _ in range(2):
        assert "is sealed" in cache.say("seal", str(cache.path)).stdout
        (cache.path / "v1").chmod(0o755)  # as if whoever undid it had ended in between
    assert cache.say("seal", str(cache.path)).stdout != cache.sealed.stdout, "it has more now"
    assert cache.world.run("import magic_module.gamma as it; print(it.VALUE)").stdout == "3\n"


def test_before_a_sealed_cache_stands_one_that_takes_what_is_new(cache: Cache) -> None:
    own = cache.world.path / "own"
    cache.world.extra["MAGIC_MODULE_CACHE_DIR"] = f"{own}{os.pathsep}{cache.path}"
    for _ in range(2):
        assert cache.world.run(USE).stdout == USED
    assert cache.asked() == []
    assert cache.world.run("import magic_module.gamma as it; print(it.VALUE)").stdout == "3\n"
    assert cache.asked() != []
    assert snapshot(cache.path) == cache.before
    cache.write("trees/*/alpha/data.txt", "tex!\n")
    cache.world.run("import pkgutil; print(pkgutil.get_data('magic_module.alpha', 'data.txt').decode())")
    assert cache.world.run(USE).stdout == USED, "made again in the first"
    assert not [path for path in (own / "v1" / "trees").glob("*/alpha") if path.parent.is_symlink()]


def test_damage_is_refused(cache: Cache) -> None:
    """Of the same size, so that only who reads the bytes can see it."""
    cache.write("trees/*/alpha/data.txt", "tex!\n")
    refused = cache.fails("import pkgutil; pkgutil.get_data('magic_module.alpha', 'data.txt')")
    assert (
        "IntegrityError" in refused
        and "data.txt is damaged; put a whole copy of the sealed cache in its place" in refused
    )
    refused = cache.fails("import magic_module.alpha", env={"MAGIC_MODULE_VERIFY": "full"})
    assert f"data.txt is damaged and cannot be repaired: the cache {cache.path} is sealed; put a whole copy" in refused
    assert "is not as it was sealed" in cache.say("seal", status=1).stderr
    assert "data.txt is damaged" in cache.say("verify", status=1).stdout


def test_a_listing_that_does_not_hold_settles_nothing(cache: Cache) -> None:
    assert cache.world.run(USE).stdout == USED
    cache.write("trees/*/alpha/data.txt", "longer\n")
    (cache.path / "v1" / "sealed").touch()  # whoever puts a file there again has it looked at again
    last = cache.fails("import magic_module.alpha")
    assert "IntegrityError" in last and "data.txt is damaged and cannot be repaired" in last
    said = cache.say("doctor", status=1).stdout
    assert f"{cache.path} is not as it was sealed" in said and "data.txt has 7 bytes, and 5 were sealed" in said
    assert cache.world.run("import magic_module.beta as it; print(it.VALUE)").stdout == "1\n", "the rest is used"


def grow(listing: Path) -> None:
    listing.write_text(listing.read_text() + "more\0file\0001\0" + "0" * 64 + "\n")


def link(data: Path) -> None:
    data.unlink()
    data.symlink_to("/etc/hostname")


DATA = "trees/*/alpha/data.txt"

CHANGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "sealed is damaged": ("sealed", grow),
    "planted.py was not sealed": ("trees", lambda trees: (trees / "planted.py").write_text("import this\n")),
    "data.txt is gone": (DATA, Path.unlink),
    "data.txt is not a file": (DATA, link),
    "others may write to": (DATA, lambda data: data.chmod(0o666)),
    "is not only its owner's": ("trees/*/alpha", lambda folder: folder.chmod(0o777)),
}


def change(cache: Path, pattern: str, how: Callable[[Path], object]) -> None:
    """As whoever owns the cache can, although it is closed."""
    (place,) = (cache / "v1").glob(pattern)
    for path in (place.parent, place):
        path.chmod(path.stat().st_mode | 0o200)
    how(place)
    (cache / "v1").chmod(0o555)


def test_what_differs_is_told(cache: Cache) -> None:
    for number, (what, (pattern, how)) in enumerate(CHANGES.items()):
        copy = cache.world.path / f"copy-{number}"
        subprocess.run(["cp", "-R", str(cache.path), str(copy)], check=True)
        change(copy, pattern, how)
        env = {"MAGIC_MODULE_CACHE_DIR": str(copy)}
        assert what in cache.say("doctor", status=1, env=env).stdout
    assert what in cache.say("seal", status=1, env=env).stderr


def test_only_the_users_own_note_is_believed(cache: Cache) -> None:
    cache.world.run(USE)
    (notes,) = cache.world.home.rglob("seals")
    assert [note.read_text() for note in notes.iterdir() if note.name != "lock"] == [""]
    change(cache.path, DATA, Path.unlink)
    whole = "has the files that were sealed"
    assert whole in cache.say("doctor").stdout, "once per node and boot"
    notes.chmod(0o777)
    assert "data.txt is gone" in cache.say("doctor", status=1).stdout, "anybody may have written it"
    notes.chmod(0o755)
    (note,) = (note for note in notes.iterdir() if note.name != "lock")
    note.chmod(0o666)
    assert whole not in cache.say("doctor", status=1).stdout
    note.chmod(0o644)
    env = failing(cache.world.path, "/boot_id", errno.ENOENT)
    assert "data.txt is gone" in cache.say("doctor", status=1, env=env).stdout, "of which boot it is, nobody knows"


def test_a_copy_elsewhere_is_the_same(cache: Cache) -> None:
    copy = cache.world.path / "image" / "cache"
    copy.parent.mkdir()
    subprocess.run(["cp", "-R", str(cache.path), str(copy)], check=True)  # times and inodes are others
    cache.path.rename(cache.path.with_name("gone"))
    cache.world.extra["MAGIC_MODULE_CACHE_DIR"] = str(copy)
    before = snapshot(copy)
    assert cache.world.run(USE).stdout == USED
    assert "has the files that were sealed" in cache.say("doctor").stdout
    assert snapshot(copy) == before


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can be another user, by setpriv"
)
def test_another_user_reads_it(cache: Cache) -> None:
    home = cache.world.path / "other"
    home.mkdir()
    os.chown(home, 54_321, 54_321)
    become = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]
    become += ["--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search"]
    env = cache.world.environment({"HOME": str(home)})
    ended = process.run([*become, *process.command(USE)], env, home)
    assert ended.stdout == USED
    assert snapshot(cache.path) == cache.before
    assert len(list(home.rglob("seals/*"))) == 2, "a note of that user's own, and its lock"


def test_an_environment_of_a_lock_is_sealed_with_its_cache(lock: Lock, world: World) -> None:
    use = f"""
        import magic_module as mm
        mm.mount_lock({str(lock.path)!r})
        import alpha, tool, importlib.metadata
        print(alpha.__file__, importlib.metadata.version("alpha"))
        """
    filled = world.run(use).stdout
    assert "is sealed" in world.run(None, args=["-m", "magic_module", "seal"]).stdout
    copy = world.path / "image"
    subprocess.run(["cp", "-R", str(world.cache), str(copy)], check=True)
    for cache in (world.cache, copy):
        before = snapshot(cache)
        for _ in range(2):
            env = {"MAGIC_MODULE_CACHE_DIR": str(cache)}
            assert world.run(use, env=env).stdout == filled.replace(str(world.cache), str(cache))
        assert snapshot(cache) == before
    other = lock.path.with_name("pylock.other.toml")
    other.write_text(lock.path.read_text() + "\n# another\n")
    refused = world.run(use.replace(str(lock.path), str(other)), status=1).stderr.splitlines()[-1]
    assert f"what {other} has is not in the cache: the cache {world.cache} is sealed" in refused


def test_who_uses_a_cache_keeps_it_open(world: World) -> None:
    world.publish(SOURCES)
    world.extra["MAGIC_MODULE_MANIFEST_URL"] = world.serve().manifest_url
    used = world.start("import magic_module.beta; print('used', flush=True); input()", input=True)
    assert world.line(used) == "used"

    def seal(status: int) -> Result:
        return world.run(None, args=["-m", "magic_module", "seal"], status=status)

    refused = seal(1).stderr
    assert f"cannot seal the cache {world.cache} while another process uses it; end the programs that use it" in refused
    assert not (world.cache / "v1" / "sealed").exists()
    world.say(used)
    world.finish(used)
    (world.cache / "v1" / "tmp" / "left.part").write_bytes(b"half")
    lockless = without_locks(world.path, errno.ENOLCK)
    refused = world.run(None, args=["-m", "magic_module", "seal"], status=1, env=lockless).stderr
    assert "left.part may be being written; its file system has no locks" in refused
    assert "is sealed" in seal(0).stdout
    assert list((world.cache / "v1" / "tmp").iterdir()) == [], "what the dead left goes"


def test_what_is_damaged_or_leads_elsewhere_is_not_sealed(world: World) -> None:
    world.publish(SOURCES)
    world.extra["MAGIC_MODULE_MANIFEST_URL"] = world.serve().manifest_url
    seal = ["-m", "magic_module", "seal"]
    assert f"there is no cache in {world.cache}" in world.run(None, args=seal, status=1).stderr
    world.run("import magic_module.beta")
    own = world.path / "own"
    env = {"MAGIC_MODULE_CACHE_DIR": f"{own}{os.pathsep}{world.cache}"}
    world.run("import magic_module.beta", env=env)
    assert "leads out of it" in world.run(None, args=seal, env=env, status=1).stderr
    (path,) = (world.cache / "v1").glob("trees/*/beta.py")
    path.chmod(0o644)
    path.write_text("VALUE = 7\n")
    path.chmod(0o444)
    refused = json.loads(world.run(None, args=[*seal, "--json"], status=1).stdout)["error"]
    assert refused["type"] == "IntegrityError" and "beta.py is damaged" in refused["message"]
    assert "magic-module verify" in refused["hint"]
    assert world.run("import magic_module.beta as it; print(it.VALUE)").stdout == "1\n", "it is a cache as before"
