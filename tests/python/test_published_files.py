"""What `publish` keeps of a folder besides bytes: executable bits, names as their author wrote them, empty folders.

And what it leaves out, which it names.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kit.sources import Sources, write_tree
from kit.world import World

pytestmark = pytest.mark.once

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


def left_out(published: Any) -> dict[str, str]:
    return {left["path"]: left["reason"] for left in published["left_out"]}


DOT = "its name starts with a dot"
COMPILED = "it is compiled code without its source, which one interpreter can run"
EMPTY = "it is empty; a .gitkeep in it would keep it"


def test_what_is_left_out_is_named(world: World) -> None:
    published = publish(
        world,
        {
            "alpha/__init__.py": "",
            "alpha/.env": "SECRET=1",
            "alpha/.cache/x": "",
            "alpha/.cache/y": "",
            "alpha/lost.pyc": b"code",
            "alpha/.gitkeep": "",
            "empty/.gitkeep": "",
            "alpha/none/": "",
            "alpha/only/hidden/.x": "",
            "beta/__init__.pyc": b"code",
            "beta/deep/x.pyc": b"code",
            "beta/data.txt": "",
            "bin/tool": "",
            ".git/config": "",
            "ghost-1.0.dist-info/METADATA": "Name: ghost\nVersion: 1.0\n",
            "ghost-1.0.dist-info/RECORD": "../../bin/ghost,,\n",
            "alpha-1.0.dist-info/METADATA": "Name: alpha\nVersion: 1.0\n",
            "alpha-1.0.dist-info/RECORD": "alpha/__init__.py,,\n",
            "alpha-1.0.dist-info/direct_url.json": "{}",
        },
    )
    assert left_out(published) == {
        ".git/": DOT,
        "alpha-1.0.dist-info/direct_url.json": "it tells where the publisher installed the distribution from",
        "alpha/.cache/": DOT,
        "alpha/.env": DOT,
        "alpha/.gitkeep": DOT,
        "alpha/lost.pyc": COMPILED,
        "alpha/none/": EMPTY,
        "alpha/only/hidden/.x": DOT,
        "beta/__init__.pyc": COMPILED,
        "beta/deep/x.pyc": COMPILED,
        "bin/": "scripts that an installer put there belong to no unit",
        "empty/.gitkeep": DOT,
        "ghost-1.0.dist-info/": "it describes no unit of the source folder",
    }


def test_what_only_repeats_a_source_is_not_worth_a_word(world: World) -> None:
    sources: Sources = {
        "alpha/__init__.py": "",
        "alpha/__init__.pyc": b"code",
        "alpha/__pycache__/__init__.cpython-312.pyc": b"code",
        "magic-module.toml": "",
    }
    assert left_out(publish(world, sources)) == {}


def test_the_command_names_what_it_leaves_out(world: World) -> None:
    write_tree(world.path / "sources", {"alpha.py": "", ".a\nb": "", **{f".hidden{at:02}": "" for at in range(21)}})
    arguments = ["-m", "magic_module", "publish", str(world.path / "sources"), str(world.path / "site")]
    lines = world.run(None, args=arguments).stdout.splitlines()
    assert lines[1:4] == [f"left out: .a\\nb ({DOT})", f"left out: .hidden00 ({DOT})", f"left out: .hidden01 ({DOT})"]
    assert lines[21:-1] == ["left out: 2 more, which --json names"]


def test_what_a_wheel_keeps_in_dotted_folders_is_published(world: World) -> None:
    """As delocate does with the libraries of wheels for macOS."""
    published = publish(
        world,
        {
            "alpha/__init__.py": "",
            "alpha/.dylibs/libz.dylib": "lib",
            "alpha/.dylibs/stray": "",
            "alpha/.settings": "x = 1",
            "alpha-1.0.dist-info/METADATA": "Name: alpha\nVersion: 1.0\n",
            "alpha-1.0.dist-info/RECORD": "alpha/__init__.py,,\nalpha/.dylibs/libz.dylib,,\nalpha/.settings,,\n",
        },
    )
    assert left_out(published) == {}
    serve(world)
    script = """
import pathlib, magic_module.alpha as alpha
here = pathlib.Path(alpha.__file__).parent
print(sorted(path.name for path in here.rglob("*")), (here / ".settings").read_text())
"""
    expected = "['.dylibs', '.settings', '__init__.py', 'libz.dylib', 'stray'] x = 1\n"
    assert world.run(script).stdout == expected


@pytest.mark.parametrize("keeper", [".gitkeep", ".keep"])
def test_a_folder_that_is_kept_empty_is_there(world: World, keeper: str) -> None:
    published = publish(
        world,
        {
            "alpha/__init__.py": "",
            f"alpha/plugins/{keeper}": "",
            f"alpha/deep/er/{keeper}": "",
            "alpha/deep/er/__pycache__/x.cpython-312.pyc": b"",
            f"alpha/full/{keeper}": "",
            "alpha/full/x.txt": "",
        },
    )
    assert left_out(published) == {f"alpha/full/{keeper}": DOT}
    serve(world)
    script = """
import pathlib, magic_module.alpha as alpha
here = pathlib.Path(alpha.__file__).parent
print([(here / name).is_dir() for name in ("plugins", "deep/er", "full")])
"""
    assert world.run(script).stdout == "[True, True, True]\n"


NFC, NFD = "caf\u00e9", "cafe\u0301"


def test_data_keeps_the_name_that_its_author_gave_it(world: World) -> None:
    """Also where many small files come as a pack, and where the folder has such a name."""
    published = publish(
        world,
        {
            "alpha/__init__.py": "",
            f"alpha/{NFD}.txt": "one",
            f"alpha/{NFD}/{NFD}.txt": "two",
            f"alpha/{NFC}s.txt": "three",
            **{f"alpha/data/{at}.txt": str(at) for at in range(20)},
        },
    )
    assert left_out(published) == {}
    serve(world)
    script = f"""
import pathlib, magic_module as mm, magic_module.alpha as alpha
from importlib.resources import files
here = pathlib.Path(alpha.__file__).parent
print((here / {NFD + ".txt"!r}).read_text(), (here / {NFD!r} / {NFD + ".txt"!r}).read_text())
print(ascii(sorted(path.name for path in here.iterdir())))
print(files(alpha).joinpath({NFD!r}, {NFD + ".txt"!r}).read_text())
print(files(alpha).joinpath({NFC + "s.txt"!r}).read_text())
print(mm.data_path("magic_module.alpha", {NFD + ".txt"!r}).read_text())
"""
    names = ascii(["__init__.py", NFD, f"{NFD}.txt", f"{NFC}s.txt", "data"])
    expected = f"one two\n{names}\ntwo\nthree\none\n"
    assert world.run(script).stdout == expected
    world.run("import magic_module as mm; assert mm.verify().problems == []")
    assert world.run(script).stdout == expected


def test_code_is_found_by_the_name_that_is_imported(world: World) -> None:
    """The interpreter looks for names in one form, whatever the file system gave the author."""
    publish(
        world,
        {
            f"{NFD}.py": "X = 1",
            f"{NFD}.csv": "a,b",
            f"beta/{NFD}/__init__.py": "X = 2",
            f"beta/{NFD}/{NFD}.txt": "text",
            f"beta/{NFD}/more/{NFD}.py": "X = 3",
            "beta/__init__.py": "",
        },
    )
    serve(world)
    script = f"""
import pathlib
import magic_module.{NFC} as one, magic_module.beta.{NFC} as two, magic_module.beta.{NFC}.more.{NFC} as three
print(one.X, two.X, three.X, pathlib.Path(one.__file__).with_suffix(".csv").read_text())
print((pathlib.Path(two.__file__).parent / {NFD + ".txt"!r}).read_text())
"""
    assert world.run(script).stdout == "1 2 3 a,b\ntext\n"


def test_a_manifest_says_that_it_needs_names_in_another_form(world: World) -> None:
    """So that versions which would refuse such a path tell what to install."""
    import json

    for sources, needs in [({"alpha/x.txt": ""}, None), ({f"alpha/{NFD}.txt": ""}, ["paths"])]:
        publish(world, {"alpha/__init__.py": "", **sources})
        assert json.loads((world.path / "site" / "manifest.json").read_bytes()).get("needs") == needs
    # Still needed by those who have pinned the version before.
    publish(world, {"alpha/__init__.py": "X = 1"})
    assert json.loads((world.path / "site" / "manifest.json").read_bytes()).get("needs") == ["paths"]


@pytest.mark.parametrize("names", [(f"{NFD}.txt", f"{NFC}.txt"), (f"{NFD}/a", f"{NFC}/b"), ("Data/a", "data/b")])
def test_two_names_that_some_file_system_takes_for_one_are_refused(world: World, names: Sequence[str]) -> None:
    from magic_module.errors import ConfigurationError

    with pytest.raises(ConfigurationError) as caught:
        publish(world, {"alpha/__init__.py": "", **{f"alpha/{name}": "" for name in names}})
    assert "rename one of them" in str(caught.value)


def test_a_lazy_file_is_found_by_a_glob_in_any_form(world: World) -> None:
    publish(
        world,
        {"alpha/__init__.py": "", f"alpha/{NFD}.bin": "lazy", "magic-module.toml": f"[alpha]\nlazy = ['{NFC}.*']\n"},
    )
    serve(world)
    script = f"import magic_module as mm; print(mm.data_path('magic_module.alpha', {NFD + '.bin'!r}).read_text())"
    assert world.run(script).stdout == "lazy\n"


def test_compiled_code_alone_is_refused(world: World) -> None:
    from magic_module.errors import ConfigurationError

    with pytest.raises(ConfigurationError) as caught:
        publish(world, {"alpha/__init__.pyc": b"code", "alpha/deep/x.pyc": b"code"})
    assert str(caught.value) == (
        f"cannot publish alpha/__init__.pyc: {COMPILED}; put the sources into the source folder"
    )


def test_a_mode_that_does_no_harm_ends_no_import(world: World) -> None:
    """A cache in an image, made readable by `chmod -R 755`, cannot be mended and need not be."""
    publish(world, ALPHA, ["alpha/tool"])
    serve(world)
    world.run(RUN)
    for path in tool(world).parent.iterdir():
        path.chmod(0o555)
    assert "'data.txt': '0o555'" in world.run(RUN).stdout


def test_what_is_no_file_is_refused_and_named_in_one_line(world: World) -> None:
    import os

    from magic_module.errors import ConfigurationError

    source = write_tree(world.path / "sources", {"alpha/__init__.py": ""})
    os.mkfifo(source / ".pipe")
    (source / "alpha" / "link").symlink_to("../.pipe")
    from magic_module import _native

    with pytest.raises(ConfigurationError) as caught:
        _native._publish(str(source), str(world.path / "site"), "magic_module")
    assert "alpha/link: it is a link to what is neither a file nor a folder; " in str(caught.value)
    (source / "alpha" / "link").unlink()
    (source / "alpha" / "a\nb").touch()
    with pytest.raises(ConfigurationError) as caught:
        _native._publish(str(source), str(world.path / "site"), "magic_module")
    assert str(caught.value).startswith("cannot publish alpha/a\\nb: ")
    (source / "alpha" / "a\nb").unlink()
    assert left_out(_native._publish(str(source), str(world.path / "site"), "magic_module")) == {".pipe": DOT}


def test_a_right_to_act_as_the_owner_is_left_out(world: World) -> None:
    source = write_tree(world.path / "sources", ALPHA)
    (source / "alpha" / "tool").chmod(0o4755)
    from magic_module import _native

    published = _native._publish(str(source), str(world.path / "site"), "magic_module")
    assert list(left_out(published)) == ["alpha/tool"]
    serve(world)
    assert world.run(RUN).stdout == "tool\n" + MODES
