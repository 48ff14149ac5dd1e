"""Packs of what scripts use, signed, in a bucket."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit import process
from kit.bucket import Bucket
from kit.desk import Desk
from kit.interpreter import environment
from kit.locks import packages
from kit.wheels import wheel
from kit.zstd import unframed

pytestmark = pytest.mark.once

BIG = {"big/__init__.py": "NAME = 'big'", "big/rest.py": "VALUE = 8", "big/large.bin": bytes(range(256)) * 50_000}
TO = "s3://models/env"


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    bucket = Bucket(tmp_path / "store")
    yield bucket
    bucket.close()


def run(desk: Desk, bucket: Bucket, cache: str, *line: str) -> str:
    given = environment(desk.path / cache, None) | {name: value or "" for name, value in bucket.environment.items()}
    return process.run([sys.executable, *line], given, desk.path, 0).stdout


def packed(bucket: Bucket) -> Any:
    manifest = json.loads((bucket.folder / "env" / "manifest.json").read_text())
    part = manifest["lock"]["documents"][0]["packed"]["url"]
    return json.loads(unframed((bucket.folder / "env" / part).read_bytes()))["resolved"]


def test_only_the_packs_of_what_is_used_are_asked_for(desk: Desk, bucket: Bucket) -> None:
    desk.lock([*packages(), wheel("big", "3.1", BIG)])
    (desk.path / "script.py").write_text("import alpha, big\nprint(alpha.VALUE, big.NAME)\n")
    key = desk.key("team.key")
    publish = [
        "-m",
        "magic_module",
        "publish",
        "--lock",
        "project/pylock.toml",
        TO,
        "--packs-for",
        "script.py",
        "--sign",
        "team.key",
        "--json",
    ]
    assert json.loads(run(desk, bucket, "author", *publish).splitlines()[-1])["signed"]
    resolved = packed(bucket)
    unit_of = {pack["url"]: unit for unit, packs in resolved["packs"].items() for pack in packs}
    assert set(unit_of.values()) == {"big", "big__rest"}

    bucket.server.take()
    mounted = f"import magic_module as mm; mm.mount('', '{TO}/manifest.json', public_key={key!r}); "
    program = mounted + "import big, os; print(big.NAME, flush=True); os._exit(0)"
    assert run(desk, bucket, "reader", "-c", program) == "big\n"
    asked = [unit_of.get(path.removeprefix("env/"), path) for path in bucket.asked("GET")]
    # The rest is asked for in the background, maybe before the program ends, and not before the import.
    at_once = asked[: asked.index("big__rest")] if "big__rest" in asked else asked
    assert at_once.count("big") == asked.count("big") > 0
    assert not any(path.endswith(".whl") for path in asked)
    rest = mounted + "import big.rest; print(big.rest.VALUE, mm.data_path('big', 'large.bin').stat().st_size)"
    assert run(desk, bucket, "reader", "-c", rest) == f"8 {len(BIG['big/large.bin'])}\n"

    # Nothing new: whoever publishes again, with another cache, only reads.
    bucket.server.take()
    assert not json.loads(run(desk, bucket, "author", *publish).splitlines()[-1])["changed"]
    again = bucket.server.take()
    assert {request.method for request in again} == {"GET"}
