"""What is refused may be mended later: before a unit that is not in use is refused, its author is asked once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kit.interpreter import Interpreter, command_line
from kit.site import Site
from origins import Origin, faults

IMPORT = "import magic_module.alpha as alpha; result = alpha.VALUE"
PREFETCH = "import magic_module as mm; mm.prefetch('magic_module.alpha')"
KNOW = "import magic_module.beta"
MANIFEST = "/manifest.json"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache directory that is not there yet."""
    return tmp_path / "cache"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A unit to be spoilt, and a good one."""
    site = Site(tmp_path / "site")
    good(site)
    site.unit("beta", {"beta.py": "VALUE = 2\n"})
    return site.write()


@pytest.fixture
def origin(site: Site) -> Iterator[Origin]:
    """Their server."""
    with Origin(site.folder) as origin:
        yield origin


def good(site: Site, version: str = "1.0", value: int = 1) -> None:
    """The unit as it should be."""
    site.unit("alpha", {"alpha/__init__.py": f"VALUE = {value}\n", "alpha/inner.py": "VALUE = 3\n"}, version=version)


def fields(**spoilt: object) -> Callable[[Site], object]:
    """Spoils fields of the record."""
    return lambda site: site.modules["alpha"].update(spoilt)


def elsewhere(site: Site) -> None:
    """A file that is said to be where nobody may look."""
    site.modules["alpha"]["files"][0]["url"] = "http://files.invalid/alpha.py"


def other_platform(site: Site) -> None:
    """A unit that has files for another platform only."""
    record = site.modules["alpha"]
    record["variants"] = [{"tag": "cp39-cp39-win32", "files": record["files"]}]
    record["files"] = []


REFUSED: dict[str, tuple[Callable[[Site], object], str]] = {
    "dependency-that-is-none": (fields(dependencies=["no requirement!"]), "RequirementError"),
    "dependency-that-is-not-installed": (fields(dependencies=["zz-absent"]), "RequirementError"),
    "requires-python": (fields(requires_python=">=99"), "RequirementError"),
    "requires-python-that-is-none": (fields(requires_python="three"), "RequirementError"),
    "yanked": (fields(yanked="it deletes files"), "PolicyError"),
    "plain-http": (elsewhere, "PolicyError"),
    "no-variant": (other_platform, "RequirementError"),
}
EVERY = pytest.mark.parametrize("case", REFUSED)


@pytest.fixture
def refused(site: Site, case: str) -> str:
    """The site refuses the unit; returns how."""
    spoil, kind = REFUSED[case]
    spoil(site)
    site.write()
    return kind


@EVERY
@pytest.mark.parametrize("act", [IMPORT, PREFETCH], ids=["import", "prefetch"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_what_was_mended_is_used(
    cache: Path, site: Site, origin: Origin, refused: str, case: str, act: str, version: str
) -> None:
    """In the process that was refused, and in one that knows the old manifest only."""
    with Interpreter(cache, origin.manifest_url) as python, Interpreter(cache, origin.manifest_url) as other:
        for process in (python, other):
            process.do(KNOW)
        assert python.fail(act).kind == refused
        good(site, version)
        site.write()
        origin.heal()
        python.do(act)
        assert python.do(IMPORT) == 1
        assert origin.paths(MANIFEST) == [MANIFEST]
        other.do(act)
        assert other.do(IMPORT) == 1
    with Interpreter(cache, origin.manifest_url, settings={"MAGIC_MODULE_OFFLINE": "1"}) as python:
        assert python.do(IMPORT) == 1


@EVERY
@pytest.mark.parametrize("act", [IMPORT, PREFETCH], ids=["import", "prefetch"])
def test_a_refusal_costs_one_request(cache: Path, origin: Origin, refused: str, case: str, act: str) -> None:
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.fail(act).kind == refused
        assert origin.paths(MANIFEST) == [MANIFEST], "what was just asked is not asked again"
        origin.heal()
        assert python.fail(act).kind == refused
        assert origin.paths() == [MANIFEST]
        origin.heal()
        python.do(KNOW)
        assert MANIFEST not in origin.paths(), "nobody else pays for it"


@EVERY
def test_a_refusal_stands_where_nobody_answers(
    cache: Path, site: Site, origin: Origin, refused: str, case: str
) -> None:
    with Interpreter(cache, origin.manifest_url) as python:
        python.do(KNOW)
        origin.fail(MANIFEST, faults.forbidden)
        assert python.fail(IMPORT).kind == refused
    with Interpreter(cache, origin.manifest_url, settings={"MAGIC_MODULE_OFFLINE": "1"}) as python:
        assert python.fail(IMPORT).kind == refused


@EVERY
def test_what_is_listed_after_a_refusal_is_what_there_is_now(
    cache: Path, site: Site, origin: Origin, refused: str, case: str
) -> None:
    step = "import magic_module as mm; result = [unit.version for unit in mm.available()]"
    info = "import magic_module as mm; result = mm.info('magic_module.alpha').version"
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.fail(IMPORT).kind == refused
    good(site, "1.1")
    site.write()
    origin.heal()
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(step) == ["1.1", "1.0"]
        assert python.do(info) == "1.1"
        assert python.do(step) == ["1.1", "1.0"]
        assert origin.paths() == [MANIFEST], "once it was mended, nobody asks any more"


@EVERY
def test_command_line(cache: Path, site: Site, origin: Origin, refused: str, case: str) -> None:
    arguments = ("fetch", "magic_module.alpha")
    assert command_line(*arguments, cache=cache, manifest_url=origin.manifest_url).status == 1
    good(site)
    site.write()
    assert command_line(*arguments, cache=cache, manifest_url=origin.manifest_url).status == 0


def test_a_submodule_is_asked_for_as_well(cache: Path, site: Site, origin: Origin) -> None:
    fields(yanked="it deletes files")(site)
    site.write()
    with Interpreter(cache, origin.manifest_url) as python:
        python.do(KNOW)
        inner = "import magic_module.alpha.inner as inner; result = inner.VALUE"
        assert python.fail(inner).kind == "PolicyError"
        good(site, "1.1")
        site.write()
        assert python.do(inner) == 3


def test_a_required_unit_is_mended(cache: Path, site: Site, origin: Origin) -> None:
    site.unit("tool", {"tool.py": "from magic_module import alpha\nVALUE = alpha.VALUE\n"}, requires=["alpha"])
    fields(dependencies=["zz-absent"])(site)
    site.write()
    step = "import magic_module.tool as tool; result = tool.VALUE"
    with Interpreter(cache, origin.manifest_url) as python:
        python.do(KNOW)
        assert python.fail(step).kind == "RequirementError"
        good(site, "1.1", value=5)
        site.write()
        assert python.do(step) == 5


def test_a_pin_that_was_not_published_yet(cache: Path, site: Site, origin: Origin) -> None:
    pinned = {"MAGIC_MODULE_PINS": "alpha==1.1"}
    with Interpreter(cache, origin.manifest_url, settings=pinned) as python:
        python.do(KNOW)
        for step in (IMPORT, PREFETCH, "import magic_module as mm; mm.info('magic_module.alpha')"):
            origin.heal()
            assert python.fail(step).kind == "RequirementError"
            assert origin.paths() == [MANIFEST]
        good(site, "1.1", value=11)
        site.write()
        assert python.do("import magic_module as mm; result = mm.info('magic_module.alpha').version") == "1.1"
        assert python.do(IMPORT) == 11


def test_a_version_that_was_not_published_yet(cache: Path, site: Site, origin: Origin) -> None:
    step = "import magic_module as mm; mm.prefetch('magic_module.alpha==1.1')"
    with Interpreter(cache, origin.manifest_url) as python:
        python.do(KNOW)
        assert python.fail(step).kind == "RequirementError"
        good(site, "1.1", value=11)
        site.write()
        python.do(step)


def test_what_is_in_use_is_asked_for_by_nobody(cache: Path, site: Site, origin: Origin, tmp_path: Path) -> None:
    """Another environment lacks what a unit in the cache needs: that is no matter of its author."""
    info = tmp_path / "installed" / "zz_there-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zz-there\nVersion: 1.0\n")
    fields(dependencies=["zz-there"])(site)
    site.write()
    with Interpreter(cache, origin.manifest_url, settings={"PYTHONPATH": str(info.parent)}) as python:
        assert python.do(IMPORT) == 1
    origin.heal()
    with Interpreter(cache, origin.manifest_url) as python:
        failure = python.fail("import sys; sys.prefix = '/elsewhere'; import magic_module.alpha")
        assert failure.kind == "RequirementError"
        assert origin.paths() == []


def test_an_unlocked_unit_is_refused_without_a_request(cache: Path, site: Site, origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    pin = command_line("pin", "magic_module.beta", cache=cache, manifest_url=origin.manifest_url)
    assert pin.status == 0, pin.stderr
    mount = f"import magic_module as mm; mm.mount('acme', {origin.manifest_url!r}, frozen=True)"
    site.document["namespace"] = "acme"
    site.write()
    with Interpreter(cache) as python:
        python.do(mount)
        origin.heal()
        assert python.fail("import acme.alpha").kind == "PolicyError"
        origin.take()
        assert python.fail("import acme.alpha").kind == "PolicyError"
        assert origin.paths() == []
