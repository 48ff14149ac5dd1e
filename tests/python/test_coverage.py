"""Every row of `docs/reference/coverage.md` names a test that exists, or says why there is none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/coverage.md").read_text("utf-8")
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if re.match(r"\| \d", line)]


def numbers(first: str) -> list[str]:
    """`0.10, 0.11 …` as two."""
    found = re.match(r"[\d., ]+", first)
    assert found is not None
    return [number.strip() for number in found[0].split(",") if number.strip()]


def test_every_line_has_one_row() -> None:
    told = sorted(number for row in ROWS for number in numbers(row[0]))
    parts = ((0, 40), (1, 19), (2, 14), (3, 20), (4, 17))
    wanted = [f"{part}.{at}" for part, last in parts for at in range(1, last + 1)]
    assert told == sorted(wanted)


def test_every_row_names_a_test_that_exists() -> None:
    sources = [*(ROOT / "tests/python").glob("test_*.py"), *(ROOT / "tests/rust").rglob("*.rs")]
    known = {name for source in sources for name in re.findall(r"\b(?:def|fn) (\w+)", source.read_text("utf-8"))}
    named = {test for row in ROWS for test in re.findall(r"`(\w+)`", row[2])}
    assert named and not named - known
    assert [row[0] for row in ROWS if not row[2]] == []
