"""The helper that chooses a lock's wheels: asked directly, as the extension asks it, with locks written by hand."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import packaging
import pytest
from packaging.tags import sys_tags

import magic_module
from kit.process import PATIENCE

PROGRAM = Path(magic_module.__file__).with_name("_py").joinpath("lock.py").read_text(encoding="utf-8")
PACKAGING = str(Path(packaging.__file__).parents[1])
TAGS = [str(tag) for tag in sys_tags()]
BEST = TAGS[0]
# The first that names the version of a system, where there is one.
PORTABLE = next((tag for tag in TAGS if re.search(r"(manylinux|musllinux|macosx)_\d+_\d+", tag)), BEST)
SHA256 = "0123456789abcdef" * 4
HASHES = {"sha256": SHA256}
WHEEL = "packages[0].wheels[0]"
MINOR = "{}.{}".format(*sys.version_info)

Json = dict[str, Any]


class Helper:
    """One helper, which answers any number of requests."""

    def __init__(self, folder: Path, *path: str) -> None:
        self.file = folder / "pylock.toml"
        executable = getattr(sys, "_base_executable", sys.executable)
        line = [executable, "-I", "-S", "-X", "utf8", "-W", "error", "-c", PROGRAM, *path]
        self.process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder)

    def ask(self, request: Json) -> Json:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert isinstance(answer, dict)
        return answer

    def choose(self, *packages: Json, top: Json | None = None, **options: Any) -> Json:
        lock = {"lock-version": "1.0", "created-by": "hand", "packages": list(packages)} | (top or {})
        request = {
            "do": "choose",
            "lock": lock,
            "file": str(self.file),
            "extras": [],
            "groups": [],
            "unhashed": False,
            "build": False,
        }
        return self.ask(request | options)

    def packages(self, *packages: Json, top: Json | None = None, **options: Any) -> list[Json]:
        answer = self.choose(*packages, top=top, **options)
        assert "error" not in answer, answer
        chosen: list[Json] = answer["packages"]
        return chosen

    def names(self, *packages: Json, top: Json | None = None, **options: Any) -> list[str]:
        return [package["name"] for package in self.packages(*packages, top=top, **options)]

    def refuse(self, *packages: Json, top: Json | None = None, **options: Any) -> Json:
        error: Json = self.choose(*packages, top=top, **options)["error"]
        start = f"cannot use the lock {self.file}: "
        assert error["message"].startswith(start)
        return error | {"message": error["message"].removeprefix(start)}

    def require(self, beside: Sequence[str] = (), /, **distributions: list[str]) -> Json:
        known = {
            unit: {"name": unit.replace("_", "."), "requires_dist": lines} for unit, lines in distributions.items()
        }
        return self.ask({"do": "require", "distributions": known, "beside": [*beside]})


@pytest.fixture(scope="module")
def helper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Helper]:
    helper = Helper(tmp_path_factory.mktemp("lock"), PACKAGING)
    yield helper
    helper.process.communicate(timeout=PATIENCE)
    assert helper.process.returncode == 0


def package(name: str, *tags: str, **more: Any) -> Json:
    """An entry with wheels."""
    stem = f"https://index.test/{name.replace('-', '_')}-1.0"
    wheels = [{"url": f"{stem}-{tag}.whl", "size": 7, "hashes": HASHES} for tag in tags or ("py3-none-any",)]
    return {"name": name, "version": "1.0", "wheels": wheels} | more


def test_a_wheel_is_answered_with_all_that_the_lock_says(helper: Helper) -> None:
    answer = helper.choose(package("my-pkg", index="https://index.test/simple"))
    assert answer["packages"] == [
        {
            "kind": "wheel",
            "name": "my-pkg",
            "version": "1.0",
            "index": "https://index.test/simple",
            "url": "https://index.test/my_pkg-1.0-py3-none-any.whl",
            "size": 7,
            "sha256": SHA256,
        }
    ]
    assert answer["python"] == platform.python_version()


def test_the_scheme_is_that_of_a_virtual_environment(helper: Helper) -> None:
    name = "venv" if "venv" in sysconfig.get_scheme_names() else "posix_prefix"
    base = {"base": "/", "platbase": "/", "installed_base": "/"}
    assert helper.choose()["scheme"] == {
        "site": sysconfig.get_path("purelib", name, base).lstrip("/"),
        "scripts": "bin",
        "headers": f"include/site/python{MINOR}",
    }


def test_the_best_wheel_is_chosen_and_the_order_is_the_locks(helper: Helper) -> None:
    tags = ["py3-none-any", BEST, "cp27-cp27m-win32"]
    chosen = helper.packages(package("b", *tags), package("a", *reversed(tags)))
    assert [(it["name"], it["url"]) for it in chosen] == [
        (name, f"https://index.test/{name}-1.0-{BEST}.whl") for name in "ba"
    ]


def test_markers_extras_and_groups_select(helper: Helper) -> None:
    packages = [
        package("always", marker=f"python_version == '{MINOR}'"),
        package("never", marker="python_version < '3'"),
        package("web", marker="'web' in extras"),
        package("main", marker="'default' in dependency_groups"),
        package("dev", marker="'dev_x' in dependency_groups"),
    ]
    top = {"extras": ["web"], "dependency-groups": ["default", "dev_x"], "default-groups": ["default"]}
    assert helper.names(*packages, top=top) == ["always", "main"]
    assert helper.names(*packages, top=top, extras=["Web"]) == ["always", "web", "main"]
    assert helper.names(*packages, top=top, groups=["Dev-X"]) == ["always", "main", "dev"]


def test_extras_and_groups_that_are_not_there_are_named_with_those_that_are(helper: Helper) -> None:
    top = {"extras": ["web", "cli"], "dependency-groups": ["dev"]}
    error = helper.refuse(top=top, extras=["wbe"])
    assert error["kind"] == "configuration"
    assert error["message"] == "it has no extra 'wbe': there are web, cli"
    assert helper.refuse(top=top, groups=["x"])["message"] == "it has no group 'x': there are dev"
    assert helper.refuse(groups=["x"])["message"] == "it has no group 'x': there are none"
    assert "uv export --group x" in helper.refuse(groups=["x"])["hint"]


def test_paths_count_from_the_lock(helper: Helper) -> None:
    here = helper.file.parent
    beside = {"name": "a", "archive": {"path": "../wheels é/a-1.0-py3-none-any.whl", "hashes": HASHES}}
    wheel = {"name": "b", "wheels": [{"path": "b-2-py3-none-any.whl", "hashes": {"sha256": SHA256.upper()}}]}
    one, other = helper.packages(beside, wheel)
    assert one["url"] == (here.parent / "wheels é/a-1.0-py3-none-any.whl").as_uri()
    assert other["url"] == (here / "b-2-py3-none-any.whl").as_uri()
    assert (one["version"], other["version"]) == ("1.0", "2")
    assert (one["size"], other["sha256"]) == (None, SHA256)


def test_direct_urls_of_wheels_are_wheels(helper: Helper) -> None:
    url = "https://me:secret@host.test/x/a-1.0%2Blocal-py3-none-any.whl?token=1#part"
    (chosen,) = helper.packages({"name": "a", "archive": {"url": url, "size": 9, "hashes": HASHES}})
    assert chosen["url"] == url
    assert (chosen["kind"], chosen["version"], chosen["size"]) == ("wheel", "1.0+local", 9)
    (chosen,) = helper.packages({"name": "a", "wheels": [{"url": url, "hashes": HASHES}]})
    assert (chosen["url"], chosen["version"]) == (url, "1.0+local")


def test_editable_projects_are_folders(helper: Helper) -> None:
    here = helper.file.parent
    chosen = helper.packages(
        {"name": "a", "directory": {"path": ".", "editable": True}},
        {"name": "b", "directory": {"path": "../b", "editable": True, "subdirectory": "python"}},
    )
    assert [(it["kind"], it["name"], it["path"]) for it in chosen] == [
        ("directory", "a", str(here)),
        ("directory", "b", str(here.parent / "b/python")),
    ]


SDIST = {"url": "https://index.test/a-1.0.tar.gz", "hashes": HASHES}


@pytest.mark.parametrize(
    ("entry", "source"),
    [
        ({"name": "a", "version": "1.0", "sdist": SDIST}, "a 1.0 would have to be built from its source archive a-1.0"),
        ({"name": "a", "archive": SDIST}, "a would have to be built from its source archive a-1.0.tar.gz"),
        (
            {"name": "a", "vcs": {"type": "git", "url": "https://x.test/a", "commit-id": "1"}},
            "a would have to be built from its git repository",
        ),
        ({"name": "a", "directory": {"path": "/x/a"}}, "a would have to be built from its folder /x/a"),
    ],
    ids=["sdist", "archive", "vcs", "directory"],
)
def test_what_would_have_to_be_built_is_named(helper: Helper, entry: Json, source: str) -> None:
    error = helper.refuse(package("b"), entry)
    assert error["message"].startswith(source)
    assert (error["kind"], error["path"]) == ("policy", "packages[1]")
    assert ("uv build --wheel" if "directory" in entry else "--build") in error["hint"]
    assert helper.names(package("b"), entry | {"marker": "python_version < '3'"}) == ["b"]


def test_a_missing_hash_is_accepted_only_when_that_is_said(helper: Helper) -> None:
    url = "https://index.test/a-1.0-py3-none-any.whl"
    for wheel in ({"url": url}, {"url": url, "hashes": {}}, {"url": url, "hashes": {"md5": "1"}}):
        for entry in ({"name": "a", "wheels": [wheel]}, {"name": "a", "archive": wheel}):
            error = helper.refuse(entry)
            assert (error["kind"], error["message"]) == ("policy", "a has no sha256")
            assert "`unhashed=True`" in error["hint"] and "`--allow-unhashed`" in error["hint"]
            (chosen,) = helper.packages(entry, unhashed=True)
            assert (chosen["url"], chosen["sha256"]) == (url, None)
    entry = {"name": "a", "wheels": [{"url": url, "hashes": {"sha256": "1"}}]}
    error = helper.refuse(entry, unhashed=True)
    assert (error["kind"], error["path"]) == ("manifest", "packages[0].wheels[0].hashes.sha256")


def test_the_place_of_a_wrong_wheel_counts_those_for_others(helper: Helper) -> None:
    entry = package("a", "cp27-cp27m-win32", "py3-none-any")
    entry["wheels"][1]["hashes"] = {"md5": "1"}
    assert helper.refuse(package("b"), entry)["path"] == "packages[1].wheels[1].hashes"


def test_a_package_without_a_wheel_for_this_interpreter_says_what_there_is_and_what_is_wanted(helper: Helper) -> None:
    tags = [f"cp2{minor}-cp2{minor}-win32" for minor in range(6)]
    error = helper.refuse(package("a", *tags))
    assert error["kind"] == "requirement" and error["path"] == "packages[0]"
    assert error["message"] == (
        "no wheel of a 1.0 fits this interpreter: the lock has cp20-cp20-win32, cp21-cp21-win32, cp22-cp22-win32, "
        f"cp23-cp23-win32 and 2 more, but this interpreter takes {PORTABLE}"
    )
    assert f"make a lock for Python {platform.python_version()}" in error["hint"]
    error = helper.refuse(package("a", "cp27-cp27m-win32", sdist=SDIST))
    assert error["message"].endswith("; from a-1.0.tar.gz it would have to be built")
    archive = {"url": "https://x.test/a-1.0-cp27-cp27m-win32.whl", "hashes": HASHES}
    assert (
        "the lock has cp27-cp27m-win32, but this interpreter takes"
        in helper.refuse({"name": "a", "archive": archive})["message"]
    )


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="other systems have no versions in their tags")
def test_a_wheel_for_a_newer_system_says_so(helper: Helper) -> None:
    interpreter, abi, here = PORTABLE.split("-")
    family, major, minor, machine = here.split("_", 3)
    kind = {"manylinux": "glibc", "musllinux": "musl", "macosx": "macOS"}[family]
    tags = [f"{interpreter}-{abi}-{family}_{newer}_0_{machine}" for newer in (98, 97)]
    error = helper.refuse(package("a", *tags))
    assert error["message"].endswith(f"; {kind} 97.0 or newer is needed, and this system has {major}.{minor}")


def test_a_lock_for_others_is_refused(helper: Helper) -> None:
    error = helper.refuse(top={"requires-python": ">=4"})
    assert error["message"] == f"it is for Python >=4, and this is {platform.python_version()}"
    assert (error["kind"], error["path"]) == ("requirement", "requires-python")
    error = helper.refuse(package("a", **{"requires-python": "<3"}))
    assert error["kind"] == "requirement" and "'a' at packages[0]" in error["message"]
    error = helper.refuse(top={"environments": ["python_version < '3'"]})
    assert error["kind"] == "requirement" and "environments" in error["message"]
    error = helper.refuse(package("a"), package("a"))
    assert error["kind"] == "requirement" and "Multiple packages with the name 'a'" in error["message"]


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        ({"name": "A"}, "packages[0].name"),
        ({"name": "a", "wheels": [{"url": "https://x.test/b-1-py3-none-any.whl"}]}, WHEEL),
        ({"name": "a", "wheels": [{"url": "https://["}]}, WHEEL),
        ({"name": "a", "wheels": [{"size": 1}]}, WHEEL),
        ({"name": "a", "wheels": 1}, "packages[0].wheels"),
        ({"name": "a", "marker": "foo == 'x'", "archive": {"path": "a"}}, "packages[0].marker"),
        ({"name": "a", "archive": {"path": "b-1-py3-none-any.whl", "hashes": HASHES}}, "packages[0].archive"),
        ({"name": "a", "archive": {"path": "a-1-any.whl", "hashes": HASHES}}, "packages[0].archive"),
        (
            {"name": "a", "archive": {"url": "ftp://x/a-1-py3-none-any.whl", "hashes": HASHES}},
            "packages[0].archive.url",
        ),
        (package("a", marker="extra == 'x'"), None),
    ],
)
def test_a_wrong_entry_is_named_by_its_place(helper: Helper, entry: Json, place: str | None) -> None:
    error = helper.refuse(entry)
    assert (error["kind"], error["path"]) == ("manifest", place)
    assert "\n" not in error["message"]


def test_requirements_under_the_markers_of_this_interpreter(helper: Helper) -> None:
    answer = helper.require(
        pandas=["NumPy>=1", "python_dateutil", "tzdata; python_version < '3'", "pytest; extra == 'test'"],
        numpy=[],
        python_dateutil=["six"],
        tzdata=[],
        pytest=[],
    )
    assert answer.pop("requires")["pandas"] == ["numpy", "python_dateutil"]
    assert answer == {"missing": {"python_dateutil": ["six"]}, "unread": {}}
    assert helper.require(["Six_x"], a=["six.x>=1"]) == {"requires": {"a": []}, "missing": {}, "unread": {}}


def test_extras_bring_what_they_require_and_cycles_end(helper: Helper) -> None:
    answer = helper.require(
        asks=["has[all]", "asks"],
        has=["base", "has[one,two]; extra == 'all'", "first; extra == 'one'", "second[x]; extra == 'Two'"],
        base=["asks"],
        first=[],
        second=["third; extra == 'x'", "has[all]; extra == 'x'", "nowhere; extra == 'x'", "other; extra == 'y'"],
        third=["has"],
        other=[],
    )
    assert answer["requires"] == {
        "asks": ["first", "has", "second", "third"],
        "has": ["base"],
        "base": ["asks"],
        "first": [],
        "second": [],
        "third": ["has"],
        "other": [],
    }
    assert answer["missing"] == {}


def test_requirements_that_cannot_be_read_are_listed_and_passed_over(helper: Helper) -> None:
    bad = [">=1", "b ~~ 1", "b; foo == '1'", "b; os_name ~= 'x'", "b;" + "(" * 5000]
    answer = helper.require(a=[*bad, "c"], b=[], c=[])
    assert answer["requires"]["a"] == ["c"]
    assert answer["unread"] == {"a": bad}


def test_an_old_packaging_is_named_with_the_remedy(tmp_path: Path) -> None:
    old = tmp_path / "packaging"
    old.mkdir()
    (old / "__init__.py").touch()
    helper = Helper(tmp_path, str(tmp_path))
    error = helper.choose()["error"]
    helper.process.communicate(timeout=PATIENCE)
    assert error["kind"] == "configuration"
    assert "packaging 26.1 or newer" in error["message"] and "pip install -U packaging" in error["hint"]
