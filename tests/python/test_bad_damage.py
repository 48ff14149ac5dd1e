"""Damaged cache files: healed with a server, healed or refused without one, never believed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kit import sentences
from kit.interpreter import Interpreter, command_line
from kit.site import Site
from origins import Origin

pytestmark = pytest.mark.once

# Both import all of the unit's code and read all of its data.
IMPORT = """
import importlib.resources, magic_module.alpha, magic_module.alpha.inner
alpha = magic_module.alpha
result = [alpha.VALUE, alpha.inner.VALUE, importlib.resources.files(alpha).joinpath("data.txt").read_text()]
"""
GOOD = [1, 2, "data\n" * 2000]

Damage = Callable[[Path], None]


def flip(path: Path) -> None:
    """Change one bit, and nothing that a look at the folder would show."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(data)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def truncate(path: Path) -> None:
    """Half of it, as after a full disk."""
    path.chmod(0o644)
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    """Nothing of it, as after a power cut."""
    path.chmod(0o644)
    os.truncate(path, 0)


def zero(path: Path) -> None:
    """The right length, all bytes zero, as after another power cut."""
    path.chmod(0o644)
    path.write_bytes(bytes(path.stat().st_size))


def delete(path: Path) -> None:
    """It is gone."""
    path.unlink()


def replace_by_folder(path: Path) -> None:
    """A folder in its place."""
    path.unlink()
    path.mkdir()


def dangle(path: Path) -> None:
    """A link to nothing in its place."""
    path.unlink()
    path.symlink_to("/nonexistent/target")


DAMAGES: list[Damage] = [flip, truncate, empty, zero, delete, replace_by_folder, dangle]

#: What is damaged: a glob below the cache directory. All that fit are damaged together.
PLACES = {
    "blobs": "v1/blobs/*/*",
    "tree-code": "v1/trees/*/alpha/__init__.py",
    "tree-inner-code": "v1/trees/*/alpha/inner.py",
    "tree-data": "v1/trees/*/alpha/data.txt",
    "tree-index": "v1/trees/*.index",
    "generations": "v1/mounts/*/generations/*[0-9]",
    "current": "v1/mounts/*/current",
    "state": "v1/mounts/*/state",
    "code-packs": "v1/mounts/*/code/**/*",
    "locks": "v1/mounts/*/generations/*.lock",
    "description": "v1/mounts/*/mount.json",
}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache directory that is not there yet."""
    return tmp_path / "cache"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A package, and a unit that comes as a pack."""
    site = Site(tmp_path / "site")
    site.document["serial"] = 1
    site.unit("alpha", {"alpha/__init__.py": "VALUE = 1\n", "alpha/inner.py": "VALUE = 2\n", "alpha/data.txt": GOOD[2]})
    return site.write()


@pytest.fixture
def origin(site: Site) -> Iterator[Origin]:
    """Their server."""
    with Origin(site.folder) as origin:
        yield origin


def warm_up(cache: Path, origin: Origin) -> None:
    """Import once, so that everything is there."""
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == GOOD


def spoil(cache: Path, place: str, damage: Damage) -> None:
    """Damage what is at a place."""
    files = [
        path for path in cache.glob(PLACES[place]) if path.is_file() and (path.stat().st_size or damage is not flip)
    ]
    # A lock's file is empty: there is nothing in it to flip.
    assert bool(files) != (place == "locks" and damage is flip), PLACES[place]
    for path in files:
        damage(path)


def by_pack(site: Site) -> None:
    """Let the unit come in one artifact."""
    site.modules["alpha"]["packs"] = [
        site.pack(
            {"alpha/__init__.py": b"VALUE = 1\n", "alpha/inner.py": b"VALUE = 2\n", "alpha/data.txt": GOOD[2].encode()}
        )
    ]
    site.write()


@pytest.mark.parametrize("packed", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["files", "pack"])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("place", PLACES)
def test_with_a_server(cache: Path, site: Site, origin: Origin, place: str, damage: Damage, packed: bool) -> None:
    if packed:
        by_pack(site)
    warm_up(cache, origin)
    spoil(cache, place, damage)
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == GOOD
        assert python.do("import magic_module; result = magic_module.verify().ok") is True
    origin.stop()
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == GOOD, "it was healed for good"


@pytest.mark.parametrize("packed", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["files", "pack"])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("place", PLACES)
def test_without_a_server(
    cache: Path, site: Site, origin: Origin, place: str, damage: Damage, packed: bool, tmp_path: Path
) -> None:
    if packed:
        by_pack(site)
    warm_up(cache, origin)
    spoil(cache, place, damage)
    origin.stop()
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == GOOD, "the rest of the cache is enough"


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_told_to_stay_offline(cache: Path, origin: Origin, damage: Damage) -> None:
    """Blob and tree are both damaged: there is nothing to heal from, and no request is made."""
    warm_up(cache, origin)
    for place in ("blobs", "tree-code", "code-packs"):
        spoil(cache, place, damage)
    origin.requests.clear()
    with Interpreter(cache, origin.manifest_url, settings={"MAGIC_MODULE_OFFLINE": "1"}) as python:
        failure = python.fail(IMPORT)
    assert failure.kind == "OfflineError"
    assert origin.requests == []
    sentences.check("damage", f"offline-{damage.__name__}", f"{failure.kind}: {failure.sentence}", cache=cache)
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == GOOD


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("place", PLACES)
def test_verify_mends(cache: Path, origin: Origin, place: str, damage: Damage) -> None:
    warm_up(cache, origin)
    spoil(cache, place, damage)
    ended = command_line("verify", cache=cache, manifest_url=origin.manifest_url)
    assert "Traceback" not in ended.stderr
    assert ended.status == 0, ended
    again = command_line("verify", cache=cache, manifest_url=origin.manifest_url)
    assert again.status == 0, again
    origin.stop()
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == GOOD


@pytest.mark.parametrize("damage", [flip, truncate, zero], ids=lambda damage: damage.__name__)
def test_full_verification_sees_data_that_nobody_reads(cache: Path, origin: Origin, damage: Damage) -> None:
    warm_up(cache, origin)
    spoil(cache, "tree-data", damage)
    settings = {"MAGIC_MODULE_VERIFY": "full"}
    with Interpreter(cache, origin.manifest_url, settings=settings) as python:
        python.do("import magic_module.alpha as alpha, os; folder = os.path.dirname(alpha.__file__)")
        assert python.do("with open(folder + '/data.txt') as file: result = file.read()") == GOOD[2]


def test_a_running_process_is_not_disturbed(cache: Path, origin: Origin) -> None:
    """Whoever has imported keeps working while the cache is emptied, and imports the rest again."""
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do("import magic_module.alpha as alpha; result = alpha.VALUE") == 1
        for path in sorted((cache / "v1").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        assert python.do("result = alpha.VALUE") == 1
        assert python.do(IMPORT) == GOOD


def test_damage_between_import_and_reload(cache: Path, origin: Origin) -> None:
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == GOOD
        spoil(cache, "tree-inner-code", flip)
        assert python.do("import importlib; result = importlib.reload(alpha.inner).VALUE") == 2
        assert python.do("import inspect; result = inspect.getsource(alpha.inner)") == "VALUE = 2\n"


def test_what_another_version_lends_may_be_damaged(cache: Path, site: Site, origin: Origin) -> None:
    """A tree is made again from the files of the next version, unless they are damaged: then from its own pack."""
    by_pack(site)
    warm_up(cache, origin)
    [before] = cache.glob("v1/trees/*.index")
    newer = {"alpha/__init__.py": "VALUE = 3\n", "alpha/inner.py": "VALUE = 2\n", "alpha/data.txt": GOOD[2]}
    site.unit("alpha", newer, version="2.0.0")
    site.document["serial"] = 2
    site.write()
    with Interpreter(cache, origin.manifest_url) as python:
        python.do("import magic_module; magic_module.upgrade('magic_module.alpha')")
    origin.stop()
    before.unlink()
    spoil(cache, "tree-inner-code", flip)
    with Interpreter(cache, origin.manifest_url) as python:
        python.do("import magic_module; magic_module.rollback('magic_module.alpha')")
        assert python.do(IMPORT) == GOOD


def test_a_unit_stays_what_it_is_where_its_manifest_is_lost(cache: Path, site: Site, origin: Origin) -> None:
    """The newest manifest still has the version that is active: what requires it must not meet another one."""
    warm_up(cache, origin)
    [before] = cache.glob("v1/trees/*.index")
    manifests = {path: path.read_bytes() for path in cache.glob("v1/**/*") if path.is_file()}
    [lost] = [path for path, data in manifests.items() if b'"serial": 1' in data]
    older = site.modules["alpha"]
    newer = {"alpha/__init__.py": "VALUE = 3\n", "alpha/inner.py": "VALUE = 2\n", "alpha/data.txt": GOOD[2]}
    site.unit("alpha", newer, version="2.0.0", versions={"1.0": older})
    site.unit("beta", {"beta.py": "VALUE = 4\n"})
    site.document["serial"] = 2
    site.write()
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do("import magic_module.beta as beta; result = beta.VALUE") == 4
    before.unlink()
    lost.unlink()
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == GOOD


def test_planted_bytes_are_never_run(cache: Path, origin: Origin) -> None:
    """Same size, same times, other code: what runs is hashed on every load."""
    warm_up(cache, origin)
    for path in cache.glob(PLACES["tree-inner-code"]):
        before = path.stat()
        path.chmod(0o644)
        path.write_text("VALUE = 9\n")
        path.chmod(before.st_mode)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    for path in [path for path in cache.glob(PLACES["code-packs"]) if path.is_file()]:
        path.unlink()
    origin.stop()
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == GOOD
