"""`magic-module stats`: what the audit log and the cache tell."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from kit import process, typed
from kit.interpreter import Interpreter, command_line
from kit.locks import Lock
from kit.wheels import wheel

pytestmark = pytest.mark.once

SCHEMA = Path(__file__).parents[2] / "docs/reference/stats.schema.json"


def stats(folder: Path, *arguments: str) -> process.Result:
    return command_line("stats", *arguments, cache=folder / "cache")


def answer(folder: Path, *arguments: str) -> Any:
    text = stats(folder, "--json", *arguments).stdout
    schema = json.loads(SCHEMA.read_text("utf-8"))
    assert sorted(json.loads(text)) == sorted(schema["properties"]) == sorted(schema["required"])
    found = typed.answer(text, "stats")
    for kind, keys in (("counted", ("requested", "refused", "failed")), ("kept", ("space", "unused"))):
        fields = schema["$defs"][kind]["items"]["properties"].keys()
        assert all(each.keys() == fields for key in keys for each in found[key])
    return found


def test_stats(tmp_path: Path) -> None:
    empty = answer(tmp_path)
    assert (empty["decisions"], empty["requested"], empty["space"]) == (0, [], [])
    lock = Lock(
        tmp_path / "project",
        [
            wheel("large", "1.0", {"large.py": "#" * 5000}),
            wheel("Small-one", "2.0", {"small_one.py": ""}),
            wheel("evil", "1", {"evil.py": ""}),
        ],
    )
    registry = tmp_path / "modules.toml"
    registry.write_text("[policy]\ndeny = ['evil']")
    with Interpreter(tmp_path / "cache", settings={"MAGIC_MODULE_REGISTRY": str(registry)}) as python:
        python.do(f"import magic_module as mm; mm.mount_lock({str(lock.path)!r}); import large, small_one")
        for _ in range(2):
            python.fail("import evil")
    found = answer(tmp_path)
    times = [(each["name"], each["times"]) for each in found["requested"]]
    assert times == [("evil", 2), ("Small-one", 1), ("large", 1)]
    assert [each["name"] for each in found["refused"]] == ["evil"]
    assert "policy.deny[0]" in found["refused"][0]["why"]
    assert [(each["name"], each["version"]) for each in found["space"]] == [("large", "1.0"), ("small-one", "2.0")]
    assert found["space"][0]["bytes"] >= 5000
    assert found["unused"] == []

    journal = Path(found["journal"]) / "audit.jsonl"
    entry = {"time": "2020-01-01T00:00:00Z", "decision": "failed", "distribution": "x\x1b[2J", "error": "no\nmore"}
    journal.write_text(f"not json\n{json.dumps(entry)}\n[]\n" + journal.read_text())
    said = stats(tmp_path).stdout
    assert "5 decisions, in " in said and "2 lines of the audit log cannot be read" in said
    assert "\x1b" not in said and r"x\u{1b}[2J" in said
    assert answer(tmp_path, "--since", "7d")["failed"] == []
    assert stats(tmp_path, "--since", "soon").status == 2

    old = time.time() - 40 * 86400
    for index in (tmp_path / "cache" / "v1" / "trees").glob("*.index"):
        os.utime(index, (old, old))
    assert [each["name"] for each in answer(tmp_path)["unused"]] == ["large", "small-one"]
    assert answer(tmp_path, "--unused-for", "50")["unused"] == []
