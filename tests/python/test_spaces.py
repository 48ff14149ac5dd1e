"""Spaces: what tenants have of their own, and what they share."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit import process, resolvers, typed
from kit.locks import Lock
from kit.package_index import PackageIndex
from kit.preload import without_locks
from kit.process import Result
from kit.resolvers import with_uv
from kit.wheels import Wheel, wheel
from kit.world import World

pytestmark = pytest.mark.once

SCHEMA = Path(__file__).parents[2] / "docs/reference/space.schema.json"

START = "from magic_module import _native; _native._start()\n"
"""What the start line does, which an editable install may lack."""


def requests(version: str) -> Wheel:
    return wheel("requests", version, {"requests/__init__.py": f"__version__ = {version!r}"}, requires=["certs"])


CERTS = wheel("certs", "1.0", {"certs.py": "WHERE = 'there'"})


class Platform:
    """Spaces in `spaces`, a cache, and locks that need no server."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.spaces = world.path / "spaces"
        world.extra = {"MAGIC_MODULE_SPACES_DIR": str(self.spaces)}

    def lock(self, name: str, *wheels: Wheel) -> Path:
        folder = self.world.path / "locks" / name
        return Lock(folder, wheels, url=(folder / "wheels").as_uri()).path

    def run(self, *arguments: str, status: int = 0, **env: str) -> Result:
        flags = ("-m", "magic_module", "space")
        return self.world.run(None, flags=flags, args=arguments, status=status, env=env)

    def answer(self, *arguments: str, **env: str) -> dict[str, Any]:
        """What a command says with `--json`, which the schema describes."""
        text = self.run(*arguments, "--json", **env).stdout
        command = f"space {arguments[0]}"
        kinds = json.loads(SCHEMA.read_text("utf-8"))["oneOf"]
        kind = next(each for each in kinds if each["properties"]["command"]["const"] == command)
        assert sorted(json.loads(text)) == sorted(kind["required"]) == sorted(kind["properties"])
        return typed.answer(text, command)

    def create(self, name: str, *wheels: Wheel) -> None:
        self.run("create", name, "--lock", str(self.lock(name, *wheels)))

    def inside(self, space: str, script: str, *, status: int = 0, **env: str) -> Result:
        return self.world.run(START + script, status=status, env={"MAGIC_MODULE_SPACE": space, **env})


@pytest.fixture
def platform(world: World) -> Platform:
    return Platform(world)


@pytest.fixture
def index(world: World, platform: Platform) -> Iterator[PackageIndex]:
    made = PackageIndex(world.path / "index")
    world.extra |= resolvers.settings(world.path, made.url)
    yield made
    made.close()


@with_uv
def test_what_a_tenant_asks_for_is_resolved_once_and_nothing_downloaded(
    platform: Platform, index: PackageIndex
) -> None:
    index.add(requests("2.28.2"), requests("2.31.0"), CERTS, wheel("rich", "13.0"))
    files = platform.world.work
    (files / "base.in").write_text("certs\n")
    (files / "requirements.txt").write_text("-r base.in\nrequests<2.30  # for now\n")
    made = platform.answer("create", "org-123", "--requirements", "requirements.txt")
    assert (made["packages"], Path(made["folder"])) == (2, platform.spaces / "org-123")
    assert not (platform.world.cache / "v1" / "blobs").exists(), "only the resolver looked"
    platform.run("create", "org-456", "requests")
    assert platform.run("diff", "org-123", "org-456").stdout == "requests 2.28.2 here, 2.31.0 there\n"
    added = platform.answer("add", "org-123", "rich>=13")
    assert [(each["name"], each["new_version"]) for each in added["changes"]] == [("rich", "13.0")]
    assert platform.answer("show", "org-123")["requirements"] == ["certs", "requests<2.30", "rich>=13"]
    differences = platform.answer("diff", "org-456", "org-123")["differences"]
    assert {"name": "rich", "here": None, "there": "13.0"} in differences
    platform.run("add", "org-123", "requests")
    assert platform.answer("lock", "org-123", "--upgrade")["changes"][0]["new_version"] == "2.31.0"
    assert platform.run("remove", "org-123", "rich").stdout.startswith("rich  13.0, removed\n")
    lock = (platform.spaces / "org-123" / "pylock.toml").read_text()
    assert "#    magic-module space lock org-123\n" in lock
    said = platform.run("remove", "org-123", "rich", status=1).stderr
    assert "rich is not among its requirements; its requirements are certs, requests\n" in said
    lost = platform.run("add", "org-123", "nowhere-to-be-found", status=1).stderr
    assert "uv failed with status 1" in lost
    assert platform.answer("show", "org-123")["requirements"] == ["certs", "requests"]
    assert sorted(path.name for path in platform.spaces.iterdir()) == [".locks", "org-123", "org-456"]
    (files / "beside.txt").write_text("-c limits.txt\n")
    refused = platform.run("create", "org-7", "--requirements", "beside.txt", status=1).stderr
    assert "line 1 refers to another file or folder (-c limits.txt)" in refused


def test_two_versions_at_the_same_time(platform: Platform) -> None:
    platform.create("org-123", requests("2.28.2"), CERTS)
    platform.create("org-456", requests("2.31.0"), CERTS)
    script = """
import json, subprocess, sys
import requests, certs
child = "import magic_module._native as n; n._start(); import requests; print(requests.__version__)"
print(requests.__version__, flush=True)
sys.stdin.readline()
started = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True)
print(json.dumps([requests.__version__, started.stdout.strip()]))
"""
    running = {
        name: platform.world.start(START + script, env={"MAGIC_MODULE_SPACE": name}, input=True)
        for name in ("org-123", "org-456")
    }
    assert [platform.world.line(each) for each in running.values()] == ["2.28.2", "2.31.0"]
    for each in running.values():
        platform.world.say(each)
    assert [platform.world.finish(each).json for each in running.values()] == [["2.28.2"] * 2, ["2.31.0"] * 2]
    trees = platform.world.trees()
    assert len(trees) == 3, "what both have is there once"
    listed = {each["name"]: each for each in platform.answer("list")["spaces"]}
    assert [each["packages"] for each in listed.values()] == [2, 2]
    alone = [sum(file.stat().st_size for file in tree.rglob("*.py")) for tree in trees if "certs" not in str(tree)]
    assert all(0 < each["bytes"] < sum(alone) + 5000 and each["used"] for each in listed.values())
    packs = [pack for pack in (platform.world.cache / "v1" / "mounts").glob("*/code/*") if pack.is_file()]
    mounts = {pack.parent.parent for pack in packs}
    assert len(mounts) == 2, "compiled code is shared by nobody"


def test_a_space_heals_itself_and_comes_back_from_a_backup(platform: Platform) -> None:
    platform.create("org-123", requests("2.28.2"), CERTS)
    (platform.spaces / "org-123" / "modules.toml").write_text("[policy]\ndeny = ['evil']\n")
    script = "import requests; print(requests.__version__)"
    assert platform.inside("org-123", script).stdout == "2.28.2\n"
    shutil.rmtree(platform.world.cache)
    assert platform.inside("org-123", script).stdout == "2.28.2\n"
    before = platform.answer("show", "org-123")
    backup = platform.world.path / "backup"
    shutil.copytree(platform.spaces, backup)
    shutil.rmtree(platform.spaces)
    gone = platform.inside("org-123", "import requests", status=1)
    assert f"there is no space org-123 in {platform.spaces}; make it: magic-module space create org-123" in gone.stderr
    inside = {"MAGIC_MODULE_SPACE": "org-123"}
    run = ("-m", "magic_module", "run")
    nowhere = platform.world.run(None, flags=run, args=("-c", "pass"), env=inside, status=1).stderr
    assert nowhere.splitlines()[-1].startswith(f"magic-module: there is no space org-123 in {platform.spaces}; make it")
    lock = str(backup / "org-123" / "pylock.toml")
    two = platform.world.run(None, flags=run, args=("--lock", lock, "-c", "pass"), env=inside, status=2).stderr
    assert "the space org-123 has a lock of its own: leave out --lock, or unset MAGIC_MODULE_SPACE" in two
    shutil.copytree(backup, platform.spaces)
    assert platform.inside("org-123", script, MAGIC_MODULE_OFFLINE="1").stdout == "2.28.2\n"
    assert platform.answer("show", "org-123") == before
    log = (Path(before["journal"]) / "audit.jsonl").read_text()
    assert {json.loads(line)["distribution"] for line in log.splitlines()} == {"requests", "certs"}


def test_a_policy_and_a_log_are_those_of_the_space(platform: Platform) -> None:
    common = platform.world.path / "common.toml"
    common.write_text("[policy]\ndeny = ['certs']\n")
    own = platform.world.path / "own.toml"
    own.write_text("[policy]\ndeny = ['tabulate']\n")
    lock = str(platform.lock("all", CERTS, wheel("tabulate", "1.0", {"tabulate.py": ""})))
    platform.run("create", "strict", "--lock", lock, "--registry", str(own))
    platform.run("create", "plain", "--lock", lock)
    named = {"MAGIC_MODULE_REGISTRY": str(common)}
    script = """
import importlib
for name in ("certs", "tabulate"):
    try:
        importlib.import_module(name)
        print(name)
    except ImportError as error:
        print(type(error).__name__, error.path)
"""
    strict, plain = platform.inside("strict", script, **named), platform.inside("plain", script, **named)
    assert strict.stdout == "certs\nPolicyError policy.deny[0]\n"
    assert plain.stdout == "PolicyError policy.deny[0]\ntabulate\n", "without one of its own, the common one holds"
    refused = {}
    for space in ("strict", "plain"):
        lines = (platform.spaces / space / "journal" / "audit.jsonl").read_text().splitlines()
        refused[space] = [each["distribution"] for each in map(json.loads, lines) if each["decision"] == "refused"]
    assert refused == {"strict": ["tabulate"], "plain": ["certs"]}


def test_what_a_deleted_space_used_alone_goes_but_not_what_a_process_uses(platform: Platform) -> None:
    platform.create("org-123", requests("2.28.2"), CERTS)
    platform.create("org-456", CERTS)
    platform.inside("org-456", "import certs")
    script = """
import sys
import requests
print(requests.__version__, flush=True)
sys.stdin.readline()
import certs, importlib.metadata
print(importlib.metadata.version("certs"), certs.WHERE)
"""
    running = platform.world.start(START + script, env={"MAGIC_MODULE_SPACE": "org-123"}, input=True)
    assert platform.world.line(running) == "2.28.2"
    # Mounted, and nothing imported yet.
    idle = START + "import sys; print('mounted', flush=True); sys.stdin.readline(); import requests; print('there')"
    waiting = platform.world.start(idle, env={"MAGIC_MODULE_SPACE": "org-123"}, input=True)
    assert platform.world.line(waiting) == "mounted"
    platform.run("delete", "org-123")
    assert [each["name"] for each in platform.answer("list")["spaces"]] == ["org-456"]
    prune = "import magic_module; magic_module.prune()"
    platform.world.run(prune)
    assert len(platform.world.trees()) == 2
    for each, said in ((running, "1.0 there\n"), (waiting, "there\n")):
        platform.world.say(each)
        assert platform.world.finish(each).stdout == said
    platform.world.run(prune)
    assert len(platform.world.trees()) == 1, "what the other space has stays"
    assert len(list((platform.world.cache / "v1" / "mounts").iterdir())) == 1
    assert not (platform.spaces / "org-123").exists()
    assert platform.inside("org-456", "import certs", MAGIC_MODULE_OFFLINE="1").status == 0


def test_a_process_works_in_one_space(platform: Platform) -> None:
    platform.create("org-123", requests("2.28.2"), CERTS)
    platform.create("org-456", requests("2.31.0"), CERTS)
    script = """
import os, subprocess, sys
import magic_module as mm
space = mm.Space("org-123")
other = mm.Space("org-456")
assert space.diff(other) == [mm.Difference("requests", "2.28.2", "2.31.0")], space.diff("org-456")
mount = space.activate()
import requests
print(requests.__version__, mount == space.activate(), os.environ["MAGIC_MODULE_SPACE"])
child = "import magic_module._native as n; n._start(); import requests; print(requests.__version__)"
print(subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True).stdout.strip())
try:
    other.activate()
except mm.errors.ConfigurationError as error:
    print(error)
"""
    said = platform.world.run(script).stdout.splitlines()
    assert said[:2] == ["2.28.2 True org-123", "2.28.2"]
    assert said[2] == (
        "cannot activate the space org-456: this process already works in the space org-123; "
        "use a process of its own: MAGIC_MODULE_SPACE=org-456 python …"
    )
    outside = "import magic_module as mm; mm.cache_dir(); mm.Space('org-123').activate()"
    assert "has already used magic_module outside of any space" in platform.world.run(outside, status=1).stderr
    elsewhere = platform.world.run(
        "import magic_module as mm; mm.Space('org-123').activate()",
        status=1,
        env={"MAGIC_MODULE_SPACE": "org-456", "MAGIC_MODULE_START": "0"},
    )
    assert "this process already works in the space org-456" in elsewhere.stderr


def test_names_and_locks_that_no_space_can_have(platform: Platform) -> None:
    lock = str(platform.lock("some", CERTS))
    platform.run("create", "Org-123", "--lock", lock)
    said = platform.run("create", "org-123", "--lock", lock, status=1).stderr
    assert "cannot make the space org-123: Org-123 differs from it only by case; give it another name" in said
    twice = platform.run("create", "Org-123", "--lock", lock, status=1).stderr
    assert "the space Org-123 already exists; delete it first, or change it" in twice
    script = """
import sys
import magic_module as mm
for name in ("../x", "a/b", "..", "", "a..b", ".a", "nul"):
    try:
        mm.Space.create(name, lock=sys.argv[1])
    except mm.errors.ConfigurationError as error:
        assert "is not a name of a space" in str(error), error
    else:
        raise AssertionError(name)
"""
    platform.world.run(script, args=(lock,))
    wrong = platform.inside("a/b", "", status=1)
    assert "MAGIC_MODULE_SPACE names no space" in wrong.stderr
    beside = Lock(platform.world.path / "beside", [CERTS])
    paths = platform.run("create", "org-7", "--lock", str(beside.path), status=1).stderr
    assert "names files by paths that count from its own folder, and a space keeps a copy of it" in paths
    copied = platform.run("add", "Org-123", "rich", status=1).stderr
    assert "the lock of the space Org-123 was copied, so its requirements are not known" in copied
    other = platform.answer("lock", "Org-123", "--lock", str(platform.lock("other", CERTS, requests("2.31.0"))))
    assert other["packages"] == 2 and other["written"]
    both = platform.run("create", "org-8", "rich", "--lock", lock, status=2).stderr
    assert "--lock is copied as it is" in both
    foreign = platform.world.path / "foreign.toml"
    foreign.write_text('lock-version = "1.0"\ncreated-by = "x"\nrequires-python = ">=4"\npackages = []\n')
    platform.run("create", "future", "--lock", str(foreign))
    started = platform.world.run("print('on')", env={"MAGIC_MODULE_SPACE": "future"})
    assert started.stdout == "on\n"
    said = platform.inside("future", "", status=1).stderr.splitlines()[-1]
    assert "requires-python" in said or ">=4" in said


WORKER = """
import random, sys
import magic_module as mm
from magic_module import _native
from magic_module._py.spaces import space as spaces

seed, one, other = sys.argv[1:4]
dice = random.Random(seed)
expected = (mm.errors.ConfigurationError, mm.errors.StoreError)
done = {"made": 0, "changed": 0, "gone": 0, "seen": 0}
for _ in range(60):
    act = dice.choice(("make", "change", "delete", "look", "look"))
    try:
        if act == "make":
            spaces.make(dice.choice(("org-1", "ORG-1")), lock=dice.choice((one, other)))
            done["made"] += 1
        elif act == "change":
            done["changed"] += spaces.change(mm.Space("org-1"), lock=dice.choice((one, other))).written
        elif act == "delete":
            mm.Space("org-1").delete()
            done["gone"] += 1
        else:
            for name, folder in _native._spaces()[1]:
                found = mm.Space(name).packages()
                assert found in ({"certs": "1.0"}, {"certs": "1.0", "requests": "2.31.0"}), found
                done["seen"] += 1
    except expected as error:
        said = str(error)
        known = ("there is no space", "already exists", "differs from it only by case", "No such file", WITHOUT)
        assert any(each in said for each in known), said
print(__import__("json").dumps(done))
"""


@pytest.mark.parametrize("error", [None, errno.ENOLCK], ids=["locks", "no-locks"])
def test_processes_make_change_and_delete_one_space_at_once(platform: Platform, error: int | None) -> None:
    one, other = platform.lock("one", CERTS), platform.lock("other", CERTS, requests("2.31.0"))
    env = {} if error is None else without_locks(platform.world.path, error)
    # Where nothing keeps one out, a folder may come or go between two steps of another.
    without = "'already exists'" if error is None else "'cannot '"
    line = process.command(WORKER.replace("WITHOUT", without))
    running = [
        process.start([*line, seed, str(one), str(other)], platform.world.environment(env), platform.world.work)
        for seed in "abcd"
    ]
    done = [process.finish(each) for each in running]
    assert not [each.stderr for each in done if each.status]
    total = {key: sum(each.json[key] for each in done) for key in ("made", "gone", "seen")}
    assert total["made"] and total["gone"] and total["seen"]
    left = {path.name for path in platform.spaces.iterdir()} - {".locks"}
    assert left <= {"org-1", "ORG-1"} and len(left) <= (1 if error is None else 2)
    if error is None:
        assert len(left) == total["made"] - total["gone"]
    for name in left:
        assert {path.name for path in (platform.spaces / name).iterdir()} == {"pylock.toml"}
