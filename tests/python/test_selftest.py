"""`magic-module doctor --package`: six steps in a process of its own, and what a package does to that process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit import resolvers
from kit.interpreter import command_line
from kit.locks import Lock, python
from kit.package_index import PackageIndex
from kit.resolvers import with_uv
from kit.wheels import wheel
from origins import Origin

pytestmark = pytest.mark.once

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/reference/doctor.schema.json").read_text("utf-8"))
STEPS = SCHEMA["$defs"]["step"]["properties"]["step"]["enum"]


def told(cache: Path, *arguments: str, status: int, settings: dict[str, str] | None = None) -> dict[str, Any]:
    """The answer, whose form is checked."""
    ended = command_line("doctor", *arguments, "--json", cache=cache, settings=settings)
    assert ended.status == status, ended
    answer: dict[str, Any] = ended.json
    assert set(answer) == set(SCHEMA["required"])
    step = SCHEMA["$defs"]["step"]
    assert [each["step"] for each in answer["steps"]] == STEPS
    for each in answer["steps"]:
        assert list(each) == step["required"] and each["status"] in step["properties"]["status"]["enum"]
    assert list(answer["summary"]) == SCHEMA["$defs"]["summary"]["required"]
    return answer


def statuses(answer: dict[str, Any]) -> list[str]:
    return [each["status"] for each in answer["steps"]]


def test_six_steps_and_the_second_run_fetches_nothing(served: tuple[Lock, Origin], cache: Path) -> None:
    lock, origin = served
    named = ("--lock", str(lock.path), "--package", "space-two", "--use", "print('heard'); space.two.NAME")
    first = told(cache, *named, status=0)
    assert statuses(first) == ["success"] * 6
    location = first["steps"][3]
    assert location["from_packages"] is True
    assert location["module_file"] == str(Path(location["path"], "space/two/__init__.py"))
    assert list(first["summary"].values()) == [False, True, True, True]
    origin.take()
    second = told(cache, *named, status=0)
    assert statuses(second) == ["success", "already_installed", *["success"] * 4]
    assert second["summary"]["already_installed"] is True and origin.take() == []


BAD = {
    "raises": "raise ValueError('not today')",
    "exits": "import sys; sys.exit('gone')",
    "dies": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "leaves": "import os; os._exit(7)",
    "noisy": "import os, sys; print('noise'); os.write(1, b'{'); sys.stdout.close()",
    "hides": "import sys; sys.path[:] = [entry for entry in sys.path if '/views/' not in entry]",
}
GOOD = ["success"] * 4 + ["skipped", "success"]
BROKEN = ["success", "success", "failed", "skipped", "skipped", "skipped"]


def test_whatever_a_package_does_is_told(tmp_path: Path, cache: Path) -> None:
    wheels = [wheel(name, "1", {f"{name}.py": text}) for name, text in BAD.items()]
    wheels += [wheel("Text-Only", "1", {"only/data.txt": ""}), wheel("packaging", "999", {"packaging/__init__.py": ""})]
    lock = Lock(tmp_path / "project", wheels)
    found = {}
    for name in (*BAD, "text_only", "packaging", "nowhere"):
        answer = told(cache, "--lock", str(lock.path), "--package", name, status=0 if name == "noisy" else 1)
        failed = next(
            (each["message"] for each in answer["steps"] if each["status"] in ("failed", "not_installed")), ""
        )
        found[name] = (statuses(answer), failed)
    assert found["raises"] == (BROKEN, "import raises failed: ValueError: not today")
    assert found["exits"] == (BROKEN, "import exits failed: SystemExit: gone")
    assert found["dies"] == (BROKEN, "the process was ended by signal 9")
    assert found["leaves"] == (BROKEN, "the process ended with status 7")
    assert found["noisy"] == (GOOD, "")
    assert found["hides"] == ([*GOOD[:-1], "failed"], "importing hides took the folder of packages off sys.path")
    assert found["text_only"] == (BROKEN, "Text-Only 1 has nothing that can be imported")
    # What is installed wins over the lock, as always.
    assert found["packaging"][0] == ["success", "success", "success", "failed", "skipped", "success"]
    assert found["packaging"][1].endswith("which is installed beside")
    assert found["nowhere"][0] == ["success", "not_installed", *["skipped"] * 4]


def test_a_use_that_fails_and_wrong_usage(lock: Lock, cache: Path) -> None:
    answer = told(cache, "--lock", str(lock.path), "--package", "alpha", "--use", "alpha.VALUE / 0\nprint(1", status=1)
    assert answer["steps"][4]["message"].startswith("using alpha failed: SyntaxError: ")
    assert list(answer["summary"].values()) == [False, True, False, False]
    for wrong in (("--use", "1"), ("--package", " "), ("--package", "a", "--manifest-url", "http://127.0.0.1/x")):
        ended = command_line("doctor", *wrong, cache=cache)
        assert ended.status == 2 and "--package" in ended.stderr
    text = command_line("doctor", "--lock", str(lock.path), "--package", "alpha", cache=cache)
    assert text.stdout.splitlines()[1].split()[:2] == ["already_installed", "install"]
    assert text.stdout.splitlines()[-1] == "alpha: everything is well"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[PackageIndex]:
    made = PackageIndex(tmp_path / "index")
    made.add(wheel("python-dotted", "2.0", {"dotted/__init__.py": ""}))
    yield made
    made.close()


@with_uv
def test_without_a_lock_it_is_resolved_and_a_registry_decides(index: PackageIndex, tmp_path: Path, cache: Path) -> None:
    settings = {name: value or "" for name, value in resolvers.settings(tmp_path, index.url).items()}
    answer = told(cache, "--package", "python-dotted", "--use", "dotted.__name__", settings=settings, status=0)
    assert statuses(answer) == ["success"] * 6
    assert statuses(told(cache, "--package", "python-dotted", settings=settings, status=0))[1] == "already_installed"
    absent = told(cache, "--package", "nobody-has-it", settings=settings, status=1)
    assert statuses(absent)[:3] == ["skipped", "not_installed", "skipped"]
    assert absent["steps"][1]["message"].startswith("Because nobody-has-it was not found in the package registry")
    other = told(cache, "--package", "yaml", settings=settings, status=1)
    assert other["steps"][1]["message"].endswith("write --package pyyaml")
    registry = tmp_path / "modules.toml"
    registry.write_text("[modules.python-dotted]\nversion = '2.0'\n")
    settings["MAGIC_MODULE_REGISTRY"] = str(registry)
    refused = told(cache, "--package", "colorama", settings=settings, status=1)
    assert f"colorama is not among the [modules] of {registry}" in refused["steps"][1]["message"]
    stale = command_line("doctor", "--package", "python-dotted", cache=cache, settings=settings)
    assert stale.status == 1 and "has no lock; run magic-module registry lock" in stale.stderr
    assert command_line("registry", "lock", cache=cache, settings=settings).status == 0
    assert statuses(told(cache, "--package", "python-dotted", settings=settings, status=0))[1] == "already_installed"


def test_paths_are_what_an_interpreter_needs_that_is_started_alone(lock: Lock, cache: Path) -> None:
    said = python(
        cache,
        f"""
        import json, os, subprocess, sys, magic_module as mm
        mount = mm.mount_lock({str(lock.path)!r})
        mm.prefetch("alpha")
        line = [sys.executable, "-S", "-c", "import sys, alpha; print(alpha.VALUE, 'magic_module' in sys.modules)"]
        out = subprocess.check_output(line, env={{"PYTHONPATH": os.pathsep.join(mount.paths())}}, text=True)
        print(json.dumps([mount.paths() == [p for p in sys.path if p.startswith(str(mount.view))], out]))
        """,
    )
    assert said.json == [True, "42 False\n"]
