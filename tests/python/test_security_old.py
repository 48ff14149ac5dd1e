"""Manifests that are older than they should be, and versions that were taken back."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from kit.preload import an_hour_later_once
from kit.world import World
from test_security_signing import command, keygen

pytestmark = pytest.mark.once

SHOW = """
    import json, sys, warnings, magic_module
    from magic_module.errors import MagicModuleError
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        magic_module.mount("acme", {url!r}, max_age={max_age!r}, public_key={key!r}, pins={pins!r})
        try:
            for act in {acts!r}:
                exec(act)
            import acme
            answer = [acme.alpha.VALUE] if "acme.alpha" in sys.modules else []
        except MagicModuleError as error:
            answer = error.to_dict()
    print(json.dumps([answer, [[w.category.__name__, str(w.message), w.filename] for w in seen]]))
"""


def show(
    world: World,
    url: str,
    *acts: str,
    max_age: str = "warn",
    key: str | None = None,
    pins: dict[str, str] | None = None,
    **environment: str,
) -> tuple[Any, list[list[str]]]:
    """What a fresh process gets, and its warnings."""
    script = SHOW.format(url=url, max_age=max_age, key=key, pins=pins, acts=acts or ("import acme.alpha",))
    answer, seen = world.run(script, env=environment).json
    return answer, seen


def sources(value: int, extra: str = "") -> dict[str, str]:
    return {"alpha.py": f"VALUE = {value}\n__version__ = '{value}'", "magic-module.toml": extra}


@pytest.fixture
def an_hour_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is published has been there for an hour."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(time.time()) - 3600))


@pytest.mark.usefixtures("an_hour_ago")
@pytest.mark.parametrize("signed", [False, True])
def test_a_manifest_that_is_too_old_warns_once(world: World, signed: bool) -> None:
    secret, key = keygen(world, "own") if signed else (None, None)
    url = world.serve().manifest_url
    world.publish(sources(1, "max_age = 60") | {"beta.py": ""}, "acme", sign=[secret] if secret else [])
    answer, seen = show(world, url, "import acme.alpha", "import acme.beta", "acme.alpha._upgrade()", key=key)
    assert answer == [1]
    assert [category for category, _, _ in seen] == ["OldManifestWarning"]
    assert seen[0][1].endswith("ask the author to publish again, and check this machine's clock")
    assert seen[0][2] == "<string>", "the warning points at the line that imports"
    assert show(world, url, key=key) == ([1], []), "what is in the cache loads without a word"


@pytest.mark.usefixtures("an_hour_ago")
def test_a_manifest_that_is_too_old_fails_where_the_mount_says_so(world: World) -> None:
    server = world.serve()
    world.publish(sources(1, "max_age = 60"), "acme")
    answer, seen = show(world, server.manifest_url, max_age="fail")
    assert (answer["type"], answer["path"], seen) == ("PolicyError", "max_age", [])
    assert show(world, server.manifest_url)[0] == [1]
    for act in ("acme.alpha._upgrade()", "magic_module.upgrade('acme.alpha')"):
        answer, _ = show(world, server.manifest_url, "import acme.alpha", act, max_age="fail")
        assert answer["type"] == "PolicyError", act
    server.stop()
    assert show(world, server.manifest_url, max_age="fail") == ([1], []), "the cache always loads"


def test_an_old_manifest_is_asked_about_before_it_decides(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    server = world.serve()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(time.time()) - 3600))
    world.publish(sources(1, "max_age = 60") | {"beta.py": ""}, "acme")
    assert show(world, server.manifest_url, "import acme.beta")[1] != []
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    world.publish(sources(2, "max_age = 3600") | {"beta.py": ""}, "acme")
    server.take()
    assert show(world, server.manifest_url, max_age="fail") == ([2], [])
    assert server.paths().count("/manifest.json") == 1
    assert show(world, server.manifest_url, "import acme.beta", max_age="fail") == ([], [])
    assert server.paths() == []


def test_max_age_is_one_of_two_words(world: World) -> None:
    script = "import magic_module\nmagic_module.mount('acme', 'file:///nowhere', max_age='ignore')"
    assert "ValueError: max_age must be 'warn' or 'fail'" in world.run(script, status=1).stderr


def test_a_version_that_was_taken_back_is_not_fetched(world: World) -> None:
    url = world.serve().manifest_url
    world.publish(sources(1), "acme")
    world.publish(sources(2, '[alpha]\nyanked = "computes wrong sums"'), "acme")
    for pins in (None, {"alpha": "2"}):
        answer, _ = show(world, url, pins=pins)
        assert (answer["type"], answer["got"], answer["expected"]) == ("PolicyError", "2", "1")
        assert "computes wrong sums" in answer["message"]
        assert 'pins={"alpha": "1"}' in answer["hint"]
    assert show(world, url, pins={"alpha": "1"}) == ([1], [])


def test_without_a_good_version_the_author_is_asked(world: World) -> None:
    url = world.serve().manifest_url
    world.publish(sources(1, '[alpha]\nyanked = " "'), "acme")
    answer, _ = show(world, url)
    assert answer["type"] == "PolicyError"
    assert "no reason was given; ask the author for a good version" in answer["message"]


def test_a_version_that_was_taken_back_warns_and_an_upgrade_moves_on(world: World) -> None:
    server = world.serve()
    url = server.manifest_url
    world.publish(sources(1), "acme")
    world.publish(sources(2), "acme")
    assert show(world, url) == ([2], [])
    world.publish(sources(2, '[alpha]\nyanked = "computes wrong sums"') | {"beta.py": ""}, "acme")
    assert show(world, url) == ([2], []), "nobody has asked since"
    show(world, url, "import acme.beta")
    told = [command(world, *words, "--manifest-url", url, "--namespace", "acme", "--json").stdout
            for words in (("info", "acme.alpha"), ("list",))]  # fmt: skip
    assert json.loads(told[0])["yanked"] == "computes wrong sums"
    assert [unit["yanked"] for unit in json.loads(told[1])["modules"]] == ["computes wrong sums", None]
    shown = command(world, "list", "--manifest-url", url, "--namespace", "acme").stdout
    assert "acme.alpha 2 was taken back: computes wrong sums" in shown
    answer, seen = show(world, url, "import acme.alpha", "import acme.beta")
    assert answer == [2]
    assert [category for category, _, _ in seen] == ["YankedWarning"]
    assert "computes wrong sums; run `magic-module upgrade acme.alpha`" in seen[0][1]
    server.stop()
    assert show(world, url)[0] == [2], "pinned or not, what is cached loads offline"
    assert show(world, url, pins={"alpha": "2"}, MAGIC_MODULE_OFFLINE="1")[0] == [2]
    server.start()
    moved = command(world, "upgrade", "acme.alpha", "--manifest-url", url, "--namespace", "acme")
    assert "acme.alpha 2 → 1" in moved.stdout
    assert show(world, url) == ([1], [])
    world.publish(sources(3) | {"beta.py": ""}, "acme")
    assert show(world, url, "import acme.alpha", "acme.alpha._upgrade()")[0] == [3]


def test_a_process_asks_again_once_its_manifest_has_expired(world: World) -> None:
    server = world.serve()
    world.publish(sources(1, "max_age = 1800") | {"beta.py": "", "gamma.py": ""}, "acme")
    later = world.path / "later"
    started = world.start(
        f"""
        import sys, magic_module
        magic_module.mount("acme", {server.manifest_url!r}, max_age="fail")
        import acme.alpha
        print("imported", flush=True)
        sys.stdin.readline()
        import acme.beta
        print("imported")
        """,
        env=an_hour_later_once(world.path, later),
        input=True,
    )
    assert world.line(started) == "imported"
    world.publish(sources(1, "max_age = 36000") | {"beta.py": "", "gamma.py": "", "delta.py": ""}, "acme")
    server.take()
    later.touch()
    world.say(started)
    result = world.finish(started)
    assert result.stdout.split() == ["imported"], result.stderr
    assert server.paths().count("/manifest.json") == 1
