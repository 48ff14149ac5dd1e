"""Companies: their certificate authorities, their proxies, their netrc files."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.proxy import Proxy
from kit.tls import Authority
from kit.world import World

pytestmark = pytest.mark.once

IMPORT = """
    from magic_module import alpha
    print(alpha.VALUE)
    """

#: Everything that an exception shows, wherever it is printed, logged or sent.
FAIL = """
    import copy, logging, pickle, sys, traceback
    import magic_module as mm
    try:
        from magic_module import alpha
    except mm.errors.MagicModuleError as error:
        print(type(error).__name__, error, sep=": ")
        twin = pickle.loads(pickle.dumps(error))
        print(repr(error), vars(error), str(twin), vars(twin), pickle.dumps(error), error.__notes__
              if hasattr(error, "__notes__") else "")
        traceback.print_exc()
        logging.exception("it failed")
    else:
        sys.exit("nothing failed")
    """

SECRET = "canary-secret"


@pytest.fixture
def site(world: World) -> World:
    """A world with one unit in its site."""
    world.publish({"alpha.py": "VALUE = 42\n"})
    return world


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def failing(world: World, url: str, **extra: str) -> str:
    """The first line of what a failing import prints; none of it holds the secret."""
    result = world.run(FAIL, env={"MAGIC_MODULE_MANIFEST_URL": url, **extra})
    for text in (result.stdout, result.stderr):
        assert SECRET not in text
        assert basic("me", SECRET).split()[1] not in text
    return result.stdout.splitlines()[0]


def test_an_authority_that_the_user_named_is_trusted(site: World, authority: Authority) -> None:
    server = site.serve(tls=authority.server("IP:127.0.0.1"))
    env = {"MAGIC_MODULE_MANIFEST_URL": server.manifest_url, "SSL_CERT_FILE": str(authority.file)}
    assert site.run(IMPORT, env=env).stdout == "42\n"


def test_an_unknown_authority_is_refused_with_the_remedy(site: World, authority: Authority, tmp_path: Path) -> None:
    server = site.serve(tls=authority.server("IP:127.0.0.1"))
    other = Authority(tmp_path, "another")
    for extra in ({}, {"SSL_CERT_FILE": str(other.file)}):
        line = failing(site, server.manifest_url, **extra)
        assert line.startswith("FetchError: ")
        assert "certificate" in line
        assert line.endswith("set SSL_CERT_FILE to a file with the authority that signed it")
    assert server.paths() == []


def test_a_certificate_for_another_name_is_refused(site: World, authority: Authority) -> None:
    server = site.serve(tls=authority.server("files.example"))
    line = failing(site, server.manifest_url, SSL_CERT_FILE=str(authority.file))
    assert line.startswith("FetchError: ")
    assert "certificate" in line
    assert server.paths() == []


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_certificate_file_of_no_use_is_no_reason_to_trust_others(
    site: World, tmp_path: Path, content: str | None
) -> None:
    server = site.serve()
    file = tmp_path / "authorities.pem"
    if content is not None:
        file.write_text(content)
    line = failing(site, server.manifest_url, SSL_CERT_FILE=str(file))
    assert line.startswith("FetchError: ")
    assert str(file) in line
    assert line.endswith("set SSL_CERT_FILE to a file of certificates in PEM form, or unset it")
    assert server.paths() == []


def test_https_never_leads_to_plain_http(site: World, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = site.serve()
    server = site.serve(tls=authority.server("IP:127.0.0.1"))
    target = f"{plain.manifest_url}?token={SECRET}"
    server.fail("*", lambda reply: reply.whole(302, headers={"Location": target}))
    line = failing(site, server.manifest_url, SSL_CERT_FILE=str(authority.file))
    assert line.startswith("FetchError: ")
    assert "it redirects from https to plain HTTP" in line
    assert plain.paths() == []


def test_plain_http_through_a_proxy_carries_no_credentials(site: World) -> None:
    server = site.serve()
    (site.home / ".netrc").write_text(f"machine units.invalid login me password {SECRET}\n")
    with Proxy({"units.invalid": server.port}, basic("me", SECRET)) as proxy:
        env = {
            "HTTP_PROXY": f"http://me:{SECRET}@127.0.0.1:{proxy.port}",
            "MAGIC_MODULE_MANIFEST_URL": f"http://me:{SECRET}@units.invalid/manifest.json",
            "MAGIC_MODULE_ALLOW_HTTP": "1",
        }
        assert site.run(IMPORT, env=env).stdout == "42\n"
        assert len(proxy.asked) == 2
        for asked in proxy.asked:
            assert asked.target.startswith("http://units.invalid/"), "the URL's credentials went out"
            assert "authorization" not in asked.headers
            assert asked.headers["proxy-authorization"] == basic("me", SECRET)


def test_https_through_a_proxy_keeps_both_secrets_apart(site: World, authority: Authority) -> None:
    server = site.serve(tls=authority.server("units.invalid"))
    (site.home / ".netrc").write_text(f"machine units.invalid login me password {SECRET}\n")
    with Proxy({"units.invalid": server.port}, basic("you", "proxy-secret")) as proxy:
        env = {
            "HTTPS_PROXY": f"http://you:proxy-secret@127.0.0.1:{proxy.port}",
            "MAGIC_MODULE_MANIFEST_URL": "https://units.invalid/manifest.json",
            "SSL_CERT_FILE": str(authority.file),
        }
        assert site.run(IMPORT, env=env).stdout == "42\n"
        assert {asked.method for asked in proxy.asked} == {"CONNECT"}
        assert all("authorization" not in asked.headers for asked in proxy.asked)
    for request in server.take():
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert headers["authorization"] == basic("me", SECRET)
        assert "proxy-authorization" not in headers


def test_no_proxy_for_whom_no_proxy_names(site: World) -> None:
    with Proxy({}) as proxy:
        env = {"HTTP_PROXY": f"http://127.0.0.1:{proxy.port}", "MAGIC_MODULE_ALLOW_HTTP": "1"}
        failing(site, "http://units.invalid/manifest.json", NO_PROXY="units.invalid", **env)
        assert proxy.asked == []
        assert "502" in failing(site, "http://units.invalid/manifest.json", NO_PROXY="other.invalid", **env)
        assert len(proxy.asked) > 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_never_asked_through_a_proxy(site: World, host: str) -> None:
    """A proxy elsewhere would be told the login, and would take it for itself."""
    server = site.serve()
    (site.home / ".netrc").write_text(f"machine {host} login me password {SECRET}\n")
    with Proxy({host: server.port}) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        env = {"HTTP_PROXY": url, "ALL_PROXY": url, "NO_PROXY": ""}
        env |= {"MAGIC_MODULE_MANIFEST_URL": f"http://{host}:{server.port}/manifest.json"}
        assert site.run(IMPORT, env=env).stdout == "42\n"
        assert proxy.asked == []
    assert {request.headers.get("authorization") for request in server.take()} == {basic("me", SECRET)}


def no_proxy(world: World) -> str:
    """A port where nobody listens."""
    server = world.serve("nobody")
    server.stop()
    return str(server.port)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "proxy",
    [
        lambda world: f"http://me:{SECRET}@127.0.0.1:{no_proxy(world)}",
        lambda world: f"http://me:{SECRET}@no-such-proxy.invalid:3128",
        lambda world: f"http://me:{SECRET}@127.0.0.1:not-a-port",
        lambda world: f"socks9://me:{SECRET}@127.0.0.1:1080",
        lambda world: f"me:{SECRET}@",
    ],
    ids=["nobody", "unknown", "no-port", "no-scheme", "no-host"],
)
def test_a_proxy_that_fails_is_told_without_its_credentials(
    site: World, scheme: str, proxy: Callable[[World], str]
) -> None:
    line = failing(
        site,
        f"{scheme}://units.invalid/manifest.json",
        **{f"{scheme.upper()}_PROXY": proxy(site), "MAGIC_MODULE_ALLOW_HTTP": "1"},
    )
    assert line.startswith(f"FetchError: cannot fetch {scheme}://units.invalid/manifest.json: ")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_other_credentials_names_its_variables(site: World, scheme: str) -> None:
    with Proxy({}, basic("other", "other")) as proxy:
        line = failing(
            site,
            f"{scheme}://units.invalid/manifest.json",
            MAGIC_MODULE_ALLOW_HTTP="1",
            **{f"{scheme.upper()}_PROXY": f"http://me:{SECRET}@127.0.0.1:{proxy.port}"},
        )
    assert line.endswith("; check the credentials in the proxy variables")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HTTP_PROXY", "not a url"),
        ("http_proxy", f"socks5://me:{SECRET}@127.0.0.1:1"),
        ("ALL_PROXY", "ftp://127.0.0.1:1"),
        ("all_proxy", f"http://me:{SECRET}@127.0.0.1:port"),
    ],
)
def test_a_proxy_that_cannot_be_asked_is_never_passed_by(site: World, variable: str, value: str) -> None:
    url = "http://units.invalid/manifest.json"
    line = failing(site, url, MAGIC_MODULE_ALLOW_HTTP="1", **{variable: value})
    assert line.startswith(f"FetchError: cannot fetch {url}: {variable} ")
    assert f"; set {variable} to http://HOST:PORT" in line


def test_a_proxy_variable_that_nothing_is_asked_through_fails_nothing(site: World) -> None:
    env = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"), "socks5://127.0.0.1:1")
    assert site.run(IMPORT, env={"MAGIC_MODULE_MANIFEST_URL": site.serve().manifest_url, **env}).stdout == "42\n"


@pytest.mark.parametrize("spelling", ["127.0.0.1:{}", " //127.0.0.1:{} ", "HTTP://127.0.0.1:{}/"])
def test_a_proxy_is_asked_however_it_is_spelled(site: World, spelling: str) -> None:
    server = site.serve()
    with Proxy({"units.invalid": server.port}) as proxy:
        env = {
            "HTTP_PROXY": "",
            "http_proxy": spelling.format(proxy.port),
            "MAGIC_MODULE_ALLOW_HTTP": "1",
            "MAGIC_MODULE_MANIFEST_URL": f"http://units.invalid:{server.port}/manifest.json",
        }
        assert site.run(IMPORT, env=env).stdout == "42\n"
        assert len(proxy.asked) == 2


def test_a_proxy_that_is_not_there_is_named(site: World) -> None:
    with Proxy({}) as proxy:
        gone = proxy.port
    line = failing(
        site,
        "http://units.invalid/manifest.json",
        MAGIC_MODULE_ALLOW_HTTP="1",
        HTTP_PROXY=f"http://me:{SECRET}@127.0.0.1:{gone}",
    )
    assert line.startswith("FetchError: ")
    assert line.endswith(f"check the proxy http://127.0.0.1:{gone}/ that HTTP_PROXY names")
