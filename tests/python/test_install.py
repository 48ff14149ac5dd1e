"""`magic-module install`: what stands in a folder is what pip and uv put there, and nothing half-made is seen."""

from __future__ import annotations

import csv
import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit import resolvers, typed
from kit.locks import Lock
from kit.package_index import PackageIndex
from kit.process import Result
from kit.repository import Repository
from kit.resolvers import UV, with_uv
from kit.wheels import wheel
from kit.world import World
from origins import Origin

pytestmark = pytest.mark.once


def install(world: World, *arguments: str, status: int = 0, **env: str | None) -> Result:
    return world.run(None, flags=("-m", "magic_module", "install"), args=arguments, status=status, env=env)


def statuses(result: Result) -> dict[str, str]:
    return {each["name"]: each["status"] for each in typed.answer(result.stdout, "install")["installed"]}


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    found = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o777) for path in found}


def recorded(folder: Path) -> set[str]:
    rows = [row for record in folder.glob("*.dist-info/RECORD") for row in csv.reader(record.read_text().splitlines())]
    return {row[0] for row in rows}


def test_the_schema_has_the_fields_that_there_are() -> None:
    path = Path(__file__).parents[2] / "docs/reference/install.schema.json"
    schema = json.loads(path.read_text("utf-8"))["oneOf"][0]
    assert {"schema", "command", *typed.ANSWERS["install"]} == set(schema["required"]) == set(schema["properties"])


def test_a_lock_becomes_a_folder_as_pip_fills_it(world: World, lock: Lock) -> None:
    target = world.path / "there"
    told = statuses(install(world, "--lock", str(lock.path), "--into", str(target), "--json"))
    assert told == dict.fromkeys(["alpha", "Beta", "space-one", "space-two", "space.three", "tool"], "success")
    there = files(target)
    assert set(there) == recorded(target)
    assert (target / "share/tool.txt").read_text() == "x"
    script = there["bin/raw"][0].decode().splitlines()[0]
    assert script == f"#!{sys.executable}" and there["bin/raw"][1] == 0o755 and there["alpha/__init__.py"][1] == 0o644
    for path, (content, _) in there.items():
        if path.endswith("INSTALLER"):
            assert content == b"magic-module\n"
    distribution = importlib.metadata.Distribution.at(target / "tool-3.1.dist-info")
    assert distribution.files is not None
    assert all(Path(str(file.locate())).is_file() for file in distribution.files)
    environment = {**os.environ, "PYTHONPATH": str(target)}
    ran = subprocess.run([target / "bin/tool", "a"], env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (7, "tool a\n")
    ran = subprocess.run([target / "bin/raw", "a"], env=environment, capture_output=True, text=True)
    assert ran.stdout == "raw a\n"
    assert (
        world.run(f"import sys; sys.path.insert(0, {str(target)!r}); import alpha; print(alpha.VALUE)").stdout == "42\n"
    )


def test_what_is_there_costs_no_request_and_no_file_shares_its_name_with_the_store(
    world: World, served: tuple[Lock, Origin]
) -> None:
    lock, origin = served
    target = world.path / "there"
    line = ("alpha", "--lock", str(lock.path), "--into", str(target), "--json")
    assert statuses(install(world, *line)) == {"alpha": "success", "Beta": "success"}
    assert (target / "alpha-1.0.dist-info/REQUESTED").exists() and not (
        target / "beta-2.0.dist-info/REQUESTED"
    ).exists()
    assert {path.stat().st_nlink for path in target.rglob("*") if path.is_file()} == {1}
    origin.take()
    (target / "beta.py").write_text("VALUE = 0")
    assert statuses(install(world, *line)) == {"alpha": "already_installed", "Beta": "already_installed"}
    assert origin.take() == []
    fresh = world.path / "fresh"
    install(world, "alpha", "--lock", str(lock.path), "--into", str(fresh), MAGIC_MODULE_OFFLINE="1")
    assert (fresh / "beta.py").read_text() == "VALUE = 41", "an edit there reaches no other"
    more = statuses(install(world, "tool", "--lock", str(lock.path), "--into", str(target), "--json"))
    assert more == {"tool": "success"}
    assert set(files(target)) == recorded(target)
    missing = install(world, "nothing", "--lock", str(lock.path), "--into", str(target), status=1)
    assert "does not have nothing; lock it: magic-module lock nothing" in missing.stderr


def test_another_version_takes_the_place_of_the_old_one_whole(world: World) -> None:
    target = world.path / "there"
    old = wheel(
        "alpha", "1.0", {"alpha/__init__.py": "V = 1", "alpha/gone.py": "", "ns/old.py": ""}, scripts={"a": "alpha:x"}
    )
    new = wheel("alpha", "2.0", {"alpha/__init__.py": "V = 2", "alpha/new.py": "", "ns/new.py": ""})
    beside = wheel("beside", "1.0", {"ns/beside.py": ""})
    first = Lock(world.path / "first", [old, beside])
    second = Lock(world.path / "second", [new, beside])
    target.mkdir()
    (target / "own.txt").write_text("mine")
    install(world, "--lock", str(first.path), "--into", str(target))
    told = statuses(install(world, "--lock", str(second.path), "--into", str(target), "--json"))
    assert told == {"alpha": "success", "beside": "already_installed"}
    there = files(target)
    assert set(there) == recorded(target) | {"own.txt"}
    assert "bin/a" not in there and "ns/old.py" not in there and "alpha/gone.py" not in there
    assert not (target / "bin").exists() and sorted(target.glob(".*")) == []


def test_a_file_of_somebody_else_stays_and_nothing_is_half_there(world: World) -> None:
    target = world.path / "there"
    target.mkdir()
    (target / "alpha.py").write_text("mine")
    lock = Lock(world.path / "project", [wheel("alpha", "1.0", {"alpha.py": "theirs", "more.py": ""})])
    failed = install(world, "--lock", str(lock.path), "--into", str(target), status=1)
    assert (
        f"cannot install alpha: {target}/alpha.py is already there, and does not belong to it; remove it"
        in failed.stderr
    )
    assert files(target) == {"alpha.py": (b"mine", 0o644)} and sorted(target.glob(".*")) == []


@pytest.fixture
def index(world: World) -> Iterator[PackageIndex]:
    made = PackageIndex(world.path / "index")
    made.add(wheel("alpha", "1.0", {"alpha.py": ""}, requires=["beta>=1"]), wheel("beta", "1.0", {"beta.py": ""}))
    world.extra = resolvers.settings(world.path, made.url)
    yield made
    made.close()


@with_uv
def test_names_are_resolved_once_they_are_not_there(world: World, index: PackageIndex) -> None:
    script = (
        "import json, sys; import magic_module as mm\n"
        "done = mm.install(*sys.argv[2:], into=sys.argv[1])\n"
        "print(json.dumps([[each.name, each.version, each.status] for each in done]))"
    )
    target = str(world.path / "there")
    assert world.run(script, args=[target, "alpha"]).json == [["beta", "1.0", "success"], ["alpha", "1.0", "success"]]
    index.server.take()
    already = world.run(script, args=[target, "alpha>=1"]).json
    assert sorted(already) == [["alpha", "1.0", "already_installed"], ["beta", "1.0", "already_installed"]]
    assert index.server.take() == []
    listed = subprocess.run(
        [str(UV), "pip", "list", "--target", target, "--format", "json"], capture_output=True, text=True
    )
    assert json.loads(listed.stdout) == [{"name": "alpha", "version": "1.0"}, {"name": "beta", "version": "1.0"}]
    failed = install(world, "lost-in-no-index", "--into", target, status=1)
    assert "cannot lock: uv failed with status 1" in failed.stderr


def test_the_environment_itself(world: World, lock: Lock) -> None:
    """Without a folder: where pip of this environment would put it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(world.path / "venv")], check=True)
    venv = world.path / "venv"
    own = str(Path(__import__("magic_module").__file__).parents[1])
    packaging = str(Path(__import__("packaging").__file__).parents[1])
    environment = world.environment({"PYTHONPATH": os.pathsep.join([own, packaging])})
    line = [str(venv / "bin/python"), "-m", "magic_module", "install", "tool", "--lock", str(lock.path)]
    subprocess.run(line, env=environment, check=True, capture_output=True)
    ran = subprocess.run([venv / "bin/tool", "x"], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (7, "tool x\n")
    assert (venv / "share/tool.txt").read_text() == "x"
    if UV is not None:
        subprocess.run([UV, "pip", "check", "--python", str(venv / "bin/python")], check=True, capture_output=True)
    [site] = venv.glob("lib/python*/site-packages")
    distribution = importlib.metadata.Distribution.at(site / "tool-3.1.dist-info")
    assert distribution.files is not None
    assert all(Path(str(file.locate())).is_file() for file in distribution.files)


def test_a_policy_is_asked(world: World, lock: Lock) -> None:
    policy = world.work / "modules.toml"
    policy.write_text('[policy]\nallow = ["alpha"]\n')
    target = str(world.path / "there")
    line = ("--lock", str(lock.path), "--into", target)
    install(world, "alpha", *line, MAGIC_MODULE_REGISTRY=str(policy))
    refused = install(world, "tool", *line, status=1, MAGIC_MODULE_REGISTRY=str(policy)).stderr
    assert "tool 3.1 may not be fetched" in refused and "policy.allow" in refused
    assert not Path(target, "tool").exists()


@with_uv
def test_what_comes_from_a_repository_is_built(world: World, index: PackageIndex) -> None:
    repository = Repository(world.path, "internal", {"internal.py": "VALUE = 7\n"})
    try:
        install(world, f"internal @ git+{repository.url}", "--into", str(world.path / "there"))
    finally:
        repository.close()
    assert (world.path / "there" / "internal.py").read_text() == "VALUE = 7\n"
