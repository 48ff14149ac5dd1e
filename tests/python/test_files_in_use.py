"""What a cache takes where files are read-only, open, deep below, or removed: systems differ most in that."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from kit.world import World

pytestmark = pytest.mark.once

SOURCES: dict[str, str | bytes] = {"alpha/__init__.py": "VALUE = 1\n", "alpha/data.bin": b"data" * 100_000}

USE = """
    import magic_module.alpha as alpha, pkgutil
    print(alpha.VALUE, len(pkgutil.get_data("magic_module.alpha", "data.bin")))
    """
USED = "1 400000"


@pytest.fixture
def served(world: World) -> World:
    world.publish(SOURCES)
    world.extra["MAGIC_MODULE_MANIFEST_URL"] = world.serve().manifest_url
    return world


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_what_is_damaged_and_read_only_is_healed(served: World) -> None:
    served.run(USE)
    found = files(served.cache / "v1" / "blobs") + files(served.cache / "v1" / "trees")
    # Not the manifest and the indexes: those say what is damaged.
    spoilt = [path for path in found if not path.read_bytes().startswith(b"{") and path.suffix != ".index"]
    assert len(spoilt) >= 3
    for path in spoilt:
        path.chmod(0o644)
        path.write_bytes(bytes(path.stat().st_size))
        path.chmod(0o444)
    verified = served.run(None, flags=["-m", "magic_module", "verify"])
    assert "healed" in verified.stdout
    assert served.run(USE).stdout.strip() == USED
    assert "healed" not in served.run(None, flags=["-m", "magic_module", "verify"]).stdout


def test_an_upgrade_by_force_replaces_what_is_read_only(served: World) -> None:
    served.run(USE)
    for path in files(served.cache / "v1" / "blobs") + files(served.cache / "v1" / "trees"):
        path.chmod(0o444)
    served.run("import magic_module.alpha as alpha; alpha._upgrade(force=True)")
    assert served.run(USE).stdout.strip() == USED


def test_a_file_that_is_open_while_its_unit_is_made_again(served: World) -> None:
    """Where the system refuses to move what is open, that is said, and all stays as it was."""
    result = served.run(
        """
        import magic_module.alpha as alpha
        from magic_module.errors import StoreError
        from pathlib import Path
        with (Path(alpha.__file__).with_name("data.bin")).open("rb") as data:
            data.read(10)
            try:
                alpha._upgrade(force=True)
                print("done")
            except StoreError as error:
                print("refused:", error)
        print(alpha.VALUE)
        """
    )
    said, value = result.stdout.splitlines()
    assert value == "1" and (said == "done" or (sys.platform == "win32" and said.startswith("refused: cannot ")))
    assert served.run(USE).stdout.strip() == USED


@pytest.mark.skipif(sys.platform != "win32", reason="a library that is loaded is a file like any other here")
def test_a_library_that_is_loaded_while_its_unit_is_made_again(served: World) -> None:
    library = next(Path(sys.executable).parent.glob("vcruntime*.dll")).read_bytes()
    served.publish({**SOURCES, "alpha/library.dll": library})
    result = served.run(
        """
        import ctypes
        import magic_module.alpha as alpha
        from pathlib import Path
        place = Path(alpha.__file__).with_name("library.dll")
        loaded = ctypes.WinDLL(str(place))
        content = place.read_bytes()
        alpha._upgrade(force=True)
        print(place.read_bytes() == content)
        """
    )
    assert result.stdout.strip() == "True"


def test_a_cache_may_lie_deeper_than_260_characters(served: World) -> None:
    served.cache = served.path.joinpath(*["deep" * 10] * 8, "cache")
    assert len(str(served.cache)) > 320
    assert served.run(USE).stdout.strip() == USED
    assert served.run(USE).stdout.strip() == USED


def test_a_cache_can_be_removed(served: World) -> None:
    served.run(USE)
    shutil.rmtree(served.cache)
    assert served.run(USE).stdout.strip() == USED


def test_no_path_begins_as_only_the_system_writes_it(served: World) -> None:
    source = served.path / "site-sources"
    published = served.run(None, flags=["-m", "magic_module", "publish", str(source), str(served.path / "other")])
    verified = served.run(None, flags=["-m", "magic_module", "verify"])
    used = served.run("import magic_module.alpha as alpha; print(alpha.__file__)")
    for result in (published, verified, used):
        assert "\\\\?\\" not in result.stdout + result.stderr
