"""What cannot be read is an error, never "nothing": nothing is removed, and nothing takes its place."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.preload import failing, without_locks
from kit.sources import write_tree
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


WHOLE = ["verify", "pin", "upgrade", "list", "doctor", "prune"]
ONE = ["rollback", "upgrade", "info", "fetch", "verify", "pin"]


@pytest.mark.parametrize(
    ("place", "error", "remedy"),
    [
        ("/generations/3", errno.EIO, "check the disk"),
        ("/current", errno.EACCES, "set MAGIC_MODULE_CACHE_DIR"),
        ("/state", errno.EMFILE, "ulimit -n"),
    ],
)
def test_no_command_takes_what_cannot_be_read_for_nothing(grown: World, place: str, error: int, remedy: str) -> None:
    before = everything(grown.cache)
    env = failing(grown.path, place, error)
    for words in [[verb] for verb in WHOLE] + [[verb, "magic_module.alpha"] for verb in ONE]:
        result = grown.run(None, args=["-m", "magic_module", *words], env=env, status=1)
        said = result.stdout + result.stderr
        assert f"{place}: failed to open" in said.replace("\n", " ") and remedy in said, (words, said)
        assert "the cached units of magic_module are complete" not in said, words
        assert not (grown.work / "magic.lock").exists(), words
    assert before <= everything(grown.cache)
    show = "import magic_module.alpha as a, magic_module.beta as b; print(a.VALUE, b.VALUE)"
    assert grown.run(show).stdout.split() == ["3", "1"]


def test_a_bound_process_goes_on_with_what_it_has_read(grown: World) -> None:
    script = """
        import os, magic_module
        import magic_module.alpha as alpha
        os.environ["FAIL_AT"], os.environ["FAIL_WITH"] = "/generations/3", "5"
        import magic_module.beta as beta
        print(alpha.VALUE, beta.VALUE, magic_module.verify().ok)
        try:
            alpha._upgrade(force=True)
        except magic_module.errors.StoreError as error:
            print("/generations/3" in str(error))
        """
    grown.publish({"alpha.py": "VALUE = 4\n", "beta.py": "VALUE = 1\n"})
    result = grown.run(script, env=failing(grown.path, "nothing", 5))
    assert result.stdout.splitlines() == ["3 1 True", "True"]


def test_the_lock_that_keeps_a_generation_is_taken_or_said_to_be_missing(grown: World) -> None:
    """Without it, whoever prunes would remove what this process uses."""
    env = failing(grown.path, "/generations/3.lock", errno.EIO)
    result = grown.run("import magic_module.alpha", env=env, status=1)
    assert "StoreError: cannot lock" in result.stderr and "/generations/3.lock" in result.stderr
    assert grown.run("import magic_module.alpha as a; print(a.VALUE)").stdout == "3\n"


def cached(world: World, **options: Any) -> Any:
    return world.run(None, args=["-m", "magic_module", "cache", *options.pop("more", [])], **options)


def test_what_a_mount_stands_for_is_told_or_not_known(grown: World) -> None:
    (described,) = (grown.cache / "v1" / "mounts").glob("*/mount.json")
    assert f"  magic_module  {grown.servers[0].manifest_url}" in re.sub(r"\d{4}-\d\d-\d\d  ", "", cached(grown).stdout)
    env = failing(grown.path, "/mount.json", errno.EIO)
    assert "mount.json: failed to open" in cached(grown, env=env, status=1).stderr
    for damage in [lambda: described.write_text("{"), lambda: pipe(described), lambda: sparse(described)]:
        damage()
        assert "  (unknown)  " in cached(grown).stdout
        (mount,) = cached(grown, more=["--json"]).json["mounts"]
        assert (mount["namespace"], mount["manifest_url"]) == (None, None)
    # It is written again with the next manifest.
    grown.publish({"alpha.py": "VALUE = 4\n", "beta.py": "VALUE = 1\n"})
    grown.run("import magic_module.alpha as a; a._upgrade()")
    assert "  magic_module  " in cached(grown).stdout


@pytest.mark.parametrize("error", ERRORS)
def test_signatures_that_cannot_be_listed_end_publishing(world: World, error: int) -> None:
    """Taken for none, those in use would be swept with the old ones."""
    secret = world.path / "own.key"
    world.run(None, args=["-m", "magic_module", "keygen", str(secret)])
    (world.work / "src").mkdir()
    args = ["-m", "magic_module", "publish", "src", "out", "--sign", str(secret), "--drop-older-than", "0"]
    for version in (1, 2):
        (world.work / "src" / "alpha.py").write_text(f"VALUE = {version}\n")
        world.run(None, args=args)
    before = everything(world.work / "out")
    (world.work / "src" / "alpha.py").write_text("VALUE = 3\n")
    result = world.run(None, args=args, env=failing(world.path, "/signatures", error), status=1)
    assert "cannot read" in result.stderr and "/signatures" in result.stderr
    assert "make it readable, or choose another output folder" in result.stderr
    assert before <= everything(world.work / "out")


def test_a_source_folder_that_cannot_be_read_is_named(world: World) -> None:
    write_tree(world.work, {"src/alpha.py": "VALUE = 1\n"})
    args = ["-m", "magic_module", "publish", "src", "out"]
    result = world.run(None, args=args, env=failing(world.path, "/src", errno.EACCES), status=1)
    assert f"cannot publish {world.work / 'src'}: failed to read directory" in result.stderr


def test_nothing_is_published_where_the_age_of_what_goes_cannot_be_set(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its age counts from when nobody new asks for it: somebody may hold the old manifest."""
    site, day = world.path / "site", 86_400
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(time.time()) - 10 * day))
    world.publish({"alpha.py": "VALUE = 1\n"})
    (old,) = (site / "files").rglob("*.py")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(time.time()) - 5 * day))
    world.publish({"alpha.py": "VALUE = 2\n"})
    before = (site / "manifest.json").read_bytes()
    write_tree(world.work, {"src/alpha.py": "VALUE = 3\n"})
    args = ["-m", "magic_module", "publish", "src", str(site), "--drop-older-than", "1"]
    result = world.run(None, args=args, env=failing(world.path, old.name, errno.EIO), status=1)
    assert f"cannot publish into {site}: " in result.stderr and old.name in result.stderr
    assert (site / "manifest.json").read_bytes() == before and old.exists()
    world.run(None, args=args)
    assert (site / "manifest.json").read_bytes() != before and old.exists()


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK], ids=os.strerror)
def test_publishing_where_there_are_no_locks(world: World, error: int) -> None:
    (world.work / "src").mkdir()
    (world.work / "src" / "alpha.py").write_text("VALUE = 1\n")
    world.run(None, args=["-m", "magic_module", "publish", "src", "out"], env=without_locks(world.path, error))
    assert (world.work / "out" / "manifest.json").is_file()


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
