"""Units as distributions: what the metadata finder answers; the engine is replaced by a list."""

import sys
from importlib.metadata import DistributionFinder
from pathlib import Path
from typing import Any

import pytest

from magic_module import _native
from magic_module._py.metadata import find_distributions


@pytest.fixture(autouse=True)
def trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for name in ("Zz.Alpha", "zz_beta"):
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        found.append((name, str(info)))
    monkeypatch.setattr(_native, "_distributions", lambda: found)


def names(**context: Any) -> list[str]:
    return [found.metadata["Name"] for found in find_distributions(DistributionFinder.Context(**context))]


def test_all_or_by_name_however_it_is_spelt() -> None:
    assert names() == ["Zz.Alpha", "zz_beta"]
    assert [found.version for found in find_distributions()] == ["1.0", "1.0"]
    for spelling in ("zz-alpha", "ZZ_Alpha", "zz.-alpha"):
        assert names(name=spelling) == ["Zz.Alpha"]
    assert names(name="zz") == []


def test_a_search_of_other_directories_is_not_for_us(tmp_path: Path) -> None:
    assert names(path=[str(tmp_path)]) == []
    assert names(path=list(sys.path)) == ["Zz.Alpha", "zz_beta"]
