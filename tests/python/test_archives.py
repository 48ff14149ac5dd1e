"""Packs from strangers, through the public door: refused, or the tree that Python's zipfile reads; and bombs.

The Rust tests have an archive for every single rule; here a damaged pack is pinned by a manifest that agrees with it.
"""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from kit.site import Site
from kit.world import World
from kit.zstd import framed, unframed

pytestmark = pytest.mark.once

Tree = dict[str, bytes]

ROUNDS = 400
NASTY = [0, 1, 7, 8, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFE, 0xFFFF_FFFF]

PREFETCH = """
import importlib.util, json, pathlib, sys
import magic_module as mm

outcomes = {}
for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    name = f"{folder.name}.unit"
    try:
        mm.mount(folder.name, (folder / "manifest.json").as_uri())
        mm.prefetch(name)
    except mm.errors.MagicModuleError as error:
        outcomes[folder.name] = f"{type(error).__name__}: {error}"
        continue
    tree = pathlib.Path(importlib.util.find_spec(name).origin).parent.parent
    files = [path for path in tree.rglob("*") if path.is_file()]
    outcomes[folder.name] = {path.relative_to(tree).as_posix(): path.read_bytes().hex() for path in files}
print(json.dumps(outcomes))
"""


def pack_of(files: Tree, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path), content, method)
    return data.getvalue()


def read_by_python(data: bytes) -> Tree | None:
    """What zipfile makes of an archive; None if it refuses, or holds a name twice."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = [entry for entry in archive.infolist() if not entry.is_dir()]
            tree = {entry.filename: archive.read(entry) for entry in files}
    except Exception:  # whatever it is that zipfile stumbles over
        return None
    return tree if len(tree) == len(files) else None


def damaged(data: bytes, dice: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(out))
        match dice.randrange(6):
            case 0 | 1:
                out[at] ^= 1 << dice.randrange(8)
            case 2:
                number = dice.choice(NASTY).to_bytes(4, "little")[: dice.choice([1, 2, 4])]
                out[at : at + len(number)] = number
            case 3:
                del out[at : at + dice.randint(1, 40)]
            case 4:
                start = dice.randrange(len(out))
                out[at:at] = out[start : start + dice.randint(1, 40)]
            case _:
                out[at] = dice.randrange(256)
        out = out or bytearray(b"P")
    return bytes(out)


def in_format(archive: bytes, form: str) -> bytes:
    """The archive as a pack of this format."""
    return framed(archive) if form == "zip+zstd" else archive


def site(folder: Path, form: str, *packs: tuple[bytes, Tree]) -> None:
    """A unit that is served as nothing but these packs of the files that are said to be in them."""
    made = Site(folder, folder.name)
    entries = [{"format": form, "paths": list(tree), **made.artifact(pack)} for pack, tree in packs]
    unit = made.unit("unit", {path: data for _, tree in packs for path, data in tree.items()}, packs=entries)
    for at, file in enumerate(unit["files"]):
        file["url"] = f"absent/{at}"
    made.write()


def prefetch(world: World, sites: Path) -> dict[str, Any]:
    outcomes: dict[str, Any] = world.run(PREFETCH, args=[str(sites)]).json
    return outcomes


#: What `publish` writes, and what other tools do.
FORMATS = pytest.mark.parametrize("form", ["zip", "zip+zstd"])


@pytest.mark.slow
@FORMATS
def test_a_damaged_pack_is_refused_or_read_as_python_reads_it(world: World, form: str) -> None:
    sites = world.path / "sites"
    expected: dict[str, Tree | None] = {}
    for seed in range(ROUNDS):
        dice = random.Random(seed)
        # No file is that of another round: nothing may be found in the cache.
        original = {
            "unit/__init__.py": f"ROUND = {seed}\n".encode(),
            "unit/empty.txt": f"{seed}".encode(),
            "unit/größe/data.csv": f"{seed},".encode() * 50,
        }
        archive = pack_of(original, dice.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED]))
        # Half of the frames are damaged themselves, the others hold a damaged archive.
        inside = form == "zip" or dice.random() < 0.5
        pack = in_format(damaged(archive, dice), form) if inside else damaged(framed(archive), dice)
        name = f"round{seed:05}"
        expected[name] = read_by_python(pack if form == "zip" else unframed(pack))
        # What only we would read is pinned as it was before the damage.
        site(sites / name, form, (pack, expected[name] or original))
    outcomes = prefetch(world, sites)
    assert outcomes.keys() == expected.keys()
    refused = [name for name, outcome in outcomes.items() if isinstance(outcome, str)]
    for name in refused:
        assert outcomes[name].startswith("IntegrityError: "), f"{name}: {outcomes[name]}"
    for name in outcomes.keys() - set(refused):
        tree = expected[name]
        assert tree is not None, f"{name}: zipfile refuses it"
        assert outcomes[name] == {path: data.hex() for path, data in tree.items()}, name
    print(f"{len(refused)} refused, {len(outcomes) - len(refused)} read alike")
    assert len(refused) > ROUNDS // 2
    assert len(outcomes) - len(refused) > ROUNDS // 100


@FORMATS
@pytest.mark.parametrize("damage", ["prefix", "bytes"])
def test_a_refused_pack_gives_way_to_its_files_and_is_never_read_leniently(
    world: World, damage: str, form: str
) -> None:
    files = {"unit/__init__.py": b"x = 1\n", "unit/a.txt": b"a", "unit/b.txt": b"b"}
    sites = world.path / "sites"
    # One is refused when it is opened, the other when its last file is unpacked.
    pack = b"#!/bin/sh\n" + pack_of(files) if damage == "prefix" else pack_of(files | {"unit/b.txt": b"B"})
    site(sites / "whole", form, (in_format(pack, form), files))
    outcome = prefetch(world, sites)["whole"]
    assert outcome.startswith("IntegrityError: the pack "), outcome
    assert "ask the author to publish it again" in outcome
    absent = sites / "whole" / "absent"
    absent.mkdir()
    for at, data in enumerate(files.values()):
        (absent / str(at)).write_bytes(data)
    assert prefetch(world, sites)["whole"] == {path: data.hex() for path, data in files.items()}


@FORMATS
def test_folders_of_the_files_in_a_pack_may_have_entries_of_their_own(world: World, form: str) -> None:
    deep = "unit/" + "".join(f"folder{at}/" for at in range(8))
    files = {"unit/__init__.py": b"x = 1\n", "unit/data/größe.txt": b"a", f"{deep}b.txt": b"b"}
    folders = {f"{parent}/" for path in files for parent in map(str, PurePosixPath(path).parents) if parent != "."}
    sites = world.path / "sites"
    for name, method in (("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)):
        entries = dict.fromkeys(sorted(folders), b"") | {path: data + name.encode() for path, data in files.items()}
        listed = {path: data for path, data in entries.items() if path not in folders}
        site(sites / name, form, (in_format(pack_of(entries, method), form), listed))
    empty = pack_of({"unit/none/": b""} | files)
    site(sites / "stranger", form, (in_format(empty, form), files))
    outcomes = prefetch(world, sites)
    assert "holds the folder unit/none, which the manifest does not list in it" in outcomes.pop("stranger")
    assert outcomes == {
        name: {path: (data + name.encode()).hex() for path, data in files.items()} for name in ("stored", "deflated")
    }


HUGE = (256 << 20) + 12345
DECLARED = 1000
MEASURE = r"""
import json, pathlib, re, sys
import magic_module as mm

folder = pathlib.Path(sys.argv[1])
mm.mount(folder.name, (folder / "manifest.json").as_uri())
try:
    outcome = mm.prefetch(f"{folder.name}.unit") and "fetched"
except mm.errors.MagicModuleError as error:
    outcome = str(error)
# Not of the resource module: its maximum is also the one of the process that started this one.
peak = re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]
print(json.dumps([outcome or "fetched", int(peak) << 10]))
"""
MEASURED = pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="there is no /proc/self/status")


def peak(world: World, name: str, form: str, *packs: tuple[bytes, Tree]) -> tuple[str, int]:
    """What fetching a unit of these packs says, and the most memory that it took."""
    site(world.path / name, form, *packs)
    outcome, memory = world.run(MEASURE, args=[str(world.path / name)]).json
    return outcome, memory


def usual(world: World, form: str) -> int:
    """The memory that an honest pack takes."""
    # So many files are worth a pack.
    honest = {f"unit/{at}.txt": f"{at} honest".encode() for at in range(40)} | {"unit/__init__.py": b"HONEST = 1\n"}
    outcome, memory = peak(world, "honest", form, (in_format(pack_of(honest), form), honest))
    assert outcome == "fetched"
    return memory


def bomb(kind: str) -> tuple[bytes, Tree]:
    """An archive of which one file unpacks to HUGE bytes, and says so or not; and what is declared."""
    declared = {f"unit/{at}.txt": f"{at}".encode() for at in range(40)}
    declared |= {"unit/__init__.py": b"", "unit/bomb.bin": bytes(DECLARED)}
    method = zipfile.ZIP_STORED if kind == "the frame" else zipfile.ZIP_DEFLATED
    data = pack_of(declared | {"unit/bomb.bin": bytes(HUGE)}, method)
    if kind == "hidden":
        size = struct.pack("<I", HUGE)
        assert data.count(size) == 2
        data = data.replace(size, struct.pack("<I", DECLARED))
    return data, declared


BOMBS = [
    ("zip", "admitted", f"unpacks to {HUGE + 70} bytes, but 1070 are"),
    ("zip", "hidden", "holds more of unit/bomb.bin than it declares"),
    ("zip+zstd", "admitted", "unpacks to an archive of "),
    ("zip+zstd", "hidden", "unpacks to an archive of "),
    ("zip+zstd", "the frame", "unpacks to an archive of "),
]


@MEASURED
@pytest.mark.parametrize(("form", "kind", "says"), BOMBS)
def test_a_bomb_costs_neither_disk_nor_memory(world: World, form: str, kind: str, says: str) -> None:
    honest = usual(world, form)
    before = on_disk(world.cache)
    archive, declared = bomb(kind)
    outcome, memory = peak(world, "bomb", form, (in_format(archive, form), declared))
    assert says in outcome
    written = on_disk(world.cache) - before
    print(f"{written} bytes on disk, {(memory - honest) / (1 << 20):.1f} MB of memory more than an honest pack")
    # The manifest, which is kept; the refused pack is not, and nothing of it was unpacked.
    assert written < 20_000
    assert memory - honest <= 64 << 20


@MEASURED
@pytest.mark.slow
@pytest.mark.parametrize(("form", "count"), [("zip", 5), ("zip+zstd", 1), ("zip+zstd", 3), ("zip+zstd", 5)])
def test_the_largest_packs_take_little_memory(world: World, form: str, count: int) -> None:
    """Each is as large as a frame may be, and does not get smaller by compressing it."""
    honest = usual(world, form)
    dice = random.Random(count)
    packs = []
    for at in range(count):
        tree = {f"unit/{at}/{number}.bin": dice.randbytes((16 << 20) // 80 - 300) for number in range(80)}
        archive = pack_of(tree, zipfile.ZIP_STORED)
        assert (15 << 20) < len(archive) <= 16 << 20
        packs.append((in_format(archive, form), tree))
    outcome, memory = peak(world, "largest", form, *packs)
    print(f"{count} packs in {form}: {(memory - honest) / (1 << 20):.1f} MB of memory more than an honest pack")
    assert outcome == "fetched"
    assert memory - honest <= 64 << 20


def on_disk(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_pack_of_published_files_is_what_zipfile_reads(world: World) -> None:
    files = {"alpha/__init__.py": "x = 1\n", "alpha/größe.txt": "1" * 5000, "alpha/empty": ""}
    world.publish(files)
    manifest = json.loads((world.path / "site" / "manifest.json").read_text())
    (pack,) = manifest["modules"]["alpha"]["packs"]
    frame = (world.path / "site" / pack["url"]).read_bytes()
    tree = read_by_python(unframed(frame))
    assert tree == {path: text.encode() for path, text in files.items()}
