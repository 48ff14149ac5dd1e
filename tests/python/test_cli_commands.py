"""The command line with the engine behind it: one folder from publish to prune, in processes of its own."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit import typed
from kit.process import PATIENCE
from magic_module._py.server import Server

pytestmark = pytest.mark.once

ALPHA = """\
import csv
from pathlib import Path

__version__ = "{version}"


def rows():
    with Path(__file__).with_name("alpha.csv").open(newline="") as file:
        return list(csv.reader(file))
"""

#: What `doctor` looks at, in this order.
CHECKS = ["python", "start", "settings", "directory", "permissions", "manifest", "units"]


class Place:
    """A folder of modules, the site published from it, its server, and a cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modules, self.site, self.cache = folder / "modules", folder / "site", folder / "cache"
        self.modules.mkdir()
        self.site.mkdir()
        self.release("1.0.0")
        self.server = Server(self.site).start()
        own = {name: value for name, value in os.environ.items() if not name.startswith("MAGIC_MODULE_")}
        self.environment = {
            **own,
            "HOME": str(folder),
            "MAGIC_MODULE_CACHE_DIR": str(self.cache),
            "MAGIC_MODULE_MANIFEST_URL": self.server.manifest_url,
            "PYTHONIOENCODING": "utf-8",
            "NO_COLOR": "1",
        }

    def release(self, version: str) -> None:
        (self.modules / "alpha.py").write_text(ALPHA.format(version=version))
        (self.modules / "alpha.csv").write_text(f"a,b\n1,{version}\n")

    def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "magic_module", *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout, done.stderr

    def json(self, *arguments: str, **environment: str) -> tuple[int, dict[str, Any]]:
        """The status, and the answer or, with status 1, the error."""
        status, text, error = self.run(*arguments, "--json", **environment)
        assert error == ""
        [command] = typed.COMMANDS.intersection(arguments)
        return status, typed.answer(text, command, failed=status == 1)

    def python(self, code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.server.close()


@pytest.fixture
def published(place: Place) -> Place:
    assert place.run("publish", "modules", "site")[0] == 0
    return place


def test_publish(place: Place) -> None:
    status, text, error = place.run("publish", "modules", "site")
    assert (status, error) == (0, "")
    assert re.fullmatch(r"alpha  1\.0\.0  2 files, \d+ B\n.*manifest\.json: serial \d+\n", text)
    status, text, error = place.run("publish", "modules", "site")
    assert (status, error) == (0, "")
    assert text.endswith("manifest.json: nothing changed\n") and text.count("\n") == 1
    place.release("1.1.0")
    status, answer = place.json("publish", "modules", "site")
    assert (status, answer["changed"], answer["signed"], answer["left_out"]) == (0, True, False, [])
    size = sum(path.stat().st_size for path in place.modules.iterdir())
    unit = {"name": "alpha", "old_version": "1.0.0", "version": "1.1.0", "files": 2, "bytes": size, "changed": True}
    assert answer["units"] == [unit]
    assert json.loads((place.site / "manifest.json").read_text())["serial"] == answer["serial"]


def test_one_folder_from_fetch_to_prune(published: Place) -> None:
    place, name = published, "magic_module.alpha"
    [unit] = place.json("list")[1]["modules"]
    assert (unit["name"], unit["version"], unit["versions"], unit["cached"]) == (name, "1.0.0", ["1.0.0"], False)

    place.server.take_requests()
    status, text, error = place.run("fetch", name)
    assert (status, error) == (0, "")
    assert re.fullmatch(rf"{re.escape(name)}: \d+ B downloaded\n", text)
    # The manifest was asked for by `list`, and is known since then.
    assert [request.path for request in place.server.take_requests() if request.path == "/manifest.json"] == []
    assert place.run("fetch", name) == (0, f"{name}: nothing to download\n", "")
    assert place.json("info", name)[1]["cached"] is True

    assert place.run("upgrade") == (0, "nothing changed\n", "")
    place.release("1.1.0")
    assert place.run("publish", "modules", "site")[0] == 0
    status, text, error = place.run("upgrade")
    assert (status, error) == (0, "")
    assert re.fullmatch(rf"{re.escape(name)} 1\.0\.0 → 1\.1\.0, 2 files, \d+ B\n", text)
    show = "import magic_module.alpha as a; print(a.__version__, a.rows())"
    assert place.python(show) == "1.1.0 [['a', 'b'], ['1', '1.1.0']]"

    status, answer = place.json("rollback", name)
    assert status == 0
    move = answer["upgrades"][0]
    assert (move["old_version"], move["new_version"], move["changed"]) == ("1.1.0", "1.0.0", True)
    assert place.python(show).startswith("1.0.0 ")

    size = sum(path.stat().st_size for path in place.modules.iterdir())
    sound = {"ok": True, "units": 1, "files": 2, "bytes": size, "problems": [], "removed": []}
    assert place.json("verify") == (0, sound)
    status, usage = place.json("cache")
    assert (status, usage["directory"]) == (0, str(place.cache))
    assert usage["bytes"] > 0
    assert place.run("cache")[1].startswith(f"directory  {place.cache}\n")
    status, report = place.json("prune")
    assert (status, report["ok"], report["problems"]) == (0, True, [])
    assert place.python(show).startswith("1.0.0 ")


def test_answers_that_only_machines_read(published: Place) -> None:
    for command in (["fetch", "magic_module.alpha"], ["pin"], ["upgrade"], ["keygen", "own.key"]):
        assert published.json(*command)[0] == 0
    command = [sys.executable, "-m", "magic_module", "serve", "site", "--port", "0", "--json"]
    with subprocess.Popen(command, cwd=published.folder, env=published.environment, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        answer = typed.answer(server.stdout.readline().decode(), "serve")
        server.kill()
    assert answer["manifest_url"] == answer["url"] + "manifest.json"


def test_verify_heals_what_is_damaged(published: Place) -> None:
    assert published.run("fetch", "magic_module.alpha")[0] == 0
    [path] = (published.cache / "v1" / "trees").rglob("alpha.csv")
    good = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(good[::-1])
    status, report = published.json("verify")
    [problem] = report["problems"]
    assert (status, report["ok"]) == (0, True)
    assert "alpha.csv" in problem
    assert path.read_bytes() == good


def test_options_come_before_or_after_the_command(published: Place) -> None:
    option, unset = ["--manifest-url", published.server.manifest_url], {"MAGIC_MODULE_MANIFEST_URL": ""}
    for arguments in ([*option, "list"], ["list", *option]):
        assert published.json(*arguments, **unset)[1]["modules"][0]["name"] == "magic_module.alpha"


def test_other_namespaces(place: Place) -> None:
    for namespace, name in (("zz_acme.tools", "zz_acme.tools.alpha"), ("", "alpha")):
        site = place.site / (namespace or "top")
        assert place.run("publish", "modules", str(site), "--namespace", namespace)[0] == 0
        options = ["--namespace", namespace, "--manifest-url", f"{place.server.url}{site.name}/manifest.json"]
        assert place.json("list", *options)[1]["modules"][0]["name"] == name
        assert place.json("info", name, *options)[1]["cached"] is False
        assert place.run("fetch", name, *options)[0] == 0
        assert place.json("info", name, *options)[1]["cached"] is True


def test_a_package_that_mounts_itself(place: Place) -> None:
    site = place.site / "author"
    assert place.run("publish", "modules", str(site), "--namespace", "zz_author")[0] == 0
    package = place.folder / "zz_author"
    package.mkdir()
    url = f"{place.server.url}author/manifest.json"
    (package / "__init__.py").write_text(f"import magic_module\nmagic_module.mount(__name__, {url!r})\n")
    assert place.run("fetch", "zz_author.alpha", MAGIC_MODULE_MANIFEST_URL="")[1].endswith(" downloaded\n")
    [unit] = place.json("list", "--namespace", "zz_author")[1]["modules"]
    assert (unit["name"], unit["version"]) == ("zz_author.alpha", "1.0.0")


def test_no_manifest_at_all(place: Place) -> None:
    status, text, error = place.run("list", MAGIC_MODULE_MANIFEST_URL="")
    assert (status, text) == (1, "")
    assert error.startswith("magic-module: ") and error.count("\n") == 1
    assert "MAGIC_MODULE_MANIFEST_URL" in error
    status, answer = place.json("list", MAGIC_MODULE_MANIFEST_URL="")
    assert (status, answer["type"]) == (1, "ConfigurationError")


def test_a_server_that_is_gone(published: Place) -> None:
    published.server.close()
    for arguments in (["list"], ["info", "magic_module.alpha"], ["fetch", "magic_module.alpha"]):
        status, text, error = published.run(*arguments)
        assert (status, text) == (1, "")
        assert error.startswith("magic-module: cannot ") and error.count("\n") == 1
        assert published.server.manifest_url in error


def test_a_unit_that_is_not_there(published: Place) -> None:
    status, answer = published.json("info", "magic_module.beta")
    assert (status, answer["type"], answer["name"]) == (1, "UnitNotFoundError", "magic_module.beta")


def test_doctor(published: Place) -> None:
    status, answer = published.json("doctor")
    assert status == 0, answer
    assert [finding["check"] for finding in answer["findings"] if finding["ok"]] == CHECKS
    # Who says on the command line where units come from needs no variable; who says nothing does.
    url = published.server.manifest_url
    status, text, _ = published.run("doctor", "--manifest-url", url, MAGIC_MODULE_MANIFEST_URL="")
    assert (status, text.splitlines()[-1]) == (0, "everything is well")
    assert f"{url} answers with 1 unit\n" in text
    status, text, _ = published.run("doctor", MAGIC_MODULE_MANIFEST_URL="")
    assert (status, text.splitlines()[-1]) == (1, "something is wrong")
    assert "no  settings" in text
    published.server.close()
    status, text, error = published.run("doctor")
    assert (status, error) == (1, "")
    assert "no  manifest" in text and text.endswith("something is wrong\n")
    status, text, _ = published.run("doctor", MAGIC_MODULE_OFFLINE="maybe")
    assert status == 1
    assert "MAGIC_MODULE_OFFLINE" in text


def test_serve(published: Place) -> None:
    command = [sys.executable, "-m", "magic_module", "serve", "site", "--port", "0"]
    with subprocess.Popen(
        command,
        cwd=published.folder,
        env=published.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as server:
        try:
            assert server.stdout is not None
            assert server.stderr is not None
            assert server.stdout.readline().startswith(f"{published.site} is served at http://127.0.0.1:")
            variable, _, url = server.stdout.readline().strip().partition("=")
            assert variable.split() == ["set" if os.name == "nt" else "export", "MAGIC_MODULE_MANIFEST_URL"]
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                assert json.load(answer)["manifest"] == 1
            assert server.stderr.readline().startswith("GET /manifest.json 200 ")
            if os.name != "nt":
                server.send_signal(signal.SIGINT)
                assert server.wait(timeout=PATIENCE) == 0
                assert server.stderr.read() == ""
        finally:
            server.kill()


def test_serve_what_cannot_be_served(published: Place) -> None:
    status, text, error = published.run("serve", "modules")
    assert (status, text) == (1, "")
    assert error == (
        "magic-module: cannot serve modules: it has no manifest.json; "
        "publish into it first: magic-module publish SRC modules\n"
    )
    assert "it is not a folder" in published.run("serve", "nowhere")[2]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, text, error = published.run("serve", "site", "--port", port)
    assert (status, text) == (1, "")
    assert error.startswith(f"magic-module: cannot serve at 127.0.0.1:{port}: ")
    assert error.endswith("; choose another --port or --bind\n")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_an_interrupted_download_ends_quietly(published: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/manifest.json"
        with subprocess.Popen(
            [sys.executable, "-m", "magic_module", "list", "--manifest-url", url],
            env=published.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as child:
            silent.settimeout(PATIENCE)
            connection, _ = silent.accept()  # now it waits for an answer that never comes
            with connection:
                child.send_signal(signal.SIGINT)
                assert child.communicate(timeout=PATIENCE) == (b"", b"")
                assert child.returncode == 130
