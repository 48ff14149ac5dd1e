"""What cannot be read is an error, never "nothing": nothing is removed, and nothing takes its place."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.preload import failing
from kit.world import World

ERRORS = [errno.EIO, errno.EMFILE, errno.EACCES]

PRUNE = """
    import json, os, magic_module
    import magic_module.alpha
    failures = []
    for place, error in json.loads({attempts!r}):
        os.environ["FAIL_AT"], os.environ["FAIL_WITH"] = place, str(error)
        try:
            magic_module.prune()
            failures.append(None)
        except magic_module.errors.StoreError as failure:
            failures.append(str(failure))
    os.environ["FAIL_AT"] = "nothing fails any more"
    import magic_module.beta
    print(json.dumps([failures, magic_module.alpha.VALUE, magic_module.beta.VALUE]))
    """


@pytest.fixture
def grown(world: World) -> World:
    """A cache with two generations, and a third that nobody needs."""
    server = world.serve()
    world.extra["MAGIC_MODULE_MANIFEST_URL"] = server.manifest_url
    for version in (1, 2, 3):
        world.publish({"alpha.py": f"VALUE = {version}\n", "beta.py": f"VALUE = {version}\n"})
        world.run("import magic_module.alpha as a, magic_module.beta; a._upgrade()")
    return world


def everything(cache: Path) -> set[str]:
    return {str(path.relative_to(cache)) for path in cache.rglob("*") if "locks" not in path.parts}


def test_prune_removes_nothing_while_something_cannot_be_read(grown: World) -> None:
    before = everything(grown.cache)
    places = ["/mounts", "/generations", "/generations/3", "/current", "/state", "/trees", "/blobs", "/code", "/tmp"]
    attempts = [(place, error) for place in places for error in ERRORS]
    env = failing(grown.path, "nothing", errno.EIO)
    failures, alpha, beta = grown.run(PRUNE.format(attempts=json.dumps(attempts)), env=env).json
    for (place, _), failure in zip(attempts, failures, strict=True):
        assert failure is not None and place in failure, (place, failure)
    assert (alpha, beta) == (3, 1)
    assert before <= everything(grown.cache)
    report = grown.run("import magic_module; print(len(magic_module.prune().removed))")
    assert report.stdout.strip() != "0", "once it can be read, what nobody needs goes"


def test_a_generation_that_cannot_be_read_is_not_replaced(grown: World) -> None:
    """Taken for nothing, the units that it holds would move to the newest versions."""
    grown.publish({"alpha.py": "VALUE = 4\n", "beta.py": "VALUE = 4\n"})
    script = """
        import json, os, magic_module
        try:
            import magic_module.alpha
            failed = None
        except magic_module.errors.StoreError as error:
            failed = str(error)
        os.environ["FAIL_AT"] = "nothing fails any more"
        import magic_module.alpha
        print(json.dumps([failed, magic_module.alpha.VALUE]))
        """
    for place in ["/current", "/state", "/generations/3"]:
        for error in ERRORS:
            failed, alpha = grown.run(script, env=failing(grown.path, place, error)).json
            assert failed is not None and place in failed, (place, failed)
            assert alpha == 3


def test_a_cache_that_cannot_be_looked_into_has_no_size(grown: World) -> None:
    env = failing(grown.path, "/trees", errno.EACCES)
    args = ["-m", "magic_module", "cache", "--json"]
    result = grown.run(None, args=args, env=env, status=1)
    assert "cannot look into" in result.stderr + result.stdout


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def sparse(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    path.unlink()
    with path.open("wb") as file:
        file.truncate(10 << 30)
    path.chmod(mode)


def device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


STRANGERS = [pipe, sparse, device, folder]

PLACES: dict[str, str] = {
    "index": "v1/trees/*.index",
    "source": "v1/trees/*/alpha/__init__.py",
    "blob": "v1/blobs/*/*",
    "current": "v1/mounts/*/current",
    "state": "v1/mounts/*/state",
    "generation": "v1/mounts/*/generations/?",
    "generation lock": "v1/mounts/*/generations/*.lock",
    "mount lock": "v1/mounts/*/lock",
    "code": "v1/mounts/*/code/*",
    "checked": "v1/mounts/*/checked",
    "tree lock": "v1/locks/*",
}


@pytest.mark.parametrize("stranger", STRANGERS, ids=lambda stranger: stranger.__name__)
def test_a_special_file_is_damage_and_is_healed(world: World, stranger: Callable[[Path], Any]) -> None:
    """A pipe would be waited for, a huge file read for minutes, a device read without an end."""
    server = world.serve()
    world.extra["MAGIC_MODULE_MANIFEST_URL"] = server.manifest_url
    world.publish(
        {
            "alpha/__init__.py": "VALUE = 1\n",
            "alpha/data.txt": "text\n",
            "magic-module.toml": '[alpha]\nrequires_python = ">=3.8"\n',
        }
    )
    script = """
        import json, magic_module, pkgutil
        import magic_module.alpha as alpha
        magic_module.verify()
        magic_module.prefetch("magic_module.alpha")
        alpha._upgrade(force=True)
        magic_module.prune()
        print(json.dumps([alpha.VALUE, pkgutil.get_data("magic_module.alpha", "data.txt").decode()]))
        """
    world.run(script)
    for what, place in PLACES.items():
        found = sorted(world.cache.glob(place))
        assert found, what
        for path in found:
            stranger(path)
        assert world.run(script).json == [1, "text\n"], what
        left = [path for path in sorted(world.cache.glob(place)) if not path.is_file() or path.is_symlink()]
        assert left == [], what
