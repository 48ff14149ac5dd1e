"""Cache directories that cannot be used, and what still works with them."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit import sentences
from kit.interpreter import Interpreter, command_line
from kit.site import Site
from kit.world import World
from origins import Origin

IMPORT = "import magic_module.alpha as alpha; result = alpha.VALUE"
OTHER = "import magic_module.beta as beta; result = beta.VALUE"
STRANGER = 54321
OTHER_STRANGER = 54322

pytestmark = [pytest.mark.once, pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Two units, and one of 4 MiB."""
    site = Site(tmp_path / "site")
    site.unit("alpha", {"alpha.py": "VALUE = 1\n"})
    site.unit("beta", {"beta.py": "VALUE = 2\n"})
    site.unit("large", {"large.py": "VALUE = 3\n", "large.bin": os.urandom(4 << 20)})
    return site.write()


@pytest.fixture
def origin(site: Site) -> Iterator[Origin]:
    """Their server."""
    with Origin(site.folder) as origin:
        yield origin


@pytest.fixture
def mortal() -> list[str]:
    """What makes a command obey permissions: for root, dropping the capabilities to ignore them."""
    if os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        pytest.skip("root ignores permissions, and there is no setpriv to change that")
    drop = "-dac_override,-dac_read_search,-fowner"
    return ["setpriv", f"--bounding-set={drop}", f"--inh-caps={drop}"]


@pytest.fixture
def stranger() -> list[str]:
    """What makes a command run as a user without a name, who may read everything."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("only root can be someone else, and needs setpriv for it")
    with pytest.raises(KeyError):
        pwd.getpwuid(STRANGER)
    return ["setpriv", f"--reuid={STRANGER}", "--clear-groups", "--inh-caps=+dac_read_search",
            "--ambient-caps=+dac_read_search"]  # fmt: skip


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    place = tmp_path / "tiny"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0755", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def command_says_it_too(cache: Path, origin: Origin, before: list[str], unit: str = "alpha") -> None:
    """The command line fails with one line and without a traceback."""
    ended = command_line("fetch", f"magic_module.{unit}", cache=cache, manifest_url=origin.manifest_url, before=before)
    assert ended.status == 1, ended
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def fill(file: io.FileIO, block: bytes) -> bool:
    """Write once more; false if the disk is full."""
    try:
        return file.write(block) > 0
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return False
        raise


def test_missing_with_its_parents(tmp_path: Path, origin: Origin) -> None:
    (tmp_path / "not").mkdir()
    made = tmp_path / "not" / "yet" / "there"
    settings = {"MAGIC_MODULE_CACHE_DIR": str(made)}
    with Interpreter(tmp_path / "unused", origin.manifest_url, settings=settings) as python:
        assert python.do(IMPORT) == 1
    assert stat.S_IMODE(made.stat().st_mode) & 0o022 == 0
    assert (made / "v1" / "CACHEDIR.TAG").read_bytes().startswith(b"Signature: 8a477f597d28d172789f06886806bc55")


def test_missing_and_cannot_be_made(tmp_path: Path, origin: Origin, mortal: list[str]) -> None:
    parent = tmp_path / "parent"
    parent.mkdir(mode=0o555)
    cache = parent / "cache"
    with Interpreter(cache, origin.manifest_url, before=mortal, settings={"HOME": str(tmp_path)}) as python:
        failure = python.fail(IMPORT)
        assert failure.kind == "StoreError"
        sentences.check("cache", "cannot-be-made", f"{failure.kind}: {failure.sentence}", cache=cache)
        command_says_it_too(cache, origin, mortal)
        parent.chmod(0o755)
        assert python.do(IMPORT) == 1


def test_read_only(tmp_path: Path, origin: Origin, mortal: list[str]) -> None:
    """What is there works; what is not says why."""
    cache = tmp_path / "cache"
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == 1
    folders = [cache, *(path for path in cache.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        with Interpreter(cache, origin.manifest_url, before=mortal) as python:
            assert python.do(IMPORT) == 1
            failure = python.fail(OTHER)
            assert failure.kind == "StoreError"
            sentences.check("cache", "read-only", f"{failure.kind}: {failure.sentence}", cache=cache)
            assert "MAGIC_MODULE_CACHE_DIR" in failure.details["hint"]
            command_says_it_too(cache, origin, mortal, "beta")
            for folder in folders:
                folder.chmod(0o755)
            assert python.do(OTHER) == 2
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_read_only_disk(tmp_path: Path, tiny: Path, origin: Origin) -> None:
    cache = tiny / "cache"
    with Interpreter(
        tmp_path / "unused", origin.manifest_url, settings={"MAGIC_MODULE_CACHE_DIR": str(cache)}
    ) as python:
        assert python.do(IMPORT) == 1
    subprocess.run(["mount", "-o", "remount,ro", str(tiny)], check=True)
    with Interpreter(
        tmp_path / "unused", origin.manifest_url, settings={"MAGIC_MODULE_CACHE_DIR": str(cache)}
    ) as python:
        assert python.do(IMPORT) == 1
        failure = python.fail(OTHER)
        assert failure.kind == "StoreError"
        sentences.check("cache", "read-only-disk", f"{failure.kind}: {failure.sentence}", cache=cache)
        subprocess.run(["mount", "-o", "remount,rw", str(tiny)], check=True)
        assert python.do(OTHER) == 2


def test_full(tmp_path: Path, tiny: Path, origin: Origin) -> None:
    cache = tiny / "cache"
    settings = {"MAGIC_MODULE_CACHE_DIR": str(cache)}
    with Interpreter(tmp_path / "unused", origin.manifest_url, settings=settings) as python:
        assert python.do(IMPORT) == 1
        failure = python.fail("import magic_module.large")
        assert failure.kind == "StoreError"
        sentences.check("cache", "full", f"{failure.kind}: {failure.sentence}", cache=cache)
        assert "prune" in failure.details["hint"]
        assert list((cache / "v1" / "tmp").iterdir()) == [], "the space is given back"
        assert python.do(OTHER) == 2, "what is small enough still works"
        subprocess.run(["mount", "-o", "remount,size=32m", str(tiny)], check=True)
        assert python.do("import magic_module.large as large; result = large.VALUE") == 3


def test_full_to_the_last_byte(tmp_path: Path, tiny: Path, origin: Origin) -> None:
    """Even what writes only a few bytes fails in good order, and what was there stays."""
    cache = tiny / "cache"
    settings = {"MAGIC_MODULE_CACHE_DIR": str(cache)}
    with Interpreter(tmp_path / "unused", origin.manifest_url, settings=settings) as python:
        assert python.do(IMPORT) == 1
    ballast = tiny / "ballast"
    with ballast.open("wb", buffering=0) as file:
        block = bytes(4096)
        while fill(file, block):
            pass
    with Interpreter(tmp_path / "unused", origin.manifest_url, settings=settings) as python:
        assert python.do(IMPORT) == 1
        failure = python.fail(OTHER)
        assert failure.kind == "StoreError"
        ballast.unlink()
        assert python.do(OTHER) == 2
    with Interpreter(tmp_path / "unused", origin.manifest_url, settings=settings) as python:
        assert python.do(IMPORT) == 1
        assert python.do(OTHER) == 2


@pytest.mark.parametrize("below", ["", "below"])
def test_a_file(tmp_path: Path, origin: Origin, below: str) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    cache = file / below if below else file
    settings = {"MAGIC_MODULE_CACHE_DIR": str(cache)}
    with Interpreter(tmp_path / "unused", origin.manifest_url, settings=settings) as python:
        failure = python.fail(IMPORT)
        assert failure.kind == "StoreError"
        sentences.check(
            "cache", f"a-file{'-below' if below else ''}", f"{failure.kind}: {failure.sentence}", cache=file
        )
        ended = command_line("fetch", "magic_module.alpha", cache=tmp_path / "unused", manifest_url=origin.manifest_url,
                             settings=settings)  # fmt: skip
        assert ended.status == 1
        assert "Traceback" not in ended.stderr
        assert file.read_text() == "precious"
        file.unlink()
        assert python.do(IMPORT) == 1


@pytest.mark.parametrize("part", ["v1", "v1/blobs", "v1/trees", "v1/mounts", "v1/tmp"])
def test_a_file_where_a_folder_belongs(tmp_path: Path, origin: Origin, part: str) -> None:
    cache = tmp_path / "cache"
    (cache / part).parent.mkdir(parents=True)
    (cache / part).write_text("precious")
    for folder in (cache, cache / "v1"):
        if folder.is_dir():
            folder.chmod(0o700)
    with Interpreter(cache, origin.manifest_url) as python:
        failure = python.fail(IMPORT)
        assert failure.kind == "StoreError"
        sentences.check("cache", f"a-file-at-{part}", f"{failure.kind}: {failure.sentence}", cache=cache)
        (cache / part).unlink()
        assert python.do(IMPORT) == 1


def test_of_someone_else(tmp_path: Path, origin: Origin, stranger: list[str]) -> None:
    """A cache of a stranger is not run from, unless that stranger is trusted; then it is only read."""
    tmp_path.chmod(0o755)
    cache = tmp_path / "cache"
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == 1
    for path in (cache, *cache.rglob("*")):
        os.chown(path, OTHER_STRANGER, OTHER_STRANGER)
    with Interpreter(cache, origin.manifest_url, before=stranger) as python:
        failure = python.fail(IMPORT)
        assert failure.kind == "StoreError"
        sentences.check("cache", "of-someone-else", f"{failure.kind}: {failure.sentence}", cache=cache)
        command_says_it_too(cache, origin, stranger)
    trust = {"MAGIC_MODULE_TRUSTED_OWNERS": str(OTHER_STRANGER)}
    before = {path: path.lstat().st_mtime_ns for path in cache.rglob("*")}
    with Interpreter(cache, origin.manifest_url, settings=trust, before=stranger) as python:
        assert python.do(IMPORT) == 1
    assert {path: path.lstat().st_mtime_ns for path in cache.rglob("*")} == before, "only read"


def test_of_root(tmp_path: Path, origin: Origin, stranger: list[str]) -> None:
    """An administrator's cache serves every user, who cannot write to it."""
    cache = tmp_path / "cache"
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == 1
    with Interpreter(cache, origin.manifest_url, before=stranger) as python:
        assert python.do("import os; result = os.geteuid()") == STRANGER
        assert python.do(IMPORT) == 1
        failure = python.fail(OTHER)
        assert failure.kind == "StoreError"
        sentences.check("cache", "of-root", f"{failure.kind}: {failure.sentence}", cache=cache)


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o077], ids=oct)
def test_whatever_the_umask(tmp_path: Path, origin: Origin, umask: int) -> None:
    """Many systems let a user's own group write to new files; the cache does not follow them."""
    cache = tmp_path / "cache"
    for _ in range(2):
        with Interpreter(cache, origin.manifest_url) as python:
            python.do(f"import os; os.umask({umask})")
            assert python.do(IMPORT) == 1
            assert python.do(OTHER) == 2
    open_to_others = [path for path in (cache, *cache.rglob("*")) if path.stat().st_mode & 0o022]
    assert open_to_others == []


@pytest.mark.parametrize("part", ["", "v1", "v1/trees", "v1/mounts"])
def test_that_others_may_write_to(tmp_path: Path, origin: Origin, part: str) -> None:
    cache = tmp_path / "cache"
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == 1
    (cache / part).chmod(0o777)
    with Interpreter(cache, origin.manifest_url) as python:
        failure = python.fail(IMPORT)
        assert failure.kind == "StoreError"
        sentences.check("cache", f"writable-{part or 'top'}", f"{failure.kind}: {failure.sentence}", cache=cache)
        (cache / part).chmod(0o700)
        assert python.do(IMPORT) == 1


@pytest.mark.parametrize("part", ["v1", "v1/trees", "v1/mounts", "v1/blobs"])
def test_a_link_that_leads_out(tmp_path: Path, origin: Origin, part: str) -> None:
    cache, elsewhere = tmp_path / "cache", tmp_path / "elsewhere"
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == 1
    shutil.move(cache / part, elsewhere)
    os.symlink(elsewhere, cache / part)
    with Interpreter(cache, origin.manifest_url) as python:
        failure = python.fail(IMPORT)
        assert failure.kind == "StoreError"
        sentences.check("cache", f"link-{part}", f"{failure.kind}: {failure.sentence}", cache=cache)


@pytest.mark.parametrize("home", ["", "/dev/null/home"], ids=["unset", "impossible"])
def test_no_home(tmp_path: Path, origin: Origin, stranger: list[str], home: str) -> None:
    """A user without a name and without a home: the sentence says which variable helps, and it does."""
    settings = {"HOME": home, "MAGIC_MODULE_CACHE_DIR": ""}
    with Interpreter(tmp_path / "unused", origin.manifest_url, settings=settings, before=stranger) as python:
        failure = python.fail(IMPORT)
    assert failure.kind == ("StoreError" if home else "ConfigurationError")
    assert "MAGIC_MODULE_CACHE_DIR" in failure.sentence
    sentences.check("cache", f"no-home-{'impossible' if home else 'unset'}", f"{failure.kind}: {failure.sentence}")
    ended = command_line("fetch", "magic_module.alpha", cache=tmp_path / "unused", manifest_url=origin.manifest_url,
                         settings=settings, before=stranger)  # fmt: skip
    assert ended.status == 1
    assert "Traceback" not in ended.stderr
    place = tmp_path / "place"
    place.mkdir()
    os.chown(place, STRANGER, STRANGER)
    settings["MAGIC_MODULE_CACHE_DIR"] = str(place / "cache")
    tmp_path.chmod(0o755)
    with Interpreter(tmp_path / "unused", origin.manifest_url, settings=settings, before=stranger) as python:
        assert python.do(IMPORT) == 1


def test_the_default_place(tmp_path: Path, origin: Origin) -> None:
    with Interpreter(tmp_path / "unused", origin.manifest_url, settings={"MAGIC_MODULE_CACHE_DIR": ""}) as python:
        place = Path(python.do("import magic_module; result = str(magic_module.cache_dir())"))
        assert place.is_relative_to(tmp_path / "home")
        assert python.do(IMPORT) == 1
        assert (place / "v1").is_dir()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MAGIC_MODULE_OFFLINE", "maybe"),
        ("MAGIC_MODULE_PINS", "alpha=1"),
        ("MAGIC_MODULE_CACHE_LIMIT", "lots"),
        ("MAGIC_MODULE_CONCURRENCY", "0"),
        ("MAGIC_MODULE_PROGRESS", "loud"),
        ("MAGIC_MODULE_VERIFY", "off"),
        ("MAGIC_MODULE_TRUSTED_OWNERS", "root"),
    ],
)
def test_wrong_settings(tmp_path: Path, origin: Origin, variable: str, value: str) -> None:
    """`import magic_module` works whatever the environment says; using it names the variable."""
    with Interpreter(tmp_path / "cache", origin.manifest_url, settings={variable: value}) as python:
        python.do("import magic_module")
        failure = python.fail(IMPORT)
    assert failure.kind == "ConfigurationError"
    sentences.check("cache", variable, f"{failure.kind}: {failure.sentence}")


def test_another_version_on_the_same_cache(tmp_path: Path, origin: Origin) -> None:
    """What a later version adds is neither read nor removed, and does not stop this one."""
    cache = tmp_path / "cache"
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == 1
    foreign = [
        cache / "v2" / "index.sqlite",
        cache / "v1" / "index.sqlite",
        cache / "v1" / "chunks" / "ab",
        next((cache / "v1" / "mounts").iterdir()) / "generations" / "7.zst",
        next((cache / "v1" / "mounts").iterdir()) / "generations" / "later",
        next((cache / "v1" / "mounts").iterdir()) / "ledger",
        cache / "v1" / "trees" / "later.index2",
    ]
    for path in foreign:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text("from the future")
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == 1
        assert python.do(OTHER) == 2
        python.do("import magic_module; magic_module.verify(); magic_module.prune()")
    assert [path.read_text() for path in foreign] == ["from the future"] * len(foreign)


def test_a_generation_with_fields_of_a_later_version(tmp_path: Path, origin: Origin) -> None:
    cache = tmp_path / "cache"
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == 1
    mount = next((cache / "v1" / "mounts").iterdir())
    files = [path for path in (mount / "generations").iterdir() if path.name.isdigit()] + [mount / "state"]
    for path in files:
        body = json.loads(path.read_bytes()[65:])
        body["colour"] = {"later": [1]}
        text = json.dumps(body).encode()
        path.write_bytes(hashlib.sha256(text).hexdigest().encode() + b"\n" + text + b"\n")
    origin.stop()
    with Interpreter(cache, origin.manifest_url) as python:
        assert python.do(IMPORT) == 1


def test_a_cache_whose_path_the_interpreter_cannot_write_down(world: World) -> None:
    world.publish({"alpha.py": ""})
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    cache = world.path / "größe"
    env = {**plain, "MAGIC_MODULE_MANIFEST_URL": world.serve().manifest_url, "MAGIC_MODULE_CACHE_DIR": str(cache)}
    result = world.run("import magic_module.alpha", env=env, status=1)
    assert "StoreError: cannot open" in result.stderr
    assert "set PYTHONUTF8=1, or set MAGIC_MODULE_CACHE_DIR to a folder whose path is ASCII" in result.stderr
    assert world.run("import magic_module.alpha", env={**env, "PYTHONUTF8": "1"}).status == 0
