"""Servers behind one name that differ: what was newer stays, and nobody asks more often than needed."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.interpreter import Interpreter, command_line
from kit.site import Site
from origins import Fault, Origin

pytestmark = pytest.mark.once

IMPORT = "import magic_module as mm, magic_module.alpha as alpha, magic_module.beta as beta"
MANIFEST = "/manifest.json"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache directory that is not there yet."""
    return tmp_path / "cache"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Two units, and a serial."""
    return publish(Site(tmp_path / "site"), 1)


@pytest.fixture
def origin(site: Site) -> Iterator[Origin]:
    """Their server."""
    with Origin(site.folder) as origin:
        yield origin


def publish(site: Site, number: int, **fields: object) -> Site:
    """The next version of everything."""
    for name in ("alpha", "beta"):
        site.unit(name, {f"{name}.py": f"VALUE = {number}\n"}, version=f"{number}.0", **fields)
    site.document["serial"] = 100 + number
    return site.write()


def nodes(*folders: Path) -> Fault:
    """One server after the other answers, each with what it has."""
    turns = itertools.cycle(folders)
    return lambda reply: reply.whole(200, (next(turns) / "manifest.json").read_bytes())


def keep(site: Site) -> Path:
    """A server that stays as it is."""
    return Path(shutil.copytree(site.folder, site.folder.parent / f"kept-{site.document['serial']}"))


UPGRADES = {
    "all": "mm.upgrade()",
    "one": "mm.upgrade('magic_module.alpha')",
    "two": "mm.upgrade('magic_module.alpha', 'magic_module.beta')",
    "unit": "alpha._upgrade()",
    "force": "alpha._upgrade(force=True)",
}


@pytest.mark.parametrize("step", UPGRADES.values(), ids=UPGRADES)
@pytest.mark.parametrize("variants", [False, True], ids=["plain", "variants"])
def test_an_upgrade_asks_once(cache: Path, site: Site, origin: Origin, step: str, variants: bool) -> None:
    with Interpreter(cache, origin.manifest_url) as python:
        python.do(IMPORT)
        # What only other platforms have makes a reader find out which one this is.
        more = {"variants": [{"tag": "cp39-cp39-win32", "files": []}]} if variants else {}
        publish(site, 2, **more)
        for changed in (True, False):
            origin.heal()
            python.do(step)
            assert python.do("result = alpha.VALUE") == 2
            assert origin.paths(MANIFEST) == [MANIFEST], changed


def test_the_command_line_asks_once(cache: Path, site: Site, origin: Origin) -> None:
    with Interpreter(cache, origin.manifest_url) as python:
        python.do(IMPORT)
    publish(site, 2)
    origin.heal()
    assert command_line("upgrade", cache=cache, manifest_url=origin.manifest_url).status == 0
    assert origin.paths(MANIFEST) == [MANIFEST]


@pytest.mark.parametrize("step", UPGRADES.values(), ids=UPGRADES)
@pytest.mark.parametrize("newest_first", [True, False])
def test_two_versions_behind_one_name(cache: Path, site: Site, origin: Origin, step: str, newest_first: bool) -> None:
    with Interpreter(cache, origin.manifest_url) as python:
        python.do(IMPORT)
        old = keep(site)
        new = keep(publish(site, 2))
        origin.fail(MANIFEST, nodes(new, old) if newest_first else nodes(old, new))
        for _ in range(6):
            python.do(step)
        assert python.do("result = alpha.VALUE") == 2
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(f"{IMPORT}; result = alpha.VALUE") == 2


def test_a_server_that_is_behind_for_good_is_told(cache: Path, site: Site, origin: Origin) -> None:
    with Interpreter(cache, origin.manifest_url) as python:
        python.do(IMPORT)
        old = keep(site)
        publish(site, 2)
        python.do("mm.upgrade()")
        origin.fail(MANIFEST, nodes(old))
        assert python.fail("mm.upgrade()").kind == "IntegrityError"
        assert python.do("result = [alpha.VALUE, beta.VALUE]") == [2, 2]


def test_what_is_new_is_fetched_although_another_server_is_behind(cache: Path, site: Site, origin: Origin) -> None:
    """Only what is newer than what is known has anything to say."""
    with Interpreter(cache, origin.manifest_url) as python:
        python.do("import magic_module as mm, magic_module.alpha as alpha")
        old = keep(site)
        publish(site, 2)
        python.do("mm.upgrade()")
        origin.fail(MANIFEST, nodes(old))
        assert python.do("import magic_module.beta as beta; result = beta.VALUE") == 2
        failure = python.fail("import magic_module.gamma")
        assert failure.kind == "ModuleNotFoundError"
        python.do("mm.rollback('magic_module.alpha')")
        assert python.do("result = alpha.VALUE") == 1
