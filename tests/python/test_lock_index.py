"""The index beside a lock: with it nobody is asked what is in a wheel, and nobody believes it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.interpreter import Interpreter
from kit.locks import Lock, python
from kit.wheels import wheel
from origins import Origin

pytestmark = pytest.mark.once

Index = dict[str, Any]


class Desk:
    def __init__(self, path: Path, origin: Origin) -> None:
        self.origin = origin
        self.cache = path / "cache"
        self.lock = Lock(
            path / "project",
            [
                wheel("alpha", "1.0", {"alpha.py": "import beta\nVALUE = beta.VALUE + 1\n"}, requires=["beta"]),
                wheel(
                    "beta",
                    "1.0",
                    {"beta.py": "VALUE = 1\n"},
                    data={"scripts/tool": "#!python\n"},
                    scripts={"b": "beta:x"},
                ),
                wheel("gamma", "1.0", {"gamma.py": ""}),
            ],
            url=f"{origin.url}/wheels",
        )
        self.file = self.lock.folder / "pylock.index.json"

    def mount(self, program: str = "import alpha; print(alpha.VALUE)") -> str:
        line = f"import magic_module as mm; mm.mount_lock({str(self.lock.path)!r})\n"
        return python(self.cache, line + program).stdout.strip()

    def write(self) -> None:
        """As `lock --index` does once the lock is there."""
        python(self.cache, f"from magic_module import _native; _native._index_lock({str(self.lock.path)!r})")

    def asked(self) -> list[str]:
        """What was asked for since the last call, by distribution."""
        return sorted(path.split("/")[-1].split("-")[0] for path in self.origin.paths())

    def forget(self) -> None:
        """As on a fresh machine."""
        shutil.rmtree(self.cache, ignore_errors=True)
        self.origin.take()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "project").mkdir()
    with Origin(tmp_path / "project") as origin:
        made = Desk(tmp_path, origin)
        made.write()
        made.forget()
        yield made


def test_a_fresh_machine_asks_for_what_it_imports_and_for_nothing_else(desk: Desk) -> None:
    assert desk.mount("from importlib.metadata import files, version; print(version('gamma'), len(files('beta')))") == (
        "1.0 9"
    )
    assert desk.asked() == []
    assert desk.mount() == "2"
    assert desk.asked() == ["alpha", "beta"]


def test_what_is_written(desk: Desk) -> None:
    document = json.loads(desk.file.read_text("utf-8"))
    schema = json.loads((Path(__file__).parents[2] / "docs/reference/pylock-index.schema.json").read_text("utf-8"))
    item = schema["properties"]["wheels"]["items"]
    assert set(document) == set(schema["required"]) == set(schema["properties"])
    assert len(document["wheels"]) == 3
    for entry in document["wheels"]:
        assert set(entry) == set(item["required"]) == set(item["properties"])
        assert re.fullmatch(schema["$defs"]["sha256"]["pattern"], entry["sha256"])
        assert re.search(item["properties"]["dist_info"]["pattern"], entry["dist_info"])
        assert {"METADATA", "WHEEL"} <= set(entry["texts"]) and "RECORD" not in entry["texts"]
        kinds = [[type(field) for field in file] for file in entry["files"]]
        assert all(kind in ([str, int, str], [str, int, str, bool]) for kind in kinds)
    before = desk.file.read_bytes()
    desk.write()
    assert desk.file.read_bytes() == before
    assert desk.asked() == [], "its own index told it"
    assert sorted(path.name for path in desk.lock.folder.iterdir()) == ["pylock.index.json", "pylock.toml", "wheels"]


def test_entries_for_other_platforms_stay_while_the_lock_names_them(desk: Desk) -> None:
    document = json.loads(desk.file.read_text("utf-8"))
    foreign = {**document["wheels"][0], "sha256": "a" * 64}
    gone = {**document["wheels"][0], "sha256": "b" * 64}
    desk.file.write_text(json.dumps({**document, "wheels": [*document["wheels"], foreign, gone]}))
    desk.lock.path.write_text(desk.lock.path.read_text() + f"# {'a' * 64}\n")
    desk.write()
    found = {entry["sha256"] for entry in json.loads(desk.file.read_text("utf-8"))["wheels"]}
    assert found == {entry["sha256"] for entry in document["wheels"]} | {"a" * 64}


def of(document: Index, name: str) -> Index:
    return next(entry for entry in document["wheels"] if entry["dist_info"].startswith(name))


def _text(document: Index) -> None:
    of(document, "beta")["texts"]["entry_points.txt"] = "[console_scripts]\nb = evil:main\n"


def _more(document: Index) -> None:
    of(document, "beta")["texts"]["top_level.txt"] = "evil\n"


def _size(document: Index) -> None:
    of(document, "beta")["size"] += 1


def _folder(document: Index) -> None:
    of(document, "beta")["dist_info"] = "other-1.0.dist-info"


def _path(document: Index) -> None:
    of(document, "beta")["files"][0][0] = "../beta.py"


def _kind(document: Index) -> None:
    document["wheels"] = [entry if not entry["dist_info"].startswith("beta") else 7 for entry in document["wheels"]]


def _name(document: Index) -> None:
    """Another wheel's contents."""
    beta = of(document, "beta")
    beta |= {**of(document, "gamma"), "sha256": beta["sha256"], "size": beta["size"]}


@pytest.mark.parametrize("damage", [_text, _more, _size, _folder, _path, _kind, _name])
def test_an_entry_that_is_wrong_is_passed_over(desk: Desk, damage: Callable[[Index], None]) -> None:
    document = json.loads(desk.file.read_text("utf-8"))
    damage(document)
    desk.file.write_text(json.dumps(document))
    assert desk.mount("") == ""
    assert desk.asked() == ["beta"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"magic_module_index": 2, "wheels": []}', "pipe", "folder"])
def test_an_index_that_is_none_is_passed_over(desk: Desk, text: str) -> None:
    desk.file.unlink()
    if text == "pipe":
        os.mkfifo(desk.file)
    elif text == "folder":
        desk.file.mkdir()
    else:
        desk.file.write_text(text)
    assert desk.mount("") == ""
    assert desk.asked() == ["alpha", "beta", "gamma"]


def test_an_index_that_lies_runs_nothing_and_is_not_asked_again(desk: Desk) -> None:
    """One that agrees with itself is found out when the wheel is here."""
    document = json.loads(desk.file.read_text("utf-8"))
    for file in of(document, "beta")["files"]:
        if file[0] == "beta.py":
            file[2] = "0" * 64
    desk.file.write_text(json.dumps(document))
    with Interpreter(desk.cache) as interpreter:
        interpreter.do(f"import magic_module as mm; mm.mount_lock({str(desk.lock.path)!r})")
        assert desk.asked() == []
        failure = interpreter.fail("import beta")
        assert failure.kind == "IntegrityError"
    assert desk.mount() == "2"
