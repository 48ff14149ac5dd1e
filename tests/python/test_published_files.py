"""What `publish` keeps of a folder besides bytes: executable bits, names as their author wrote them, empty folders.

And what it leaves out, which it names.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kit.sources import Sources, write_tree
from kit.world import World

TOOL = "#!/bin/sh\necho tool\n"
#: Runs the tool of a unit as programs do, and tells the modes of the unit's files.
RUN = """
import os, stat, subprocess
import magic_module.alpha as alpha
here = os.path.dirname(alpha.__file__)
print(subprocess.run([os.path.join(here, "tool")], capture_output=True, text=True, check=True).stdout, end="")
print({name: oct(stat.S_IMODE(os.stat(os.path.join(here, name)).st_mode)) for name in sorted(os.listdir(here))})
"""
MODES = "{'__init__.py': '0o444', 'data.txt': '0o444', 'tool': '0o555'}\n"
ALPHA: Sources = {"alpha/__init__.py": "", "alpha/data.txt": "text", "alpha/tool": TOOL}


def publish(world: World, sources: Sources, executable: Sequence[str] = (), namespace: str = "magic_module") -> Any:
    """Publishes just `sources`, of which some are executable."""
    from magic_module import _native

    source = world.path / "sources"
    shutil.rmtree(source, ignore_errors=True)
    write_tree(source, sources)
    for path in executable:
        (source / path).chmod(0o755)
    return _native._publish(str(source), str(world.path / "site"), namespace)


def serve(world: World) -> None:
    world.extra["MAGIC_MODULE_MANIFEST_URL"] = world.serve().manifest_url


def tool(world: World) -> Path:
    (tree,) = world.trees()
    return tree / "alpha" / "tool"


@pytest.mark.parametrize("size", [0, 100_000, 2 << 20], ids=["packed", "shared", "alone"])
def test_a_tool_of_a_unit_runs_as_an_installed_one_does(world: World, size: int) -> None:
    publish(world, {**ALPHA, "alpha/tool": TOOL + "#" * size}, ["alpha/tool"])
    serve(world)
    assert world.run(RUN).stdout == "tool\n" + MODES
    assert world.run(RUN).stdout == "tool\n" + MODES


def test_a_tool_runs_under_a_umask_that_lets_nobody_else_in(world: World) -> None:
    publish(world, ALPHA, ["alpha/tool"])
    serve(world)
    expected = MODES.replace("0o444", "0o400").replace("0o555", "0o500")
    assert world.run("import os\nos.umask(0o177)\n" + RUN).stdout == "tool\n" + expected


def test_an_upgrade_that_changes_a_mode_only_is_one(world: World) -> None:
    publish(world, {**ALPHA, "magic-module.toml": "[alpha]\nversion = '1'\n"})
    serve(world)
    assert "PermissionError" in world.run(RUN, status=1).stderr
    publish(world, {**ALPHA, "magic-module.toml": "[alpha]\nversion = '2'\n"}, ["alpha/tool"])
    world.run("import magic_module as mm; assert mm.upgrade('magic_module.alpha')[0].changed")
    assert world.run(RUN).stdout == "tool\n" + MODES
    # The tree of the version before shares its files with this one, but for those of another mode.
    world.run("import magic_module as mm; assert mm.rollback('magic_module.alpha').changed")
    assert "PermissionError" in world.run(RUN, status=1).stderr


@pytest.mark.parametrize("mode", [0o444, 0o544, 0o4555])
def test_a_tool_that_lost_its_mode_is_mended(world: World, mode: int) -> None:
    publish(world, ALPHA, ["alpha/tool"])
    serve(world)
    world.run(RUN)
    tool(world).chmod(mode)
    assert world.run(RUN).stdout == "tool\n" + MODES


def test_verify_sees_a_file_that_can_be_run_although_it_should_not(world: World) -> None:
    publish(world, ALPHA, ["alpha/tool"])
    serve(world)
    world.run(RUN)
    (tool(world).parent / "data.txt").chmod(0o555)
    verify = "import magic_module as mm; r = mm.verify(); print(r.ok, len(r.problems))"
    assert world.run(verify).stdout == "True 1\n"
    assert world.run(verify).stdout == "True 0\n"
    assert world.run(RUN).stdout == "tool\n" + MODES


def test_the_same_bytes_as_a_tool_and_as_data(world: World) -> None:
    """Neither takes the other's mode, in one tree, in two, and where both are lazy."""
    large = TOOL + "#" * 100_000
    publish(
        world,
        {
            "alpha/__init__.py": "",
            "alpha/tool": large,
            "alpha/text": large,
            "beta/__init__.py": "",
            "beta/tool": large,
            "gamma/__init__.py": "",
            "gamma/tool": large,
            "delta/__init__.py": "",
            "delta/tool": large,
            "magic-module.toml": "[gamma]\nlazy = ['tool']\n[delta]\nlazy = ['tool']\n",
        },
        ["alpha/tool", "gamma/tool"],
    )
    serve(world)
    script = """
import os, magic_module as mm
for unit, path in (("alpha", "tool"), ("alpha", "text"), ("beta", "tool"), ("gamma", "tool"), ("delta", "tool")):
    place = mm.data_path(f"magic_module.{unit}", path)
    print(unit, place.name, oct(os.stat(place).st_mode & 0o7777))
"""
    expected = "alpha tool 0o555\nalpha text 0o444\nbeta tool 0o444\ngamma tool 0o555\ndelta tool 0o444\n"
    assert world.run(script).stdout == expected
    assert world.run(script).stdout == expected


def test_an_archive_does_not_decide_what_can_be_run(world: World) -> None:
    """What a mirror packed with other modes has the modes of the record."""
    import hashlib
    import io
    import json
    import zipfile

    publish(world, ALPHA, ["alpha/tool"])
    path = world.path / "site" / "manifest.json"
    manifest = json.loads(path.read_bytes())
    record = manifest["modules"]["alpha"]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in record["packs"][0]["paths"]:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o100644 if name.endswith("tool") else 0o104777) << 16
            archive.writestr(entry, (world.path / "sources" / name).read_bytes())
    content = buffer.getvalue()
    (world.path / "site" / "pack.zip").write_bytes(content)
    record["packs"][0].update(
        format="zip", url="pack.zip", size=len(content), sha256=hashlib.sha256(content).hexdigest()
    )
    for name in [file["url"] for file in record["files"]]:
        (world.path / "site" / name).unlink()
    path.write_text(json.dumps(manifest))
    serve(world)
    assert world.run(RUN).stdout == "tool\n" + MODES


def test_a_tree_is_what_it_was_where_nothing_can_be_run(world: World) -> None:
    """The digest of such a tree, and so its cache and its lock, is that of versions before."""
    import hashlib

    publish(world, {"alpha.py": "X = 1\n"})
    serve(world)
    world.run("import magic_module.alpha")
    content = b"X = 1\n"
    line = f"alpha.py\0{len(content)}\0{hashlib.sha256(content).hexdigest()}\n"
    assert [tree.name for tree in world.trees()] == [hashlib.sha256(line.encode()).hexdigest()]


def test_libraries_need_no_executable_bit(world: World) -> None:
    """Wheels give it to all of them; what is loaded, not run, does without."""
    files = {"alpha/__init__.py": "", "alpha/libz.so.1": "lib", "alpha/x.dll": "lib", "alpha/run.py": "#!python"}
    publish(world, files, [path for path in files if path != "alpha/__init__.py"])
    serve(world)
    world.run("import magic_module.alpha")
    (tree,) = world.trees()
    runnable = sorted(path.name for path in (tree / "alpha").iterdir() if path.stat().st_mode & 0o111)
    assert runnable == ["run.py"]
