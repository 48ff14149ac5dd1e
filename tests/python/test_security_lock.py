"""`magic.lock`: a project's units are exactly what was pinned, or they are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from kit.process import Result
from kit.site import Site
from kit.world import World
from origins import Origin
from test_security_signing import command

SHOW = """
    import importlib, json, magic_module
    from magic_module.errors import MagicModuleError
    try:
        magic_module.mount("acme", {url!r}, frozen={frozen!r}, pins={pins!r})
        print(json.dumps([importlib.import_module("acme." + name).VALUE for name in {names!r}]))
    except MagicModuleError as error:
        print(json.dumps(error.to_dict()))
"""


class Project:
    """A site with `alpha`, which requires `beta`, and `other`; a project that uses `alpha`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.server: Origin = world.serve()
        self.url = self.server.manifest_url
        self.file = world.work / "magic.lock"
        (world.work / "pyproject.toml").touch()
        self.release(1)

    def release(self, value: int, version: int | None = None) -> None:
        own = f"__version__ = '{version or value}'\nVALUE = {value}"
        toml = '[alpha]\nrequires = ["beta"]'
        sources = {"alpha.py": own, "beta.py": own, "other.py": own, "magic-module.toml": toml}
        self.world.publish(sources, "acme")

    def show(
        self, *names: str, frozen: bool = False, pins: dict[str, str] | None = None, cold: bool = False, **env: str
    ) -> Any:
        if cold:
            shutil.rmtree(self.world.cache, ignore_errors=True)
        script = SHOW.format(url=self.url, frozen=frozen, pins=pins, names=names or ("alpha",))
        return self.world.run(script, env=env).json

    def command(self, *arguments: str, status: int = 0) -> Result:
        return command(self.world, *arguments, "--manifest-url", self.url, "--namespace", "acme", status=status)

    def lock(self) -> Any:
        return json.loads(self.file.read_text())


@pytest.fixture
def project(world: World) -> Project:
    return Project(world)


def test_pin_writes_what_is_in_use(project: Project) -> None:
    assert project.show() == [1]
    assert "acme.alpha  1" in project.command("pin").stdout
    lock = project.lock()
    assert (lock["magic_lock"], lock["frozen"], sorted(lock["units"])) == (1, False, ["acme.alpha", "acme.beta"])
    manifest = json.loads((project.world.path / "site" / "manifest.json").read_text())
    assert lock["units"]["acme.alpha"]["version"] == "1"
    assert lock["units"]["acme.alpha"]["serial"] == manifest["serial"]
    assert len(lock["units"]["acme.alpha"]["tree"]) == 64
    before = project.file.read_bytes()
    project.command("pin")
    assert project.file.read_bytes() == before


def test_a_name_is_pinned_with_what_it_requires_before_it_is_used(project: Project) -> None:
    project.command("pin", "acme.alpha")
    assert sorted(project.lock()["units"]) == ["acme.alpha", "acme.beta"]


def test_the_lock_holds_on_every_machine(project: Project) -> None:
    project.show()
    project.command("pin")
    project.release(2)
    assert project.show() == [1]
    assert project.show(cold=True) == [1], "a fresh machine finds the version through the manifest"
    assert project.show("other") == [2], "what is not listed is not held"
    project.server.stop()
    assert project.show() == [1]


def test_upgrade_moves_and_pin_locks_it(project: Project) -> None:
    project.show()
    project.command("pin")
    project.release(2)
    assert "acme.alpha 1 → 2" in project.command("upgrade", "acme.alpha").stdout
    assert project.show() == [1], "the project still holds what was pinned"
    project.command("pin")
    assert project.show() == [2]
    assert project.show(cold=True) == [2]


def test_other_content_under_the_same_version_is_refused(project: Project) -> None:
    project.show()
    project.command("pin")
    project.release(6, version=1)
    assert project.show() == [1], "what is in the cache is what was locked"
    refused = project.show(cold=True)
    assert (refused["type"], refused["name"]) == ("PolicyError", "acme.alpha")
    assert refused["expected"] == project.lock()["units"]["acme.alpha"]["tree"]
    assert "magic-module pin acme.alpha" in refused["hint"]


def test_frozen_refuses_everything_else(project: Project) -> None:
    assert project.show(frozen=True)["type"] == "PolicyError"
    assert "there is no magic.lock" in project.show(frozen=True)["message"]
    project.command("pin", "acme.alpha")
    assert project.show("alpha", "beta", frozen=True) == [1, 1]
    for cached in (False, True):
        refused = project.show("other", frozen=True)
        assert (refused["type"], refused["name"]) == ("PolicyError", "acme.other"), cached
        assert project.show("other") == [1]
    assert "magic-module pin acme.other" in project.command("fetch", "acme.other", "--frozen", status=1).stderr
    assert project.command("fetch", "acme.alpha", "--frozen").status == 0


def test_the_file_itself_can_refuse_everything_else(project: Project) -> None:
    project.command("pin", "acme.alpha", "--refuse-others")
    assert project.show() == [1]
    assert project.show("other")["type"] == "PolicyError"
    project.command("pin", "acme.other")
    assert project.show("other") == [1]
    project.command("pin", "--no-refuse-others")
    assert project.lock()["frozen"] is False


def test_a_pin_that_contradicts_the_lock_is_named(project: Project) -> None:
    project.show()
    project.command("pin")
    project.release(2)
    refused = project.show(pins={"alpha": "2"})
    assert refused["type"] == "PolicyError"
    assert "pinned to 2, but magic.lock holds 1" in refused["message"]


def test_a_lock_that_cannot_be_read_is_never_taken_for_none(project: Project) -> None:
    project.show()
    for text in ("", '{"magic_lock": 9, "units": {}}', '{"magic_lock": 1, "units": {"acme.alpha": {}}}'):
        project.file.write_text(text)
        refused = project.show()
        assert (refused["type"], refused["path"]) == ("ConfigurationError", str(project.file)), text


def test_a_lock_that_an_editor_saved_holds(project: Project) -> None:
    project.show()
    project.command("pin")
    project.file.write_bytes(b"\xef\xbb\xbf" + project.file.read_bytes().replace(b"\n", b"\r\n"))
    project.release(2)
    assert project.show(cold=True) == [1]


def test_the_lock_is_found_from_a_folder_below(project: Project) -> None:
    project.show()
    project.command("pin")
    project.release(2)
    deep = project.world.work / "a" / "b"
    deep.mkdir(parents=True)
    project.world.work = deep
    assert project.show(cold=True) == [1]
    Path(deep / "pyproject.toml").touch()
    assert project.show(cold=True) == [2], "another project"


def test_nothing_unlocked_runs_inside_of_a_locked_unit(project: Project) -> None:
    """Its author could have added the unit after the review; code that tries to import it goes on without it."""
    site = Site(project.world.path / "site", "acme")
    value = "VALUE = 1\n"
    site.unit("alpha", {"alpha/__init__.py": value + "try:\n    from . import extra\nexcept ImportError: pass\n"})
    site.write()
    assert project.show() == [1]
    project.command("pin")
    site.unit("alpha.extra", {"alpha/extra.py": value})
    site.write()
    assert project.show(cold=True) == [1]
    refused = project.show("alpha", "alpha.extra", cold=True)
    assert refused["type"] == "PolicyError"
    assert "magic.lock holds acme.alpha and does not list it" in refused["message"]
    assert refused["hint"] == "lock it with `magic-module pin acme.alpha.extra`"
    project.command("pin", "acme.alpha.extra")
    assert project.show("alpha", "alpha.extra") == [1, 1]
