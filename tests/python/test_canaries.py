"""Secrets that must be nowhere: each scenario is grepped whole, and so is everything that it leaves on disk."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from kit.process import Result
from kit.world import World
from origins import Fault, Origin, Reply, faults

#: By where it stands. The blanks and colons make every way of writing it a different text.
CANARIES = {
    "login": "canary-l:ogin",
    "password": "canary-p@ss w",
    "query": "canary-query",
    "netrc": "canary-netrc",
    "proxy": "canary-proxy",
    "location": "canary-location",
    "cookie": "canary-cookie",
    "key": "canary-key",
}

#: What runs in the process under test. Everything that it can show, it prints.
SHOW = """
    import faulthandler, gc, logging, os, pathlib, pickle, sys, traceback
    import magic_module as mm
    logging.basicConfig(level=0)
    mm.on_event(lambda event: print("event", event))
    sys.addaudithook(lambda event, args: print("audit", event, args) if event.startswith("magic_module") else None)

    def shown(value):
        print(repr(value), str(value), format(value))
        for name in dir(value):
            if not name.startswith("__") or name == "__dict__":
                print(name, getattr(value, name))

    def children():
        for task in pathlib.Path("/proc/self/task").glob("*/children"):
            for pid in [*task.read_text().split(), os.getpid()]:
                print("process", pathlib.Path(f"/proc/{pid}/cmdline").read_bytes())
        for task in pathlib.Path("/proc/self/task").glob("*/comm"):
            print("thread", task.read_text())

    def attempt(act):
        try:
            shown(act())
        except Exception as error:
            shown(error)
            shown(pickle.loads(pickle.dumps(error)))
            print(pickle.dumps(error))
            print(*traceback.format_exception(error))
            logging.exception("it failed")
        children()
    """

IMPORT = """
    import importlib, os
    attempt(lambda: importlib.import_module("magic_module.alpha"))
    attempt(lambda: importlib.import_module("magic_module.alpha").__spec__)
    attempt(lambda: mm.info("magic_module.alpha"))
    attempt(mm.available)
    attempt(lambda: mm.data_path("magic_module.alpha", "alpha/data.bin"))
    attempt(lambda: mm.prefetch("magic_module.beta"))
    attempt(lambda: mm.prefetch("magic_module.no_such_unit"))
    attempt(lambda: mm.upgrade())
    attempt(lambda: importlib.import_module("magic_module.alpha")._upgrade(force=True))
    attempt(lambda: mm.rollback("magic_module.alpha"))
    attempt(mm.verify)
    attempt(mm.prune)
    attempt(lambda: mm.mount("acme", os.environ["MAGIC_MODULE_MANIFEST_URL"]))
    attempt(lambda: importlib.import_module("acme.gamma"))
    attempt(lambda: mm.mount("acme", os.environ["MAGIC_MODULE_MANIFEST_URL"], pins={"a": "1"}))
    attempt(lambda: mm.mount("other", "ftp" + os.environ["MAGIC_MODULE_MANIFEST_URL"][4:]))
    attempt(lambda: mm.mount("other", os.environ["MAGIC_MODULE_MANIFEST_URL"].replace("127.0.0.1", "192.0.2.1")))
    attempt(lambda: mm.mount("other", os.environ["MAGIC_MODULE_MANIFEST_URL"].replace("127.0.0.1", "[")))
    """

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


class Canaries:
    """A world whose every secret is a canary."""

    def __init__(self, world: World, origin: Origin, elsewhere: Origin) -> None:
        self.world = world
        self.origin = origin
        self.elsewhere = elsewhere
        login, password = (quote(CANARIES[name], safe="") for name in ("login", "password"))
        self.url = f"http://{login}:{password}@127.0.0.1:{origin.port}/manifest.json?token={CANARIES['query']}"
        # The manifest's own machine has its login in the URL; this one is asked after it.
        netrc = f"machine localhost login {CANARIES['netrc']} password {CANARIES['netrc']}\n"
        (world.home / ".netrc").write_text(f"{netrc}default login {CANARIES['netrc']} password {CANARIES['netrc']}\n")
        self.environment: dict[str, str | None] = {
            "MAGIC_MODULE_MANIFEST_URL": self.url,
            "MAGIC_MODULE_PROGRESS": "json",
            "HTTPS_PROXY": f"http://{CANARIES['proxy']}:{CANARIES['proxy']}@127.0.0.1:9",
            "RUST_LOG": "trace",
            "RUST_BACKTRACE": "1",
        }

    def show(self, script: str = IMPORT, **extra: str | None) -> Result:
        return self.check(self.world.run(SHOW + script, env={**self.environment, **extra}, status=None))

    def command(self, *words: str, **extra: str | None) -> Result:
        env = {**self.environment, **extra}
        args = ["-m", "magic_module", *words]
        return self.check(self.world.run(None, args=args, env=env, status=None))

    def check(self, result: Result) -> Result:
        """Nothing that was printed and no file that was written holds a canary."""
        find("stdout", result.stdout.encode())
        find("stderr", result.stderr.encode())
        for folder in (self.world.cache, self.world.home, self.world.work):
            for path in folder.rglob("*"):
                find("a name", str(path.relative_to(folder)).encode())
                if path.is_file() and path.name != ".netrc":
                    find(str(path), path.read_bytes())
        return result


def find(where: str, data: bytes) -> None:
    """Fails if `data` holds a canary in any way of writing it."""
    lower = data.lower()
    for name, canary in CANARIES.items():
        assert written(canary) and not [way for way in written(canary) if way in lower], f"{name} is in {where}"


def written(canary: str) -> list[bytes]:
    plain = canary.encode()
    # Whatever precedes it, one of three alignments is the one of a base64 text; its ends depend on the neighbours.
    encoded = [base64.b64encode(b" " * pad + plain)[2 + pad : -4] for pad in range(3)]
    return [way.lower() for way in (plain, quote(canary, safe="").encode(), plain.hex().encode(), *encoded)]


@pytest.fixture
def canaries(world: World) -> Iterator[Canaries]:
    data = bytes(range(256)) * 512
    world.publish({"alpha/__init__.py": "VALUE = 1\n", "alpha/data.bin": data, "beta.py": "VALUE = 2\n"})
    with Origin(world.path / "site") as origin, Origin(world.path / "site") as elsewhere:
        yield Canaries(world, origin, elsewhere)


def test_the_search_finds_what_it_is_for() -> None:
    login = f"Basic {base64.b64encode((CANARIES['login'] + ':' + CANARIES['password']).encode()).decode()}"
    for text in (*CANARIES.values(), quote(CANARIES["login"], safe=""), login, CANARIES["query"].upper()):
        with pytest.raises(AssertionError, match="is in here"):
            find("here", f"x{text}y".encode())
    find("here", b"a canary, but none of these")


def test_everything_works_and_tells_nothing(canaries: Canaries) -> None:
    result = canaries.show()
    assert "VALUE" in canaries.show("import magic_module.alpha as a; print(vars(a).keys())").stdout
    assert result.stdout.count("event") > 5
    assert "process" in result.stdout or not Path("/proc/self/task").exists()
    expected = base64.b64encode(f"{CANARIES['login']}:{CANARIES['password']}".encode()).decode()
    asked = {request.headers.get("authorization") for request in canaries.origin.requests}
    assert asked == {f"Basic {expected}"}, "the canaries were not even used"
    assert all("referer" not in request.headers for request in canaries.origin.requests)


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_no_command_tells_them(canaries: Canaries, form: tuple[str, ...]) -> None:
    for command in COMMANDS:
        result = canaries.command(*command, *form)
        assert result.stdout or result.stderr
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
