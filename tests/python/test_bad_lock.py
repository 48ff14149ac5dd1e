"""Locks that are wrong, wheels that lie, servers, disks and processes that end: what a user reads, and what is left."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from packaging.tags import sys_tags

from kit import process, sentences
from kit.interpreter import Failure, Interpreter, environment
from kit.locks import Lock
from kit.wheels import Wheel, wheel
from origins import Origin

PLATFORM = next((tag.platform for tag in sys_tags() if tag.platform.startswith("manylinux_2_")), None)


class Desk:
    """A project with a lock, the server of its wheels, and a cache."""

    def __init__(self, folder: Path, origin: Origin) -> None:
        self.folder, self.origin = folder, origin
        self.path = folder / "pylock.toml"
        self.cache = folder.parent / "cache"
        self.mount = f"import magic_module as mm; mount = mm.mount_lock({str(self.path)!r})\n"

    def lock(self, *wheels: Wheel, more: str = "", **replaced: str) -> Lock:
        """Writes the lock; in its text, what `replaced` names is replaced."""
        lock = Lock(self.folder, wheels, url=self.origin.url, more=more)
        for old, new in replaced.items():
            self.replace(old, new)
        return lock

    def replace(self, old: str, new: str) -> None:
        text = self.path.read_text()
        assert re.search(old, text), text
        self.path.write_text(re.sub(old, new, text))

    def python(self, *, before: Sequence[str] = (), **settings: str) -> Interpreter:
        return Interpreter(self.cache, settings=settings, before=before)

    def check(self, case: str, failure: Failure) -> None:
        """Compares what is said, of which nothing may depend on the machine."""
        text = f"{failure.kind}: {failure.sentence}"
        text = re.sub(r"(?<=/tmp/)[\w{}]+(\.\w+)*\.\d+\.(?=\w+\b)", "{process}.", text)
        text = text.replace(".".join(map(str, sys.version_info[:3])), "{python}")
        sentences.check("bad_lock", case, text, lock=self.path, cache=self.cache)

    def views(self) -> list[str]:
        """What stands in the cache that others could see, or that nobody needs."""
        found = [path for name in ("views", "tmp") for path in (self.cache / "v1" / name).glob("*")]
        return sorted(path.name for path in found)

    def start(self, program: str) -> subprocess.Popen[str]:
        """A process of its own, which reads lines."""
        return process.start(process.command(program), environment(self.cache, None, None), self.folder, input=True)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "project" / "wheels").mkdir(parents=True)
    with Origin(tmp_path / "project" / "wheels") as origin:
        yield Desk(tmp_path / "project", origin)


def alpha() -> Wheel:
    return wheel("alpha", "1.0", {"alpha.py": "import beta\nVALUE = beta.VALUE + 1\n"}, requires=["beta"])


def beta(size: int = 0) -> Wheel:
    padding = {"beta/padding.bin": os.urandom(size)} if size else {}
    return wheel("beta", "2.0", {"beta/__init__.py": "VALUE = 41\n", **padding})


def foreign(tag: str) -> Wheel:
    return wheel("alpha", "1.0", {"alpha.py": "VALUE = 42\n"}, tag=tag)


LOCKS = {
    "not a lock": "name = 'x'\n",
    "broken TOML": "lock-version = '1.0'\n[[packages]\n",
    "not UTF-8": "lock-version = '1.0'\n# \udcff\n",
    "empty": "",
    "a newer lock": "lock-version = '2.0'\npackages = []\n",
    "no name": "lock-version = '1.0'\ncreated-by = 'x'\n[[packages]]\nversion = '1'\n",
    "another Python": "lock-version = '1.0'\ncreated-by = 'x'\nrequires-python = '>=3.99'\npackages = []\n",
    "another platform": "lock-version = '1.0'\ncreated-by = 'x'\nenvironments = [\"sys_platform == 'plan9'\"]\n"
    "packages = []\n",
    "a source": "lock-version = '1.0'\ncreated-by = 'x'\n[[packages]]\nname = 'alpha'\nversion = '1.0'\n"
    "[packages.sdist]\nurl = 'https://index.invalid/alpha-1.0.tar.gz'\nhashes = {sha256 = '" + "0" * 64 + "'}\n",
    "a repository": "lock-version = '1.0'\ncreated-by = 'x'\n[[packages]]\nname = 'alpha'\nversion = '1.0'\n"
    "[packages.vcs]\ntype = 'git'\nurl = 'https://index.invalid/alpha.git'\ncommit-id = 'abc'\n",
    "a URL of another kind": "lock-version = '1.0'\ncreated-by = 'x'\n[[packages]]\nname = 'alpha'\nversion = '1.0'\n"
    "[[packages.wheels]]\nname = 'alpha-1.0-py3-none-any.whl'\nurl = 'ftp://index.invalid/alpha-1.0-py3-none-any.whl'\n"
    "hashes = {sha256 = '" + "0" * 64 + "'}\n",
}


@pytest.mark.parametrize("case", LOCKS)
def test_a_lock_that_cannot_be_used_and_is_mended(desk: Desk, case: str) -> None:
    """The process goes on as if there were none; once it is mended, the same process can use it."""
    desk.path.write_bytes(LOCKS[case].encode("utf-8", "surrogateescape"))
    with desk.python() as python:
        desk.check(case, python.fail(desk.mount))
        assert python.fail("import alpha").kind == "ModuleNotFoundError"
        assert desk.views() == []
        desk.lock(alpha(), beta())
        assert python.do(desk.mount + "import alpha; result = alpha.VALUE") == 42


def test_a_lock_that_is_not_there(desk: Desk) -> None:
    with desk.python() as python:
        desk.check("not there", python.fail(desk.mount))
        desk.path.mkdir()
        desk.check("a folder", python.fail(desk.mount))
        desk.path.rmdir()
        desk.lock(alpha(), beta())
        assert python.do(desk.mount + "import alpha; result = alpha.VALUE") == 42


@pytest.mark.parametrize("case", ["no wheel that fits", "a newer system"])
def test_wheels_for_others(desk: Desk, case: str) -> None:
    if case == "a newer system" and PLATFORM is None:
        pytest.skip("NOT TESTED: wheels do not name the version of this system")
    machine = re.sub(r"manylinux_\d+_\d+", "manylinux_2_99", PLATFORM or "")
    desk.lock(foreign("cp27-cp27m-win32" if case == "no wheel that fits" else f"py3-none-{machine}"))
    with desk.python() as python:
        failure = python.fail(desk.mount)
        said = re.sub(r"this interpreter takes \S+?(?=[;,])", "this interpreter takes {tag}", failure.sentence)
        said = re.sub(r"this system has [\d.]+", "this system has {glibc}", said).replace(machine or "-", "{newer}")
        desk.check(case, Failure(failure.kind, failure.kinds, said, failure.details))
        assert python.fail("import alpha").kind == "ModuleNotFoundError"


def test_hashes(desk: Desk) -> None:
    lock = desk.lock(alpha(), beta())
    digest = lock.wheels["beta"].sha256
    with desk.python() as python:
        desk.replace("sha256 = .+? }", 'md5 = "00" }')
        desk.check("no hash", python.fail(desk.mount))
        desk.lock(alpha(), beta())
        desk.replace(digest, "abc")
        desk.check("half a hash", python.fail(desk.mount))
        desk.lock(alpha(), beta())
        desk.replace(digest, "0" * 64)
        python.do(desk.mount)
        desk.check("wrong hash", python.fail("import alpha"))
        assert "beta" not in python.do("import sys; result = sorted(sys.modules)")
        python.do("mount.close()")
        desk.lock(alpha(), beta())
        assert python.do(desk.mount + "import alpha; result = alpha.VALUE") == 42


def test_the_index_is_gone_before_the_mount_and_after_it(desk: Desk) -> None:
    desk.lock(beta())
    desk.origin.stop()
    with desk.python() as python:
        desk.check("gone before", python.fail(desk.mount))
        assert desk.views() == []
        desk.origin.start()
        python.do(desk.mount)
        desk.origin.stop()
        desk.check("gone after", python.fail("import beta"))
        assert python.fail("import beta").kind == "FetchError"
        desk.origin.start()
        assert python.do("import beta; result = beta.VALUE") == 41


LYING: dict[str, Wheel] = {
    "another name in METADATA": wheel(
        "alpha", "1.0", {"alpha.py": ""}, dist_info={"METADATA": "Metadata-Version: 2.1\nName: omega\nVersion: 1.0\n"}
    ),
    "no name in METADATA": wheel("alpha", "1.0", {"alpha.py": ""}, dist_info={"METADATA": "Metadata-Version: 2.1\n"}),
    "a path that leads out": wheel("alpha", "1.0", {"../alpha.py": ""}),
    "a folder of no scheme": wheel("alpha", "1.0", {"alpha.py": ""}, data={"nowhere/x": ""}),
}


@pytest.mark.parametrize("case", LYING)
def test_a_wheel_that_lies_about_its_names(desk: Desk, case: str) -> None:
    lying = LYING[case]
    desk.lock(lying, beta())
    with desk.python() as python:
        desk.check(case, python.fail(desk.mount))
        assert python.fail("import alpha").kind == "ModuleNotFoundError"
        assert python.fail("import beta").kind == "ModuleNotFoundError"
        desk.lock(alpha(), beta())
        assert python.do(desk.mount + "import alpha; result = alpha.VALUE") == 42


def test_a_record_that_pins_other_bytes(desk: Desk) -> None:
    """What is in a wheel is only known to differ once it was hashed: no code of it runs."""
    other = wheel("alpha", "1.0", {"alpha.py": "VALUE = 2\n"})
    desk.lock(wheel("alpha", "1.0", {"alpha.py": "VALUE = 1\n"}, record=_record(other)), beta())
    with desk.python() as python:
        python.do(desk.mount)
        desk.check("a RECORD that pins other bytes", python.fail("import alpha"))
        assert python.do("import beta; result = beta.VALUE") == 41


def test_a_record_that_leaves_files_out(desk: Desk) -> None:
    """What is in such a wheel is learnt from the wheel itself, which is hashed for it."""
    silent = wheel("alpha", "1.0", {"alpha.py": "import beta\nVALUE = beta.VALUE\n"}, record="")
    more = wheel("beta", "1.0", more={"beta.py": "VALUE = 42\n"})
    desk.lock(silent, more)
    with desk.python() as python:
        assert python.do(desk.mount + "import alpha; result = alpha.VALUE") == 42


def _record(of: Wheel) -> str:
    with zipfile.ZipFile(io.BytesIO(of.data)) as archive:
        return archive.read(f"{of.name}-{of.version}.dist-info/RECORD").decode()


def test_what_is_required_in_a_circle(desk: Desk) -> None:
    one = wheel("one", "1.0", {"one.py": "def value():\n    import two\n    return two.VALUE\n"}, requires=["two"])
    two = wheel("two", "1.0", {"two.py": "import one\nVALUE = 42\n"}, requires=["one"])
    desk.lock(one, two)
    with desk.python() as python:
        assert python.do(desk.mount + "import one; result = one.value()") == 42


def test_what_is_required_and_not_in_the_lock(desk: Desk) -> None:
    """As after `pip install --no-deps`: the import of what is missing fails, and nothing else does."""
    desk.lock(alpha())
    with desk.python() as python:
        failure = python.fail(desk.mount + "import alpha")
        assert (failure.kind, failure.details["name"]) == ("ModuleNotFoundError", "beta")
        assert failure.sentence.startswith("No module named 'beta'")


def test_a_kill_while_a_wheel_comes(desk: Desk) -> None:
    desk.lock(alpha(), beta(300_000))
    program = desk.mount + "print('mounted', flush=True); input()\nimport alpha; print(alpha.VALUE)"
    stall = desk.origin.stall("/beta-2.0-py3-none-any.whl", after=100_000)
    child = desk.start(program)
    try:
        assert process.read_line(child) == "mounted"
        process.say(child)
        assert stall.reached.wait(process.PATIENCE)
    finally:
        os.killpg(child.pid, 9)
        child.communicate()
        stall.release.set()
    with desk.python() as python:
        assert python.do(desk.mount + "import alpha; result = alpha.VALUE") == 42
    assert list((desk.cache / "v1" / "tmp").glob("*")) == []


def test_a_kill_while_a_lock_is_compiled(desk: Desk) -> None:
    desk.lock(alpha(), beta())
    stall = desk.origin.stall("/beta-2.0-py3-none-any.whl")
    child = desk.start(desk.mount)
    try:
        assert stall.reached.wait(process.PATIENCE)
    finally:
        os.killpg(child.pid, 9)
        child.communicate()
        stall.release.set()
    assert desk.views() == []
    with desk.python() as python:
        assert python.do(desk.mount + "import alpha; result = alpha.VALUE") == 42


def test_thirty_two_processes_want_one_wheel(desk: Desk) -> None:
    """Each wheel is downloaded once, and each lock compiled into one view."""
    desk.lock(alpha(), beta())
    program = "print('up', flush=True); input()\n" + desk.mount + "import alpha; print(alpha.VALUE)"
    children = [desk.start(program) for _ in range(32)]
    for child in children:
        assert process.read_line(child) == "up"
    for child in children:
        process.say(child)
    ended = [process.finish(child) for child in children]
    assert {(it.stdout, it.stderr, it.status) for it in ended} == {("42\n", "", 0)}
    whole = [request.path for request in desk.origin.take() if "range" not in request.headers]
    assert sorted(whole) == ["/alpha-1.0-py3-none-any.whl", "/beta-2.0-py3-none-any.whl"]
    assert len(desk.views()) == 2, "a view and its index"


@pytest.fixture
def tiny(desk: Desk) -> Iterator[Path]:
    """A disk of 2 MiB for the cache."""
    desk.cache.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0755", "tmpfs", str(desk.cache)]
    if os.geteuid() != 0 or not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("NOT TESTED: a small disk cannot be mounted here")
    try:
        yield desk.cache
    finally:
        subprocess.run(["umount", str(desk.cache)], check=True)


def test_a_full_disk(desk: Desk, tiny: Path) -> None:
    desk.lock(alpha(), beta(1_500_000))
    filler = tiny / "filler"
    with desk.python() as python:
        python.do(desk.mount)
        filler.write_bytes(b"x" * 1_000_000)
        failure = python.fail("import alpha")
        desk.check("a full disk", failure)
        filler.unlink()
        desk.lock(alpha(), beta())
        python.do("mount.close()")
        assert python.do(desk.mount + "import alpha; result = alpha.VALUE") == 42


def test_a_disk_that_is_full_before_the_mount(desk: Desk, tiny: Path) -> None:
    desk.lock(alpha(), beta())
    filler = tiny / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:  # until the disk is full
            file.write(b"x" * 4096)
    with desk.python() as python:
        failure = python.fail(desk.mount)
        desk.check("a disk that is full before the mount", failure)
        filler.unlink()
        assert python.do(desk.mount + "import alpha; result = alpha.VALUE") == 42


@pytest.fixture
def mortal() -> list[str]:
    """What makes a command run with the permissions of everybody."""
    if os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        pytest.skip("NOT TESTED: root ignores permissions, and there is no setpriv to change that")
    drop = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={drop}", f"--inh-caps={drop}"]


def test_no_permission(desk: Desk, mortal: list[str]) -> None:
    desk.lock(alpha(), beta())
    with desk.python(before=mortal) as python:
        desk.path.chmod(0)
        desk.check("a lock that may not be read", python.fail(desk.mount))
        desk.path.chmod(0o644)
        desk.cache.mkdir(mode=0o555)
        desk.check("a cache that may not be written", python.fail(desk.mount))
        desk.cache.chmod(0o755)
        python.do(desk.mount)
        trees = desk.cache / "v1" / "trees"
        trees.chmod(0o555)
        desk.check("trees that may not be written", python.fail("import alpha"))
        trees.chmod(0o755)
        assert python.do("import alpha; result = alpha.VALUE") == 42


MISSING = {
    "a slip": "reqeusts",
    "a distribution": "scikit_learn",
    "nothing alike": "tensorflow",
}


@pytest.mark.parametrize("case", MISSING)
def test_a_name_that_no_package_provides(desk: Desk, case: str) -> None:
    """The import fails as ever; a note says which name comes closest, and how to add one."""
    desk.lock(wheel("requests", "2.0", {"requests.py": ""}), wheel("scikit-learn", "1.0", {"sklearn/__init__.py": ""}))
    name = MISSING[case]
    program = f"""
try:
    import {name}
except ImportError as error:
    assert error.name == {name!r}
    result = [type(error).__name__, str(error), getattr(error, "__notes__", None)]
import importlib.util
assert importlib.util.find_spec({name!r}) is None
"""
    with desk.python() as python:
        kind, said, notes = python.do(desk.mount + program)
    if sys.version_info >= (3, 11):
        assert said == f"No module named {name!r}"
        said = f"{said}; {notes[0]}"
    desk.check(case, Failure(kind, (), said, {}))


def test_others_are_asked_before_a_name_is_missing(desk: Desk) -> None:
    desk.lock(wheel("requests", "2.0", {"requests.py": ""}))
    program = """
import sys, importlib.machinery, importlib.abc
class Late(importlib.abc.Loader):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, cls()) if name == "late" else None
    def create_module(self, spec): return None
    def exec_module(self, module): pass
sys.meta_path.append(Late)
import late
try: import reqeusts
except ImportError as error: result = [type(error).__name__, str(error)]
"""
    with desk.python() as python:
        assert python.do(desk.mount + program) == ["ModuleNotFoundError", "No module named 'reqeusts'"]
