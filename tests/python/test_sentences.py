"""What servers, manifests and callers write may be of any length and hold anything: what is shown of it may not."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kit.site import Site
from kit.tls import Authority
from kit.world import World
from magic_module import errors

pytestmark = pytest.mark.once

#: The longest sentence, in bytes.
SENTENCE = 2000

FAIL = """
    import json, os, sys, warnings
    import magic_module as mm
    shown = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            exec(os.environ["STEP"])
        except mm.errors.MagicModuleError as error:
            shown += [error.to_dict()]
    print(json.dumps([*shown, *[{"message": str(warning.message)} for warning in caught]]))
    """


def shown(world: World, url: str, step: str = "import magic_module.alpha") -> list[dict[str, Any]]:
    """Every error and warning of `step`; none of it is longer than people read, or speaks to a terminal."""
    result = world.run(FAIL, env={"MAGIC_MODULE_MANIFEST_URL": url, "STEP": step}, warnings=False)
    found: list[dict[str, Any]] = result.json
    for one in found:
        texts = [*one.values(), *one.get("causes", ())]
        for text in (text for text in texts if isinstance(text, str)):
            assert len(text.encode()) <= SENTENCE, len(text)
            assert "\x1b" not in text and "Other(" not in text and "Os {" not in text
    return found


@contextlib.contextmanager
def answering(status: int, headers: Mapping[str, str]) -> Iterator[str]:
    """A server with one answer to everything; its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in headers.items())]
            self.wfile.write("\r\n".join([*lines, "Content-Length: 2", "", "{}"]).encode())

        def log_message(self, *arguments: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/manifest.json"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    "wanted",
    ["18446744073709551615", "9" * 40, "99999999", "Fri, 31 Dec 9999 23:59:59 GMT"],
    ids=["largest", "larger", "years", "date"],
)
def test_a_server_that_never_wants_to_be_asked_again(world: World, status: int, wanted: str) -> None:
    with answering(status, {"Retry-After": wanted}) as url:
        (error,) = shown(world, url)
    assert error["type"] == "FetchError"
    assert error["hint"] == "try again later"


@pytest.mark.parametrize(
    ("status", "header", "value"),
    [
        (302, "Location", "http://127.0.0.1:1/" + "a" * 60_000),
        (302, "Location", "http://[" + "a" * 60_000),
        (302, "Location", "a" * 60_000 + "://x"),
        (200, "Content-Encoding", "x" * 60_000),
        (206, "Content-Range", "bytes " + "9" * 60_000),
        (401, "WWW-Authenticate", "x" * 60_000),
    ],
)
def test_a_long_header(world: World, status: int, header: str, value: str) -> None:
    with answering(status, {header: value}) as url:
        assert shown(world, url)


def long_url(site: Site) -> dict[str, Any]:
    made = site.record({"alpha.py": "VALUE = 1"})
    made["files"][0]["url"] = "b" * 100_000
    return made


def long_version(site: Site) -> dict[str, Any]:
    return {**site.record({"alpha.py": ""}), "version": "1" * 1_000_000}


def long_path(site: Site) -> dict[str, Any]:
    made = site.record({"alpha.py": ""})
    made["files"][0]["path"] = "a/" * 100_000 + "\x1b[2J"
    return made


def long_requirement(site: Site) -> dict[str, Any]:
    return site.record({"alpha.py": ""}, dependencies=["no-such-thing-" + "x" * 100_000])


def long_python(site: Site) -> dict[str, Any]:
    return site.record({"alpha.py": ""}, requires_python=">=" + "9" * 100_000)


def long_marker(site: Site) -> dict[str, Any]:
    return site.record({"alpha.py": ""}, dependencies=["pip; python_version > '" + "9" * 100_000 + "'"])


def installed_requirement(site: Site) -> dict[str, Any]:
    return site.record({"alpha.py": ""}, dependencies=["packaging>=" + "9" * 100_000])


def many_requirements(site: Site) -> dict[str, Any]:
    return site.record({"alpha.py": ""}, dependencies=[f"no-such-thing-{number}" for number in range(500)])


@pytest.mark.parametrize(
    "made",
    [
        long_url,
        long_version,
        long_path,
        long_requirement,
        long_python,
        long_marker,
        installed_requirement,
        many_requirements,
    ],
)
def test_a_record_that_says_too_much(world: World, made: Callable[[Site], dict[str, Any]]) -> None:
    server = world.serve()
    site = Site(world.path / "site")
    site.modules["alpha"] = made(site)
    site.write()
    assert shown(world, server.manifest_url)


def test_a_reason_that_fills_the_screen(world: World) -> None:
    server = world.serve()
    site = Site(world.path / "site")
    site.unit("alpha", {"alpha.py": ""})
    site.write()
    assert shown(world, server.manifest_url) == []
    site.modules["alpha"]["yanked"] = "x\x1b[2J" * 50_000
    site.write()
    assert shown(world, server.manifest_url, "mm.upgrade(); import magic_module.alpha")


@pytest.mark.parametrize(
    "step",
    [
        "mm.info('magic_module.' + 'a' * 1_000_000)",
        "mm.prefetch('magic_module.' + 'a.' * 500_000 + 'a')",
        "mm.prefetch('magic_module.alpha==' + '1' * 1_000_000)",
        "mm.prefetch('\\x1b[2J' * 100_000)",
        "mm.upgrade('magic_module.\\x1b[2J')",
        "mm.mount('acme', 'http://127.0.0.1:1/' + 'a' * 100_000); import acme.alpha",
        "mm.mount('acme', 'gopher' * 100_000 + '://x')",
        "mm.mount('acme' * 100_000 + '!', 'http://127.0.0.1:1/')",
        "mm.mount('acme', 'http://127.0.0.1:1/', public_key='x' * 1_000_000)",
        "mm.mount('acme', 'http://127.0.0.1:1/', pins={'a' * 100_000 + '!': '1'})",
        "mm.data_path('magic_module.alpha', 'x' * 1_000_000)",
    ],
)
def test_a_caller_who_says_too_much(world: World, step: str) -> None:
    server = world.serve()
    site = Site(world.path / "site")
    site.unit("alpha", {"alpha.py": ""})
    site.write()
    assert shown(world, server.manifest_url, step)


@pytest.mark.parametrize(
    ("status", "arguments"),
    [
        (1, ["info", "magic_module." + "a" * 100_000]),
        (1, ["info", "magic_module.\x1b[2J"]),
        (1, ["fetch", "magic_module.alpha==" + "1" * 100_000]),
        (1, ["serve", "x" * 100_000]),
        (2, ["serve", ".", "--port", "1" * 100_000]),
        (2, ["prune", "--limit", "\x1b" * 100_000]),
        (1, ["list", "--manifest-url", "http://127.0.0.1:1/" + "x" * 100_000]),
        (1, ["publish", "x" * 100_000, "y"]),
        (2, ["z" * 100_000]),
    ],
)
def test_a_command_that_says_too_much(world: World, status: int, arguments: list[str]) -> None:
    server = world.serve()
    site = Site(world.path / "site")
    site.unit("alpha", {"alpha.py": ""})
    site.write()
    env = {"MAGIC_MODULE_MANIFEST_URL": server.manifest_url}
    result = world.run(None, flags=("-m", "magic_module"), args=arguments, env=env, status=None)
    assert (result.status, result.stdout) == (status, "")
    assert result.stderr.count("\n") == 1 and len(result.stderr.encode()) <= SENTENCE + 20
    assert "\x1b" not in result.stderr


def test_a_certificate_that_is_not_a_servers(world: World, tmp_path: Path) -> None:
    import ssl

    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.folder / "authority.pem", authority.folder / "authority.key")
    server = world.serve(tls=context)
    env = {"MAGIC_MODULE_MANIFEST_URL": server.manifest_url, "SSL_CERT_FILE": str(authority.file)}
    result = world.run(FAIL, env={**env, "STEP": "import magic_module.alpha"}, warnings=False)
    (error,) = json.loads(result.stdout)
    assert "it is an authority's own, not a server's" in error["message"]
    assert "Other" not in result.stdout
    assert error["hint"].startswith("check the server's certificate, or set SSL_CERT_FILE")


def test_an_error_of_any_length_is_readable() -> None:
    long = "start" + "\x1b[2J" * 500_000 + "end"
    error = errors.FetchError(long, name=long, url=long, path=long, expected=long, got=long, hint=long, causes=[long])
    for text in (str(error), *(value for value in error.to_dict().values() if isinstance(value, str)), *error.causes):
        assert len(text.encode()) <= SENTENCE and "\x1b" not in text
    assert str(error).startswith("start") and str(error).endswith("end") and " bytes …]" in str(error)
    # A path is there to be used: as long as it is of a usual length, it stays what it is.
    odd = "/cache/\udcff\n"
    assert errors.StoreError(odd, path=odd).path == odd
