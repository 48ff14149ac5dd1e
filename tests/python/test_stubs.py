"""`magic-module stubs`: what type checkers read of units that are not downloaded; checkers: tests/neighbours."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from kit import typed
from kit.locks import Lock, whole
from kit.wheels import native_tag, wheel
from kit.world import World
from magic_module._py.stubs.outline import outline
from origins import Origin

pytestmark = pytest.mark.once

SOURCE = '''
"""Of the module."""
import os
from collections.abc import Iterable
from .near import thing, other as another
from .far import *

if os.name == "nt":
    from .windows import sep
else:
    sep = os.sep
try:
    import fast
except ImportError:
    fast = None
__all__ = ["double"] + [name for name in dir(thing)]
LIMIT = 10
TABLE = {number: number for number in range(10)}
size: int = len(TABLE)
first, (second, *rest) = 1, (2, 3)
first.attribute = 2


class Box(dict, total=False):
    """Of the class."""

    kind = "box"
    names: list[str] = field(default_factory=list)

    def __init__(self, width: int, other, *, depth=lambda: 1, height: float = 2.0):
        self.width = width
        self.other = self.third = other
        self.kind = "other"
        self.is_open = False

        def inner(self):
            self.unseen = 1

    @property
    def area(self):
        return self.width

    def abstract(self):
        raise NotImplementedError

    def walk(self):
        self.step: str
        yield 1

    def nothing(self):
        return


async def double(x: int, /, *more: int) -> int:
    """Of the function."""
    y = x * 2
    return y


for each in range(3):
    print(each)
if __name__ == "__main__":
    double(1)
'''

OUTLINE = '''
"""Of the module."""
import os
from collections.abc import Iterable as Iterable
from .near import thing as thing, other as another
from .far import *
if os.name == 'nt':
    from .windows import sep as sep
else:
    sep = os.sep
import fast
__all__ = ['double'] + [name for name in dir(thing)]
LIMIT = 10
TABLE: _typeshed.Incomplete
size: int
first: _typeshed.Incomplete
second: _typeshed.Incomplete
rest: _typeshed.Incomplete

class Box(dict, total=False):
    """Of the class."""
    kind = 'box'
    names: list[str] = field(default_factory=list)

    def __init__(self, width: int, other, *, depth=..., height: float=2.0) -> None:
        ...

    @property
    def area(self):
        ...

    def abstract(self):
        ...

    def walk(self):
        ...

    def nothing(self) -> None:
        ...
    width: int
    other: _typeshed.Incomplete
    third: _typeshed.Incomplete
    is_open: bool
    step: str

async def double(x: int, /, *more: int) -> int:
    """Of the function."""
    ...
import _typeshed
'''


ANYTHING = "import _typeshed\ndef __getattr__(name: str) -> _typeshed.Incomplete: ...\n"


def stubs(world: World, *arguments: str, lock: Lock | None = None, **env: str) -> dict[str, dict[str, object]]:
    where = [] if lock is None else ["--lock", str(lock.path)]
    result = world.run(None, flags=("-m", "magic_module", *where, "stubs", "--json"), args=arguments, env=env)
    answer = typed.answer(result.stdout, "stubs")
    assert answer["output"] == "typings"
    return {each.pop("name"): each for each in answer["units"]}


def files(world: World) -> dict[str, str]:
    """Every file, without the line that says which unit it is of."""
    folder = world.work / "typings"
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8").partition("\n")[2] for path in found}


def test_the_schema_has_the_fields_that_there_are() -> None:
    path = Path(__file__).parents[2] / "docs/reference/stubs.schema.json"
    schema = json.loads(path.read_text("utf-8"))["oneOf"][0]
    assert {"schema", "command", *typed.ANSWERS["stubs"]} == set(schema["required"]) == set(schema["properties"])


def test_an_outline_has_every_name_and_no_body() -> None:
    assert outline(SOURCE.encode()).strip() == OUTLINE.strip()
    assert outline(b"") == "\n"


def test_stubs_of_a_manifest_take_only_what_tools_read_and_run_nothing(world: World) -> None:
    heavy = {
        "heavy/__init__.py": "from .fast import go\nraise SystemExit('run')\n",
        "heavy/fast.py": "def go(x): return x\n" + "# long\n" * 9000,
        "heavy/fast.pyi": "def go(x: int) -> int: ...\n",
        "heavy/old.py": "AGE = 1\n",
        "heavy/broken.py": "def (",
        "heavy/table.csv": "1,2\n" * 90000,
        "deep/er.py": "LEAF = 1\n",
    }
    world.publish(heavy)
    server = world.serve()
    names = ["magic_module.heavy", "magic_module.deep.er"]
    settings = {"MAGIC_MODULE_MANIFEST_URL": server.manifest_url}
    told = stubs(world, *names, **settings)
    assert {name: each["files"] for name, each in told.items()} == {"magic_module.heavy": 4, "magic_module.deep": 1}
    # What nobody reads is most of it.
    sizes = [(world.path / "site" / request.path.strip("/")).stat().st_size for request in server.take()]
    assert sum(sizes) < 5000
    written = files(world)
    assert written.pop("magic_module-stubs/_native.pyi") and written == {
        "magic_module-stubs/deep/er.pyi": "LEAF = 1\n",
        "magic_module-stubs/heavy/__init__.pyi": "from .fast import go as go\n",
        "magic_module-stubs/heavy/broken.pyi": ANYTHING,
        "magic_module-stubs/heavy/fast.pyi": "def go(x: int) -> int: ...\n",
        "magic_module-stubs/heavy/old.pyi": "AGE = 1\n",
        "magic_module-stubs/py.typed": "",
    }
    listed = world.run("import magic_module as mm; print([unit.cached for unit in mm.available()])", env=settings)
    assert listed.stdout == "[False, False]\n"
    server.take()
    stubs(world, *names, **settings)
    assert server.take() == []

    # A new version has other modules; what others wrote stays.
    own = world.work / "typings/magic_module-stubs/heavy/fast.pyi"
    own.write_text("def go(x: bool) -> int: ...\n")
    world.publish({path: text for path, text in heavy.items() if path != "heavy/old.py"})
    world.run("import magic_module as mm; mm.upgrade('magic_module.heavy')", env=settings)
    told = stubs(world, "magic_module.heavy", **settings)
    assert told["magic_module.heavy"]["kept"] == [str(Path("typings/magic_module-stubs/heavy/fast.pyi"))]
    assert own.read_text() == "def go(x: bool) -> int: ...\n"
    assert "magic_module-stubs/heavy/old.pyi" not in files(world)
    assert "magic_module-stubs/deep/er.pyi" in files(world)


def test_stubs_of_a_lock_are_stub_packages_of_their_own(world: World) -> None:
    packages = [
        wheel("six-like", "1.0", {"sixlike.py": "def ensure(x: str) -> str: return x\n"}),
        wheel(
            "native",
            "2.0",
            {"native/__init__.py": "", "native/_speed.abi3.so": b"\x7fELF", "native/_speed.pyi": "X: int\n"}
            | {"native/other.abi3.so": b"\x7fELF", "share-stubs/__init__.pyi": "Y: int\n"},
            data={"data/share/native.py": "NOT_A_MODULE = 1\n"},
            tag=native_tag(),
        ),
    ]
    lock = Lock(world.path / "project", packages)
    told = stubs(world, "six-like", "native", lock=lock)
    assert {name: (each["version"], each["files"]) for name, each in told.items()} == {
        "six-like": ("1.0", 1),
        "native": ("2.0", 4),
    }
    assert {path: text for path, text in files(world).items() if not path.endswith("py.typed")} == {
        "native-stubs/__init__.pyi": "\n",
        "native-stubs/_speed.pyi": "X: int\n",
        "native-stubs/other.pyi": ANYTHING,
        "share-stubs/__init__.pyi": "Y: int\n",
        "sixlike-stubs/__init__.pyi": "def ensure(x: str) -> str:\n    ...\n",
    }


def test_of_a_large_wheel_only_what_tools_read_is_asked_for(world: World) -> None:
    sources = {f"large/part{number}.py": f"def part(x: int) -> int: return {number}\n" for number in range(40)}
    library = b"\x7fELF" + random.Random(1).randbytes(1 << 20)
    large = wheel("large", "1.0", {"large/__init__.py": "", **sources, "large/library.so.1": library}, tag=native_tag())
    small = wheel("small", "1.0", {"small.py": "SMALL = 1\n"})
    folder = world.path / "project"
    (folder / "wheels").mkdir(parents=True)
    with Origin(folder / "wheels") as origin:
        lock = Lock(folder, [large, small], url=origin.url)
        told = stubs(world, "large", "small", lock=lock)
        assert {name: each["files"] for name, each in told.items()} == {"large": 41, "small": 1}
        assert whole(origin) == set()
        assert files(world)["large-stubs/part39.pyi"] == "def part(x: int) -> int:\n    ...\n"
        # What came so is there as if it had come otherwise; the wheel itself is not.
        stubs(world, "large", lock=lock)
        assert origin.take() == []
        program = (
            f"import magic_module as mm; mm.mount_lock({str(lock.path)!r}); import large.part7 as it; print(it.part(1))"
        )
        assert world.run(program).stdout == "7\n"
        assert whole(origin) == {"large"}
