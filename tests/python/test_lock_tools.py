"""A view as tools see it: metadata, `pkgutil`, `pkg_resources`, resources and `pip` agree with an installed environment.

Whatever is only told is told without a download.
"""

from __future__ import annotations

import email
import ensurepip
import importlib.metadata
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.locks import Lock, python, run, whole
from kit.wheels import Wheel, wheel
from origins import Origin

CODE = "VALUE = __name__"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def packages() -> list[Wheel]:
    return [
        wheel("Plain.One", "1.5", {"plain_one.py": CODE}, requires=["shop-core>=1"], extras={"more": ["shop-extra"]}),
        wheel(
            "shop-core",
            "1.0",
            {
                "shop/core/__init__.py": CODE,
                "shop/core/0001_initial.py": CODE,
                "shop/core/with.dot.py": CODE,
                "shop/core/sub/__init__.py": CODE,
                "shop/core/plain/data.txt": "plain",
                "shop/core/data.txt": "core",
            },
            dist_info={"licenses/LICENSE": "Do as you like."},
        ),
        wheel("shop-extra", "2.0", {"shop/extra/__init__.py": CODE, "shop/extra/data.txt": "extra"}),
        wheel(
            "tool",
            "3.1",
            {"tool/__init__.py": "def main(): return 7", "tool/data.txt": "tool"},
            scripts={"tool": "tool:main"},
            entry_points={"kit.plugins": {"first": "tool:main"}},
            data={"data/share/tool/x.txt": "share"},
        ),
    ]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Lock, Origin]]:
    yield from serve(tmp_path, packages())


def serve(tmp_path: Path, wheels: list[Wheel]) -> Iterator[tuple[Lock, Origin]]:
    folder = tmp_path / "project"
    (folder / "wheels").mkdir(parents=True)
    with Origin(folder / "wheels") as origin:
        yield Lock(folder, wheels, url=origin.url), origin


def told(lock: Lock, cache: Path, program: str) -> Any:
    """What a program puts into `result`, in a plain interpreter that mounts the lock."""
    head = f"import magic_module as mm\nmount = mm.mount_lock({str(lock.path)!r})\nours = str(mount.view)\n"
    own = {"magic-module", "pip", "pluggy", "pytest"}
    tail = "\nimport json; print(json.dumps(result))"
    return python(cache, head + f"own = {own!r}\n" + program + tail).json


METADATA = """
from {module} import distribution, distributions, entry_points, files, metadata, packages_distributions, requires, \\
    version, PackageNotFoundError
site = [path for path in __import__("sys").path if path.startswith(ours)]
listed = sorted(d.metadata["Name"] for d in distributions() if str(d.locate_file("")).startswith(ours))
result = dict(
    listed=listed,
    by_path=listed == sorted(d.metadata["Name"] for d in distributions(path=site)),
    version=[version("plain-one"), version("PLAIN_ONE"), version("shop.core")],
    summary=metadata("tool")["Summary"],
    requires=requires("Plain.One"),
    files=sorted(str(file) for file in files("tool")),
    sizes=[[file.size, file.hash.mode] for file in files("tool") if file.name == "__init__.py"],
    points=[(point.name, point.value) for point in entry_points(group="kit.plugins")],
    top=sorted((k, v) for k, v in packages_distributions().items() if k in {{"plain_one", "shop", "tool"}}),
)
try: version("nowhere")
except PackageNotFoundError as error: result["nowhere"] = str(error)
"""


def expected() -> dict[str, Any]:
    return {
        "listed": ["Plain.One", "shop-core", "shop-extra", "tool"],
        "by_path": True,
        "version": ["1.5", "1.5", "1.0"],
        "summary": "Made for a test.",
        "requires": ["shop-core>=1", "shop-extra; extra == 'more'"],
        "files": [
            "../../../bin/tool",
            "../../../share/tool/x.txt",
            *(f"tool-3.1.dist-info/{name}" for name in ("INSTALLER", "METADATA", "RECORD", "REQUESTED", "WHEEL")),
            "tool-3.1.dist-info/entry_points.txt",
            "tool/__init__.py",
            "tool/data.txt",
        ],
        "sizes": [[20, "sha256"]],
        "points": [["first", "tool:main"]],
        "top": [["plain_one", ["Plain.One"]], ["shop", ["shop-core", "shop-extra"]], ["tool", ["tool"]]],
        "nowhere": "No package metadata was found for nowhere",
    }


@pytest.mark.parametrize("before", ["", "import importlib.metadata\n"], ids=["later", "before"])
def test_metadata_of_every_package_is_told_without_a_download(
    served: tuple[Lock, Origin], cache: Path, before: str
) -> None:
    lock, origin = served
    said = told(lock, cache, before + METADATA.format(module="importlib.metadata"))
    wanted = expected()
    if sys.version_info < (3, 11):
        wanted["top"] = []  # there it reads `top_level.txt` alone, which these wheels do not have
    said["top"] = [[name, sorted(owners)] for name, owners in said["top"]]
    assert said == wanted
    assert whole(origin) == set()
