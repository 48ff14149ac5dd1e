"""A view as tools see it: metadata, `pkgutil`, `pkg_resources`, resources and `pip` are as in an installed environment.

Whatever is only told is told without a download.
"""

from __future__ import annotations

import ensurepip
import importlib.metadata
import re
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.locks import Lock, python, run, whole
from kit.wheels import Wheel, wheel
from origins import Origin

CODE = "VALUE = __name__"


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
        wheel("shop-extra", "2.0", {"shop/extra/__init__.py": CODE, "shop/stock/data.txt": "stock"}),
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
def lock(tmp_path: Path) -> Lock:
    return Lock(tmp_path / "project", packages())


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


def test_a_file_that_a_distribution_lists_is_fetched_when_it_is_looked_for(
    served: tuple[Lock, Origin], cache: Path
) -> None:
    lock, origin = served
    program = """
from importlib.metadata import distribution, files
tool = {file.name: file for file in files("tool")}
before = distribution("shop-core").read_text("METADATA") is not None
result = [before, tool["data.txt"].read_text(), tool["x.txt"].read_binary().decode(), tool["tool"].locate().exists()]
core = distribution("shop-core")
result += [core.read_text("licenses/LICENSE"), core.read_text("direct_url.json"), core.locate_file("no").exists()]
"""
    assert told(lock, cache, program) == [True, "tool", "share", True, "Do as you like.", None, False]
    assert whole(origin) == {"tool", "shop_core"}


def test_loading_an_entry_point_fetches(served: tuple[Lock, Origin], cache: Path) -> None:
    lock, origin = served
    program = """
from importlib.metadata import entry_points
(point,) = entry_points(group="kit.plugins")
result = [point.dist.name if hasattr(point.dist, "name") else "tool", point.load()()]
"""
    assert told(lock, cache, program) == ["tool", 7]
    assert whole(origin) == {"tool"}


def test_what_is_here_is_listed_once_and_what_is_gone_from_the_path_not_at_all(lock: Lock, cache: Path) -> None:
    program = """
import tool
from importlib.metadata import distributions
here = lambda: [d.metadata["Name"] for d in distributions() if d.metadata["Name"] in ("tool", "shop-core")]
result = [sorted(here())]
mount.close()
result.append(here())
"""
    assert told(lock, cache, program) == [["shop-core", "tool"], []]


def backport() -> Wheel:
    """The interpreter's own `importlib.metadata` under the backport's name, with a finder of its own as that has."""
    folder = Path(importlib.metadata.__file__).parent
    files = {f"importlib_metadata/{file.name}": file.read_text() for file in folder.glob("*.py")}
    files["importlib_metadata/__init__.py"] += """
from importlib.machinery import PathFinder
del PathFinder.find_distributions
sys.meta_path.append(MetadataPathFinder())
"""
    return wheel("importlib-metadata", "9.0", dict(files))


@pytest.mark.parametrize("before", [True, False], ids=["imported-first", "of-the-lock"])
def test_the_backport_says_the_same(tmp_path: Path, cache: Path, before: bool) -> None:
    if before:
        backport_wheel = backport().write(tmp_path / "installed")
        with zipfile.ZipFile(backport_wheel) as archive:
            archive.extractall(tmp_path / "installed")
    wheels = packages() if before else [*packages(), backport()]
    for lock, origin in serve(tmp_path, wheels):
        ahead = f"import sys; sys.path.insert(0, {str(tmp_path / 'installed')!r}); import importlib_metadata\n"
        program = """
import importlib.metadata, importlib_metadata
result = []
for module in (importlib.metadata, importlib_metadata):
    (point,) = module.entry_points(group="kit.plugins")
    names = [d.metadata["Name"] for d in module.distributions() if str(d.locate_file("")).startswith(ours)]
    result.append([sorted(name for name in names if name != "importlib-metadata"), len(module.files("tool"))])
    result[-1] += [module.version("plain-one"), point.value]
(data,) = [file for file in importlib_metadata.files("tool") if file.name == "data.txt"]
result.append([data.locate().exists(), type(data).__module__])
"""
        head = ahead if before else ""
        listed = ["Plain.One", "shop-core", "shop-extra", "tool"]
        both = [listed, 10, "1.5", "tool:main"]
        prefix = f"{head}import magic_module as mm\nmount = mm.mount_lock({str(lock.path)!r})\nours = str(mount.view)\n"
        said = python(cache, prefix + program + "import json; print(json.dumps(result))").json
        assert said == [both, both, [True, "importlib_metadata"]]
        assert whole(origin) == {"tool", *(() if before else ("importlib_metadata",))}


def test_modules_are_listed_as_in_an_installed_folder(served: tuple[Lock, Origin], cache: Path) -> None:
    lock, origin = served
    program = """
import pkgutil, importlib.util
folders = importlib.util.find_spec("shop.core").submodule_search_locations
result = [
    sorted([name, package] for _, name, package in pkgutil.iter_modules(folders)),
    sorted([name, package] for _, name, package in pkgutil.iter_modules([folders[0].removesuffix("/core")])),
    sorted(name for finder, name, _ in pkgutil.iter_modules() if str(getattr(finder, "path", "")).startswith(ours)),
]
"""
    assert told(lock, cache, program) == [
        [["0001_initial", False], ["sub", True]],
        [["core", True], ["extra", True]],
        ["plain_one", "tool"],
    ]
    assert whole(origin) == set()


def test_packages_are_walked(lock: Lock, cache: Path) -> None:
    program = """
import pkgutil, shop.core, importlib
found = [name for _, name, _ in pkgutil.walk_packages(shop.core.__path__, "shop.core.")]
result = [found, importlib.import_module("shop.core.0001_initial").VALUE]
"""
    assert told(lock, cache, program) == [["shop.core.0001_initial", "shop.core.sub"], "shop.core.0001_initial"]


def test_resources_of_a_package_that_is_not_here(served: tuple[Lock, Origin], cache: Path) -> None:
    lock, origin = served
    program = """
from importlib.resources import as_file, files
with as_file(files("tool") / "data.txt") as place:
    kept = str(place).startswith(ours)
result = [files("tool").joinpath("data.txt").read_bytes().decode(), kept]
result += [type(files("shop")).__name__, sorted(each.name for each in files("shop").iterdir())]
"""
    assert told(lock, cache, program) == ["tool", True, "MultiplexedPath", ["core", "extra", "stock"]]
    assert whole(origin) == {"tool"}


def test_what_wheels_share_is_told_and_fetched_when_it_is_opened(served: tuple[Lock, Origin], cache: Path) -> None:
    lock, origin = served
    program = """
from importlib.resources import as_file, files
shop = files("shop")
result = [[each.name, each.is_dir(), each.is_file()] for each in shop.iterdir()]
result += [shop.joinpath("core/data.txt").is_file(), shop.joinpath("core/no.txt").is_file(), (shop / "no").exists()]
result += [sorted(each.name for each in (shop / "stock").iterdir()), (shop / "stock/data.txt").read_text()]
with as_file(shop / "stock" / "data.txt") as place:
    result.append(open(place).read())
"""
    said = told(lock, cache, program)
    assert sorted(said[:3]) == [[name, True, False] for name in ("core", "extra", "stock")]
    assert said[3:] == [True, False, False, ["data.txt"], "stock", "stock"]
    assert whole(origin) == {"shop_extra"}


def test_a_folder_of_data_is_here_once_it_is_imported(served: tuple[Lock, Origin], cache: Path) -> None:
    lock, origin = served
    program = """
import os, shop
from importlib.util import find_spec
(place,) = find_spec("shop.stock").submodule_search_locations
result = [os.path.exists(place)]
import shop.stock
result += [os.listdir(place), list(shop.stock.__path__) == [place], shop.stock.__file__]
"""
    assert told(lock, cache, program) == [False, ["data.txt"], True, None]
    assert whole(origin) == {"shop_extra"}


def pip() -> Wheel:
    """The `pip` that the interpreter brings along."""
    # Systems keep it beside the wheels of others.
    folder = sysconfig.get_config_var("WHEEL_PKG_DIR") or Path(ensurepip.__file__).parent / "_bundled"
    (path,) = Path(folder).glob("pip-*.whl")
    version = path.name.split("-")[1]
    with zipfile.ZipFile(path) as archive:
        metadata = archive.read(f"pip-{version}.dist-info/METADATA")
    return Wheel("pip", version, path.name, metadata, path.read_bytes())


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lock, Path]:
    """A lock with `pip` in it, and a cache that has been used: unpacking it takes the most time here."""
    folder = tmp_path_factory.mktemp("environment")
    lock, cache = Lock(folder / "project", [*packages(), pip()]), folder / "cache"
    run(lock, cache, "-c", "import pip")
    return lock, cache


def test_pip_tells_and_checks(environment: tuple[Lock, Path]) -> None:
    lock, cache = environment
    lines = [
        ["list", "--format=freeze"],
        ["check"],
        ["freeze", "--all"],
        ["show", "-f", "tool"],
        ["install", "--dry-run", "--no-index", "plain-one"],
    ]
    # In one process: a start of pip takes longer than what it does here.
    program = f"from pip._internal.cli.main import main\nfor line in {lines}: print('#', main(line), flush=True)"
    printed = run(lock, cache, "-c", program).stdout.split("# 0\n")
    listed, checked, frozen, shown, would = printed[:5]
    versions = [f"pip=={pip().version}", "Plain.One==1.5", "shop-core==1.0", "shop-extra==2.0", "tool==3.1"]
    assert printed[5:] == [""]
    assert listed.split() == versions
    assert checked == "No broken requirements found.\n"
    assert frozen.split() == versions
    assert re.findall(r"^  (\S+)$", shown, re.MULTILINE) == expected()["files"]
    assert would.count("Requirement already satisfied: ") == 2


def test_pip_installs_nothing_however_it_is_started(environment: tuple[Lock, Path]) -> None:
    lock, cache = environment
    code = "import runpy, sys; sys.argv[1:] = ['install', 'tool']; runpy.run_module('pip', run_name='__main__')"
    reason = "pip cannot install here: this environment follows from a lock"
    remedy = "run `magic-module lock` again, with tool among its names"
    for program in (("-m", "pip", "install", "tool"), ("-c", code), ("pip", "install", "tool")):
        ended = run(lock, cache, *program, status=1)
        assert (ended.stdout, ended.stderr) == ("", f"error: {reason}; {remedy}\n")


def test_pkg_resources_has_the_view_in_its_working_set(environment: tuple[Lock, Path]) -> None:
    lock, cache = environment
    program = """
import json, sys, warnings
warnings.simplefilter("ignore")
import pip._vendor.pkg_resources as it
names = {"plain-one", "shop-core", "tool"}
print(json.dumps([
    sorted(each.key for each in it.working_set if each.key in names),
    [each.key for each in it.require("plain-one")],
    [each.load()() for each in it.iter_entry_points("kit.plugins")],
    open(it.resource_filename("tool", "data.txt")).read(),
    len([entry for entry in it.working_set.entries if entry.endswith("site-packages")]),
]))
"""
    assert run(lock, cache, "-c", program).json == [
        ["plain-one", "shop-core", "tool"],
        ["plain-one", "shop-core"],
        [7],
        "tool",
        1,
    ]


def test_a_program_that_asks_for_none_of_it_loads_none_of_it(lock: Lock, cache: Path) -> None:
    told(lock, cache, "import tool\nresult = None")
    program = """
import tool, sys
result = [name for name in ("importlib.metadata", "magic_module._py.mended", "magic_module._py.installed")
    if name in sys.modules]
"""
    assert told(lock, cache, program) == []
