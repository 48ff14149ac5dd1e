"""Secrets that must be nowhere: each scenario is grepped whole, and so is everything that it leaves on disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from kit.canaries import CANARIES, SHOW, Canaries, basic, find
from origins import Fault, Origin, Reply, faults

pytestmark = pytest.mark.once

COMMANDS = [
    ("list",),
    ("info", "magic_module.alpha"),
    ("fetch", "magic_module.alpha"),
    ("fetch", "magic_module.beta==9"),
    ("upgrade",),
    ("rollback", "magic_module.alpha"),
    ("verify",),
    ("prune",),
    ("cache",),
    ("doctor",),
    ("pin",),
]


def test_the_search_finds_what_it_is_for() -> None:
    login = quote(CANARIES["login"], safe="")
    for text in (*CANARIES.values(), login, basic("login", "password"), CANARIES["query"].upper()):
        with pytest.raises(AssertionError, match="is in here"):
            find("here", f"x{text}y".encode())
    find("here", b"a canary, but none of these")


def test_everything_works_and_tells_nothing(canaries: Canaries) -> None:
    result = canaries.show()
    assert "VALUE" in canaries.show("import magic_module.alpha as a; print(vars(a).keys())").stdout
    assert result.stdout.count("event") > 5
    assert ("process" in result.stdout) == Path("/proc/self/task").exists()
    assert canaries.asked("authorization") == {basic("login", "password")}, "the canaries were not even used"
    assert all("referer" not in request.headers for request in canaries.origin.requests)


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_no_command_tells_them(canaries: Canaries, form: tuple[str, ...]) -> None:
    for command in COMMANDS:
        result = canaries.command(*command, *form)
        refused = command == ("fetch", "magic_module.beta==9")
        assert result.status == int(refused)
        assert bool(result.stdout) != (refused and not form), "an error is an answer in JSON only"
    canaries.origin.stop()
    for command in COMMANDS:
        canaries.command(*command, *form)
        canaries.command(*command, *form, MAGIC_MODULE_OFFLINE="1")


#: Everything but the manifest.
ARTIFACTS = "/[!m]*"
FAULTS = [
    faults.not_found,
    faults.forbidden,
    faults.server_error,
    faults.too_many_requests,
    faults.truncated,
    faults.reset_at_once,
    faults.redirect_loop,
    faults.redirect_to_plain_http,
    faults.not_utf_8,
]


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        *(("/manifest.json*", fault) for fault in FAULTS),
        *((ARTIFACTS, fault) for fault in (*FAULTS, faults.wrong_bytes, faults.wrong_length)),
    ],
)
def test_no_failure_tells_them(canaries: Canaries, pattern: str, fault: Fault) -> None:
    canaries.origin.fail(pattern, fault)
    result = canaries.show("attempt(lambda: __import__('magic_module.alpha'))")
    assert "Error" in result.stdout
    canaries.command("doctor")


def test_nobody_who_is_redirected_to_is_told(canaries: Canaries, monkeypatch: pytest.MonkeyPatch) -> None:
    query: list[str] = []
    answer = Origin.answer
    monkeypatch.setattr(Origin, "answer", lambda self, handler: (query.append(handler.path), answer(self, handler))[1])

    def elsewhere(reply: Reply) -> None:
        base = f"http://localhost:{canaries.elsewhere.port}{reply.request.path}"
        location = f"{base}?signature={CANARIES['location']}"
        reply.whole(302, headers={"Location": location, "Set-Cookie": f"session={CANARIES['cookie']}"})

    canaries.origin.fail("*", elsewhere)
    canaries.show()
    assert canaries.elsewhere.requests
    for request in canaries.elsewhere.requests:
        find("a redirected request", repr((request.path, dict(request.headers))).encode())
    assert {urlsplit(path).query for path in query} == {
        f"token={CANARIES['query']}",
        f"signature={CANARIES['location']}",
        "",
    }


def test_a_manifest_that_names_secrets_is_refused_without_them(canaries: Canaries, tmp_path: Path) -> None:
    site = tmp_path / "site"
    manifest = site / "manifest.json"
    good = manifest.read_text()
    for url in (
        f"ftp://{CANARIES['query']}:{CANARIES['query']}@127.0.0.1/a?{CANARIES['query']}",
        f"file:///etc/a?{CANARIES['query']}",
        f"https://{CANARIES['query']}@[/a",
        f"http://{CANARIES['query']}:x@192.0.2.1/a?{CANARIES['query']}",
    ):
        manifest.write_text(
            good.replace('"url":"files/', f'"url":"{url}', 1).replace('"url": "files/', f'"url": "{url}', 1)
        )
        assert manifest.read_text() != good
        shutil.rmtree(canaries.world.cache, ignore_errors=True)
        result = canaries.world.run(
            SHOW + "attempt(lambda: __import__('magic_module.alpha'))", env=canaries.environment, status=None
        )
        find("stdout", result.stdout.encode())
        find("stderr", result.stderr.encode())
