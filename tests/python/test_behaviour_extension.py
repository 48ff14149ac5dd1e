"""C extension modules: loaded from a tree as the dynamic loader wants them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from kit.compiler import extension, suffix
from kit.world import Acme, World
from magic_module._py import reload

Make = Callable[..., Acme]


def test_extension_module(acme: Make, tmp_path: Path) -> None:
    units = {
        f"speed{suffix()}": extension(tmp_path / "c", "speed"),
        "pack/__init__.py": "from ._fast import twice\nfrom .. import speed\n",
        f"pack/_fast{suffix()}": extension(tmp_path / "c", "_fast", 7),
    }
    result = acme(units).run(
        """
        import importlib.machinery, json, os
        import acme.speed as speed, acme.pack
        fast = acme.pack._fast
        print(json.dumps([speed.twice(4), speed.NUMBER, fast.NUMBER, acme.pack.twice("ab"),
            speed.__name__, fast.__name__,
            isinstance(speed.__loader__, importlib.machinery.ExtensionFileLoader),
            speed.__file__ == speed.__spec__.origin, os.path.basename(speed.__file__).startswith("speed."),
            fast.__spec__.parent, fast.__spec__.has_location, hasattr(speed, "__path__"),
            speed.__loader__.get_source("acme.speed"), speed.__loader__.get_code("acme.speed"), speed.__spec__.cached]))
        """
    )
    assert result.json == [
        8,
        42,
        7,
        "abab",
        "acme.speed",
        "acme.pack._fast",
        True,
        True,
        True,
        "acme.pack",
        True,
        False,
        None,
        None,
        None,
    ]


def test_extension_is_found_without_download(acme: Make, tmp_path: Path) -> None:
    made = acme({f"speed{suffix()}": extension(tmp_path / "c", "speed")})
    result = made.run(
        """
        import importlib.machinery, importlib.util
        spec = importlib.util.find_spec("acme.speed")
        print(isinstance(spec.loader, importlib.machinery.ExtensionFileLoader), spec.has_location, spec.cached)
        """
    )
    assert result.stdout.strip() == "True True None"
    assert made.asked() == ["/manifest.json"]


def test_upgrade_of_a_loaded_extension_wants_a_restart(world: World, tmp_path: Path) -> None:
    def units(number: int) -> dict[str, str | bytes]:
        return {
            "pack/__init__.py": f"__version__ = '{number}'\nfrom ._fast import NUMBER\n",
            f"pack/_fast{suffix()}": extension(tmp_path / f"c{number}", "_fast", number),
        }

    made = Acme(world, "hook", units(1))
    assert world.run("import acme.pack; print(acme.pack.NUMBER)").stdout.strip() == "1"
    world.publish(units(2), "acme")
    result = world.run(
        """
        import json
        import acme.pack
        before = acme.pack._fast
        done = acme.pack._upgrade()
        print(json.dumps([done.changed, done.restart_required, done.new_version, acme.pack.NUMBER,
            acme.pack._fast is before]))
        """
    )
    assert result.json == [True, True, "2", 1, True]
    assert made.run("import acme.pack; print(acme.pack.NUMBER)").stdout.strip() == "2"


@pytest.mark.parametrize(("separator", "folder"), [("/", "/v1/trees/abc"), ("\\", "C:\\v1\\trees\\abc")])
def test_a_changed_extension_is_known_by_its_path_on_every_system(
    monkeypatch: pytest.MonkeyPatch, separator: str, folder: str
) -> None:
    monkeypatch.setattr(reload, "os", SimpleNamespace(sep=separator))
    origin = separator.join([folder, "pack", "_fast.pyd"])
    loader = ExtensionFileLoader("acme.pack._fast", origin)
    loader._unit = None  # type: ignore[attr-defined]
    module = ModuleType("acme.pack._fast")
    module.__spec__ = ModuleSpec("acme.pack._fast", loader, origin=origin)
    monkeypatch.setitem(sys.modules, "acme.pack._fast", module)
    assert reload.needs_restart([("acme.pack", ["pack/__init__.py", "pack/_fast.pyd"], folder)])
    assert not reload.needs_restart([("acme.pack", ["pack/__init__.py", "pack/_slow.pyd"], folder)])
