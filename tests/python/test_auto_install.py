"""`MAGIC_MODULE_AUTO_INSTALL`: names that nothing provides are brought, or refused, and who is asked."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from kit import process, resolvers
from kit.package_index import PackageIndex
from kit.resolvers import with_uv
from kit.wheels import wheel
from kit.world import World

pytestmark = pytest.mark.once

TRY = """
import importlib, json, sys
import magic_module._py.start
import magic_module as mm
{before}
told = {{}}
for name in {names!r}:
    try:
        importlib.import_module(name)
        told[name] = "imported"
    except ImportError as error:
        told[name] = [type(error).__name__, " ".join([str(error), *getattr(error, "__notes__", ())])]
print(json.dumps(told))
"""


MODULES = """
[modules.tabulate]
version = "0.9"
[modules.own-lib]
requirement = "own-lib>=1"
[names]
own_name = "own-lib"
"""


class Desk:
    """A registry that approves `tabulate`, an index, and a script."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.index = PackageIndex(world.path / "index").add(
            wheel("tabulate", "0.9", {"tabulate.py": "VERSION = 9"}),
            wheel("python-dotenv", "2.0", {"dotenv.py": ""}),
            wheel("beautifulsoup4", "4.0", {"bs4.py": ""}, requires=["tabulate>=1"]),
            wheel("own-lib", "1.0", {"own_name.py": ""}),
            wheel("termcolor", "2.0", {"termcolor.py": ""}),
        )
        self.registry = world.work / "modules.toml"
        self.registry.write_text(MODULES)
        world.extra = {
            **resolvers.settings(world.path, self.index.url),
            "MAGIC_MODULE_REGISTRY": str(self.registry),
            "XDG_DATA_HOME": str(world.path / "data"),
        }

    def lock(self) -> None:
        self.world.run(None, flags=("-m", "magic_module", "registry"), args=("lock",))

    def run(self, mode: str, *names: str, before: str = "", **env: str) -> process.Result:
        program = TRY.format(before=textwrap.dedent(before), names=names)
        return self.world.run(program, env={"MAGIC_MODULE_AUTO_INSTALL": mode, **env})

    def lines(self) -> list[Mapping[str, Any]]:
        text = (self.world.path / "data" / "magic_module" / "journal" / "audit.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def desk(world: World) -> Iterator[Desk]:
    made = Desk(world)
    yield made
    made.index.close()


@with_uv
def test_the_registry_is_brought_and_the_rest_is_refused(desk: Desk) -> None:
    without = desk.run("registry", "tabulate")
    assert without.stderr == (f"magic-module: {desk.registry} has no lock; run magic-module registry lock\n")
    assert without.json["tabulate"][0] == "ConfigurationError"
    desk.lock()
    told = desk.run("registry", "tabulate", "own_name", "dotenv", "nunpy", "qqq_nobody").json
    assert (told["tabulate"], told["own_name"]) == ("imported", "imported"), told
    kind, text = told["dotenv"]
    assert kind == "PolicyError"
    assert text == (
        f"`import dotenv` is refused: python-dotenv is not among the [modules] of {desk.registry}; "
        f"ask whoever keeps {desk.registry} to add [modules.python-dotenv] and to run `magic-module registry lock`"
    )
    assert told["nunpy"][0] == told["qqq_nobody"][0] == "ModuleNotFoundError"
    assert "did you mean numpy?" in told["nunpy"][1]
    assert "qqq-nobody may have it, judging by the name alone, but nobody approved that" in told["qqq_nobody"][1]
    lines = [(line["decision"], line["import"], line["rule"]) for line in desk.lines()]
    assert ("allowed", "tabulate", "policy.default") in lines
    assert ("refused", "dotenv", "modules") in lines
    assert ("refused", "nunpy", "MAGIC_MODULE_AUTO_INSTALL") in lines
    # A second start reads what was found out at the first.
    loaded = "assert 'magic_module._py.registry.registry' not in sys.modules"
    assert desk.run("registry", "tabulate", before=loaded).json == {"tabulate": "imported"}
    desk.registry.write_text(desk.registry.read_text() + "[modules.python-dotenv]\nversion = '2.0'\n")
    stale = desk.run("registry", "dotenv")
    assert "does not match its lock; run magic-module registry lock" in stale.stderr
    assert stale.json["dotenv"][0] == "ConfigurationError"


@with_uv
def test_somebody_is_asked_and_what_they_allow_is_resolved(desk: Desk) -> None:
    alone = desk.run("ask", "tabulate").json["tabulate"]
    assert alone[0] == "PolicyError" and "nobody can be asked here; run it in a terminal" in alone[1]
    asking = """
        asked = []
        def answer(request):
            asked.append(request)
            return "deny" if request.distribution == "python-dotenv" else "once"
        mm.on_request(answer)
    """
    names = ("tabulate", "dotenv", "bs4", "own_name", "numpyy", "tabulate")
    told = desk.run("ask", *names, before=asking).json
    assert (told["tabulate"], told["own_name"]) == ("imported", "imported"), told
    assert told["dotenv"][0] == "PolicyError" and "the person who was asked said no" in told["dotenv"][1]
    kind, text = told["bs4"]
    assert kind == "RequirementError" and text.startswith("cannot fetch beautifulsoup4 for `import bs4`: Because "), (
        text
    )
    assert "tabulate>=1" in text
    assert told["numpyy"][0] == "ModuleNotFoundError"
    decisions = [(line["decision"], line["import"]) for line in desk.lines() if "import" in line]
    assert ("failed", "bs4") in decisions and ("refused", "dotenv") in decisions
    desk.index.server.stop()
    down = desk.run("ask", "tabulate", "jwt", before=asking, UV_HTTP_RETRIES="0").json
    assert down["tabulate"] == "imported", "what was resolved once is kept"
    kind, text = down["jwt"]
    assert kind == "FetchError" and "check the network, and the index that uv or pip are set to" in text, text


@with_uv
def test_a_policy_decides_before_anybody_is_asked(desk: Desk) -> None:
    policy = "[policy]\ndefault = 'ask'\nallow = ['termcolor>=2']\ndeny = ['python-dotenv']\n"
    desk.registry.write_text(desk.registry.read_text() + policy)
    told = desk.run("ask", "termcolor", "dotenv", before="mm.on_request(lambda request: 1 / 0)").json
    assert told["termcolor"] == "imported"
    assert told["dotenv"][0] == "PolicyError" and f"policy.deny[0] of {desk.registry} is" in told["dotenv"][1]


def test_only_the_users_own_files_ask(desk: Desk) -> None:
    package = desk.world.path / "lib" / "site-packages"
    package.mkdir(parents=True)
    polite = "try:\n    import dotenv\nexcept ModuleNotFoundError as error:\n    WHY = str(error)\n"
    (package / "polite.py").write_text(polite)
    before = f"""
        sys.path.append({str(package)!r})
        asked = []
        mm.on_request(asked.append)
        import importlib.util, polite
        assert polite.WHY == "No module named 'dotenv'", polite.WHY
        assert importlib.util.find_spec("dotenv") is None
        assert not asked
    """
    assert desk.run("ask", "polite", before=before).json == {"polite": "imported"}


def test_a_registry_has_to_be_named(desk: Desk) -> None:
    said = desk.run("registry", "json", MAGIC_MODULE_REGISTRY="").stderr
    assert "MAGIC_MODULE_AUTO_INSTALL=registry needs a registry, but none is named;" in said
    wrong = desk.run("yes", "json")
    assert "MAGIC_MODULE_AUTO_INSTALL must be registry, ask or off" in wrong.stderr
