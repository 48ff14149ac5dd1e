"""Entries of a lock that have no wheel: refused, or built once by uv or pip."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.interpreter import Interpreter
from kit.locks import run
from kit.process import Result
from kit.resolvers import UV, with_uv
from kit.wheels import wheel
from origins import Origin, faults

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(shutil.which("git") is None, reason="NOT TESTED: git is missing here"),
]

PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
#: It counts how often it is asked, beside the place that it is told.
BACKEND = """
import os, pathlib, shutil

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    with open({count!r}, "a") as file:
        file.write("built\\n")
    {more}
    shutil.copy("ready.bin", pathlib.Path(wheel_directory, {name!r}))
    return {name!r}
"""


class Source:
    """A project that builds a wheel of its own, as an archive and as a repository."""

    def __init__(self, folder: Path, more: str = "pass") -> None:
        self.count = folder / "count"
        made = wheel("alpha", "1.0", {"alpha.py": "VALUE = 42\n"})
        self.files = {
            "pyproject.toml": PROJECT.encode(),
            "backend.py": BACKEND.format(count=str(self.count), name=made.filename, more=more).encode(),
            "ready.bin": made.data,
        }
        self.folder = folder / "project"
        self.folder.mkdir()

    def builds(self) -> int:
        return self.count.read_text().count("built") if self.count.exists() else 0

    def archive(self) -> str:
        """The entry of its source archive."""
        path = self.folder / "alpha-1.0.tar.gz"
        with tarfile.open(path, "w:gz") as tar:
            for name, data in self.files.items():
                member = tarfile.TarInfo(f"alpha-1.0/{name}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        return f'sdist = {{ name = "{path.name}", path = "{path.name}", hashes = {{ sha256 = "{sha256}" }} }}'

    def repository(self) -> str:
        """The entry of a commit of its repository, where it lies in a subdirectory."""
        place = self.folder / "repository"
        (place / "python").mkdir(parents=True)
        for name, data in self.files.items():
            (place / "python" / name).write_bytes(data)
        git = ["git", "-C", str(place), "-c", "user.name=kit", "-c", "user.email=kit@example.org"]
        for step in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
            subprocess.run([*git, *step], check=True)
        commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
        return f'vcs = {{ type = "git", url = "{place.as_uri()}", commit-id = "{commit}", subdirectory = "python" }}'

    def lock(self, entry: str) -> Path:
        path = self.folder / "pylock.toml"
        head = 'lock-version = "1.0"\ncreated-by = "kit"\n'
        path.write_text(f'{head}[[packages]]\nname = "alpha"\nversion = "1.0"\n{entry}\n')
        return path


def mount(lock: Path, **options: object) -> str:
    named = "".join(f", {name}={value!r}" for name, value in options.items())
    return f"import magic_module as mm; mount = mm.mount_lock({str(lock)!r}{named})\n"


@pytest.fixture(params=["uv", "pip"])
def builder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only one of the two is on the path; a version manager's name that only complains is neither."""
    if request.param == "uv":
        if UV is None:
            pytest.skip("NOT TESTED: uv is missing here, which builds")
        monkeypatch.setenv("PATH", os.pathsep.join([str(Path(UV).parent), os.environ["PATH"]]))
        return
    monkeypatch.delenv("UV", raising=False)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("git", "sh", "env"):
        found = shutil.which(name)
        assert found
        (programs / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(programs))


@pytest.mark.usefixtures("builder")
@pytest.mark.parametrize("entry", [Source.archive, Source.repository])
def test_what_has_no_wheel_is_built_once(entry: Callable[[Source], str], cache: Path, tmp_path: Path) -> None:
    source = Source(tmp_path)
    lock = source.lock(entry(source))
    with Interpreter(cache) as python:
        failure = python.fail(mount(lock))
        assert failure.kind == "PolicyError" and "`build=True` (`--build`)" in failure.sentence
        assert python.do(mount(lock, build=True) + "import alpha; result = alpha.VALUE") == 42
        # The children of a mount that builds have it, too.
        assert python.do("import pickle; result = pickle.loads(pickle.dumps(mount)) == mount") is True
    assert source.builds() == 1
    (built,) = (cache / "v1" / "builds").glob("*/*.whl")
    assert built.parent.name == hashlib.sha256(built.read_bytes()).hexdigest()
    # Another lock with the same entry; offline; by the command.
    shutil.rmtree(source.folder / "repository", ignore_errors=True)
    other = source.lock(lock.read_text().splitlines()[-1] + "\n# another text")
    ended = run(None, cache, "--build", "--lock", str(other), "-c", "import alpha; print(alpha.VALUE)",
                settings={"MAGIC_MODULE_OFFLINE": "1"})  # fmt: skip
    assert (ended.stdout, source.builds()) == ("42\n", 1), ended


def failed(source: Source, entry: str, cache: Path, **settings: str) -> Result:
    ended = run(None, cache, "--build", "--lock", str(source.lock(entry)), "-c", "pass", settings=settings, status=None)
    assert ended.status == 1, ended
    assert not list((cache / "v1" / "builds").glob("*/*.whl")) and not list((cache / "v1" / "tmp").glob("*.build"))
    return ended


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("raise RuntimeError('no compiler here')", "no compiler here"),
        ("input('which one? ')", "EOF"),
    ],
)
def test_a_build_that_fails(cache: Path, tmp_path: Path, more: str, said: str) -> None:
    source = Source(tmp_path, more)
    ended = failed(source, source.archive(), cache)
    assert "cannot build alpha from file://" in ended.stderr and said in ended.stderr
    assert "install what it asks for, or lock a version that has wheels" in ended.stderr


@pytest.mark.parametrize("entry", [Source.archive, Source.repository])
def test_a_policy_is_asked_before_anything_is_built(
    entry: Callable[[Source], str], cache: Path, tmp_path: Path
) -> None:
    source, registry = Source(tmp_path), tmp_path / "modules.toml"
    registry.write_text("[policy]\ndeny = ['alpha']\n")
    settings = {"MAGIC_MODULE_REGISTRY": str(registry), "XDG_DATA_HOME": str(tmp_path / "data")}
    ended = failed(source, entry(source), cache, **settings)
    assert f'policy.deny[0] of {registry} is "alpha"' in ended.stderr
    registry.write_text("[policy]\nallow = ['alpha<2']\n")
    lock = source.folder / "pylock.toml"
    ended = run(
        None, cache, "--build", "--lock", str(lock), "-c", "import alpha; print(alpha.VALUE)", settings=settings
    )
    assert (ended.stdout, source.builds()) == ("42\n", 1), ended
    (log,) = (tmp_path / "data").rglob("audit*.jsonl")
    noted = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["decision"], line["distribution"], line["rule"]) for line in noted] == [
        ("refused", "alpha", "policy.deny[0]"),
        ("allowed", "alpha", "policy.allow[0]"),
    ]


@with_uv
def test_a_build_that_makes_two_wheels(cache: Path, tmp_path: Path) -> None:
    """Pip takes the one that it was told of, and leaves the other behind."""
    source = Source(tmp_path, "pathlib.Path(wheel_directory, 'second.whl').touch()")
    ended = failed(source, source.archive(), cache, UV=str(UV))
    assert "it made 2 wheels where one was expected" in ended.stderr


def test_sources_that_are_not_what_the_lock_says(cache: Path, tmp_path: Path) -> None:
    source = Source(tmp_path)
    entry = source.archive()
    (source.folder / "alpha-1.0.tar.gz").write_bytes(b"something else")
    ended = failed(source, entry, cache)
    assert "alpha-1.0.tar.gz is not what the lock says" in ended.stderr
    repository = source.repository()
    ended = failed(source, re.sub('commit-id = "....', 'commit-id = "0000', repository), cache)
    assert "git checkout ended with status" in ended.stderr
    ended = failed(source, repository.replace('commit-id = "', 'commit-id = "--upload-pack='), cache)
    assert "the commit of alpha 1.0 is not 40 or 64 hexadecimal digits" in ended.stderr
    ended = failed(source, repository.replace('"python"', '"../elsewhere"'), cache)
    assert "the subdirectory of alpha 1.0 is not below its source" in ended.stderr
    ended = failed(source, 'vcs = { type = "hg", url = "https://h/a", commit-id = "00" }', cache)
    assert "alpha 1.0 lies in a hg repository; lock a wheel or a source archive" in ended.stderr
    ended = failed(source, source.archive().replace('alpha-1.0.tar.gz"', 'beta.tar.gz"'), cache)
    assert "beta.tar.gz" in ended.stderr


def test_a_repository_that_asks_for_a_password_is_not_waited_for(cache: Path, tmp_path: Path) -> None:
    """Nor is a program asked that would show a window."""
    source = Source(tmp_path)
    asked = tmp_path / "asked"
    program = tmp_path / "ask"
    program.write_text(f"#!/bin/sh\necho >> {asked}\nread answer < /dev/tty\necho secret\n")
    program.chmod(0o755)
    (tmp_path / "site").mkdir()
    with Origin(tmp_path / "site", faults={"*": faults.unauthorized}) as origin:
        entry = f'vcs = {{ type = "git", url = "{origin.url}/alpha.git", commit-id = "{"0" * 40}" }}'
        ended = failed(source, entry, cache, GIT_ASKPASS=str(program), SSH_ASKPASS=str(program))
        assert origin.take()
    assert "cannot build alpha from http://127.0.0.1" in ended.stderr and "git fetch ended with status" in ended.stderr
    assert "check the address, and that git can log in there without asking" in ended.stderr
    assert not asked.exists()
