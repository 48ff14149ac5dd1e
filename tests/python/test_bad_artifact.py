"""Files and packs that cannot be had, or are not what the manifest pinned."""

from __future__ import annotations

import io
import stat
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kit import sentences
from kit.interpreter import PATIENCE, Interpreter, command_line
from kit.site import Site, zstd_frame
from origins import Fault, Origin, faults

pytestmark = pytest.mark.once

IMPORT = "import magic_module.alpha as alpha; result = alpha.rows()"
CODE = """
import os
def rows():
    with open(os.path.join(os.path.dirname(__file__), "alpha.csv"), encoding="ascii") as file:
        return sum(1 for _ in file)
"""
DATA = "1,2\n" * 5000

LASTING = {
    faults.not_found: "FetchError",
    faults.gone: "FetchError",
    faults.forbidden: "FetchError",
    faults.server_error: "FetchError",
    faults.too_many_requests: "FetchError",
    faults.truncated: "FetchError",
    faults.reset_in_the_middle: "FetchError",
    faults.reset_at_once: "FetchError",
    faults.redirect_loop: "FetchError",
    faults.redirect_to_file: "FetchError",
    faults.redirect_to_plain_http: "PolicyError",
    faults.wrong_bytes: "IntegrityError",
    faults.wrong_length: "IntegrityError",
    faults.wrong_range: "FetchError",
    faults.one_byte_more: "IntegrityError",
    faults.empty_body: "IntegrityError",
    faults.html_instead_of_json: "IntegrityError",
    faults.endless_body: "IntegrityError",
    faults.gigantic_manifest: "IntegrityError",
    faults.compressed_bomb: "FetchError",
    faults.one_byte_a_second: "FetchError",
    faults.stalled_body: "FetchError",
    faults.stalled_headers: "FetchError",
}
SLOW = {faults.stalled_headers, faults.stalled_body, faults.one_byte_a_second}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache directory that is not there yet."""
    return tmp_path / "cache"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Two units, of which ``alpha`` has data."""
    site = Site(tmp_path / "site")
    site.unit("alpha", {"alpha.py": CODE, "alpha.csv": DATA})
    site.unit("beta", {"beta.py": "VALUE = 2\n"})
    return site.write()


@pytest.fixture
def origin(site: Site) -> Iterator[Origin]:
    """Their server."""
    with Origin(site.folder) as origin:
        yield origin


def data_path(site: Site) -> str:
    """Where ``alpha.csv`` is served."""
    return "/" + str(site.modules["alpha"]["files"][1]["url"])


def nothing_is_left(cache: Path) -> bool:
    """Waits for what other threads of the child still write: a whole artifact is synced, then renamed."""
    deadline = time.monotonic() + PATIENCE
    while leftovers(cache) and time.monotonic() < deadline:
        time.sleep(0.01)
    return leftovers(cache) == []


def leftovers(cache: Path) -> list[str]:
    """What a failed download must not leave: parts, and trees without an index."""
    trees = {path.name for path in (cache / "v1" / "trees").glob("*") if path.is_dir()}
    whole = {path.stem for path in (cache / "v1" / "trees").glob("*.index")}
    return sorted(trees - whole) + [path.name for path in (cache / "v1" / "tmp").glob("*")]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        pytest.param(fault, kind, id=fault.__name__, marks=[pytest.mark.slow] if fault in SLOW else [])
        for fault, kind in LASTING.items()
    ],
)
def test_one_file_of_two(cache: Path, site: Site, origin: Origin, fault: Fault, kind: str) -> None:
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do("import magic_module.beta as beta; result = beta.VALUE") == 2
        origin.fail(data_path(site), fault)
        failure = python.fail(IMPORT)
        assert failure.kind == kind
        if kind == "IntegrityError":
            assert failure.details["expected"]
            assert failure.details["got"]
        assert failure.details["name"] == "magic_module.alpha"
        sentences.check("artifact", fault.__name__, f"{failure.kind}: {failure.sentence}")
        assert nothing_is_left(cache), leftovers(cache)
        assert python.do("import sys; result = 'magic_module.alpha' in sys.modules") is False
        assert python.do("import importlib; result = importlib.reload(beta).VALUE") == 2
        origin.heal()
        assert python.do(IMPORT) == 5000
        assert nothing_is_left(cache), leftovers(cache)


@pytest.mark.parametrize(
    "fault",
    [faults.not_found, faults.server_error, faults.truncated, faults.wrong_bytes, faults.endless_body],
    ids=lambda fault: fault.__name__,
)
def test_failed_upgrade_changes_nothing(cache: Path, site: Site, origin: Origin, fault: Fault) -> None:
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == 5000
        site.unit("alpha", {"alpha.py": CODE, "alpha.csv": "1,2\n" * 6000}, version="1.1")
        site.write()
        origin.fail(data_path(site), fault)
        failure = python.fail("alpha._upgrade()")
        assert failure.kind == LASTING[fault]
        assert python.do("result = alpha.rows()") == 5000
        with Interpreter(cache, origin.manifest_url) as other:
            assert other.do(IMPORT) == 5000
        origin.heal()
        assert python.do("result = alpha._upgrade().new_version") == "1.1"
        assert python.do("result = alpha.rows()") == 6000


@pytest.mark.parametrize("fault", [fault for fault in LASTING if fault not in SLOW], ids=lambda fault: fault.__name__)
def test_command_line(cache: Path, site: Site, origin: Origin, fault: Fault) -> None:
    origin.fail(data_path(site), fault)
    ended = command_line("fetch", "magic_module.alpha", cache=cache, manifest_url=origin.manifest_url)
    assert ended.status == 1
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    origin.heal()
    assert command_line("fetch", "magic_module.alpha", cache=cache, manifest_url=origin.manifest_url).status == 0


@pytest.mark.parametrize(
    "fault",
    [faults.server_error, faults.unavailable, faults.truncated, faults.reset_in_the_middle, faults.reset_at_once],
    ids=lambda fault: fault.__name__,
)
def test_what_passes_is_not_noticed(cache: Path, site: Site, origin: Origin, fault: Fault) -> None:
    origin.fail(data_path(site), fault, times=2)
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == 5000
    assert len(origin.paths(data_path(site))) == 3


def test_a_manifest_that_is_older_than_the_files(cache: Path, site: Site, origin: Origin) -> None:
    """A cached manifest names files that are gone: what took their place is imported at once, and says so itself."""
    publish_meanwhile = "1,2\n" * 7
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do("import magic_module.beta as beta; result = beta.VALUE") == 2
        (site.folder / data_path(site)[1:]).unlink()
        site.unit("alpha", {"alpha/__init__.py": CODE, "alpha/alpha.csv": publish_meanwhile}, version="1.1")
        site.write()
        assert python.do(IMPORT) == 7, "a package has taken the place of a module"
        same = "alpha.__file__ == alpha.__spec__.origin == alpha.__spec__.loader.path"
        path = "alpha.__path__ == alpha.__spec__.submodule_search_locations"
        package = "alpha.__package__ == alpha.__spec__.parent == alpha.__name__"
        assert python.do(f"result = [{same}, {path}, {package}]") == [True, True, True]
        assert python.do("import magic_module; result = magic_module.info('magic_module.alpha').version") == "1.1"
    with Interpreter(cache, origin.manifest_url, settings={"MAGIC_MODULE_OFFLINE": "1"}) as python:
        assert python.do(IMPORT) == 7


def test_what_is_fetched_ahead_is_what_there_is_now(cache: Path, site: Site, origin: Origin) -> None:
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do("import magic_module.beta as beta; result = beta.VALUE") == 2
        (site.folder / data_path(site)[1:]).unlink()
        site.unit("alpha", {"alpha.py": CODE, "alpha.csv": "1,2\n" * 7}, version="1.1")
        site.write()
        python.do("import magic_module; magic_module.prefetch('magic_module.alpha')")
        origin.stop()
        assert python.do(IMPORT) == 7


def test_below_a_folder_that_was_seen_nothing_takes_its_place(cache: Path, site: Site, origin: Origin) -> None:
    """A folder without `__init__` has given its path away before anything is downloaded."""
    site.unit("tools", {"tools/one.py": "VALUE = 1\n"})
    site.write()
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do("import magic_module.beta as beta; result = beta.VALUE") == 2
        (site.folder / site.modules["tools"]["files"][0]["url"]).unlink()
        site.unit("tools", {"tools/one.py": "VALUE = 11\n"}, version="1.1")
        site.write()
        failure = python.fail("import magic_module.tools.one")
        assert failure.kind == "FetchError"
        sentences.check("artifact", "published-meanwhile", f"{failure.kind}: {failure.sentence}")
        again = "import sys; sys.modules.pop('magic_module.tools', None); import magic_module.tools.one as one"
        assert python.do(f"{again}; result = one.VALUE") == 11


def test_an_endless_body_does_not_fill_the_disk(cache: Path, site: Site, origin: Origin) -> None:
    origin.fail(data_path(site), faults.endless_body)
    ended = command_line(
        "fetch",
        "magic_module.alpha",
        cache=cache,
        manifest_url=origin.manifest_url,
        # The shell's limit on file sizes: whoever writes more is ended by SIGXFSZ.
        before=["bash", "-c", 'ulimit -f 1024; exec "$@"', "-"],
    )
    assert ended.status == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    assert sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) < 1 << 20


Archive = Callable[[zipfile.ZipFile, bytes, bytes], None]


def extra_member(archive: zipfile.ZipFile, code: bytes, data: bytes) -> None:
    """Something that the manifest does not list."""
    archive.writestr("alpha.py", code)
    archive.writestr("alpha.csv", data)
    archive.writestr("alpha.evil.py", "raise SystemExit")


def escaping_member(archive: zipfile.ZipFile, code: bytes, data: bytes) -> None:
    """Something outside of the tree."""
    archive.writestr("alpha.py", code)
    archive.writestr("alpha.csv", data)
    archive.writestr("../../../escaped.py", "raise SystemExit")


def absolute_member(archive: zipfile.ZipFile, code: bytes, data: bytes) -> None:
    """Something at the root of the disk."""
    archive.writestr("alpha.py", code)
    archive.writestr("alpha.csv", data)
    archive.writestr("/tmp/escaped.py", "raise SystemExit")


def bomb(archive: zipfile.ZipFile, code: bytes, data: bytes) -> None:
    """256 MiB where 20 KB were pinned."""
    archive.writestr("alpha.py", code)
    archive.writestr("alpha.csv", b"0" * (256 << 20))


def other_bytes(archive: zipfile.ZipFile, code: bytes, data: bytes) -> None:
    """The pinned size with other bytes."""
    archive.writestr("alpha.py", code.replace(b"sum(", b"max("))
    archive.writestr("alpha.csv", data)


def missing_member(archive: zipfile.ZipFile, code: bytes, data: bytes) -> None:
    """Less than the manifest lists."""
    archive.writestr("alpha.py", code)


def member_twice(archive: zipfile.ZipFile, code: bytes, data: bytes) -> None:
    """The right bytes first, others after them."""
    archive.writestr("alpha.py", code)
    archive.writestr("alpha.csv", data)
    with pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("alpha.csv", data.replace(b"1", b"9"))


def symlink(archive: zipfile.ZipFile, code: bytes, data: bytes) -> None:
    """A link instead of a file."""
    archive.writestr("alpha.py", code)
    link = zipfile.ZipInfo("alpha.csv")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(link, "/etc/passwd")


def folder(archive: zipfile.ZipFile, code: bytes, data: bytes) -> None:
    """A folder instead of a file."""
    archive.writestr("alpha.py", code)
    archive.writestr("alpha.csv/", b"")


def other_compression(archive: zipfile.ZipFile, code: bytes, data: bytes) -> None:
    """A compression that is not part of the format."""
    archive.writestr("alpha.py", code)
    archive.writestr("alpha.csv", data, zipfile.ZIP_BZIP2)


def lying_header(archive: zipfile.ZipFile, code: bytes, data: bytes) -> None:
    """The directory declares the pinned size, the stream holds 1 MiB."""
    archive.writestr("alpha.py", code)
    archive.writestr("alpha.csv", b"0" * (1 << 20))
    archive.getinfo("alpha.csv").file_size = len(data)


EVIL: list[Archive] = [
    extra_member, escaping_member, absolute_member, bomb, other_bytes, missing_member, member_twice, symlink, folder,
    other_compression, lying_header,
]  # fmt: skip


def pack_of(site: Site, evil: Archive) -> bytes:
    """A pack whose own digest is pinned, and whose contents are not what was pinned."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        evil(archive, CODE.encode(), DATA.encode())
    return memory.getvalue()


@pytest.mark.parametrize("framed", [False, True], ids=["zip", "zip+zstd"])
@pytest.mark.parametrize("evil", EVIL, ids=lambda evil: evil.__name__)
def test_evil_pack(cache: Path, site: Site, origin: Origin, evil: Archive, framed: bool, tmp_path: Path) -> None:
    """Nothing of it is used, and without the files that it stands for, it is an error."""
    pack = pack_of(site, evil)
    artifact = site.artifact(zstd_frame(pack) if framed else pack)
    format = "zip+zstd" if framed else "zip"
    site.modules["alpha"]["packs"] = [{"format": format, "paths": ["alpha.py", "alpha.csv"], **artifact}]
    for file in site.modules["alpha"]["files"]:
        origin.fail(f"/{file['url']}", faults.not_found)
    site.write()
    with Interpreter(cache, origin.manifest_url) as python:
        failure = python.fail(IMPORT)
        # A pack that is larger than its files is not asked for.
        assert failure.kind == ("FetchError" if evil is bomb else "IntegrityError")
        sentences.check("artifact", f"pack-{evil.__name__}", f"{failure.kind}: {failure.sentence}")
        origin.heal()
        assert python.do(IMPORT) == 5000, "its files come one by one"
    inside = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    assert inside < 1 << 20, "never more than what was declared"
    escaped = [
        path for path in (tmp_path / "escaped.py", cache / "escaped.py", Path("/tmp/escaped.py")) if path.exists()
    ]
    assert escaped == []
    planted = [path.name for path in (cache / "v1" / "trees").rglob("*") if "evil" in path.name or path.is_symlink()]
    assert planted == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda pack: b"",
        lambda pack: pack[: len(pack) // 2],
        lambda pack: b"PK\x05\x06" + bytes(18),
        lambda pack: b"#!/bin/sh\nexit\n" + pack,
        lambda pack: pack + b"tail",
        lambda pack: b"\x1f\x8b" + pack[2:],
    ],
    ids=["empty", "half", "no-members", "text-before", "text-behind", "no-zip"],
)
@pytest.mark.parametrize("format", ["zip", "zip+zstd"])
def test_what_is_no_pack(cache: Path, site: Site, origin: Origin, spoil: Callable[[bytes], bytes], format: str) -> None:
    def good(archive: zipfile.ZipFile, code: bytes, data: bytes) -> None:
        archive.writestr("alpha.py", code)
        archive.writestr("alpha.csv", data)

    pack = pack_of(site, good)
    pack = spoil(zstd_frame(pack) if format == "zip+zstd" else pack)
    site.modules["alpha"]["packs"] = [{"format": format, "paths": ["alpha.py", "alpha.csv"], **site.artifact(pack)}]
    for file in site.modules["alpha"]["files"]:
        origin.fail(f"/{file['url']}", faults.not_found)
    site.write()
    with Interpreter(cache, origin.manifest_url) as python:
        failure = python.fail(IMPORT)
        assert failure.kind == "IntegrityError"
        assert failure.details["hint"]
        origin.heal()
        assert python.do(IMPORT) == 5000, "its files come one by one"


#: Whatever is wrong with a pack alone.
WITHOUT = [
    *(fault for fault in LASTING if fault not in SLOW),
    faults.bad_request,
    faults.unauthorized,
    faults.method_not_allowed,
    faults.unavailable_for_legal_reasons,
    faults.unavailable,
    faults.redirect_to_login,
    faults.compressed,
]


@pytest.mark.parametrize("fault", WITHOUT, ids=lambda fault: fault.__name__)
def test_a_pack_that_cannot_be_had_is_not_the_end(cache: Path, site: Site, origin: Origin, fault: Fault) -> None:
    """`files` are always complete, so a pack is never needed."""
    pack = site.pack({"alpha.py": CODE.encode(), "alpha.csv": DATA.encode()})
    site.modules["alpha"]["packs"] = [pack]
    site.write()
    origin.fail(f"/{pack['url']}", fault)
    if fault is faults.redirect_to_login:
        origin.fail("/login", fault)
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == 5000
        site.unit("alpha", {"alpha.py": CODE, "alpha.csv": "1,2\n" * 6000}, version="1.1")
        pack = site.pack({"alpha.py": CODE.encode(), "alpha.csv": b"1,2\n" * 6000})
        site.modules["alpha"]["packs"] = [pack]
        site.write()
        origin.fail(f"/{pack['url']}", fault)
        assert python.do("alpha._upgrade(force=True); result = alpha.rows()") == 6000


def test_a_pack_in_a_forbidden_place_is_not_the_end(cache: Path, site: Site, origin: Origin) -> None:
    pack = site.pack({"alpha.py": CODE.encode(), "alpha.csv": DATA.encode()})
    site.modules["alpha"]["packs"] = [{**pack, "url": "http://packs.invalid/alpha.zip"}]
    site.write()
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == 5000


BUSY = [faults.two_at_a_time, faults.two_at_a_time_and_when, faults.two_at_a_time_and_much_later, None]


@pytest.mark.parametrize("fault", BUSY, ids=lambda fault: fault.__name__ if fault else "two_connections")
def test_a_server_that_takes_two_at_a_time_is_enough(
    cache: Path, site: Site, origin: Origin, fault: Fault | None
) -> None:
    """Also where it counts connections, idle ones included, and breaks off more of them."""
    many = {f"many/part_{number}.py": f"VALUE = {number}\n" for number in range(40)}
    site.unit("many", {"many/__init__.py": "", **many})
    site.write()
    if fault is None:
        origin.most = 2
    else:
        origin.fail("*", fault)
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do("from magic_module.many import part_7; result = part_7.VALUE") == 7


def test_a_server_that_is_busy_for_everybody_names_the_setting(cache: Path, site: Site, origin: Origin) -> None:
    many = {f"many/part_{number}.py": f"VALUE = {number}\n" for number in range(40)}
    site.unit("many", {"many/__init__.py": "", **many})
    site.write()
    origin.fail("/files/*", lambda reply: reply.whole(503))
    with Interpreter(cache, origin.manifest_url) as python:
        failure = python.fail("import magic_module.many")
    sentences.check("artifact", "busy", f"{failure.kind}: {failure.sentence}")
    assert "MAGIC_MODULE_CONCURRENCY" in failure.details["hint"]


#: What servers write into Content-Encoding although they change nothing.
CODINGS = ["", "identity", "none", "utf-8", "aws-chunked", "binary", "gzip", "GZIP, identity", "x-gzip", "br"]


@pytest.mark.parametrize("coding", CODINGS)
def test_the_hash_decides_what_was_encoded(cache: Path, site: Site, origin: Origin, coding: str) -> None:
    """Manifest, files and packs."""
    origin.fail("*", lambda reply: reply.whole(200, reply.body or b"", {"Content-Encoding": coding}))
    site.modules["alpha"]["packs"] = [site.pack({"alpha.py": CODE.encode(), "alpha.csv": DATA.encode()})]
    site.write()
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == 5000
        assert python.do("import magic_module.beta as beta; result = beta.VALUE") == 2
    assert len(origin.paths("/files/*")) == 2, "one pack, one file"


@pytest.mark.parametrize("path", ["/manifest.json", "/files/*"])
def test_what_is_really_encoded_is_told(cache: Path, site: Site, origin: Origin, path: str) -> None:
    origin.fail(path, faults.compressed)
    with Interpreter(cache, origin.manifest_url) as python:
        failure = python.fail("import magic_module.beta")
    assert failure.kind == "FetchError"
    assert "encoded it as gzip" in failure.sentence and "compression off" in failure.details["hint"]


def test_a_url_of_the_readers_disk_is_refused(cache: Path, site: Site, origin: Origin, tmp_path: Path) -> None:
    secret = tmp_path / "secret.py"
    secret.write_text(CODE)
    site.modules["alpha"]["files"][0]["url"] = secret.as_uri()
    site.write()
    with Interpreter(cache, origin.manifest_url) as python:
        failure = python.fail(IMPORT)
    assert failure.kind == "ManifestError"
    sentences.check("artifact", "file-url", f"{failure.kind}: {failure.sentence}", tmp=tmp_path)


@pytest.mark.parametrize("url", ["../secret.py", "%2e%2e/secret.py", "files/../../secret.py"])
def test_a_file_manifest_does_not_leave_its_folder(cache: Path, site: Site, tmp_path: Path, url: str) -> None:
    (tmp_path / "secret.py").write_text(CODE)
    site.modules["alpha"]["files"][0]["url"] = url
    site.write()
    with Interpreter(cache, (site.folder / "manifest.json").as_uri()) as python:
        failure = python.fail(IMPORT)
    assert failure.kind == "ManifestError"
    sentences.check("artifact", f"file-manifest-{url}", f"{failure.kind}: {failure.sentence}", tmp=tmp_path)


def test_a_packs_address_is_shown_without_its_query(cache: Path, site: Site, origin: Origin) -> None:
    artifact = site.artifact(b"no pack")
    artifact["url"] += "?token=sesame"
    site.modules["alpha"]["packs"] = [{"format": "zip+zstd", "paths": ["alpha.py", "alpha.csv"], **artifact}]
    for file in site.modules["alpha"]["files"]:
        origin.fail(f"/{file['url']}", faults.not_found)
    site.write()
    with Interpreter(cache, origin.manifest_url) as python:
        failure = python.fail(IMPORT)
        assert failure.kind == "IntegrityError" and "is not a zstd frame" in failure.sentence
        assert "sesame" not in f"{failure.sentence} {failure.details}"
