"""Modules that a configuration names: `[imports]` and `[links]`, in TOML, YAML or a mapping."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import magic_module as mm
from kit import resolvers
from kit.package_index import PackageIndex
from kit.repository import Repository
from kit.resolvers import with_uv
from kit.wheels import wheel
from kit.world import World

pytestmark = pytest.mark.once

TOKEN = "t0p-s3cret"

SHOW = """
import json, sys
import magic_module as mm

links = mm.load_links(sys.argv[1])
shown = {name: [link.error and str(link.error), link.options, link.requirement] for name, link in links.items()}
shown["run"] = {name: link.run("u1") for name, link in links.items() if hasattr(link.module, "run")}
print(json.dumps(shown))
"""

RUN = "default_options = {'a': 1, 'b': 2}\ndef run(uuid, link_name, opts): return [uuid, link_name, opts, VALUE]\n"


def test_what_is_here_is_loaded_and_what_fails_is_an_error_of_its_link(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "own_link.py").write_text("VALUE = 3\n" + RUN)
    (tmp_path / "own_broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    links = mm.load_links(
        {
            "imports": ["json"],
            "links": {
                "good": {"module": "own_link", "options": {"b": 5}},
                "packaged": {"module": "packaging.version", "requirement": "packaging>=20"},
                "other": {"module": "packaging", "requirement": "packaging<1"},
                "broken": {"module": "own_broken"},
                "nowhere": {"module": "own_nowhere.deep"},
            },
        }
    )
    assert links["json"].module is json
    good = links["good"]
    assert good.run("u1") == ["u1", "good", {"a": 1, "b": 5}, 3]
    assert good.run("u2", "x", opts=None) == ["u2", "x", None, 3]
    assert links["packaged"].error is None
    assert isinstance(links["broken"].error, ZeroDivisionError)
    assert isinstance(links["nowhere"].error, ModuleNotFoundError)
    assert isinstance(links["other"].error, mm.errors.RequirementError)
    assert "the link other requires packaging<1, and packaging " in str(links["other"].error)
    with pytest.raises(ZeroDivisionError):
        links["broken"].run("u1")
    with pytest.raises(mm.errors.ConfigurationError, match="cannot run the link json: json has no run; write `def run"):
        links["json"].run("u1")


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (
            {"links": {"a": {"module": "a b"}}},
            'links.a.module is not the name of a module; write module = "package.module"',
        ),
        ({"links": {"a": {"options": 3}}}, "links.a.options is not a table; write options = { … }"),
        ({"imports": {"a": "x --target here"}}, "imports.a.requirement has --target, which is refused: "),
        ({"link": {}}, "link is not a known key; write links"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_loaded(table: dict[str, Any], sentence: str) -> None:
    with pytest.raises(mm.errors.ConfigurationError) as caught:
        mm.load_links(table)
    assert str(caught.value).startswith(f"cannot use the links: {sentence}")


def test_yaml_needs_pyyaml(tmp_path: Path) -> None:
    (tmp_path / "links.yaml").write_text("links: {math: {module: math}}\n")
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore]  # noqa: F401
    except ImportError:
        with pytest.raises(mm.errors.RequirementError, match="PyYAML is not installed; install PyYAML"):
            mm.load_links(tmp_path / "links.yaml")
    else:
        assert mm.load_links(tmp_path / "links.yaml")["math"].error is None


class Desk:
    """A public index, a private one that wants a token, and a private repository."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.public = PackageIndex(world.path / "public")
        self.private = PackageIndex(world.path / "private", token=TOKEN)
        self.repository = Repository(world.path, "internal", {"internal.py": "VALUE = 7\n" + RUN}, token=TOKEN)
        self.repository.tag("v1.0")
        self.public.add(wheel("plain", "1.0", {"plain.py": "VALUE = 5\n" + RUN}), wheel("corp", "99.0"))
        self.private.add(wheel("corp", "1.0", {"corp/__init__.py": "", "corp/links.py": "VALUE = 6\n" + RUN}))
        self.world.extra = {
            **resolvers.settings(world.path, self.public.url),
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GITHUB_TOKEN": TOKEN,
        }

    def with_token(self, url: str) -> str:
        return url.replace("://", "://${GITHUB_TOKEN}@")

    def close(self) -> None:
        for each in (self.public, self.private, self.repository):
            each.close()


@pytest.fixture
def desk(world: World) -> Iterator[Desk]:
    made = Desk(world)
    yield made
    made.close()


@with_uv
def test_links_from_an_index_a_private_index_and_a_repository(desk: Desk) -> None:
    """What is missing is resolved once and kept: the second start asks nobody, and the token is in nothing."""
    git = f"git+{desk.with_token(desk.repository.url)}@v1.0"
    (desk.world.work / "links.json").write_text(
        json.dumps(
            {
                "imports": {"plain": {"pip_name": "plain==1.0"}},
                "links": {
                    "corp": {
                        "module": "corp.links",
                        "pip_name": f"corp --index-url {desk.with_token(desk.private.url)}",
                    },
                    "internal": {"module": "internal", "pip_name": git, "options": {"b": 5}},
                    "lost": {"module": "lost", "requirement": "lost-in-no-index"},
                },
            }
        )
    )
    first = desk.world.run(SHOW, args=["links.json"])
    shown = first.json
    assert shown["run"] == {
        "plain": ["u1", "plain", {"a": 1, "b": 2}, 5],
        "corp": ["u1", "corp", {"a": 1, "b": 2}, 6],
        "internal": ["u1", "internal", {"a": 1, "b": 5}, 7],
    }
    assert shown["internal"][2] == git and shown["lost"][0].startswith("cannot lock: uv failed with status 1; ")
    written = [path for path in desk.world.cache.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert written == [] and TOKEN not in first.stdout + first.stderr

    document = json.loads((desk.world.work / "links.json").read_text())
    del document["links"]["lost"]
    (desk.world.work / "links.json").write_text(json.dumps(document))
    again = desk.world.run(SHOW, args=["links.json"], env={"MAGIC_MODULE_OFFLINE": "1", "GITHUB_TOKEN": TOKEN})
    assert again.json["run"] == shown["run"]


@with_uv
def test_what_a_policy_forbids_is_not_built(desk: Desk) -> None:
    git = f"git+{desk.with_token(desk.repository.url)}@v1.0"
    links = {"links": {"internal": {"pip_name": git}}}
    (desk.world.work / "links.json").write_text(json.dumps(links))
    policy = desk.world.work / "modules.toml"
    named = {"MAGIC_MODULE_REGISTRY": str(policy)}
    policy.write_text('[policy]\ndeny = ["internal"]\n')
    refused = desk.world.run(SHOW, args=["links.json"], env=named).json["internal"][0]
    assert refused.startswith("internal ") and "policy.deny[0]" in refused
    assert not list(desk.world.cache.rglob("*.whl"))
    policy.write_text(f'[policy]\nsources = ["{desk.repository.url}"]\n')
    assert desk.world.run(SHOW, args=["links.json"], env=named).json["run"]["internal"][3] == 7


DOCUMENT = """
imports:
  json:
    module: json
  plain:
    module: plain
    pip_name: plain==1.0
links:
  my_link:
    module: internal
    pip_name: git+{repository}@v1.0
    options:
      b: 5
      currency: EUR
  priced:
    module: corp.links
    pip_name: corp --index-url {private}
"""


@with_uv
def test_the_same_in_yaml(desk: Desk) -> None:
    pytest.importorskip("yaml", reason="NOT TESTED: PyYAML is missing here, which reads links in YAML")
    text = DOCUMENT.format(repository=desk.with_token(desk.repository.url), private=desk.with_token(desk.private.url))
    (desk.world.work / "links.yaml").write_text(text)
    shown = desk.world.run(SHOW, args=["links.yaml"]).json
    assert [shown[name][0] for name in ("json", "plain", "my_link", "priced")] == [None] * 4
    assert shown["run"]["my_link"] == ["u1", "my_link", {"a": 1, "b": 5, "currency": "EUR"}, 7]
    assert shown["run"]["priced"][3] == 6
