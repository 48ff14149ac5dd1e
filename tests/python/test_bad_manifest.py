"""A manifest that cannot be had: each outage has its own sentence, loses nothing, and passes."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit import sentences
from kit.interpreter import Interpreter, command_line
from kit.site import Site
from origins import Fault, Origin, Silence, faults

pytestmark = pytest.mark.once

IMPORT = "import magic_module.alpha as alpha; result = alpha.VALUE"
UPGRADE = "result = str(alpha._upgrade())"

OUTAGES = {
    faults.not_found: "FetchError",
    faults.gone: "FetchError",
    faults.forbidden: "FetchError",
    faults.server_error: "FetchError",
    faults.unavailable: "FetchError",
    faults.too_many_requests: "FetchError",
    faults.html_instead_of_json: "ManifestError",
    faults.empty_body: "ManifestError",
    faults.truncated: "FetchError",
    faults.truncated_in_silence: "ManifestError",
    faults.reset_in_the_middle: "FetchError",
    faults.reset_at_once: "FetchError",
    faults.one_byte_a_second: "FetchError",
    faults.endless_body: "FetchError",
    faults.gigantic_manifest: "FetchError",
    faults.gigantic_manifest_unannounced: "FetchError",
    faults.deeply_nested: "ManifestError",
    faults.compressed_bomb: "FetchError",
    faults.not_utf_8: "ManifestError",
    faults.redirect_loop: "FetchError",
    faults.redirect_chain: "FetchError",
    faults.redirect_to_file: "FetchError",
    faults.redirect_to_nowhere: "FetchError",
    faults.redirect_to_plain_http: "PolicyError",
    faults.stalled_headers: "FetchError",
    faults.stalled_body: "FetchError",
}
SLOW = {faults.stalled_headers, faults.stalled_body, faults.one_byte_a_second}
EVERY_OUTAGE = [
    pytest.param(fault, kind, id=fault.__name__, marks=[pytest.mark.slow] if fault in SLOW else [])
    for fault, kind in OUTAGES.items()
]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache directory that is not there yet."""
    return tmp_path / "cache"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Two units."""
    site = Site(tmp_path / "site")
    site.unit("alpha", {"alpha.py": "VALUE = 1\n"})
    site.unit("beta", {"beta.py": "VALUE = 2\n"})
    return site.write()


@pytest.fixture
def origin(site: Site) -> Iterator[Origin]:
    """Their server."""
    with Origin(site.folder) as origin:
        yield origin


@pytest.mark.parametrize(("fault", "kind"), EVERY_OUTAGE)
def test_first_import(cache: Path, origin: Origin, fault: Fault, kind: str) -> None:
    origin.fail("/manifest.json*", fault)
    with Interpreter(cache, origin.manifest_url) as python:
        failure = python.fail(IMPORT)
        assert failure.kind == kind
        assert "ModuleNotFoundError" not in failure.kinds, "an outage must not look like a missing module"
        assert "MagicModuleError" in failure.kinds
        assert "ImportError" in failure.kinds
        assert python.do("import sys; result = 'magic_module.alpha' in sys.modules") is False
        sentences.check("manifest", f"import-{fault.__name__}", f"{failure.kind}: {failure.sentence}")
        origin.heal()
        assert python.do(IMPORT) == 1


@pytest.mark.parametrize(("fault", "kind"), EVERY_OUTAGE)
def test_upgrade(cache: Path, site: Site, origin: Origin, fault: Fault, kind: str) -> None:
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == 1
        site.unit("alpha", {"alpha.py": "VALUE = 11\n"}, version="1.1")
        site.write()
        origin.fail("/manifest.json*", fault)
        failure = python.fail(UPGRADE)
        assert failure.kind == kind
        sentences.check("manifest", f"upgrade-{fault.__name__}", f"{failure.kind}: {failure.sentence}")
        assert python.do(
            "result = [alpha.VALUE, sys.modules['magic_module.alpha'] is alpha]".replace(
                "result", "import sys; result", 1
            )
        ) == [1, True]
        with Interpreter(cache, origin.manifest_url) as other:
            assert other.do(IMPORT) == 1, "what was there before is there for others, too"
        origin.heal()
        python.do(UPGRADE)
        assert python.do("result = alpha.VALUE") == 11


@pytest.mark.parametrize("fault", [fault for fault in OUTAGES if fault not in SLOW], ids=lambda fault: fault.__name__)
def test_command_line(cache: Path, origin: Origin, fault: Fault) -> None:
    origin.fail("/manifest.json*", fault)
    ended = command_line("fetch", "magic_module.alpha", cache=cache, manifest_url=origin.manifest_url)
    assert ended.status == 1
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    lines = ended.stderr.splitlines()
    assert len(lines) == 1
    sentences.check("manifest", f"command-{fault.__name__}", lines[0])
    origin.heal()
    assert command_line("fetch", "magic_module.alpha", cache=cache, manifest_url=origin.manifest_url).status == 0


@pytest.mark.parametrize("status", [faults.server_error, faults.unavailable, faults.reset_at_once, faults.truncated])
def test_one_failure_is_not_noticed(cache: Path, origin: Origin, status: Fault) -> None:
    origin.fail("/manifest.json*", status, times=1)
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == 1
    assert origin.paths("/manifest.json") == ["/manifest.json"] * 2


def test_a_byte_order_mark_is_no_part_of_a_manifest(cache: Path, origin: Origin) -> None:
    origin.fail("/manifest.json", faults.with_byte_order_mark)
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == 1
        assert python.do("result = alpha._upgrade().changed") is False


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["bare", "marked"])
def test_another_encoding_is_named(cache: Path, site: Site, origin: Origin, encoding: str, mark: str) -> None:
    text = mark * (encoding[-3:] in ("-le", "-be")) + json.dumps(site.document)
    (site.folder / "manifest.json").write_bytes(text.encode(encoding))
    with Interpreter(cache, origin.manifest_url) as python:
        failure = python.fail(IMPORT)
    assert failure.kind == "ManifestError"
    assert f" is {encoding[:6].upper()}" in failure.sentence and "UTF-8" in failure.details["hint"]


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port at which nobody listens: it is held, so that no server of another test gets it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.mark.parametrize(
    ("case", "url", "kind"),
    [
        ("unset", "", "ConfigurationError"),
        ("unreachable", "http://127.0.0.1:{closed}/manifest.json", "FetchError"),
        ("unresolvable", "https://manifest.invalid/manifest.json", "FetchError"),
        ("relative", "site/manifest.json", "ConfigurationError"),
        ("no-scheme", "example.org/manifest.json", "ConfigurationError"),
        ("other-scheme", "ftp://example.org/manifest.json", "ConfigurationError"),
        ("plain-http", "http://example.org/manifest.json", "PolicyError"),
        ("no-host", "http://", "ConfigurationError"),
        ("bad-port", "http://127.0.0.1:99999/manifest.json", "ConfigurationError"),
        ("missing-file", "file:///nonexistent/manifest.json", "FetchError"),
        ("credentials", "http://user:secret@127.0.0.1:{closed}/manifest.json?token=secret", "FetchError"),
    ],
)
def test_address(cache: Path, closed_port: int, case: str, url: str, kind: str) -> None:
    url = url.replace("{closed}", str(closed_port))
    with Interpreter(cache, url) as python:
        failure = python.fail(IMPORT)
        found = python.fail("import importlib.util; importlib.util.find_spec('magic_module.alpha')")
    assert (failure.kind, found.kind) == (kind, kind)
    assert "secret" not in failure.sentence + str(failure.details)
    assert failure.details["hint"], "the remedy is named"
    sentences.check("manifest", f"address-{case}", f"{failure.kind}: {failure.sentence}")
    ended = command_line("fetch", "magic_module.alpha", cache=cache, manifest_url=url)
    assert ended.status == 1
    assert "Traceback" not in ended.stderr
    assert "secret" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("hang_up", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_what_answers_is_not_http(cache: Path, hang_up: bool) -> None:
    with Silence(hang_up=hang_up) as silence, Interpreter(cache, silence.manifest_url) as python:
        failure = python.fail(IMPORT)
    assert failure.kind == "FetchError"
    sentences.check("manifest", f"not-http-{hang_up}", f"{failure.kind}: {failure.sentence}")


def test_an_optional_module_is_not_hidden_by_an_outage(cache: Path, origin: Origin) -> None:
    """``except ModuleNotFoundError`` is for what is not there, not for what cannot be reached."""
    step = "try:\n    import magic_module.{} as m\nexcept ModuleNotFoundError:\n    result = 'absent'"
    with Interpreter(cache, origin.manifest_url) as python:
        origin.fail("*", faults.server_error)
        assert python.fail(step.format("alpha")).kind == "FetchError"
        origin.heal()
        assert python.do(step.format("gamma")) == "absent"
        failure = python.fail("import magic_module.gamma")
        assert failure.kind == "ModuleNotFoundError"
        assert failure.sentence == "No module named 'magic_module.gamma'"
        assert failure.details["name"] == "magic_module.gamma"
        failure = python.fail("import magic_module; magic_module.info('magic_module.gamma')")
    assert failure.kind == "UnitNotFoundError"
    assert "ModuleNotFoundError" in failure.kinds
    assert failure.details["name"] == "magic_module.gamma"
    sentences.check("manifest", "unit-not-found", f"{failure.kind}: {failure.sentence}")


def test_many_names_fail_without_a_storm_of_requests(cache: Path, origin: Origin) -> None:
    """A script that tries fifty optional imports waits for a dead server once, not fifty times."""
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == 1
        origin.requests.clear()
        origin.fail("*", faults.not_found)
        for number in range(50):
            assert python.fail(f"import magic_module.missing_{number}").kind == "ModuleNotFoundError"
    assert origin.requests == [], "what was just read says enough"


def test_nesting_where_nobody_looks_is_not_felt(cache: Path, origin: Origin) -> None:
    """A million brackets in an unknown field need no stack, so they are ignored like any other."""
    origin.fail("/manifest.json*", faults.deeply_nested_field)
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == 1


def test_the_sentence_names_the_place_without_json_noise(cache: Path, site: Site, origin: Origin) -> None:
    manifest = site.folder / "manifest.json"
    manifest.write_bytes(b"\xef\xbb\xbf" + manifest.read_bytes())
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == 1, "a byte order mark is ignored"
