"""A manifest costs little memory, whatever is in it; and where little is left, an error says so."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import count

import pytest

from kit.sources import write_tree
from kit.world import World

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform != "linux", reason="address space is limited and measured as Linux does it"),
]

MANIFEST = 32 << 20
DIGEST = "0" * 64

#: The most that this process has had in memory, in MB, and how the look-up ended.
LOOK_UP = """
import pathlib, resource, sys
import magic_module as mm
def peak():
    return int(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1000
before = peak()
mm.mount("hostile", sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]) << 20,) * 2)
try:
    import hostile.nothing
except Exception as error:
    print(type(error).__name__, peak() - before, peak())
"""


def filled(item: Callable[[int], str], before: str, after: str) -> str:
    """A document of the largest size, with as many items as fit."""
    items, room = [], MANIFEST - len(before) - len(after)
    for number in count():
        text = item(number)
        room -= len(text) + 1
        if room < 0:
            return before + ",".join(items) + after
        items.append(text)
    raise AssertionError


def units(body: str) -> str:
    return f'{{"manifest":1,"namespace":"hostile","modules":{{{body}}}}}'


def unit(fields: str) -> tuple[str, str]:
    before, after = units(f'"u":{{"version":"1",{fields}}}').split("…")
    return before, after


CATALOGUE = (
    '{"manifest":1,"namespace":"hostile","catalogue":{"units":1,"bits":[0,0],"parts":"p","tables":[null],"yanked":{'
)
FILE = f'{{"path":"u/a","url":"u","size":0,"sha256":"{DIGEST}"}}'
PACK = f'"files":[{FILE}],"packs":[{{"format":"zip","url":"p","size":1,"sha256":"{DIGEST}","paths":[…]}}]'
HOSTILE: dict[str, Callable[[], str]] = {
    "units": lambda: filled(lambda at: f'"u{at}":{{"version":"1","files":[]}}', *units("…").split("…")),
    "versions": lambda: filled(
        lambda at: f'"{at}":{{"version":"{at}","files":[]}}', *unit('"files":[],"versions":{…}')
    ),
    "dependencies": lambda: filled(lambda _: '""', *unit('"files":[],"dependencies":[…]')),
    "requirements": lambda: filled(lambda at: f'"u{at}"', *unit('"files":[],"requires":[…]')),
    "folders": lambda: filled(
        lambda at: f'{{"path":"u/{at}/{"a/" * 400}b","url":"u","size":0,"sha256":"{DIGEST}"}}', *unit('"files":[…]')
    ),
    "paths": lambda: filled(lambda _: '"u/a"', *unit(PACK)),
    "reasons": lambda: filled(lambda at: f'"{at}":"r"', CATALOGUE + '"u":{', "}}}}"),
    "yanked units": lambda: filled(lambda at: f'"u{at}":{{"version":"r"}}', CATALOGUE, "}}}"),
    "units taken back": lambda: filled(
        lambda at: f'"u{at}":{{"version":"1","files":[],"yanked":"r"}}', *units("…").split("…")
    ),
    "unknown objects": lambda: filled(lambda _: "{}", units("")[:-1] + ',"x":[', "]}"),
    "nesting": lambda: units("")[:-1] + ',"x":' + "[" * (MANIFEST - 200) + "}",
    "a long key": lambda: units('"' + "a" * (MANIFEST - 200) + '":{"version":"1","files":[]}'),
    "a long text": lambda: units('"u":{"version":"1","files":[],"summary":"' + "a" * (MANIFEST - 200) + '"}'),
    "a long number": lambda: units("")[:-1] + ',"serial":' + "1" * (MANIFEST - 200) + "}",
}


def look_up(world: World, document: str, limit: int) -> tuple[str, int, int]:
    path = world.path / "hostile.json"
    path.write_text(document)
    kind, more, peak = world.run(LOOK_UP, args=[path.as_uri(), str(limit)]).stdout.split()
    return kind, int(more), int(peak)


@pytest.mark.parametrize("document", HOSTILE)
def test_no_manifest_costs_more_than_200_mb(world: World, document: str) -> None:
    expected = "ModuleNotFoundError" if document == "a long text" else "ManifestError"
    kind, _, peak = look_up(world, HOSTILE[document](), 300)
    assert kind == expected
    assert peak < 200


def small(at: int) -> str:
    file = f'{{"path":"u{at}.py","url":"files/{at:064x}","size":812,"sha256":"{at:064x}"}}'
    return f'"u{at}":{{"version":"1","files":[{file}]}}'


def test_100_000_units_cost_less_than_100_mb(world: World) -> None:
    document = units(",".join(map(small, range(100_000))))
    kind, more, _ = look_up(world, document, 4 << 10)
    assert kind == "ModuleNotFoundError"
    assert more < 100


def test_little_memory_is_an_error_and_not_the_end_of_the_process(world: World) -> None:
    # It would be read where there is room for it.
    document = units(",".join(map(small, range(100_000))))
    kind, _, _ = look_up(world, document, 170)
    assert kind == "StoreError"


USE = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]) << 20,) * 2)
import magic_module as mm
mm.mount("wide", sys.argv[1])
import wide.unit
from wide.unit import part_07
mm.prefetch("wide.large")
size = os.path.getsize(mm.data_path("wide.large", "large/data.bin"))
print(wide.unit.VALUE, part_07.VALUE, size, mm.verify().ok, mm.upgrade("wide.unit")[0].changed)
"""


@pytest.mark.parametrize("limit", [250, 300])
def test_a_process_with_little_room_imports_fetches_and_verifies(world: World, limit: int) -> None:
    """What is large goes through small buffers."""
    parts = {f"unit/part_{number:02}.py": f"VALUE = {number}\n" for number in range(40)}
    data = bytes(range(256)) * (96 << 10)
    world.publish({"unit/__init__.py": "VALUE = 1\n", **parts, "large/__init__.py": "", "large/data.bin": data}, "wide")
    server = world.serve()
    said = world.run(USE, args=[server.manifest_url, str(limit)]).stdout.split()
    assert said == ["1", "7", str(len(data)), "True", "False"]


PUBLISH = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (250 << 20,) * 2)
from magic_module._py.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_many_files_are_published_in_little_room(world: World) -> None:
    write_tree(world.work, {f"src/many/m{number}.py": f"VALUE = {number}\n" for number in range(5000)})
    (world.work / "src" / "many" / "large.bin").write_bytes(bytes(range(256)) * (128 << 10))
    said = world.run(PUBLISH, args=["publish", "src", "out"]).stdout
    assert "5001 files, 32.1 MiB" in said
