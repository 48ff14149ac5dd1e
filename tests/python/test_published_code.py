"""Bytecode that an author published: run where it fits, refused where it is damaged, and never needed."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kit.sources import write_tree
from kit.world import World
from kit.zstd import unframed
from origins import Origin

SOURCES = {
    "alpha/__init__.py": "from . import inner\nDEBUG = __debug__\nVALUE = 1\n",
    "alpha/inner.py": '"""Documented."""\nWHO = "inner"\nNAME = __file__\ndef fail():\n    raise ValueError("line")\n',
    "alpha/data.txt": "data\n",
    "alpha/templates/broken.py": "this is { no } module of any Python\n",
}

# What was compiled in this process, and what the module says of itself.
SCRIPT = """
import sys
compiled = []
def hook(event, arguments):
    if event == "compile" and str(arguments[1]).endswith(("alpha/__init__.py", "alpha/inner.py")):
        compiled.append(arguments[1].rpartition("alpha/")[2])
sys.addaudithook(hook)
import magic_module.alpha as alpha
print(sorted(compiled), alpha.DEBUG, alpha.inner.__doc__ is not None, alpha.inner.WHO)
"""
BOTH = "['__init__.py', 'inner.py']"


@pytest.fixture
def site(world: World) -> Origin:
    """A site without units yet, and the environment that mounts it."""
    write_tree(world.path / "sources", SOURCES)
    (world.work / "pyproject.toml").touch()  # a lock is looked for, and written, no higher than here
    server = world.serve()
    world.extra["MAGIC_MODULE_MANIFEST_URL"] = server.manifest_url
    return server


def publish(world: World, *options: str, flags: Sequence[str] = ()) -> dict[str, Any]:
    """Runs `magic-module publish` in an interpreter with `flags`."""
    arguments = ["-m", "magic_module", "publish", str(world.path / "sources"), str(world.path / "site"), "--json"]
    answer: dict[str, Any] = json.loads(world.run(None, flags=flags, args=[*arguments, *options]).stdout)
    return answer


def code_packs(world: World) -> list[dict[str, Any]]:
    """The packs of code that the manifest lists, by tag."""
    manifest = json.loads((world.path / "site" / "manifest.json").read_text())
    return [pack for pack in manifest["modules"]["alpha"]["packs"] if pack["format"] == "code"]


def levels(world: World) -> list[str]:
    return [pack["tag"].rpartition("-")[2] for pack in code_packs(world)]


def test_the_interpreter_that_published_it_compiles_nothing(world: World, site: Origin) -> None:
    publish(world, "--compile")
    assert world.run(SCRIPT).stdout.strip() == "[] True True inner"
    assert sum("packs/" in path for path in site.paths()) == 2
    site.stop()
    assert world.run(SCRIPT).stdout.strip() == "[] True True inner"


def test_code_of_many_packs_arrives_whole(world: World, site: Origin) -> None:
    """The packs come at the same time, and all end in one file."""
    for number in range(12):
        text = f"number {number} " * 70_000
        (world.path / "sources" / "alpha" / f"large{number}.py").write_text(f"TEXT = {text!r}\n")
    publish(world, "--compile")
    assert len(code_packs(world)) > 3
    script = """
    import sys
    compiled = []
    sys.addaudithook(lambda event, arguments: event == "compile" and compiled.append(str(arguments[1])))
    for number in range(12):
        __import__(f"magic_module.alpha.large{number}")
    print([path for path in compiled if "large" in path])
    """
    world.run("import magic_module; magic_module.prefetch('magic_module.alpha')")
    assert world.run(script).stdout.strip() == "[]"


def test_each_optimisation_level_takes_its_own_and_the_others_compile(world: World, site: Origin) -> None:
    publish(world, "--compile")
    publish(world, "--compile", flags=["-OO"])
    assert levels(world) == ["0", "2"]
    expected = {"": "[] True True inner", "-O": f"{BOTH} False True inner", "-OO": "[] False False inner"}
    for flag, line in expected.items():
        cold = {"MAGIC_MODULE_CACHE_DIR": str(world.path / f"cache{flag}")}
        assert world.run(SCRIPT, flags=[flag] if flag else [], env=cold).stdout.strip() == line


def test_who_has_the_sources_already_compiles_without_asking(world: World, site: Origin) -> None:
    publish(world, "--compile")
    assert world.run(SCRIPT, flags=["-O"]).stdout.strip() == f"{BOTH} False True inner"
    site.take()
    assert world.run(SCRIPT).stdout.strip() == f"{BOTH} True True inner"
    assert site.paths() == []


def test_a_module_from_published_code_knows_where_it_is(world: World, site: Origin) -> None:
    publish(world, "--compile")
    result = world.run(
        """
        import inspect, traceback
        import magic_module.alpha.inner as inner
        print(inner.fail.__code__.co_filename == inner.__file__ == inner.NAME)
        print(inspect.getsource(inner.fail).splitlines()[1].strip())
        try:
            inner.fail()
        except ValueError as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            print(frame.line, frame.lineno)
        """
    )
    assert result.stdout.splitlines() == ["True", 'raise ValueError("line")', 'raise ValueError("line") 5']


def test_publishing_again_adds_one_interpreter_and_leaves_the_others(world: World, site: Origin) -> None:
    publish(world)
    assert code_packs(world) == []
    assert publish(world, "--compile")["changed"]
    first = code_packs(world)
    manifest = (world.path / "site" / "manifest.json").read_bytes()
    assert not publish(world, "--compile")["changed"]
    assert not publish(world)["changed"]
    assert (world.path / "site" / "manifest.json").read_bytes() == manifest
    assert publish(world, "--compile", flags=["-O"])["changed"]
    assert code_packs(world)[:1] == first
    assert levels(world) == ["0", "1"]


def test_new_code_is_no_upgrade(world: World, site: Origin) -> None:
    publish(world)
    assert world.run(SCRIPT).stdout.strip() == f"{BOTH} True True inner"
    publish(world, "--compile")
    upgrade = "import magic_module.alpha as alpha\nprint(alpha._upgrade().changed)"
    assert world.run(upgrade).stdout.strip() == "False"


def test_code_goes_with_the_sources_that_it_was_made_from(world: World, site: Origin) -> None:
    publish(world, "--compile")
    publish(world, "--compile", flags=["-O"])
    write_tree(world.path / "sources", {"alpha/inner.py": '"""New."""\nWHO = "changed"\n'})
    publish(world, "--compile")
    assert levels(world) == ["0"]
    assert world.run(SCRIPT).stdout.strip() == "[] True True changed"
    write_tree(world.path / "sources", {"alpha/inner.py": '"""Newer."""\nWHO = "again"\n'})
    publish(world)
    assert levels(world) == []


def test_an_upgrade_of_one_file_compiles_that_file(world: World, site: Origin) -> None:
    big = "".join(f"VALUE_{number} = {number}\n" for number in range(500))
    write_tree(world.path / "sources", {"alpha/big.py": big, "alpha/__init__.py": "from . import big, inner\n"})
    publish(world, "--compile")
    world.run("import magic_module.alpha")
    write_tree(world.path / "sources", {"alpha/inner.py": 'WHO = "changed"\n'})
    publish(world, "--compile")
    [code] = code_packs(world)
    site.take()
    script = "import magic_module.alpha as alpha\nprint(alpha._upgrade().changed, alpha.inner.WHO)"
    assert world.run(script).stdout.strip() == "True changed"
    assert f"/{code['url']}" not in site.paths()


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def lose(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("fault", [flip, lose])
def test_a_pack_that_is_not_what_was_pinned_is_refused_and_the_sources_compiled(
    world: World, site: Origin, fault: Any
) -> None:
    publish(world, "--compile")
    [pack] = code_packs(world)
    fault(world.path / "site" / pack["url"])
    assert world.run(SCRIPT).stdout.strip() == f"{BOTH} True True inner"
    assert world.run(SCRIPT).stdout.strip() == "[] True True inner"


def test_a_pack_that_is_no_archive_is_refused_although_it_is_pinned(world: World, site: Origin) -> None:
    import hashlib

    publish(world, "--compile")
    bad = b"PK, but no archive"
    digest = hashlib.sha256(bad).hexdigest()
    (world.path / "site" / "packs" / f"{digest}.zip.zst").write_bytes(bad)
    path = world.path / "site" / "manifest.json"
    manifest = json.loads(path.read_text())
    for pack in manifest["modules"]["alpha"]["packs"]:
        if pack["format"] == "code":
            pack.update(url=f"packs/{digest}.zip.zst", size=len(bad), sha256=digest)
    path.write_text(json.dumps(manifest))
    assert world.run(SCRIPT).stdout.strip() == f"{BOTH} True True inner"


def test_an_entry_is_named_by_the_source_that_it_was_made_from(world: World, site: Origin) -> None:
    publish(world, "--compile")
    [pack] = code_packs(world)
    frame = (world.path / "site" / pack["url"]).read_bytes()
    with zipfile.ZipFile(io.BytesIO(unframed(frame))) as archive:
        entries = {info.filename for info in archive.infolist()}
    manifest = json.loads((world.path / "site" / "manifest.json").read_text())
    sources = {file["sha256"] for file in manifest["modules"]["alpha"]["files"] if file["path"].endswith(".py")}
    assert entries < sources
    assert len(entries) == 2


def test_damage_to_what_was_kept_is_noticed_and_compiled_again(world: World, site: Origin) -> None:
    publish(world, "--compile")
    world.run("import magic_module; magic_module.prefetch('magic_module.alpha')")
    [pack] = (world.cache / "v1" / "mounts").glob("*/code/*")
    flip(pack)
    assert world.run(SCRIPT).stdout.strip() != "[] True True inner"
    assert world.run(SCRIPT).stdout.strip() == "[] True True inner"


def test_full_verification_ignores_it(world: World, site: Origin) -> None:
    publish(world, "--compile")
    full = {"MAGIC_MODULE_VERIFY": "full"}
    assert world.run(SCRIPT, env=full).stdout.strip() == f"{BOTH} True True inner"
    assert sum("packs/" in path for path in site.paths()) == 1


def test_a_project_that_pins_its_sources_compiles_them_itself(world: World, site: Origin) -> None:
    publish(world, "--compile")
    assert world.run(SCRIPT).stdout.strip() == "[] True True inner"
    world.run(None, args=["-m", "magic_module", "pin"])
    assert world.run(SCRIPT).stdout.strip() == f"{BOTH} True True inner"
    assert world.run(SCRIPT).stdout.strip() == "[] True True inner"
    cold = {"MAGIC_MODULE_CACHE_DIR": str(world.path / "other")}
    assert world.run(SCRIPT, env=cold).stdout.strip() == f"{BOTH} True True inner"


def test_much_code_is_left_where_it_would_come_slowly(world: World, site: Origin) -> None:
    noise = "".join(f"{hashlib.sha256(str(number).encode()).hexdigest()}" for number in range(16_000))
    inner = SOURCES["alpha/inner.py"] + f"NOISE = '{noise}'\n"
    write_tree(world.path / "sources", {**SOURCES, "alpha/inner.py": inner})
    publish(world, "--compile")
    assert sum(pack["size"] for pack in code_packs(world)) > 256 << 10
    site.pace = 1 << 20
    site.take()
    assert world.run(SCRIPT).stdout.startswith(BOTH)
    asked = " ".join(site.paths())
    assert not any(pack["url"] in asked for pack in code_packs(world))
    assert world.run(SCRIPT).stdout.startswith("[]")
