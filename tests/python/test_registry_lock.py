"""`magic-module registry lock` with the resolvers that are there, against indexes and a repository on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit import resolvers, typed
from kit.package_index import PackageIndex
from kit.process import Result
from kit.resolvers import with_uv
from kit.wheels import wheel
from kit.world import World

pytestmark = pytest.mark.once

TOKEN = "t0p-s3cret"


class Desk:
    """A folder with a `modules.toml`, and the indexes that its entries come from."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.public = PackageIndex(world.path / "public")
        self.private = PackageIndex(world.path / "private", token=TOKEN)
        world.extra = resolvers.settings(world.path, self.public.url)

    @property
    def private_url(self) -> str:
        return self.private.url.replace("://", "://${CORP_TOKEN}@")

    @property
    def lock_file(self) -> Path:
        return self.world.work / "pylock.modules.toml"

    def write(self, text: str) -> None:
        (self.world.work / "modules.toml").write_text(text, "utf-8")

    def run(self, *arguments: str, status: int = 0, **env: str | None) -> Result:
        found = self.world.run(
            None,
            flags=("-m", "magic_module", "registry"),
            args=arguments,
            status=status,
            env={"CORP_TOKEN": TOKEN, **env},
        )
        assert TOKEN not in found.stdout + found.stderr
        return found

    def versions(self) -> dict[str, str]:
        listed = json.loads(self.run("list", "--json").stdout)["modules"]
        return {each["name"]: each["version"] for each in listed}


@pytest.fixture
def desk(world: World) -> Iterator[Desk]:
    made = Desk(world)
    yield made
    made.public.close()
    made.private.close()


@with_uv
def test_an_index_of_its_own_binds_one_entry(desk: Desk) -> None:
    """Whoever uploads the name of a private package to a public index gets nowhere, and neither does the reverse."""
    desk.private.add(wheel("corp-lib", "1.0", {"corp_lib.py": ""}, requires=["shared"]), wheel("shared", "9.0"))
    desk.public.add(wheel("corp-lib", "99.0"), wheel("shared", "1.0"), wheel("plain", "2.0"))
    desk.public.add(wheel("plain", "3.0"), yanked="broken")
    desk.write(
        f"""
        [modules.corp-lib]
        requirement = "corp-lib"
        index = "{desk.private_url}"
        [modules.plain]
        requirement = "plain"
        """
    )
    answer = typed.answer(desk.run("lock", "--json").stdout, "registry lock")
    assert {each["name"]: each["new_version"] for each in answer["changes"]} == {
        "corp-lib": "1.0",
        "plain": "2.0",
        "shared": "1.0",
    }
    text = desk.lock_file.read_text()
    assert TOKEN not in text and f'index = "{desk.private.url}"' in text
    assert desk.versions() == {"corp-lib": "1.0", "plain": "2.0"}
    script = "import magic_module as mm; mm.mount_lock('pylock.modules.toml'); import corp_lib; print('there')"
    silent = desk.world.run(script, status=1, env={"CORP_TOKEN": TOKEN})
    assert "FetchError" in silent.stderr and "401" in silent.stderr, "a file beside the lock is not heard"
    named = {"CORP_TOKEN": TOKEN, "MAGIC_MODULE_REGISTRY": str(desk.world.work / "modules.toml")}
    assert desk.world.run(script, env=named).stdout == "there\n"
    desk.private.server.take()
    desk.public.server.take()
    assert desk.run("check").stdout.endswith("modules.toml: all is well\n")
    assert desk.private.server.take() + desk.public.server.take() == []
    mounted = "import magic_module as mm; mm.Registry().mount(); import corp_lib; print('there')"
    assert desk.world.run(mounted, env={"CORP_TOKEN": TOKEN}).stdout == "there\n"
    missing = desk.run("lock", status=1, CORP_TOKEN=None).stderr
    assert "modules.corp-lib.index needs CORP_TOKEN, which is not set; set CORP_TOKEN in the environment" in missing
    desk.write("[modules.plain]\nversion = '2.0'\n")
    stale = desk.run("check", status=1).stdout
    assert "the file does not match its lock; magic-module registry lock" in stale


@with_uv
def test_what_cannot_be_resolved_is_explained_without_the_token(desk: Desk) -> None:
    desk.public.add(wheel("one", "1.0", requires=["two==1"]), wheel("two", "2.0"))
    desk.write(f"[modules]\none = {{ version = '1.0' }}\nlost = {{ version = '1', index = '{desk.private_url}' }}\n")
    failed = desk.run("lock", status=1).stderr
    assert "uv failed with status 1" in failed and "lost" in failed
    assert not desk.lock_file.exists()


@with_uv
def test_a_wheel_by_its_url(desk: Desk) -> None:
    made = wheel("direct", "1.5", {"direct.py": "VALUE = 5"})
    desk.public.add(made)
    url = f"{desk.public.server.url}/files/{made.filename}"
    desk.write(f"[modules.direct]\nsource = '{url}'\n")
    desk.run("lock")
    assert desk.versions() == {"direct": "1.5"}
    script = "import magic_module as mm; mm.mount_lock('pylock.modules.toml'); import direct; print(direct.VALUE)"
    assert desk.world.run(script).stdout == "5\n"


@with_uv
def test_what_a_registry_wants_at_hand_is_fetched_beside_a_program_that_starts(desk: Desk) -> None:
    desk.public.add(wheel("near", "1.0", {"near.py": "VALUE = 1"}, requires=["deep"]), wheel("deep", "1.0"))
    desk.public.add(wheel("refused", "1.0", {"refused.py": ""}))
    text = 'preload = ["refused", "near", "nowhere"]\n[policy]\ndeny = ["refused"]\n'
    text += "[modules.near]\nversion = '1.0'\n[modules.refused]\nversion = '1.0'\n"
    desk.write(text)
    desk.run("lock")
    env = {"MAGIC_MODULE_REGISTRY": str(desk.world.work / "modules.toml"), "MAGIC_MODULE_AUTO_INSTALL": "registry"}
    notes = desk.world.cache / "v1/scripts"
    program = """
        import magic_module._py.start, pathlib, sys, time
        from magic_module._py import preloading
        print(len(preloading._held))
        # The process that fetches ends with this one: a program that lives for long gets all of it.
        while "wait" in sys.argv and not list(pathlib.Path(sys.argv[1]).glob("*/preloaded")):
            time.sleep(0.01)
    """
    assert desk.world.run(program, args=(str(notes), "wait"), env=env).stdout == "1\n"
    (note,) = notes.glob("*/preloaded")
    assert note.read_bytes() == b"failed", "one is refused, and one is nowhere"
    desk.public.close()
    importing = "import magic_module._py.start, near; print(near.VALUE)"
    assert desk.world.run(importing, env={**env, "MAGIC_MODULE_OFFLINE": "1"}).stdout == "1\n"
    # What was tried not long ago is not tried again, and nothing of it is loaded.
    assert desk.world.run(program, args=(str(notes),), env=env).stdout == "0\n"
    # Whoever fetches ends with the program that started it: here its stdin has ended already.
    alone = "import time; from magic_module._py import preloading; preloading._end_with_stdin(); time.sleep(600)"
    assert desk.world.run(alone).stdout == ""
    desk.write(text.replace('["refused", "near", "nowhere"]', '"near"'))
    assert "preload is not a list of names" in desk.run("check", status=1).stderr
