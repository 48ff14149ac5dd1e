"""`[policy]`: what an administrator lets be fetched, who is asked, and what is written down of it."""

from __future__ import annotations

import io
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kit.interpreter import Interpreter
from kit.locks import Lock
from kit.wheels import wheel
from kit.world import World
from magic_module._py import asking

pytestmark = pytest.mark.once


class Place:
    """A lock with `alpha`, which requires `beta`, and `gamma`; a registry with a policy; a home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = Lock(
            folder / "project",
            [
                wheel("alpha", "1.0", {"alpha.py": "import beta\nVALUE = beta.VALUE"}, requires=["beta"]),
                wheel("beta", "2.0", {"beta.py": "VALUE = 2"}),
                wheel("gamma", "3.0", {"gamma.py": "VALUE = 3"}),
            ],
        )
        self.registry = folder / "modules.toml"
        self.journal = folder / "home" / ".local" / "share" / "magic_module" / "journal" / "audit.jsonl"

    def python(self, policy: str, cache: str = "cache", **settings: str) -> Interpreter:
        self.registry.write_text(policy)
        settings = {"MAGIC_MODULE_REGISTRY": str(self.registry), **settings}
        python = Interpreter(self.folder / cache, settings=settings)
        python.do(f"import magic_module as mm; mm.mount_lock({str(self.lock.path)!r})")
        return python

    def lines(self) -> list[Mapping[str, Any]]:
        return [json.loads(line) for line in self.journal.read_text().splitlines()]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_the_policy_says_holds_for_every_way_to_fetch(place: Place) -> None:
    rows = [
        ("default = 'allow'\ndeny = ['gamma<4']", "gamma", 'policy.deny[0] of {file} is "gamma<4"'),
        ("allow = ['alpha']", "gamma", "policy.allow of {file} does not list it"),
        ("deny = ['beta']", "alpha", 'policy.deny[0] of {file} is "beta"'),
        ("max_size = 10", "gamma", "gamma-3.0-py3-none-any.whl has {size} bytes, but policy.max_size of {file} is 10"),
        ("default = 'ask'", "gamma", "policy.default of {file} says to ask, but nobody can be asked here"),
    ]
    for at, (policy, name, why) in enumerate(rows):
        size = len(place.lock.wheels["gamma"].data)
        why = why.format(file=place.registry, size=size)
        acts = (f"import {name}", f"mm.prefetch({name!r})") if at == 0 else (f"import {name}",)
        with place.python(f"[policy]\n{policy}") as python:
            for act in acts:
                failure = python.fail(act)
                assert failure.kinds[:3] == ["PolicyError", "MagicModuleError", "ImportError"], policy
                assert f": {why}; " in failure.sentence, policy
            refused = place.lines()[-1]
            assert refused["decision"] == "refused" and refused["error"].endswith(f"may not be fetched: {why}"), policy


def test_what_is_allowed_brings_what_it_requires_and_is_written_down(place: Place) -> None:
    with place.python("[policy]\nallow = ['ALPHA>=1']") as python:
        assert python.do("import alpha; result = alpha.VALUE") == 2
        python.fail("import gamma")
    lines = place.lines()
    told = [(line["decision"], line["distribution"], line["version"], line["rule"]) for line in lines]
    assert told == [
        ("allowed", "alpha", "1.0", "policy.allow[0]"),
        ("allowed", "beta", "2.0", "required by alpha"),
        ("refused", "gamma", "3.0", "policy.default"),
    ]
    assert [line["import"] for line in lines] == ["alpha", "alpha", "gamma"]
    assert lines[0]["importer"] == "<step>"
    assert lines[0]["sha256"] == place.lock.wheels["alpha"].sha256
    assert lines[0]["bytes"] == len(place.lock.wheels["alpha"].data)
    assert lines[0]["source"].endswith("/wheels/alpha-1.0-py3-none-any.whl")
    assert stat.S_IMODE(place.journal.stat().st_mode) == 0o600
    with place.python("[policy]\ndeny = ['alpha']") as python:
        assert python.do("import alpha; result = alpha.VALUE") == 2, "what is in the cache is not asked about"
    assert place.lines() == lines


def test_units_of_a_manifest_are_judged_too(world: World) -> None:
    server = world.serve()
    world.publish({"alpha.py": "VALUE = 1\n__version__ = '1'", "beta.py": ""}, "acme")
    registry = world.path / "modules.toml"
    registry.write_text("[policy]\ndeny = ['acme.alpha>=2', 'acme.beta']")
    settings = {"MAGIC_MODULE_REGISTRY": str(registry)}
    with Interpreter(world.cache, settings=settings) as python:
        python.do(f"import magic_module as mm; mm.mount('acme', {server.manifest_url!r})")
        assert python.do("import acme.alpha; result = acme.alpha.VALUE") == 1
        for act in ("import acme.beta", "mm.prefetch('acme.beta')"):
            failure = python.fail(act)
            assert failure.kind == "PolicyError" and "acme.beta 0" in failure.sentence, failure
        world.publish({"alpha.py": "VALUE = 2\n__version__ = '2'", "beta.py": ""}, "acme")
        failure = python.fail("mm.upgrade('acme.alpha')")
        assert failure.kind == "PolicyError" and "acme.alpha 2 may not be fetched" in failure.sentence
        assert python.do("result = acme.alpha.VALUE") == 1


def test_who_is_asked(place: Place) -> None:
    with place.python("[policy]\ndefault = 'ask'") as python:
        python.do("asked = []\ndef no(request): asked.append(request); return 'deny'\nmm.on_request(no)")
        for _ in range(2):
            assert "the person who was asked said no" in python.fail("import alpha").sentence
        python.do("result = None; import dataclasses")
        asked = python.do("result = [dataclasses.asdict(request) for request in asked]")
        assert len(asked) == 1, "who says no is not asked twice"
        size = sum(len(place.lock.wheels[name].data) for name in ("alpha", "beta"))
        expected = {"import_name": "alpha", "distribution": "alpha", "version": "1.0", "size": size}
        expected |= {"requires": ["beta"], "importer": "<step>", "rule": "policy.default"}
        assert {key: asked[0][key] for key in expected} == expected
        failure = python.fail("mm.on_request(lambda request: 'yes'); import alpha")
        assert (failure.kind, "'once', 'always' or 'deny', not 'yes'" in failure.sentence) == ("ValueError", True)
        assert python.fail("mm.on_request(lambda request: 1 / 0); import alpha").kind == "ZeroDivisionError"
        assert python.do("mm.on_request(lambda request: 'once'); import alpha; result = alpha.VALUE") == 2
        assert python.fail("mm.on_request(1)").kind == "TypeError"
    assert [line["rule"] for line in place.lines()[-2:]] == ["on_request", "required by alpha"]


def test_a_policy_that_cannot_be_read_allows_nothing(place: Place) -> None:
    with place.python("") as python:
        python.do("import beta")
    place.registry.write_text("[policy]\nalow = ['alpha']")
    settings = {"MAGIC_MODULE_REGISTRY": str(place.registry)}
    with Interpreter(place.folder / "cache", settings=settings) as python:
        python.do(f"import magic_module as mm; mm.mount_lock({str(place.lock.path)!r}); import beta")
        failure = python.fail("import alpha")
    assert failure.kind == "ConfigurationError"
    assert "policy has no key alow: did you mean allow?; correct that file" in failure.sentence


def test_sources_and_offline_are_asked_before_a_server_is(place: Place) -> None:
    place.lock = Lock(place.folder / "far", [wheel("far", "1.0", {"far.py": ""})], url="http://127.0.0.1:9/wheels")
    refusing = f"mm.mount_lock({str(place.lock.path)!r})"
    for policy, kind, why in [
        ("sources = ['files.example.com']", "PolicyError", "does not list http://127.0.0.1:9/wheels/far"),
        ("offline = true", "OfflineError", "`offline` of [policy] forbids asking"),
    ]:
        place.registry.write_text(f"[policy]\n{policy}")
        settings = {"MAGIC_MODULE_REGISTRY": str(place.registry)}
        with Interpreter(place.folder / "cache", settings=settings) as python:
            python.do("import magic_module as mm")
            failure = python.fail(refusing)
        assert failure.kind == kind and why in failure.sentence, failure


@pytest.mark.skipif(os.name == "nt", reason="a folder stands in the way elsewhere")
def test_an_audit_log_that_cannot_be_written(place: Place) -> None:
    place.journal.parent.parent.mkdir(parents=True)
    place.journal.parent.write_text("in the way")
    with place.python("[policy]\naudit = 'required'", "one") as python:
        failure = python.fail("import alpha")
    assert failure.kind == "PolicyError" and "cannot write the audit log" in failure.sentence
    with place.python("[policy]\naudit = 'best'", "other") as python:
        assert python.do("import alpha; result = alpha.VALUE") == 2


def test_without_a_policy_nothing_is_written(place: Place) -> None:
    with place.python("[modules]") as python:
        assert python.do("import alpha; result = alpha.VALUE") == 2
    assert not place.journal.exists()


def test_what_was_allowed_and_did_not_come_is_written_down(place: Place) -> None:
    with place.python("[policy]\nmax_total = '1G'") as python:
        (place.lock.folder / "wheels" / "gamma-3.0-py3-none-any.whl").unlink()
        python.fail("import gamma")
    assert [line["decision"] for line in place.lines()] == ["allowed", "failed"]


@pytest.mark.parametrize(("typed", "verdict"), [("y\n", "once"), ("ALWAYS\n", "always"), ("\n", "deny"), ("", "deny")])
def test_a_terminal_is_asked(monkeypatch: pytest.MonkeyPatch, typed: str, verdict: str) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    monkeypatch.setattr("sys.stderr", screen)
    wanted = asking.request(
        "al\x1b[2Jpha", "alpha", "1.0", "https://h/a.whl", 2048, ["beta"], "/x.py", None, "policy.default"
    )
    assert asking.ask(None, wanted) == verdict
    assert screen.getvalue() == (
        "magic-module: fetch alpha 1.0 (2.0 KiB, from https://h/a.whl, with beta, "
        "for `import al\\u{1b}[2Jpha`, in /x.py)? "
        "[y]es, [a]lways in this process, [N]o "
    )
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert asking.ask(None, wanted) is None, "there is nobody"
