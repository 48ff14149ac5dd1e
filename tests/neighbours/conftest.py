"""Fixtures of the tests with tools of others: those of the Python tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()
