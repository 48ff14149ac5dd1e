"""Logins for the servers that a lock names: where they are found, which comes first, and who is told."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kit.interpreter import command_line
from kit.locks import Lock, python
from kit.package_index import USER, PackageIndex
from kit.process import Result
from kit.wheels import wheel
from kit.world import World
from origins import Origin, Reply, faults

pytestmark = pytest.mark.once

SECRET = "canary-p@ss:w"
IN_URL = "canary-p%40ss%3Aw"

Settings = dict[str, str]


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Desk:
    """A project with a lock of two wheels, a home, and the index that wants a login."""

    def __init__(self, path: Path, index: PackageIndex) -> None:
        self.path, self.index = path, index
        self.cache, self.home = path / "cache", path / "home"
        self.home.mkdir()
        wheels = [
            wheel("alpha", "1.0", {"alpha.py": "import beta\nVALUE = beta.VALUE + 1\n"}, requires=["beta"]),
            wheel("beta", "1.0", {"beta.py": "VALUE = 1\n"}),
        ]
        index.add(*wheels)
        self.lock = Lock(path / "project", wheels, url=f"{index.server.url}/files")
        self.sources: set[Path] = set()

    @property
    def secret_url(self) -> str:
        return self.index.url.replace("://", f"://{USER}:{IN_URL}@")

    def write(self, path: Path, text: str) -> Settings:
        """A file of settings; nothing is to be set beside it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.sources.add(path)
        return {}

    def keyring(self, answer: str = f"printf '%s\\n' '{SECRET}'") -> Settings:
        """A program that writes down what it is asked, and answers so."""
        program = self.path / "bin" / "keyring"
        self.write(program, f'#!/bin/sh\necho "$@" >> "{self.path}/asked"\nenv >> "{self.path}/env"\n{answer}\n')
        program.chmod(0o755)
        return {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}

    def asked(self) -> list[str]:
        """What the keyring was asked."""
        file = self.path / "asked"
        return file.read_text().splitlines() if file.exists() else []

    def run(self, settings: Settings, program: str = "import alpha; print(alpha.VALUE)", status: int = 0) -> Result:
        """Mounts the lock with an empty cache, and searches everything that came of it for the secret."""
        shutil.rmtree(self.cache, ignore_errors=True)
        mount = f"import magic_module as mm; mm.on_event(print); print(mm.mount_lock({str(self.lock.path)!r}))\n"
        result = python(self.cache, mount + program, settings, status)
        found = [("stdout", result.stdout.encode()), ("stderr", result.stderr.encode())]
        files = [path for path in self.path.rglob("*") if path.is_file() and path not in self.sources]
        for where, data in found + [(str(path), path.read_bytes()) for path in files]:
            for way in (SECRET, IN_URL, basic(USER, SECRET)[-12:]):
                assert way.encode() not in data, f"a secret is in {where}"
        return result

    def sent(self) -> set[str | None]:
        """The logins that the index was told since the last call."""
        return {request.headers.get("authorization") for request in self.index.server.take()}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    index = PackageIndex(tmp_path / "index", SECRET)
    yield Desk(tmp_path, index)
    index.close()


NAMED = {"UV_INDEX_MY_CORP_USERNAME": USER, "UV_INDEX_MY_CORP_PASSWORD": SECRET}

SOURCES: dict[str, Callable[[Desk], Settings]] = {
    "variables, UV_INDEX": lambda desk: {**NAMED, "UV_INDEX": f"other=https://o.invalid/ my-corp={desk.index.url}"},
    "variables, uv.toml": lambda desk: (
        NAMED | desk.write(desk.path / "project/uv.toml", f'[[index]]\nname = "my-corp"\nurl = "{desk.index.url}"\n')
    ),
    "variables, pyproject.toml above": lambda desk: (
        NAMED
        | desk.write(
            desk.path / "pyproject.toml",
            f'[project]\n[[tool.uv.index]]\nname = "my-corp"\nurl = "{desk.index.url}"\ndefault = true\n',
        )
    ),
    "a password for the user of the URL": lambda desk: {
        "UV_INDEX_CORP_PASSWORD": SECRET,
        "UV_INDEX": f"corp={desk.index.url.replace('://', f'://{USER}@')}",
    },
    "UV_INDEX": lambda desk: {"UV_INDEX": desk.secret_url},
    "UV_INDEX_URL": lambda desk: {"UV_INDEX_URL": desk.secret_url},
    "UV_DEFAULT_INDEX": lambda desk: {"UV_DEFAULT_INDEX": f"corp={desk.secret_url}"},
    "UV_EXTRA_INDEX_URL": lambda desk: {"UV_EXTRA_INDEX_URL": f"https://o.invalid/ {desk.secret_url}"},
    "UV_CONFIG_FILE": lambda desk: (
        desk.write(desk.path / "own.toml", f'extra-index-url = ["{desk.secret_url}"]')
        | {"UV_CONFIG_FILE": str(desk.path / "own.toml")}
    ),
    "the user's uv.toml": lambda desk: desk.write(
        desk.home / ".config/uv/uv.toml", f'[pip]\nindex-url = "{desk.secret_url}"\n'
    ),
    "PIP_INDEX_URL": lambda desk: {"PIP_INDEX_URL": desk.secret_url},
    "PIP_EXTRA_INDEX_URL": lambda desk: {"PIP_EXTRA_INDEX_URL": f"https://o.invalid/ {desk.secret_url}"},
    "PIP_CONFIG_FILE": lambda desk: (
        desk.write(desk.path / "pip.ini", f"[global]\nindex-url = {desk.secret_url}\n")
        | {"PIP_CONFIG_FILE": str(desk.path / "pip.ini")}
    ),
    "the user's pip.conf": lambda desk: desk.write(
        desk.home / ".config/pip/pip.conf", f"[global]\nextra-index-url =\n  https://o.invalid/\n  {desk.secret_url}\n"
    ),
    "the user's old pip.conf": lambda desk: desk.write(
        desk.home / ".pip/pip.conf", f"[install]\nindex_url: {desk.secret_url}\n"
    ),
    "netrc": lambda desk: desk.write(desk.home / ".netrc", f'machine 127.0.0.1 login {USER} password "{SECRET}"\n'),
    "keyring, uv": lambda desk: (
        desk.keyring() | {"UV_INDEX": desk.index.url.replace("://", f"://{USER}@"), "UV_KEYRING_PROVIDER": "subprocess"}
    ),
    "keyring, pip": lambda desk: (
        desk.keyring()
        | desk.write(
            desk.home / ".config/pip/pip.conf",
            f"[global]\nkeyring-provider = subprocess\nindex-url = {desk.index.url.replace('://', f'://{USER}@')}\n",
        )
    ),
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_login_is_found(desk: Desk, source: str) -> None:
    result = desk.run(SOURCES[source](desk))
    assert result.stdout.splitlines()[-1] == "2"
    assert desk.sent() == {basic(USER, SECRET)}


def test_without_a_login_the_places_are_named(desk: Desk) -> None:
    host = desk.index.server.url.removeprefix("http://")
    attempt = (
        f"import magic_module as mm\ntry: mm.mount_lock({str(desk.lock.path)!r})\n"
        "except mm.errors.FetchError as error: print(error)\n"
    )
    for settings in ({}, {"UV_INDEX": desk.secret_url.replace(IN_URL, "another")}):
        said = python(desk.cache, attempt, settings).stdout
        assert "the server answered 401 Unauthorized" in said
        assert f"give a user and a password for {host}: in UV_INDEX_<NAME>_USERNAME and " in said
        for place in ("an index of uv's or pip's settings", "netrc", "keyring"):
            assert place in said
        assert "another" not in said
    desk.index.server.faults = {"*": faults.forbidden}
    said = python(desk.cache, attempt, {"UV_INDEX": desk.secret_url}).stdout
    assert "the server answered 403 Forbidden" in said and f"a password for {host}" in said
    assert SECRET not in said and IN_URL not in said


def test_which_comes_first(desk: Desk) -> None:
    """All places at once, then one after the other is taken away."""
    desk.index.password = None
    bare = desk.index.url

    def url(password: str) -> str:
        return bare.replace("://", f"://{USER}:{password}@")

    desk.keyring("echo of-the-keyring")
    variables = {"UV_INDEX_CORP_USERNAME": USER, "UV_INDEX_CORP_PASSWORD": "of-the-variables"}
    pip = {"PIP_INDEX_URL": url("of-pip")}
    everywhere = desk.keyring("echo of-the-keyring") | {"PIP_KEYRING_PROVIDER": "subprocess"}
    project = desk.path / "project" / "uv.toml"
    netrc = desk.home / ".netrc"
    desk.write(netrc, f"machine 127.0.0.1 login {USER} password of-netrc\n")
    desk.write(project, f'[[index]]\nname = "corp"\nurl = "{url("of-uv")}"\n')
    for settings, expected in (
        ({**variables, **pip}, "of-the-variables"),
        (pip, "of-uv"),
    ):
        desk.run(everywhere | settings)
        assert desk.sent() == {basic(USER, expected)}
    desk.write(project, f'[[index]]\nname = "corp"\nurl = "{bare.replace("://", f"://{USER}@")}"\n')
    for settings, expected in ((pip, "of-pip"), ({}, "of-netrc")):
        desk.run(everywhere | settings)
        assert desk.sent() == {basic(USER, expected)}
    netrc.write_text("machine 127.0.0.1 login nobody password of-netrc\n")
    assert desk.asked() == []
    desk.run(everywhere)
    assert desk.sent() == {basic(USER, "of-the-keyring")}
    # A token may stand in a user's place.
    desk.run(everywhere | desk.keyring("exit 1"))
    assert desk.sent() == {basic(USER, "")}


def test_the_index_with_the_nearest_path_counts(desk: Desk) -> None:
    desk.index.password = None
    base = desk.index.server.url.replace("://", "://%s@")
    desk.run({"UV_INDEX": f"{base % 'one:1'}/simple {base % 'two:2'}/files/simple {base % 'three:3'}/x"})
    assert desk.sent() == {basic("two", "2")}


def test_the_keyring_is_asked_if_that_is_configured_and_once_for_a_process(desk: Desk) -> None:
    desk.index.password = None
    settings = {"UV_INDEX": desk.index.url.replace("://", f"://{USER}@"), "UV_KEYRING_PROVIDER": "disabled"}
    desk.run(desk.keyring() | settings)
    assert desk.asked() == []
    settings["UV_KEYRING_PROVIDER"] = "subprocess"
    desk.run(desk.keyring("exit 1") | settings)
    assert desk.asked() == [f"get {desk.index.url} {USER}"]
    assert "MAGIC_MODULE" not in (desk.path / "env").read_text()


def test_nobody_else_is_told(desk: Desk) -> None:
    """A server of the same name at another port, named by the lock and by a redirect."""
    with Origin(desk.index.folder) as other:
        text = desk.lock.path.read_text()
        alpha = f"{desk.index.server.url}/files/alpha"
        assert alpha in text
        desk.lock.path.write_text(text.replace(alpha, f"{other.url}/files/alpha"))

        def away(reply: Reply) -> None:
            reply.whole(302, headers={"Location": f"{other.url}{reply.request.path}"})

        desk.index.server.faults = {"*beta*": away, **desk.index.server.faults}
        desk.run({"UV_INDEX": desk.secret_url})
        assert desk.sent() == {basic(USER, SECRET)}
        paths = {request.path.split("/")[-1].split("-")[0] for request in other.requests}
        assert paths == {"alpha", "beta"}
        assert {request.headers.get("authorization") for request in other.requests} == {None}


def test_a_manifests_server_is_told_nothing_of_it(desk: Desk) -> None:
    world = World(desk.path / "published")
    try:
        world.publish({"gamma.py": "VALUE = 3\n"})
        server = world.serve()
        secret = server.url.replace("://", f"://{USER}:{IN_URL}@")
        program = f"mm.mount('magic_module', {server.manifest_url!r})\nimport alpha, magic_module.gamma"
        desk.run({"UV_INDEX": f"{desk.secret_url} {secret}"}, program)
        assert desk.sent() == {basic(USER, SECRET)}
        assert server.requests
        assert {request.headers.get("authorization") for request in server.requests} == {None}
    finally:
        world.close()


def test_settings_that_nobody_can_read_are_passed_over(desk: Desk) -> None:
    desk.write(desk.path / "project" / "uv.toml", "[[index]\n")
    desk.write(desk.path / "project" / "pyproject.toml", "[tool.uv]\nindex = 7\nindex-url = [1, 2]\n")
    desk.write(desk.home / ".config" / "uv" / "uv.toml", '[[index]]\nname = 1\nurl = "no url"\n')
    (desk.home / ".config" / "pip").mkdir()
    os.mkfifo(desk.home / ".config" / "pip" / "pip.conf")
    (desk.home / ".pip").mkdir()
    (desk.home / ".pip" / "pip.conf").write_bytes(b"\xff\xfe[global\n")
    desk.run({"UV_INDEX": "=x == http://[ corp=", "PIP_EXTRA_INDEX_URL": desk.secret_url})
    assert desk.sent() == {basic(USER, SECRET)}


def test_settings_above_are_taken_from_nobody_else(desk: Desk) -> None:
    """Whoever may write into a folder above could name an index of his own."""
    desk.write(desk.path / "uv.toml", f'[[index]]\nname = "corp"\nurl = "{desk.secret_url}"\n')
    desk.run({})
    assert desk.sent() == {basic(USER, SECRET)}
    desk.path.chmod(0o777)
    desk.run({}, "", 1)
    assert desk.sent() == {None}


def test_what_came_with_the_login_of_one_space_is_used_in_another_once_the_server_let_it_in(desk: Desk) -> None:
    spaces = {"MAGIC_MODULE_SPACES_DIR": str(desk.path / "spaces")}
    login = {"UV_INDEX": desk.secret_url}
    program = f"import magic_module as mm; mm.mount_lock({str(desk.lock.path)!r}); import alpha; print(alpha.VALUE)"

    def run(space: str, status: int = 0, **more: str) -> Result:
        return python(desk.cache, program, {"MAGIC_MODULE_SPACE": space, **spaces, **more}, status)

    def asked() -> list[tuple[str, str | None]]:
        return [(it.path, it.headers.get("range")) for it in desk.index.server.take() if it.path.startswith("/files/")]

    for space in ("one", "two", "three"):
        made = command_line("space", "create", space, "--lock", str(desk.lock.path), cache=desk.cache, settings=spaces)
        assert made.status == 0, made.stderr
    assert run("one", **login).stdout == "2\n"
    files = {path for path, _ in asked()}
    assert len(files) == 2
    # Nothing is used without a login, in a space or outside, nor where nobody may be asked.
    for space in ("two", ""):
        refused = run(space, 1).stderr
        assert "FetchError: cannot use alpha, which came with another login: the server answered 401" in refused
        assert "; give a user and a password for 127.0.0.1" in refused
    offline = run("two", 1, MAGIC_MODULE_OFFLINE="1").stderr
    assert "OfflineError: alpha came with another login, and MAGIC_MODULE_OFFLINE forbids asking" in offline
    asked()
    # One byte of each is asked for once, and no byte is fetched again.
    assert run("two", **login).stdout == "2\n"
    assert sorted(asked()) == sorted((path, "bytes=0-0") for path in files)
    assert run("two").stdout == "2\n"
    assert run("one", MAGIC_MODULE_OFFLINE="1").stdout == "2\n"
    assert asked() == []
    # That another server has a file of that name proves nothing: it has to have the bytes.
    with Origin(desk.path / "project" / "wheels") as mirror:
        lock = desk.lock.path
        lock.write_text(lock.read_text().replace(f"{desk.index.server.url}/files", mirror.url))
        named = command_line("space", "lock", "three", "--lock", str(lock), cache=desk.cache, settings=spaces)
        assert named.status == 0, named.stderr
        assert run("three").stdout == "2\n"
        whole = [it.path for it in mirror.take() if "range" not in it.headers]
        assert len(whole) == 2
