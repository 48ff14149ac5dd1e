"""Several caches: the first is written to, those behind it are looked into and stay as they are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from kit import process
from kit.interpreter import environment
from kit.world import World

pytestmark = pytest.mark.once

SOURCES: dict[str, str | bytes] = {
    "alpha/__init__.py": "from magic_module.beta import VALUE\n",
    "alpha/data.txt": "text\n",
    "alpha/large.py": "TEXT = " + repr("x" * 70_000) + "\n",
    "alpha/big.bin": b"big" * 1000,
    "beta.py": "VALUE = 1\n",
    "gamma.py": "VALUE = 3\n",
    "magic-module.toml": '[alpha]\nlazy = ["big.bin"]\nrequires = ["beta"]\n',
}

USE = """
    import json, pkgutil, magic_module as mm, magic_module.alpha as alpha, magic_module.alpha.large
    data = pkgutil.get_data("magic_module.alpha", "data.txt").decode()
    big = mm.data_path("magic_module.alpha", "big.bin")
    print(json.dumps([alpha.VALUE, data, len(big.read_bytes()), alpha.__file__]))
    """


def snapshot(cache: Path) -> dict[str, tuple[int, int, int, int]]:
    """What changes if somebody writes, renames, links or makes a lock."""
    found = {str(path): path.lstat() for path in (cache, *cache.rglob("*"))}
    return {path: (it.st_ino, it.st_mtime_ns, it.st_ctime_ns, it.st_nlink) for path, it in found.items()}


class Caches:
    """A cache of one's own before one that is filled, and the server that filled it."""

    def __init__(self, world: World) -> None:
        self.world, self.own, self.shared = world, world.cache, world.path / "shared"
        world.publish(SOURCES)
        self.server = world.serve()
        world.extra["MAGIC_MODULE_MANIFEST_URL"] = self.server.manifest_url
        world.extra["MAGIC_MODULE_CACHE_DIR"] = str(self.shared)
        world.run(USE)
        self.before = snapshot(self.shared)
        world.extra["MAGIC_MODULE_CACHE_DIR"] = f"{self.own}{os.pathsep}{self.shared}"
        self.server.take()

    def use(self, **env: str) -> list[object]:
        value, data, big, file = self.world.run(USE, env=env).json
        assert Path(file).is_relative_to(self.own), "paths are those of the first cache"
        return [value, data, big]

    def asked(self) -> list[str]:
        """What was asked for but the manifest."""
        return [path for path in self.server.paths() if path != "/manifest.json"]


@pytest.fixture
def caches(world: World) -> Caches:
    return Caches(world)


USED = [1, "text\n", 3000]


def test_what_a_cache_behind_has_is_neither_fetched_nor_copied(caches: Caches) -> None:
    assert caches.use() == USED
    assert caches.asked() == []
    trees = [path for path in (caches.own / "v1" / "trees").iterdir() if not path.suffix]
    assert len(trees) == 2
    assert all(tree.readlink() == caches.shared / "v1" / "trees" / tree.name for tree in trees)
    assert list((caches.own / "v1").rglob("code/*")) == [], "nothing was compiled again"
    assert list((caches.own / "v1" / "lazy").iterdir()) == []
    caches.server.take()
    assert caches.use(MAGIC_MODULE_OFFLINE="1", MAGIC_MODULE_VERIFY="full") == USED, "warm"
    checked = "import magic_module as mm; print(mm.verify().ok, mm.prune().removed)"
    assert caches.world.run(checked).stdout == "True []\n"
    assert caches.use() == USED
    assert caches.server.take() == []
    assert snapshot(caches.shared) == caches.before


def test_what_none_has_comes_into_the_first(caches: Caches) -> None:
    caches.world.publish({**SOURCES, "alpha/data.txt": "newer\n"})
    assert caches.use() == [1, "newer\n", 3000]
    gamma = "import magic_module.gamma; print(magic_module.gamma.VALUE)"
    assert caches.world.run(gamma).stdout == "3\n"
    assert caches.asked() != []
    assert snapshot(caches.shared) == caches.before


@pytest.mark.parametrize("with_blobs", [False, True], ids=["the tree", "its blobs, too"])
def test_what_is_damaged_behind_is_made_again_in_the_first(caches: Caches, with_blobs: bool) -> None:
    caches.use()
    damaged = list((caches.shared / "v1" / "trees").glob("*/alpha/data.txt"))
    if with_blobs:
        damaged += [
            path for path in (caches.shared / "v1" / "blobs").glob("*/*") if b"manifest" not in path.read_bytes()
        ]
    for path in damaged:
        path.chmod(0o644)
        path.write_bytes(b"x" * path.stat().st_size)
        path.chmod(0o444)
    before = snapshot(caches.shared)
    for _ in range(2):
        assert caches.use() == USED
    assert bool(caches.asked()) == with_blobs
    trees = [path for path in (caches.own / "v1" / "trees").iterdir() if not path.suffix]
    assert [tree.is_symlink() for tree in trees if (tree / "alpha").is_dir()] == [False]
    assert snapshot(caches.shared) == before


def test_a_cache_that_is_not_named_any_more_is_not_used(caches: Caches) -> None:
    caches.use()
    gone = caches.shared.with_name("gone")
    alone = str(caches.own)
    assert caches.use(MAGIC_MODULE_CACHE_DIR=alone) == USED
    assert caches.asked() != []
    assert caches.use(MAGIC_MODULE_CACHE_DIR=f"{alone}{os.pathsep}{gone}") == USED, "nor need it be there"
    assert not any(path.is_symlink() for path in (caches.own / "v1" / "trees").iterdir())


def test_a_cache_behind_that_is_gone_is_missed(caches: Caches) -> None:
    caches.use()
    shutil.rmtree(caches.shared)
    for _ in range(2):
        assert caches.use() == USED
    assert caches.asked() != []


def test_a_cache_behind_that_others_may_write_to_is_refused(caches: Caches) -> None:
    trees = caches.shared / "v1" / "trees"
    trees.chmod(0o777)
    refused = caches.world.run(USE, status=1).stderr.splitlines()[-1]
    assert f"StoreError: {trees} cannot be used as a cache: others may write to it" in refused
    assert f"{caches.shared}" in caches.world.run(None, args=["-m", "magic_module", "doctor"], status=1).stdout


def test_commands_and_children_name_all_caches(caches: Caches) -> None:
    caches.use()
    named = caches.world.extra["MAGIC_MODULE_CACHE_DIR"]
    told = "import magic_module as mm; print(mm.export_environment()['MAGIC_MODULE_CACHE_DIR'])"
    assert caches.world.run(told).stdout == f"{named}\n"
    for command in (["doctor"], ["cache"]):
        said = caches.world.run(None, args=["-m", "magic_module", *command]).stdout
        assert str(caches.shared) in said, command
    assert caches.world.run(None, args=["-m", "magic_module", "cache", "--json"]).json["behind"] == [str(caches.shared)]
    assert snapshot(caches.shared) == caches.before


class Tenants:
    """Two users, each with a cache of their own, and one that only root may write to."""

    def __init__(self, path: Path, manifest_url: str) -> None:
        self.path, self.url, self.shared = path, manifest_url, path / "shared"
        self.users = {"one": 54_321, "other": 54_322}
        for name, number in self.users.items():
            self.cache(name).mkdir()
            os.chown(self.cache(name), number, number)

    def cache(self, user: str) -> Path:
        return self.path / user

    def run(self, user: str, script: str, *args: str, status: int | None = 0) -> process.Result:
        """As that user, who may read everything, because it is not known where the interpreter lies."""
        env = environment(self.cache(user), self.url)
        env["MAGIC_MODULE_CACHE_DIR"] += os.pathsep + str(self.shared)
        env["HOME"] = str(self.cache(user))
        number = self.users[user]
        become = ["setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups"]
        become += ["--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search"]
        return process.run([*become, *process.command(script, args=args)], env, self.path, status)


WRITE = """
    import os, sys
    def fails(act, *args):
        try:
            act(*args)
        except PermissionError:
            return True
    for top in sys.argv[1:]:
        for folder, _, files in os.walk(top):
            assert fails(os.mkdir, os.path.join(folder, "planted")), folder
            assert fails(os.chmod, folder, 0o777), folder
            for file in files:
                path = os.path.join(folder, file)
                assert fails(open, path, "ab") and fails(os.unlink, path) and fails(os.chmod, path, 0o666), path
    print("nothing could be written")
    """


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can be two users, by setpriv")
def test_tenants_with_caches_of_their_own_before_a_shared_one_are_apart(caches: Caches, tmp_path: Path) -> None:
    shutil.copytree(caches.shared, tmp_path / "tenants" / "shared", copy_function=shutil.copy)
    tenants = Tenants(tmp_path / "tenants", caches.server.manifest_url)
    before = snapshot(tenants.shared)
    gamma = "import magic_module.gamma; print(magic_module.gamma.VALUE)"
    for user in tenants.users:
        assert tenants.run(user, USE).json[:3] == USED
        assert caches.asked() == [], "nothing of what is shared was fetched"
        assert tenants.run(user, gamma).stdout == "3\n"
        assert len(caches.asked()) > 0, "what is not shared comes into the own cache"
        caches.server.take()
    for user, victim in (("one", "other"), ("other", "one")):
        places = [str(tenants.cache(victim)), str(tenants.shared)]
        assert tenants.run(user, WRITE, *places).stdout == "nothing could be written\n"
    assert snapshot(tenants.shared) == before
