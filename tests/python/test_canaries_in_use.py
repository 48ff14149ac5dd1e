"""Secrets in use: each reaches the one that it is for, and is found nowhere else.

No setting and no argument puts a header into a request, so there is no canary for one: a login comes from the URL or
from the netrc file, a proxy's from its variable. When that changes, `test_no_request_has_a_header_of_the_users_own`
fails.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from kit.canaries import CANARIES, Canaries, basic, find
from kit.proxy import Proxy
from kit.tls import Authority
from origins import Fault, Reply, faults

PROXIED = "units.invalid"
#: Where a redirect leads to, as the proxy knows it.
AWAY = "away.invalid"
HOSTS = ("127.0.0.1", "localhost", PROXIED, AWAY)
IMPORT = "attempt(lambda: __import__('magic_module.alpha'))"

FAILURES = [
    ("/manifest.json", faults.server_error),
    ("/manifest.json", faults.forbidden),
    ("/[!m]*", faults.not_found),
    ("/[!m]*", faults.wrong_bytes),
    ("/[!m]*", faults.reset_at_once),
    ("*", faults.redirect_loop),
]


@pytest.fixture
def by_netrc(canaries: Canaries) -> Canaries:
    """The manifest's machine has its login in the netrc file; so has the one that is redirected to."""
    machines = (f"machine {name} login {CANARIES['netrc']} password {CANARIES['netrc']}\n" for name in HOSTS)
    (canaries.world.home / ".netrc").write_text("".join(machines))
    url = f"http://127.0.0.1:{canaries.origin.port}/manifest.json?token={CANARIES['query']}"
    canaries.environment["MAGIC_MODULE_MANIFEST_URL"] = url
    return canaries


@pytest.fixture
def proxy(by_netrc: Canaries) -> Iterator[Proxy]:
    """What is asked for by plain HTTP goes through this proxy, which wants a login of its own."""
    ports = {PROXIED: by_netrc.origin.port, AWAY: by_netrc.elsewhere.port}
    with Proxy(ports, basic("proxy", "proxy")) as proxy:
        login = f"{CANARIES['netrc']}:{CANARIES['netrc']}"
        by_netrc.environment |= {
            "MAGIC_MODULE_MANIFEST_URL": f"http://{login}@{PROXIED}/manifest.json?token={CANARIES['query']}",
            "MAGIC_MODULE_ALLOW_HTTP": "1",
            "HTTP_PROXY": f"http://{CANARIES['proxy']}:{CANARIES['proxy']}@127.0.0.1:{proxy.port}",
        }
        yield proxy


def away(canaries: Canaries, host: str) -> Fault:
    """Redirects to the other server, with secrets of the first one's own."""

    def redirect(reply: Reply) -> None:
        location = f"http://{host}{reply.request.path}?signature={CANARIES['location']}"
        reply.whole(302, headers={"Location": location, "Set-Cookie": f"session={CANARIES['cookie']}"})

    return redirect


def nobody_else_was_told(canaries: Canaries) -> None:
    assert canaries.elsewhere.requests
    for request in canaries.elsewhere.requests:
        find("a redirected request", repr((request.path, dict(request.headers))).encode())


def test_a_login_of_the_netrc_file(by_netrc: Canaries) -> None:
    assert "'VALUE'" in by_netrc.show("attempt(lambda: vars(__import__('magic_module.alpha').alpha).keys())").stdout
    by_netrc.show()
    for words in (("list",), ("doctor",), ("fetch", "magic_module.beta", "--json"), ("upgrade",)):
        by_netrc.command(*words)
    assert by_netrc.asked("authorization") == {basic("netrc", "netrc")}


@pytest.mark.parametrize(("pattern", "fault"), FAILURES)
def test_a_login_of_the_netrc_file_when_something_fails(by_netrc: Canaries, pattern: str, fault: Fault) -> None:
    by_netrc.origin.fail(pattern, fault)
    assert "Error" in by_netrc.show(IMPORT).stdout
    by_netrc.command("doctor")
    assert by_netrc.asked("authorization") == {basic("netrc", "netrc")}


def test_a_login_of_the_netrc_file_is_for_no_other_machine(by_netrc: Canaries) -> None:
    by_netrc.origin.fail("*", away(by_netrc, f"localhost:{by_netrc.elsewhere.port}"))
    by_netrc.show()
    nobody_else_was_told(by_netrc)
    assert by_netrc.asked("authorization") == {basic("netrc", "netrc")}


def the_proxy_alone_was_told(canaries: Canaries, proxy: Proxy) -> None:
    """Its own login to the proxy; what is for the server is not sent over plain HTTP."""
    assert {asked.headers["proxy-authorization"] for asked in proxy.asked} == {basic("proxy", "proxy")}
    assert canaries.asked("proxy-authorization") | canaries.asked("authorization") == {None}
    for request in canaries.origin.requests:
        find("a request", repr((request.path, dict(request.headers))).encode())


def test_a_proxys_login(canaries: Canaries, proxy: Proxy) -> None:
    assert "'VALUE'" in canaries.show("attempt(lambda: vars(__import__('magic_module.alpha').alpha).keys())").stdout
    canaries.show()
    for words in (("list",), ("doctor",), ("fetch", "magic_module.beta", "--json"), ("upgrade",)):
        canaries.command(*words)
    the_proxy_alone_was_told(canaries, proxy)


@pytest.mark.parametrize(("pattern", "fault"), FAILURES)
def test_a_proxys_login_when_something_fails(canaries: Canaries, proxy: Proxy, pattern: str, fault: Fault) -> None:
    canaries.origin.fail(pattern, fault)
    assert "Error" in canaries.show(IMPORT).stdout
    canaries.command("doctor")
    the_proxy_alone_was_told(canaries, proxy)


def test_a_proxys_login_is_for_no_server_that_is_redirected_to(canaries: Canaries, proxy: Proxy) -> None:
    canaries.origin.fail("*", away(canaries, AWAY))
    canaries.show()
    nobody_else_was_told(canaries)
    the_proxy_alone_was_told(canaries, proxy)


def test_a_login_that_the_proxy_refuses(canaries: Canaries, proxy: Proxy) -> None:
    proxy.credentials = basic("login", "password")
    assert "check the credentials in the proxy variables" in canaries.show(IMPORT).stdout
    canaries.command("doctor")
    assert {asked.headers["proxy-authorization"] for asked in proxy.asked} == {basic("proxy", "proxy")}
    assert canaries.origin.requests == []


def test_logins_of_a_proxy_and_of_a_server_behind_it(by_netrc: Canaries) -> None:
    world = by_netrc.world
    authority = Authority(world.path)
    server = world.serve(tls=authority.server(PROXIED))
    with Proxy({PROXIED: server.port}, basic("proxy", "proxy")) as proxy:
        by_netrc.environment |= {
            "MAGIC_MODULE_MANIFEST_URL": f"https://{PROXIED}/manifest.json?token={CANARIES['query']}",
            "HTTPS_PROXY": f"http://{CANARIES['proxy']}:{CANARIES['proxy']}@127.0.0.1:{proxy.port}",
            "SSL_CERT_FILE": str(authority.file),
        }
        by_netrc.show()
        by_netrc.command("fetch", "magic_module.beta")
        assert proxy.asked
        for asked in proxy.asked:
            assert asked.headers["proxy-authorization"] == basic("proxy", "proxy")
            assert "authorization" not in asked.headers
            assert CANARIES["query"] not in asked.target
    told = [{name.lower(): value for name, value in request.headers.items()} for request in server.take()]
    assert {headers.get("authorization") for headers in told} == {basic("netrc", "netrc")}
    assert not any("proxy-authorization" in headers for headers in told)


def test_the_password_of_a_signing_key(canaries: Canaries) -> None:
    world = canaries.world
    (world.work / "sources").mkdir()
    (world.work / "sources" / "alpha.py").write_text("VALUE = 1\n")
    publish = ("publish", "sources", "published", "--sign", "own.key")
    assert canaries.command("keygen", "own.key", "--password", "--json").json["password"]
    for wrong in (None, "another"):
        assert canaries.command(*publish, MAGIC_MODULE_KEY_PASSWORD=wrong).status == 1
        shutil.rmtree(world.work / "published", ignore_errors=True)
    for form in ((), ("--json",)):
        assert canaries.command(*publish, *form).status == 0, "the password was not even used"
    assert (world.work / "published" / "manifest.json.minisig").is_file()


#: All that a request says beside its path.
HEADERS = {
    "accept", "accept-encoding", "authorization", "cache-control", "host", "if-modified-since", "if-none-match",
    "if-range", "proxy-authorization", "range", "user-agent",
}  # fmt: skip


def test_no_request_has_a_header_of_the_users_own(canaries: Canaries) -> None:
    canaries.show()
    assert {name for request in canaries.origin.requests for name in request.headers} <= HEADERS
