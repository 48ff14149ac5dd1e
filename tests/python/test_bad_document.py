"""A manifest that can be had and is wrong: the sentence names the place in the document."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kit import sentences
from kit.interpreter import Interpreter, command_line
from kit.site import Site
from origins import Origin

pytestmark = pytest.mark.once

IMPORT = "import magic_module.alpha as alpha; result = alpha.VALUE"
CODE = {"alpha.py": "VALUE = 1\n"}
Spoil = Callable[[Site], None]
SPOILT: dict[str, Spoil] = {}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache directory that is not there yet."""
    return tmp_path / "cache"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """One unit."""
    site = Site(tmp_path / "site")
    site.unit("alpha", CODE)
    return site.write()


@pytest.fixture
def origin(site: Site) -> Iterator[Origin]:
    """Its server."""
    with Origin(site.folder) as origin:
        yield origin


def unit_name(name: str) -> Spoil:
    """A unit of this name, whose file would be right."""
    return lambda site: site.modules.update({name: site.unit("other", {f"{name.replace('.', '/')}.py": "X = 1\n"})})


def rename(name: str) -> Spoil:
    """The same, and the record of ``other`` gone."""

    def spoil(site: Site) -> None:
        unit_name(name)(site)
        del site.modules["other"]

    return spoil


def path(text: str) -> Spoil:
    """A second file of ``alpha`` at this path."""
    return lambda site: site.modules["alpha"]["files"].append(site.file(text, "secret"))


def field(name: str, value: object) -> Spoil:
    """A field of the second file of ``alpha``."""

    def spoil(site: Site) -> None:
        site.modules["alpha"]["files"].append({**site.file("alpha.csv", "1,2\n"), name: value})

    return spoil


def without(name: str) -> Spoil:
    """The second file of ``alpha`` without this field."""

    def spoil(site: Site) -> None:
        file = site.file("alpha.csv", "1,2\n")
        del file[name]
        site.modules["alpha"]["files"].append(file)

    return spoil


def document(**fields: object) -> Spoil:
    """Fields of the document."""
    return lambda site: site.document.update(fields)


def instead(**fields: object) -> Spoil:
    """Fields of a document without `modules`."""

    def spoil(site: Site) -> None:
        del site.document["modules"]
        site.document.update(fields)

    return spoil


def record(**fields: object) -> Spoil:
    """Fields of the record of ``alpha``."""
    return lambda site: site.modules["alpha"].update(fields)


for name in ("not-a-name", "1a", "a b", "", "a..b", "class", "tools.def", "None", "mount", "errors", "_hidden",
             "con", "Alpha", "ﬁle", "a/b", "../alpha", "a\x00b"):  # fmt: skip
    SPOILT[f"unit-{ascii(name)[1:-1]}"] = rename(name)
for text in ("/etc/passwd", "../alpha.py", "alpha/../../x", "alpha.d/../../x", "./alpha.txt", "C:/alpha.py",
             "C:\\alpha.py", "c:alpha.py", "\\\\server\\share\\alpha.py", "alpha\\x.py", "nul", "alpha.txt/con",
             "aux.py", "alpha.txt:stream", "alpha.py.", "alpha.tx ", "alpha.t\x00t", "alpha.\u202etxt", "alpha.e\u0301",
             "alpha." + "x" * 300, "", "beta.py", "magic_module/__init__.py", "alpha.py/x", "__pycache__/alpha.pyc",
             "~/alpha.py", "//alpha.py"):  # fmt: skip
    SPOILT[f"path-{ascii(text)[1:-1][:40]}"] = path(text)
SPOILT |= {
    "two-files-at-one-path": path("alpha.py"),
    "two-files-that-differ-in-case": path("alpha.PY"),
    "a-file-below-a-file": lambda site: site.unit("beta", {"beta/a": "", "beta/a/b": ""}) and None,
    "module-and-folder": path("alpha/__init__.py"),
    "size-negative": field("size", -1),
    "size-fraction": field("size", 1.5),
    "size-text": field("size", "12"),
    "size-too-large": field("size", 1 << 64),
    "size-missing": without("size"),
    "sha256-missing": without("sha256"),
    "sha256-null": field("sha256", None),
    "sha256-short": field("sha256", "ab" * 31),
    "sha256-upper-case": field("sha256", "AB" * 32),
    "sha256-not-hexadecimal": field("sha256", "zz" * 32),
    "path-missing": without("path"),
    "url-missing": without("url"),
    "url-empty": field("url", ""),
    "url-file": field("url", "file:///etc/passwd"),
    "url-ftp": field("url", "ftp://127.0.0.1/x"),
    "url-not-one": field("url", "http://[::1"),
    "manifest-2": document(manifest=2),
    "manifest-text": document(manifest="1"),
    "needs-the-unknown": document(needs=["teleport"]),
    "namespace-other": document(namespace="acme"),
    "namespace-bad": document(namespace="magic-module"),
    "modules-null": document(modules=None),
    "modules-list": document(modules=[]),
    "catalogue-beside": document(catalogue={"units": 0, "bits": [0, 0], "parts": "p", "tables": [None]}),
    "serial-negative": document(serial=-1),
    "serial-ahead-of-the-clock": lambda site: site.document.update(serial=int(time.time()) + 40 * 3600),
    "record-list": lambda site: site.modules.update(alpha=[]),
    "record-list-by-position": lambda site: site.modules.update(
        alpha=["1.0", None, None, [], [], None, site.modules["alpha"]["files"], [], [], {}, None]
    ),
    "file-list": lambda site: site.modules["alpha"].update(files=[["alpha.py", "files/x", 1, "ab" * 32, False]]),
    "pack-list": record(packs=[["zip", "files/x", 1, "ab" * 32, []]]),
    "older-record-list": record(versions={"0.9": []}),
    "catalogue-list": instead(catalogue=[0, [0, 0], "p", [None]]),
    "version-missing": lambda site: site.modules["alpha"].pop("version"),
    "version-bad": record(version="1.0/../.."),
    "files-missing": lambda site: site.modules["alpha"].pop("files"),
    "requires-absent": record(requires=["beta"]),
    "requires-bad": record(requires=["be-ta"]),
    "variant-bad-tag": record(variants=[{"tag": "any", "files": []}]),
    "versions-wrong-key": record(versions={"0.9": {"version": "0.8", "files": []}}),
    "pack-of-an-unknown-path": lambda site: site.modules["alpha"].update(packs=[site.pack({"alpha.txt": b""})]),
}


@pytest.mark.parametrize("case", SPOILT)
def test_refused(cache: Path, site: Site, origin: Origin, case: str) -> None:
    good = json.dumps(site.document)
    SPOILT[case](site)
    site.write()
    with Interpreter(cache, origin.manifest_url) as python:
        failure = python.fail(IMPORT)
        assert failure.kind == ("IntegrityError" if "serial" in case and "ahead" in case else "ManifestError"), (
            failure.sentence
        )
        sentences.check("document", case, f"{failure.kind}: {failure.sentence}")
        assert list(cache.rglob("alpha*")) == [], "nothing of a wrong manifest is kept"
        assert not origin.paths("/files/*"), "nothing of a wrong manifest is fetched"
        site.document = json.loads(good)
        site.write()
        assert python.do(IMPORT) == 1


@pytest.mark.parametrize("case", ["unit-class", "path-../alpha.py", "sha256-missing", "two-files-at-one-path"])
def test_command_line(cache: Path, site: Site, origin: Origin, case: str) -> None:
    SPOILT[case](site)
    site.write()
    for arguments in (["fetch", "magic_module.alpha"], ["list"], ["info", "magic_module.alpha"]):
        ended = command_line(*arguments, cache=cache, manifest_url=origin.manifest_url)
        assert ended.status == 1, arguments
        assert "Traceback" not in ended.stderr
        assert len(ended.stderr.splitlines()) == 1


def test_a_unit_twice(cache: Path, site: Site, origin: Origin) -> None:
    text = json.dumps(site.document)
    one = json.dumps(site.modules["alpha"])
    (site.folder / "manifest.json").write_text(text.replace('"alpha":', f'"alpha": {one}, "alpha":', 1))
    with Interpreter(cache, origin.manifest_url) as python:
        failure = python.fail(IMPORT)
    assert failure.kind == "ManifestError"
    sentences.check("document", "a-unit-twice", f"{failure.kind}: {failure.sentence}")


def test_unknown_fields_are_for_later_versions(cache: Path, site: Site, origin: Origin) -> None:
    site.document["colour"] = {"deep": [1, 2, {"er": None}]}
    site.modules["alpha"]["licence"] = "MIT"
    site.modules["alpha"]["files"][0]["mode"] = 0o755
    site.modules["alpha"]["packs"] = [{**site.pack({"alpha.py": b"VALUE = 3\n"}), "format": "tar.zst"}]
    site.write()
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == 1


@pytest.mark.parametrize(
    ("case", "serial", "changed"),
    [("lower", 99, True), ("equal-with-other-bytes", 100, True), ("dropped", None, True), ("the-same", 100, False)],
)
def test_serials(cache: Path, site: Site, origin: Origin, case: str, serial: int | None, changed: bool) -> None:
    site.document["serial"] = 100
    site.write()
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == 1
        site.document["serial"] = serial
        if changed:
            site.unit("alpha", {"alpha.py": "VALUE = 0\n"}, version="0.9")
        site.write()
        if not changed:
            assert python.do("result = alpha._upgrade().changed") is False
            return
        failure = python.fail("alpha._upgrade()")
        assert failure.kind == "IntegrityError"
        sentences.check("document", f"serial-{case}", f"{failure.kind}: {failure.sentence}", cache=cache)
        assert python.do("result = alpha.VALUE") == 1
        site.document["serial"] = 101
        site.write()
        assert python.do("alpha._upgrade(); result = alpha.VALUE") == 0


def test_plain_http_elsewhere_is_between_the_reader_and_the_unit(cache: Path, site: Site, origin: Origin) -> None:
    """It does not spoil the other units of the manifest."""
    site.unit("beta", {"beta.py": "VALUE = 2\n"})["files"][0]["url"] = "http://files.invalid/beta.py"
    site.write()
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == 1
        failure = python.fail("import magic_module.beta")
    assert failure.kind == "PolicyError"
    sentences.check("document", "url-plain-http-elsewhere", f"{failure.kind}: {failure.sentence}")
    with Interpreter(cache, origin.manifest_url, settings={"MAGIC_MODULE_ALLOW_HTTP": "1"}) as python:
        assert python.fail("import magic_module.beta").kind == "FetchError", "now it is asked for"


@pytest.mark.parametrize("namespace", ["acme", ""])
def test_the_namespace_must_be_the_mounts(cache: Path, site: Site, origin: Origin, namespace: str) -> None:
    mount = f"import magic_module; magic_module.mount({namespace!r}, {origin.manifest_url!r})"
    with Interpreter(cache) as python:
        if namespace:
            python.do(mount)
        # Whether top-level names are those of a lock is found out when they are mounted.
        failure = python.fail("import acme.alpha" if namespace else mount)
    assert failure.kind == "ManifestError"
    sentences.check("document", f"mount-{namespace or 'empty'}", f"{failure.kind}: {failure.sentence}")
