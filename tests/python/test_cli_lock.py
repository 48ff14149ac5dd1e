"""`magic-module lock` with the resolvers that are there, against indexes on this machine; no other index is asked."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from packaging.pylock import Pylock

from kit import resolvers, sentences, typed
from kit.package_index import PackageIndex
from kit.process import Result
from kit.resolvers import UV, with_uv
from kit.sources import write_tree
from kit.wheels import Wheel, wheel
from kit.world import World
from magic_module._py.lock import completed
from magic_module._py.locking import reading
from magic_module._py.locking.changes import Lock
from magic_module._py.locking.urls import cut, cut_document

pytestmark = pytest.mark.once

SECRET = "pa'ss"
SCHEMA = Path(__file__).parents[2] / "docs/reference/lock.schema.json"


def pip_version() -> tuple[int, ...]:
    ended = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, text=True)
    return tuple(int(part) for part in re.findall(r"\d+", ended.stdout.partition(" from ")[0]))


PIP = pip_version()
with_pip = pytest.mark.skipif(PIP < (26, 0), reason="NOT TESTED: pip is missing here, or older than 26 (pip lock)")


class Desk:
    """A folder in which somebody locks, and the indexes that are asked."""

    def __init__(self, world: World, resolver: str) -> None:
        self.world = world
        self.resolver = resolver
        self.folder = world.work
        self.indexes: list[PackageIndex] = []
        world.extra = resolvers.settings(world.path, uv=UV if resolver == "uv" else None)
        self.main = self.index().add(wheel("alpha", "1.0", {"alpha.py": ""}, requires=["beta"]), wheel("beta", "1.0"))

    def index(self, password: str | None = None) -> PackageIndex:
        made = PackageIndex(self.world.path / f"index{len(self.indexes)}", password)
        self.indexes.append(made)
        return made

    def write(self, **files: str) -> None:
        write_tree(self.folder, {name.replace("_", "."): text for name, text in files.items()})

    def lock(self, *arguments: str, status: int = 0, index: bool = True, **env: str | None) -> Result:
        more = ["--index-url", self.main.url] if index else []
        result = self.world.run(
            None, flags=("-m", "magic_module", "lock"), args=[*arguments, *more], env=env, status=status
        )
        assert "Traceback" not in result.stderr
        return result

    def read(self, name: str = "pylock.toml") -> str:
        return (self.folder / name).read_text("utf-8")

    def versions(self, name: str = "pylock.toml") -> dict[str, str]:
        return Lock(self.read(name), name).versions()

    def release(self, name: str, version: str, uploaded: str = "2024-01-01T00:00:00Z", **more: Any) -> Wheel:
        made = wheel(name, version, **more)
        self.main.add(made, uploaded=uploaded)
        # Resolvers keep an index's pages for some minutes, and forget them with these folders.
        for cache in ("uv", "pip"):
            shutil.rmtree(self.world.path / cache, ignore_errors=True)
        return made

    def close(self) -> None:
        for index in self.indexes:
            index.close()


def _desk(world: World, resolver: str) -> Iterator[Desk]:
    made = Desk(world, resolver)
    yield made
    made.close()


@pytest.fixture(params=[pytest.param("uv", marks=with_uv), pytest.param("pip", marks=with_pip)])
def desk(request: pytest.FixtureRequest, world: World) -> Iterator[Desk]:
    """With each of the resolvers."""
    yield from _desk(world, request.param)


@pytest.fixture
def uv_desk(world: World) -> Iterator[Desk]:
    yield from _desk(world, "uv")


@pytest.fixture
def pip_desk(world: World) -> Iterator[Desk]:
    yield from _desk(world, "pip")


def without_resolver(text: str) -> str:
    return re.sub(r"resolved by (uv|pip) [0-9.]+", "resolved by {resolver}", text)


def test_names(desk: Desk) -> None:
    first = desk.lock("alpha")
    assert without_resolver(first.stdout) == "pylock.toml: 2 packages, resolved by {resolver}\n"
    assert first.stderr == ""
    assert desk.versions() == {"alpha": "1.0", "beta": "1.0"}
    text = desk.read()
    Pylock.from_dict(completed(reading.parse(text, "pylock.toml"))).validate()
    assert text.startswith("# This file was ")
    assert f"#    magic-module lock alpha --index-url {desk.main.url} -o pylock.toml\n" in text
    [sha256] = re.findall(r'alpha-1\.0-py3.*?sha256 = "(\w+)"', text, re.DOTALL)[:1]
    assert sha256 == wheel("alpha", "1.0", {"alpha.py": ""}, requires=["beta"]).sha256


def test_a_lock_that_is_the_same_is_not_touched(desk: Desk) -> None:
    desk.lock("alpha")
    before = (desk.folder / "pylock.toml").stat()
    assert desk.lock("alpha").stdout == "pylock.toml: nothing changed\n"
    after = (desk.folder / "pylock.toml").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [path.name for path in desk.folder.iterdir()] == ["pylock.toml"]


def test_versions_stay_until_they_are_upgraded(desk: Desk) -> None:
    desk.lock("alpha")
    desk.release("alpha", "1.1", requires=["beta", "gamma"])
    desk.release("beta", "1.1")
    desk.release("gamma", "1.0")
    assert desk.lock("alpha").stdout == "pylock.toml: nothing changed\n"
    one = desk.lock("alpha", "--upgrade", "Beta")
    assert without_resolver(one.stdout) == (
        "beta  1.0 → 1.1\npylock.toml: 2 packages, 1 changed, resolved by {resolver}\n"
    )
    rest = desk.lock("alpha", "--upgrade")
    assert without_resolver(rest.stdout) == (
        "alpha  1.0 → 1.1\ngamma  1.0, added\npylock.toml: 3 packages, 2 changed, resolved by {resolver}\n"
    )
    fewer = desk.lock("beta")
    assert without_resolver(fewer.stdout) == (
        "alpha  1.1, removed\ngamma  1.0, removed\npylock.toml: 1 package, 2 changed, resolved by {resolver}\n"
    )


def test_a_kept_version_that_no_longer_fits_gives_way(desk: Desk) -> None:
    desk.lock("alpha")
    desk.release("beta", "1.1")
    desk.lock("alpha", "beta>1.0")
    assert desk.versions() == {"alpha": "1.0", "beta": "1.1"}


def test_requirements_and_constraints(desk: Desk) -> None:
    desk.release("beta", "0.9")
    desk.write(requirements_txt="alpha\n", limits_txt="beta<1\n")
    assert desk.lock("-c", "limits.txt").stdout.startswith("locking requirements.txt\npylock.toml: 2 packages")
    assert desk.versions() == {"alpha": "1.0", "beta": "0.9"}
    for arguments in (["requirements.txt"], ["-r", "requirements.txt"]):
        desk.lock(*arguments, "--upgrade", "-o", "pylock.other.toml")
        assert desk.versions("pylock.other.toml") == {"alpha": "1.0", "beta": "1.0"}


PROJECT = """
[project]
name = "mine"
version = "1"
dependencies = ["alpha"]
[project.optional-dependencies]
more = ["gamma"]
all = ["mine[more]"]
[dependency-groups]
test = ["delta"]
"""


def test_a_project(desk: Desk) -> None:
    desk.release("gamma", "1.0")
    desk.release("delta", "1.0")
    desk.write(pyproject_toml=PROJECT)
    assert desk.lock().stdout.startswith("locking pyproject.toml\n")
    assert set(desk.versions()) == {"alpha", "beta"}
    desk.lock("--extra", "all", "pyproject.toml")
    assert set(desk.versions()) == {"alpha", "beta", "gamma"}
    # Of another folder, and into another one.
    write_tree(desk.folder, {"else/": "", "app/pyproject.toml": PROJECT})
    desk.lock("./app", "--group", "test", "-o", "else/pylock.toml")
    assert set(desk.versions("else/pylock.toml")) == {"alpha", "beta", "delta"}


SCRIPT = """\
# /// script
# dependencies = ["alpha"]
# requires-python = ">=3.10"
# ///
import alpha
"""


def test_a_script(desk: Desk) -> None:
    (desk.folder / "bin").mkdir()
    (desk.folder / "bin" / "my.tool.py").write_text(SCRIPT)
    result = desk.lock("--script", "bin/my.tool.py")
    assert without_resolver(result.stdout) == "bin/pylock.my-tool.toml: 2 packages, resolved by {resolver}\n"
    assert desk.versions("bin/pylock.my-tool.toml") == {"alpha": "1.0", "beta": "1.0"}
    (desk.folder / "plain.py").write_text("import alpha\n")
    failed = desk.lock("--script", "plain.py", status=1)
    sentences.check("lock", "script without metadata", failed.stderr.strip())


def test_what_was_uploaded_later_is_left_out(desk: Desk) -> None:
    desk.release("beta", "2.0", uploaded="2024-06-01T00:00:00Z")
    desk.lock("beta", "--exclude-newer", "2024-01-01T00:00:00Z")
    assert desk.versions() == {"beta": "1.0"}
    desk.lock("beta", "--upgrade")
    assert desk.versions() == {"beta": "2.0"}


@pytest.mark.parametrize("python", [sys.executable, f"{sys.version_info[0]}.{sys.version_info[1]}"])
def test_for_this_python(desk: Desk, python: str) -> None:
    desk.release("beta", "2.0", requires_python=f">={sys.version_info[0]}.{sys.version_info[1] + 1}")
    desk.lock("beta", "--python", python)
    assert desk.versions() == {"beta": "1.0"}


@with_uv
def test_for_a_python_that_is_not_there(uv_desk: Desk) -> None:
    uv_desk.release("beta", "2.0", requires_python=">=3.77")
    uv_desk.lock("beta", "--python", "3.77")
    assert uv_desk.versions() == {"beta": "2.0"}
    assert 'requires-python = ">=3.77"' in uv_desk.read()


@with_uv
def test_the_first_index_that_has_a_package_is_its_only_one(uv_desk: Desk) -> None:
    own = uv_desk.index().add(wheel("beta", "0.5"))
    uv_desk.lock("alpha", "--extra-index-url", own.url)
    assert uv_desk.versions() == {"alpha": "1.0", "beta": "0.5"}
    lock = Lock(uv_desk.read(), "pylock.toml")
    assert lock.indexes() == {"alpha": {uv_desk.main.url}, "beta": {own.url}}
    # What the environment says of a rule is overruled.
    uv_desk.lock("alpha", "--extra-index-url", own.url, "--upgrade", UV_INDEX_STRATEGY="unsafe-best-match")
    assert uv_desk.versions() == {"alpha": "1.0", "beta": "0.5"}


@with_uv
def test_many_packages_that_move_are_one_sentence(uv_desk: Desk) -> None:
    names = [f"delta{number}" for number in range(7)]
    other = uv_desk.index().add(*(wheel(name, "1.0") for name in names))
    uv_desk.main.add(*(wheel(name, "1.0") for name in names))
    for count, case in ((7, "another index, many"), (3, "another index, some")):
        (uv_desk.folder / "pylock.toml").unlink(missing_ok=True)
        uv_desk.lock(*names[:count])
        failed = uv_desk.lock(*names[:count], "--index-url", other.url, index=False, status=1)
        sentence = failed.stderr.strip().replace(other.url, "{other}")
        sentences.check("lock", case, sentence, index=uv_desk.main.url)


TWO_INDEXES = """
dependencies = ["alpha", "beta", "gamma"]
[tool.uv.sources]
beta = {{ index = "own" }}
[[tool.uv.index]]
name = "own"
url = "{own}"
explicit = true
"""


@with_uv
@pytest.mark.parametrize("how", ["project", "script"])
def test_an_entrys_own_index_binds_that_entry_only(uv_desk: Desk, how: str) -> None:
    own = uv_desk.index().add(wheel("beta", "0.5"), wheel("gamma", "0.5"))
    uv_desk.release("gamma", "1.0")
    text = TWO_INDEXES.format(own=own.url)
    name = "pylock.toml"
    if how == "project":
        uv_desk.write(pyproject_toml=f'[project]\nname = "mine"\nversion = "1"{text}')
        uv_desk.lock("pyproject.toml")
    else:
        lines = "".join(f"# {line}\n" for line in text.splitlines() if line)
        (uv_desk.folder / "tool.py").write_text(f"# /// script\n{lines}# ///\n")
        uv_desk.lock("--script", "tool.py")
        name = "pylock.tool.toml"
    assert uv_desk.versions(name) == {"alpha": "1.0", "beta": "0.5", "gamma": "1.0"}
    assert Lock(uv_desk.read(name), name).indexes()["beta"] == {own.url}


@with_uv
def test_a_package_that_moves_to_another_index_is_refused(uv_desk: Desk) -> None:
    uv_desk.lock("alpha")
    before = uv_desk.read()
    own = uv_desk.index().add(wheel("beta", "9.0"))
    arguments = ["alpha", "--extra-index-url", own.url, "--upgrade"]
    failed = uv_desk.lock(*arguments, status=1)
    sentence = failed.stderr.strip().replace(own.url, "{other}")
    sentences.check("lock", "another index", sentence, index=uv_desk.main.url)
    assert uv_desk.read() == before
    error = typed.answer(uv_desk.lock(*arguments, "--json", status=1).stdout, "lock", failed=True)
    found = (error["type"], error["name"], error["expected"], error["got"])
    assert found == ("PolicyError", "beta", uv_desk.main.url, own.url)
    assert error["causes"] == [f"beta: {own.url} instead of {uv_desk.main.url}"]
    uv_desk.lock(*arguments, "--allow-index-change", "alpha", status=1)
    uv_desk.lock(*arguments, "--allow-index-change", "Beta")
    assert uv_desk.versions() == {"alpha": "1.0", "beta": "9.0"}


@with_pip
@pytest.mark.parametrize("where", ["option", "environment", "requirements", "constraints", "project", "script", "lock"])
def test_with_pip_alone_several_indexes_are_refused(pip_desk: Desk, where: str) -> None:
    own = pip_desk.index()
    entry = '[[packages]]\nname = "{}"\nversion = "1.0"\nindex = "{}"\n'
    entries = entry.format("alpha", pip_desk.main.url) + entry.format("beta", own.url)
    (pip_desk.folder / "pylock.old.toml").write_text(f'lock-version = "1.0"\ncreated-by = "uv"\n{entries}')
    pip_desk.write(
        deep_txt=f"--extra-index-url={own.url}\nalpha\n",
        requirements_txt="-r deep.txt\n",
        tool_py=f'# /// script\n# dependencies = ["alpha"]\n# [tool.uv]\n# index = [{{ url = "{own.url}" }}]\n# ///\n',
        pyproject_toml=f'[project]\nname = "mine"\nversion = "1"{TWO_INDEXES.format(own=own.url)}',
    )
    arguments = {
        "option": ["alpha", "--extra-index-url", own.url],
        "environment": ["alpha"],
        "requirements": ["requirements.txt"],
        "constraints": ["alpha", "-c", "requirements.txt"],
        "project": ["pyproject.toml"],
        "script": ["--script", "tool.py"],
        "lock": ["alpha", "-o", "pylock.old.toml"],
    }[where]
    more = {"PIP_EXTRA_INDEX_URL": own.url} if where == "environment" else {}
    failed = pip_desk.lock(*arguments, status=1, **more)
    sentences.check("lock", f"several indexes, {where}", failed.stderr.strip())
    assert own.server.take() == [] and not (pip_desk.folder / "pylock.toml").exists()


def test_credentials_are_nowhere(desk: Desk) -> None:
    closed = desk.index(password="pass-word").add(wheel("gamma", "1.0"))
    desk.lock("gamma", "--index-url", closed.secret_url, index=False)
    assert desk.versions() == {"gamma": "1.0"}
    text = desk.read()
    assert "pass-word" not in text and "reader" not in text
    assert f"--index-url {closed.url} -o" in text
    # Versions are kept although the lock's URLs are others than those that are asked.
    closed.add(wheel("gamma", "2.0"))
    for cache in ("uv", "pip"):
        shutil.rmtree(desk.world.path / cache, ignore_errors=True)
    again = desk.lock("gamma", "--index-url", closed.secret_url, index=False)
    assert again.stdout == "pylock.toml: nothing changed\n"
    failed = desk.lock("nosuch", "--index-url", closed.secret_url, index=False, status=1)
    assert "pass-word" not in failed.stdout + failed.stderr
    assert desk.read() == text


def test_a_direct_url_is_locked_without_its_credentials(desk: Desk) -> None:
    closed = desk.index(password="pass-word").add(wheel("gamma", "1.0"))
    file = closed.secret_url.replace("/simple", "/files/gamma-1.0-py3-none-any.whl")
    desk.lock(f"gamma @ {file}?token=secret")
    text = desk.read()
    assert "pass-word" not in text and "secret" not in text
    assert f'"{closed.server.url}/files/gamma-1.0-py3-none-any.whl"' in text


def test_a_resolver_that_fails_is_heard(desk: Desk) -> None:
    desk.lock("alpha")
    before = desk.read()
    failed = desk.lock("nosuch", status=1)
    *said, sentence = failed.stderr.strip().splitlines()
    assert any("nosuch" in line for line in said)
    sentences.check("lock", f"{desk.resolver} fails", sentence)
    assert failed.stdout == "" and desk.read() == before
    error = typed.answer(desk.lock("nosuch", "--json", status=1).stdout, "lock", failed=True)
    assert any("nosuch" in cause for cause in error["causes"])
    assert [path.name for path in desk.folder.iterdir()] == ["pylock.toml"]


@with_uv
def test_json(uv_desk: Desk) -> None:
    uv_desk.write(requirements_txt="alpha\n")
    answer = typed.answer(uv_desk.lock("--json").stdout, "lock")
    assert answer.pop("resolver").startswith(f"{uv_desk.resolver} ")
    changes = [{"name": name, "old_version": None, "new_version": "1.0"} for name in ("alpha", "beta")]
    found: dict[str, Any] = {"lock": "pylock.toml", "found": "requirements.txt", "packages": 2}
    expected = {**found, "written": True, "changes": changes, "index": None}
    assert answer == expected
    schema = json.loads(SCHEMA.read_text("utf-8"))["oneOf"][0]
    assert {"schema", "command", "resolver", *answer} == set(schema["required"]) == set(schema["properties"])
    assert set(changes[0]) == set(schema["properties"]["changes"]["items"]["required"])
    again = typed.answer(uv_desk.lock("--json").stdout, "lock")
    assert (again["written"], again["changes"]) == (False, [])


@with_uv
def test_what_is_in_the_wheels_is_written_beside_the_lock(uv_desk: Desk) -> None:
    answer = uv_desk.lock("alpha", "-o", "pylock.own.toml", "--index")
    index = uv_desk.folder / "pylock.own.index.json"
    assert answer.stdout.splitlines()[-1] == f"{index}: what is in 2 wheels"
    assert len(json.loads(index.read_text("utf-8"))["wheels"]) == 2
    again = typed.answer(uv_desk.lock("alpha", "-o", "pylock.own.toml", "--index", "--json").stdout, "lock")
    assert (again["written"], again["index"]) == (False, str(index))


@with_uv
def test_a_lock_that_cannot_be_written(uv_desk: Desk) -> None:
    failed = uv_desk.lock("alpha", "-o", "nowhere/pylock.toml", status=1)
    sentences.check("lock", "no folder", failed.stderr.strip())
    assert uv_desk.main.server.take() == [], "known before anybody is asked"


@with_uv
def test_what_is_no_lock_is_not_overwritten(uv_desk: Desk) -> None:
    for case, text in (("no lock", "[tool]\nx = 1\n"), ("no TOML", "alpha\n")):
        uv_desk.write(pylock_toml=text)
        failed = uv_desk.lock("alpha", "--upgrade", status=1)
        sentences.check("lock", case, re.sub(r"TOML: .*;", "TOML: {why};", failed.stderr.strip()))
        assert uv_desk.read() == text


@with_uv
def test_a_link_stays_a_link_and_its_file_keeps_its_mode(uv_desk: Desk) -> None:
    uv_desk.lock("beta", "-o", "pylock.real.toml")
    (uv_desk.folder / "pylock.real.toml").chmod(0o640)
    (uv_desk.folder / "pylock.toml").symlink_to("pylock.real.toml")
    uv_desk.lock("alpha")
    assert (uv_desk.folder / "pylock.toml").is_symlink()
    assert (uv_desk.folder / "pylock.real.toml").stat().st_mode & 0o777 == 0o640
    assert set(uv_desk.versions("pylock.real.toml")) == {"alpha", "beta"}


@with_uv
def test_a_folder_is_locked_relative_to_the_lock(uv_desk: Desk) -> None:
    project = '[project]\nname = "near"\nversion = "1"\n[build-system]\nrequires = []\nbuild-backend = "none"\n'
    write_tree(uv_desk.folder, {"near/pyproject.toml": project, "out/": "", "requirements.txt": "-e ./near\n"})
    for _ in range(2):
        uv_desk.lock("requirements.txt", "-o", "out/pylock.toml")
        [entry] = Lock(uv_desk.read("out/pylock.toml"), "pylock.toml").entries
        assert entry["directory"] == {"path": "../near", "editable": True}


@with_uv
def test_one_name_in_two_versions(uv_desk: Desk) -> None:
    own = uv_desk.index().add(wheel("beta", "2.0"))
    text = """
        [project]
        name = "mine"
        version = "1"
        dependencies = ["beta<2 ; sys_platform == 'win32'", "beta>=2 ; sys_platform != 'win32'"]
        [tool.uv.pip]
        universal = true
        [tool.uv.sources]
        beta = [{ index = "own", marker = "sys_platform != 'win32'" }]
        [[tool.uv.index]]
        name = "own"
        url = "OWN"
        explicit = true
    """
    uv_desk.write(pyproject_toml=text.replace("OWN", own.url))
    uv_desk.lock()
    indexes = {entry["version"]: entry["index"] for entry in Lock(uv_desk.read(), "pylock.toml").entries}
    assert indexes == {"1.0": uv_desk.main.url, "2.0": own.url}
    assert uv_desk.versions() == {"beta": "1.0, 2.0"}
    assert uv_desk.lock().stdout == "locking pyproject.toml\npylock.toml: nothing changed\n"


@with_uv
def test_a_scripts_sources_are_heard(uv_desk: Desk) -> None:
    near = '[project]\nname = "beta"\nversion = "7"\n[build-system]\nrequires = []\nbuild-backend = "none"\n'
    source = '# [tool.uv.sources]\n# beta = { path = "../near" }\n# ///\n'
    script = SCRIPT.replace('"alpha"', '"alpha", "beta"').replace("# ///\nimport", source + "import")
    write_tree(uv_desk.folder, {"near/pyproject.toml": near, "bin/tool.py": script})
    uv_desk.lock("--script", "bin/tool.py")
    entries = {entry["name"]: entry for entry in Lock(uv_desk.read("bin/pylock.tool.toml"), "pylock").entries}
    assert entries["beta"]["directory"]["path"] == "../near"
    assert entries["alpha"]["version"] == "1.0"


@with_uv
def test_what_was_typed_never_leaves_the_comment(uv_desk: Desk) -> None:
    uv_desk.write(requirements_txt="alpha\n")
    (uv_desk.folder / 'c\ncreated-by = "me".txt').write_text("beta<2\n")
    uv_desk.lock("requirements.txt", "-c", 'c\ncreated-by = "me".txt')
    assert reading.parse(uv_desk.read(), "pylock.toml")["created-by"] == "uv"


@pytest.fixture
def git(desk: Desk) -> Callable[..., str]:
    if shutil.which("git", path=os.defpath) is None:
        pytest.skip("no git on this machine")

    def run(*arguments: str) -> str:
        own = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
        line = ["git", *own, "-C", str(desk.world.path / "repository"), *arguments]
        return subprocess.run(line, check=True, capture_output=True, text=True).stdout.strip()

    return run


BACKEND = """
import os, shutil, zipfile
META = "Metadata-Version: 2.1\\nName: gitty\\nVersion: 1.0\\n"
WHEEL = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
def prepare_metadata_for_build_wheel(folder, settings=None):
    assert not [name for name in os.environ if name.startswith("MAGIC_MODULE_")]
    os.mkdir(os.path.join(folder, "gitty-1.0.dist-info"))
    for name, text in (("METADATA", META), ("WHEEL", WHEEL)):
        with open(os.path.join(folder, "gitty-1.0.dist-info", name), "w") as file:
            file.write(text)
    return "gitty-1.0.dist-info"
def build_wheel(folder, settings=None, metadata=None):
    raise SystemExit("nobody asked for a wheel")
"""


def test_git_is_locked_by_commit_and_builders_get_no_setting_of_ours(desk: Desk, git: Callable[..., str]) -> None:
    repository = desk.world.path / "repository"
    build = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    project = f'{build}[project]\nname = "gitty"\ndynamic = ["version"]\n'
    write_tree(repository, {"backend.py": BACKEND, "pyproject.toml": project})
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    commit = git("rev-parse", "HEAD")
    desk.lock(f"gitty @ git+file://{repository}", MAGIC_MODULE_PROGRESS="off")
    assert commit in desk.read()
    assert commit[:12] in desk.versions()["gitty"]


@pytest.mark.parametrize(
    ("case", "arguments"),
    [
        ("nothing", []),
        ("no such file", ["requirements.txt"]),
        ("script as name", ["tool.py"]),
        ("output", ["alpha", "-o", "lock.toml"]),
        ("script and names", ["alpha", "--script", "tool.py"]),
        ("extra without project", ["alpha", "--extra", "more"]),
    ],
)
def test_wrong_usage(world: World, case: str, arguments: Sequence[str]) -> None:
    result = world.run(None, flags=("-m", "magic_module", "lock"), args=arguments, status=2)
    assert result.stdout == ""
    sentences.check("lock", f"usage: {case}", result.stderr.strip())


@with_uv
def test_a_lock_says_how_it_was_made(uv_desk: Desk) -> None:
    uv_desk.lock("alpha")
    failed = uv_desk.lock("--upgrade", status=2)
    sentences.check("lock", "usage: nothing, and a lock", failed.stderr.strip())


def test_no_resolver(world: World) -> None:
    script = """
        import importlib.metadata, sys
        from magic_module._py.cli import main

        importlib.metadata.version = lambda name: "25.0.1"
        sys.exit(main(["lock", "alpha"]))
    """
    result = world.run(script, env={"UV": None, "PATH": str(world.path)}, status=1)
    sentences.check("lock", "no resolver", result.stderr.strip())


@with_uv
def test_offline_uv_has_what_it_kept(uv_desk: Desk) -> None:
    uv_desk.lock("alpha")
    uv_desk.main.server.stop()
    uv_desk.lock("alpha", "-o", "pylock.other.toml", MAGIC_MODULE_OFFLINE="1")
    assert uv_desk.versions("pylock.other.toml") == {"alpha": "1.0", "beta": "1.0"}
    failed = uv_desk.lock("gamma", status=1, MAGIC_MODULE_OFFLINE="1")
    sentences.check("lock", "offline, uv", failed.stderr.strip().splitlines()[-1])


@with_pip
def test_offline_pip_is_not_asked(pip_desk: Desk) -> None:
    failed = pip_desk.lock("alpha", status=1, MAGIC_MODULE_OFFLINE="1")
    sentences.check("lock", "offline, pip", failed.stderr.strip())
    assert pip_desk.main.server.take() == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://me:secret@host:8/a/b.whl#x", "https://host:8/a/b.whl#x"),
        (f"https://me:{SECRET}@host/a", "https://host/a"),
        ("https://secret@host/a?x=1&token=secret&y=2", "https://host/a?x=1&y=2"),
        ("https://host/a?X-Amz-Signature=secret&X-Amz-Credential=secret", "https://host/a"),
        ("git+https://me:secret@host/a.git@v1", "git+https://host/a.git@v1"),
        ("ssh://git@host/a.git", "ssh://git@host/a.git"),
        ("git+ssh://git:secret@host/a.git", "git+ssh://git@host/a.git"),
        ("https://host/a?design=1#sha256=ab", "https://host/a?design=1#sha256=ab"),
        ("https://me:secret@[", "https://["),
        ("file:///a/b%20c", "file:///a/b%20c"),
    ],
)
def test_what_is_cut_from_a_url(url: str, expected: str) -> None:
    assert cut(url) == expected
    assert cut(f"cannot reach '{url}', sorry") == f"cannot reach '{expected}', sorry"
    for text in (f'url = "{url}"', f"x = [{{ url = '{url}' }}] # {url}" if "'" not in url else f"# {url}"):
        assert cut_document(text) == text.replace(url, expected)


def test_a_document_stays_what_it_is_to_the_byte() -> None:
    text = 'a = "x\\"\\u00e9 @ y"\nb = \'C:\\d\'\nc = """\nhttps://h/a\n"""  # d\n[e]\n'
    assert cut_document(text) == text
    secret = 'a = "https:\\u002f/me:se\\"cret@host/x"\n'
    assert reading.parse(cut_document(secret), "x") == {"a": "https://host/x"}
