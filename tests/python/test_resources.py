"""Package data of which some is lazy, through `importlib.resources`; the engine is replaced by a folder."""

import importlib.resources
import os
import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from magic_module import _native
from magic_module._py import resources


class Loader:
    """A loader that has nothing but its resources."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        return None

    def get_resource_reader(self, name: str) -> resources.LazyResources:
        return resources.reader(self, str(self.directory))  # type: ignore[arg-type]


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was fetched so far, as paths in the package."""
    tree, lazy, seen = tmp_path / "tree" / "zz_pack", tmp_path / "lazy", []
    (tree / "sub" / "plain").mkdir(parents=True)
    (tree / "__init__.py").touch()
    (tree / "small.txt").write_text("small")
    (tree / "sub" / "near.txt").write_text("near")
    (tree / "sub" / "plain" / "deep.txt").write_text("deep")
    lazy.mkdir()

    def fetch(origin: str) -> str:
        path = Path(origin).relative_to(tree).as_posix()
        seen.append(path)
        (lazy / Path(origin).name).write_text(f"lazy {path}")
        return str(lazy / Path(origin).name)

    monkeypatch.setattr(_native, "_lazy_files", lambda directory: ["big.bin", "sub/big.bin", "only/here/big.bin"])
    monkeypatch.setattr(_native, "_lazy_path", fetch)
    spec = ModuleSpec("zz_pack", Loader(tree), origin=str(tree / "__init__.py"), is_package=True)  # type: ignore[arg-type]
    module = types.ModuleType("zz_pack")
    module.__spec__, module.__path__ = spec, [str(tree)]
    monkeypatch.setitem(sys.modules, "zz_pack", module)
    return seen


def names(directory: Any) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def test_listing_fetches_nothing(fetched: list[str]) -> None:
    root: Any = importlib.resources.files("zz_pack")
    assert names(root) == ["__init__.py", "big.bin", "only", "small.txt", "sub"]
    assert names(root / "sub") == ["big.bin", "near.txt", "plain"]
    assert names(root / "only") == ["here"]
    assert names(root / "sub" / "plain") == ["deep.txt"]
    assert (root / "big.bin").is_file() and not (root / "big.bin").is_dir()
    assert (root / "only").is_dir() and not (root / "only").is_file()
    assert not (root / "none").is_file() and not (root / "none").is_dir()
    assert root.name == "zz_pack"
    assert fetched == []


def test_reading_fetches_that_file(fetched: list[str]) -> None:
    root: Any = importlib.resources.files("zz_pack")
    assert root.joinpath("sub", "big.bin").read_text(encoding="utf-8") == "lazy sub/big.bin"
    assert root.joinpath("sub/big.bin").read_bytes() == b"lazy sub/big.bin"
    assert fetched == ["sub/big.bin"] * 2
    with (root / "only/here/big.bin").open("rb") as file:
        assert file.read() == b"lazy only/here/big.bin"
    with (root / "big.bin").open(encoding="utf-8") as file:
        assert file.read() == "lazy big.bin"
    assert Path(os.fspath(root / "big.bin")).read_text() == "lazy big.bin"


def test_what_is_not_lazy_is_a_plain_path(fetched: list[str]) -> None:
    root: Any = importlib.resources.files("zz_pack")
    assert isinstance(root / "small.txt", Path)
    assert isinstance(root.joinpath("sub/plain/deep.txt"), Path)
    assert root.joinpath("sub", "near.txt").read_text() == "near"
    assert not (root / "small.txt" / "x").exists()
    assert not (root / "big.bin" / "x").exists()
    assert fetched == []


def test_as_file_gives_the_file_itself(fetched: list[str]) -> None:
    with importlib.resources.as_file(importlib.resources.files("zz_pack") / "big.bin") as path:
        assert (path.parent.name, path.name, path.read_text()) == ("lazy", "big.bin", "lazy big.bin")
    assert path.exists()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="as_file takes directories since 3.12")
def test_as_file_of_a_directory_holds_its_lazy_files(fetched: list[str]) -> None:
    with importlib.resources.as_file(importlib.resources.files("zz_pack") / "sub") as path:
        assert sorted(p.relative_to(path).as_posix() for p in path.rglob("*.*")) == [
            "big.bin",
            "near.txt",
            "plain/deep.txt",
        ]
    assert fetched == ["sub/big.bin"]


def test_directories_refuse_like_directories(fetched: list[str]) -> None:
    root: Any = importlib.resources.files("zz_pack")
    for act in (root.open, root.read_bytes, root.read_text):
        with pytest.raises(IsADirectoryError):
            act()
    with pytest.raises(NotADirectoryError):
        list((root / "big.bin").iterdir())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_older_functions(fetched: list[str]) -> None:
    assert importlib.resources.is_resource("zz_pack", "big.bin")
    assert not importlib.resources.is_resource("zz_pack", "sub")
    assert importlib.resources.read_text("zz_pack", "small.txt") == "small"
    assert fetched == []
    assert importlib.resources.read_binary("zz_pack", "big.bin") == b"lazy big.bin"
    with importlib.resources.path("zz_pack", "big.bin") as path:
        assert path.read_text() == "lazy big.bin"
    assert sorted(importlib.resources.contents("zz_pack")) == ["__init__.py", "big.bin", "only", "small.txt", "sub"]
    reader = sys.modules["zz_pack"].__spec__.loader.get_resource_reader("zz_pack")  # type: ignore[union-attr]
    with pytest.raises(FileNotFoundError):
        reader.resource_path("none")
