"""`magic-module sync`, and `MAGIC_MODULE_SYNC` at the start of an interpreter."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit import process, resolvers, typed
from kit.package_index import PackageIndex
from kit.process import Result
from kit.resolvers import with_uv
from kit.wheels import wheel
from kit.world import World

pytestmark = [pytest.mark.once, with_uv]

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/reference/sync.schema.json").read_text("utf-8"))
NOBODY: dict[str, str | None] = {"UV": "/nowhere", "PATH": "/nowhere", "PIP_NO_INDEX": "1"}
"""Nothing that could resolve: what works with this resolves nothing."""


class Desk:
    """A project's folder, and an index."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.folder = world.work
        self.lock = self.folder / "pylock.toml"
        self.index = PackageIndex(world.path / "index")
        self.index.add(wheel("alpha", "1.0", {"alpha.py": "VALUE = 1"}, requires=["beta"]))
        self.index.add(wheel("beta", "1.0", {"beta.py": "VALUE = 1"}), wheel("gamma", "1.0", {"gamma.py": "VALUE = 1"}))
        world.extra = resolvers.settings(world.path, self.index.url)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, "utf-8")

    def say(self, *arguments: str, status: int = 0, **env: str | None) -> Result:
        return self.world.run(None, flags=("-m", "magic_module", "sync"), args=arguments, status=status, env=env)

    def sync(self, *arguments: str, status: int = 0, **env: str | None) -> list[tuple[str | None, str | None]]:
        """What each lock is of, and its state."""
        answer = typed.answer(self.say(*arguments, "--json", status=status, **env).stdout, "sync")
        for each in answer["locks"]:
            assert list(each) == SCHEMA["$defs"]["lock"]["required"]
        self.locks: list[dict[str, Any]] = answer["locks"]
        return [(each["of"], each["state"]) for each in self.locks]

    def start(self, program: str, **env: str | None) -> Result:
        """An interpreter whose start line is read: it mounts the lock of the folder."""
        env = {"MAGIC_MODULE_LOCK": str(self.lock), "MAGIC_MODULE_SYNC": "1", **env}
        return self.world.run(f"import magic_module._py.start\n{program}", env=env)


@pytest.fixture
def desk(world: World) -> Iterator[Desk]:
    made = Desk(world)
    yield made
    made.index.close()


def test_the_schema_has_the_fields_that_there_are() -> None:
    schema = SCHEMA["oneOf"][0]
    assert {"schema", "command", *typed.ANSWERS["sync"]} == set(schema["required"]) == set(schema["properties"])


def test_requirements_are_locked_when_they_change_and_versions_stay(desk: Desk) -> None:
    desk.write("requirements.txt", "-r more.txt\n")
    desk.write("more.txt", "alpha\n")
    assert desk.sync() == [("requirements.txt", "resolved")]
    assert [change["name"] for change in desk.locks[0]["changes"]] == ["alpha", "beta"]
    first = desk.lock.read_text()
    assert desk.sync(**NOBODY) == [("requirements.txt", "unchanged")]
    assert desk.say(**NOBODY).stdout == "requirements.txt  nothing changed\n"
    # The interpreter was not told yet, and the note is gone: nothing is resolved all the same.
    shutil.rmtree(desk.world.cache)
    assert desk.sync(**NOBODY) == [("requirements.txt", "unchanged")] and desk.lock.read_text() == first
    desk.index.add(wheel("beta", "2.0", {"beta.py": "VALUE = 2"}))
    desk.write("more.txt", "alpha\ngamma\n")
    desk.lock.write_text(first + '\n[tool.magic-module.optional]\nbeta = "deny"\n')
    assert desk.sync() == [("requirements.txt", "resolved")]
    assert desk.locks[0]["changes"] == [{"name": "gamma", "old_version": None, "new_version": "1.0"}]
    assert desk.lock.read_text().endswith('\n[tool.magic-module.optional]\nbeta = "deny"\n')
    # Whatever else finds the lock has the packages.
    run = desk.world.run(None, flags=("-m", "magic_module", "run"), args=("-c", "import gamma; print(gamma.VALUE)"))
    assert run.stdout == "1\n"


def test_a_project_and_the_command_lock_agree(desk: Desk) -> None:
    desk.write("requirements.txt", "gamma\n")
    desk.write("pyproject.toml", "[project]\nname = 'own'\nversion = '1'\ndependencies = ['alpha']\n")
    desk.world.run(None, flags=("-m", "magic_module", "lock"))
    made = desk.lock.read_text()
    assert desk.sync(**NOBODY) == [("pyproject.toml", "unchanged")]
    desk.lock.unlink()
    assert desk.sync() == [("pyproject.toml", "resolved")] and desk.lock.read_text() == made
    # One that follows from more than the file is somebody's own.
    desk.world.run(None, flags=("-m", "magic_module", "lock"), args=("--exclude-newer", "2030-01-01"))
    desk.write("pyproject.toml", "[project]\nname = 'own'\nversion = '1'\ndependencies = ['gamma']\n")
    assert desk.sync(**NOBODY) == [(None, "own")]
    assert desk.sync(**NOBODY) == [(None, "own")], "from the note"


HEAD = "# /// script\n# dependencies = [{!r}]\n# ///\nimport {}; print({}.VALUE)\n"


def test_scripts_are_synced_as_run_keeps_their_locks(desk: Desk) -> None:
    desk.write("plain.py", "import alpha\n")
    desk.write("a.py", HEAD.format("alpha", "alpha", "alpha"))
    desk.write("b.py", HEAD.format("gamma", "gamma", "gamma"))
    desk.write("c.py", HEAD.format("nobody-has-it", "none", "none"))
    desk.world.run(None, flags=("-m", "magic_module", "lock"), args=("--script", "b.py"))
    assert desk.sync(status=1) == [("a.py", "resolved"), ("b.py", "unchanged"), ("c.py", None)]
    assert "uv failed with status 1" in desk.locks[2]["error"]["message"]
    (desk.folder / "c.py").unlink()
    assert desk.sync(**NOBODY) == [("a.py", "unchanged"), ("b.py", "unchanged")]
    run = desk.world.run(None, flags=("-m", "magic_module", "run"), args=("a.py",), env=NOBODY)
    assert run.stdout == "1\n"
    desk.write("b.py", HEAD.format("alpha", "alpha", "alpha"))
    assert desk.sync("b.py") == [("b.py", "resolved")]
    assert 'name = "alpha"' in (desk.folder / "pylock.b.toml").read_text()
    assert sorted(path.name for path in desk.folder.iterdir()) == ["a.py", "b.py", "plain.py", "pylock.b.toml"]


def test_nothing_changed_loads_nothing_that_locks(desk: Desk) -> None:
    desk.write("requirements.txt", "alpha\n")
    desk.sync()
    program = f"""
        import sys
        from magic_module._py.cli import main
        before = set(sys.modules)
        status = main(["sync", {str(desk.folder)!r}])
        print(status, sorted(set(sys.modules) - before))
    """
    assert desk.world.run(program, env=NOBODY).stdout == "requirements.txt  nothing changed\n0 []\n"
    views = [path for path in (desk.world.cache / "v1/views").iterdir() if path.suffix == ".index"]
    views[0].unlink()
    assert desk.sync(**NOBODY) == [("requirements.txt", "unchanged")], "a view that went is made again"
    assert views[0].exists()


def test_prefetched_is_what_imports_without_a_network(desk: Desk) -> None:
    desk.write("requirements.txt", "alpha\ngamma\n")
    assert desk.sync("--prefetch") == [("requirements.txt", "resolved")]
    assert desk.locks[0]["bytes"] > 0
    desk.sync("--prefetch", **NOBODY)
    assert desk.locks[0]["bytes"] == 0
    desk.index.close()
    program = "import alpha, gamma; print(alpha.VALUE + gamma.VALUE)"
    assert desk.start(program, MAGIC_MODULE_OFFLINE="1", **NOBODY).stdout == "2\n"


def test_what_cannot_be_synced_is_one_sentence(desk: Desk) -> None:
    assert f"nothing to sync in {desk.folder}: " in desk.say(status=2).stderr
    assert "is neither a folder nor a script" in desk.say("nowhere", status=2).stderr
    assert "not both" in desk.say(".", "--lock", "pylock.toml", status=2).stderr
    desk.write("requirements.txt", "alpha\n")
    assert desk.sync(status=1, MAGIC_MODULE_OFFLINE="1") == [("requirements.txt", None)]
    error = desk.locks[0]["error"]
    assert (error["type"], error["hint"]) == ("OfflineError", "unset MAGIC_MODULE_OFFLINE once")
    said = desk.say(status=1, MAGIC_MODULE_OFFLINE="1")
    assert said.stdout.startswith("requirements.txt  what requirements.txt requires was not resolved yet, and MAGIC_")
    desk.lock.write_text("no lock at all\n")
    assert desk.sync(status=1, **NOBODY) == [(None, None)]
    assert desk.locks[0]["error"]["type"] == "ManifestError"


def test_an_interpreter_that_starts_has_what_its_project_requires(desk: Desk) -> None:
    desk.write("requirements.txt", "alpha\n")
    child = "import subprocess, sys; print(subprocess.check_output([sys.executable, '-c', sys.argv[1]], text=True))"
    see = "import os, sys; print(os.environ['MAGIC_MODULE_SYNC'], 'argparse' in sys.modules)"
    started = desk.start(f"import alpha; {see}; sys.argv[1:] = [{see!r}]; {child}")
    assert started.stdout.split() == ["0", "False", "0", "False"] and started.stderr == ""
    assert desk.start("import alpha; print(alpha.VALUE)", **NOBODY).stdout == "1\n"
    # Without the variable, or in a child of one that synced, the lock is what it is.
    desk.write("requirements.txt", "alpha\ngamma\n")
    for value in ("0", None):
        program = "import importlib.util as it; print(it.find_spec('gamma'))"
        assert desk.start(program, MAGIC_MODULE_SYNC=value).stdout == "None\n"
    failed = desk.start("import alpha; print(alpha.VALUE)", **NOBODY)
    assert failed.stdout == "1\n", "the lock as it was"
    # Then pip fails where it is new enough to be asked, or is too old.
    assert failed.stderr.startswith(f"magic-module: cannot sync {desk.lock}: cannot lock: ")
    assert len(failed.stderr.splitlines()) == 1
    assert desk.start("import gamma; print(gamma.VALUE)").stdout == "1\n"
    # `run` becomes a program whose view is that of the new lock.
    desk.write("requirements.txt", "alpha\nbeta\n")
    line = ("-c", "import importlib.util as it; print(it.find_spec('gamma'))")
    env = {"MAGIC_MODULE_SYNC": "1"}
    assert desk.world.run(None, flags=("-m", "magic_module", "run"), args=line, env=env).stdout == "None\n"


def test_many_at_once_resolve_once(desk: Desk) -> None:
    desk.write("requirements.txt", "alpha\n")
    line = [sys.executable, "-m", "magic_module", "sync", "--json"]
    children = [process.start(line, desk.world.environment(), desk.folder) for _ in range(4)]
    ended = [process.finish(child) for child in children]
    states = sorted(typed.answer(each.stdout, "sync")["locks"][0]["state"] for each in ended)
    assert states == ["resolved", "unchanged", "unchanged", "unchanged"]


@pytest.fixture
def tiny(desk: Desk) -> Iterator[Path]:
    """A disk of 2 MiB for the project."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0755", "tmpfs", str(desk.folder)]
    if os.geteuid() != 0 or not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("NOT TESTED: a small disk cannot be mounted here")
    try:
        yield desk.folder
    finally:
        subprocess.run(["umount", str(desk.folder)], check=True)


def test_a_full_disk_leaves_the_lock_as_it_was(desk: Desk, tiny: Path) -> None:
    desk.write("requirements.txt", "alpha\n")
    desk.sync()
    before = desk.lock.read_bytes()
    desk.write("requirements.txt", "gamma\n")
    with (tiny / "filler").open("wb", buffering=0) as file:
        written = 1
        while written:
            try:
                written = file.write(b"x" * 4096)
            except OSError:
                written = 0
    assert desk.sync(status=1) == [("requirements.txt", None)]
    assert "No space left on device" in json.dumps(desk.locks[0]["error"])
    assert desk.lock.read_bytes() == before
    assert sorted(path.name for path in tiny.iterdir()) == ["filler", "pylock.toml", "requirements.txt"]
    # What starts meanwhile has the lock as it was, and says why.
    started = desk.start("import alpha; print(alpha.VALUE)")
    assert (started.stdout, len(started.stderr.splitlines())) == ("1\n", 1)
    (tiny / "filler").unlink()
    assert desk.sync() == [("requirements.txt", "resolved")]
