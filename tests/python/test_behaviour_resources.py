"""Data of a package: by `__file__`, `importlib.resources`, `pkgutil`; listing; metadata."""

from __future__ import annotations

import ast
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.sources import Sources, write_tree
from kit.world import Acme, World

Make = Callable[..., Acme]

PACKAGE = {
    "data/__init__.py": "",
    "data/table.csv": "a,b\n1,2\n",
    "data/raw.bin": bytes(range(256)),
    "data/empty.txt": "",
    "data/deep/er/note.txt": "deep",
    "data/größe.txt": "ä",
    "data/sub/__init__.py": "",
    "data/sub/more.txt": "more",
    "loose.py": "from pathlib import Path\nTEXT = Path(__file__).with_suffix('.txt').read_text()\n",
    "loose.txt": "beside",
    "spread/a.txt": "in a namespace package",
    "spread/code.py": "",
}


def test_by_file(acme: Make) -> None:
    result = acme(PACKAGE).run(
        """
        import json, os
        import acme.data, acme.loose, acme.data.sub
        here = os.path.dirname(acme.data.__file__)
        with open(os.path.join(here, "table.csv")) as file:
            table = file.read()
        with open(os.path.join(here, "raw.bin"), "rb") as file:
            raw = file.read()
        print(json.dumps([table, raw == bytes(range(256)), acme.loose.TEXT,
            os.path.getsize(os.path.join(here, "empty.txt")),
            sorted(name for name in os.listdir(here) if name != "__pycache__"),
            os.path.dirname(acme.data.sub.__file__) == os.path.join(here, "sub")]))
        """
    )
    names = ["__init__.py", "deep", "empty.txt", "größe.txt", "raw.bin", "sub", "table.csv"]
    assert result.json == ["a,b\n1,2\n", True, "beside", 0, sorted(names), True]


def test_resources_files(acme: Make) -> None:
    result = acme(PACKAGE).run(
        """
        import json
        from importlib.resources import as_file, files
        root = files("acme.data")
        with as_file(root / "table.csv") as path:
            shown = path.read_text()
        with (root / "raw.bin").open("rb") as file:
            raw = file.read(3)
        print(json.dumps([shown, list(raw), (root / "deep" / "er" / "note.txt").read_text(),
            root.joinpath("deep/er/note.txt").is_file(), (root / "deep").is_dir(), (root / "nothing").is_file(),
            (root / "größe.txt").read_text(encoding="utf-8"), root.is_dir(), (root / "table.csv").name,
            sorted(entry.name for entry in root.iterdir() if entry.name != "__pycache__"),
            files("acme.data.sub").joinpath("more.txt").read_text(), (root / "empty.txt").read_bytes() == b""]))
        """
    )
    names = ["__init__.py", "deep", "empty.txt", "größe.txt", "raw.bin", "sub", "table.csv"]
    assert result.json == [
        "a,b\n1,2\n",
        [0, 1, 2],
        "deep",
        True,
        True,
        False,
        "ä",
        True,
        "table.csv",
        sorted(names),
        "more",
        True,
    ]


def test_resources_of_a_namespace_package(acme: Make) -> None:
    result = acme(PACKAGE).run(
        """
        from importlib.resources import files
        root = files("acme.spread")
        names = sorted(entry.name for entry in root.iterdir() if entry.name != "__pycache__")
        print((root / "a.txt").read_text(), names)
        """
    )
    assert result.stdout.strip() == "in a namespace package ['a.txt', 'code.py']"


def test_resource_reader(acme: Make) -> None:
    result = acme(PACKAGE).run(
        """
        import acme.data
        reader = acme.data.__spec__.loader.get_resource_reader("acme.data")
        with reader.open_resource("table.csv") as file:
            print(file.read())
        print(reader.is_resource("table.csv"), reader.is_resource("deep"), "raw.bin" in list(reader.contents()))
        print(reader.resource_path("table.csv").endswith("table.csv"))
        try:
            reader.open_resource("nothing")
        except FileNotFoundError:
            print("absent")
        """
    )
    assert result.stdout.split("\n")[:4] == [r"b'a,b\n1,2\n'", "True False True", "True", "absent"]


def test_resources_before_import(acme: Make) -> None:
    """`files` of a package by name imports it; its reader fetches what is missing."""
    result = acme(PACKAGE).run(
        """
        import importlib.util
        spec = importlib.util.find_spec("acme.data")
        print(spec.loader.get_resource_reader("acme.data").files().joinpath("table.csv").read_text().split())
        """
    )
    assert result.stdout.strip() == "['a,b', '1,2']"


def test_pkgutil_get_data(acme: Make) -> None:
    result = acme(PACKAGE).run(
        """
        import json, pkgutil
        def absent():
            try:
                pkgutil.get_data("acme.data", "nothing")
            except FileNotFoundError:
                return True
        print(json.dumps([pkgutil.get_data("acme.data", "table.csv").decode(),
            pkgutil.get_data("acme.data", "deep/er/note.txt").decode(), absent(),
            pkgutil.get_data("acme.data.sub", "more.txt").decode()]))
        """
    )
    assert result.json == ["a,b\n1,2\n", "deep", True, "more"]


LISTED = {
    "alpha.py": "raise RuntimeError('listing runs nothing')\n",
    "beta/__init__.py": "",
    "beta/inner/__init__.py": "",
    "beta/inner/leaf.py": "",
    "beta/side.py": "",
    "beta/data.txt": "",
    "room/gamma.py": "",
}


def test_iter_modules_downloads_nothing(acme: Make) -> None:
    made = acme(LISTED, own={"shipped.py": ""})
    result = made.run(
        """
        import json, pkgutil, sys
        import acme
        print(json.dumps([sorted([m.name, m.ispkg] for m in pkgutil.iter_modules(acme.__path__)),
            sorted([m.name, m.ispkg] for m in pkgutil.iter_modules(acme.__path__, "acme.")),
            [name for name in sys.modules if name.startswith("acme.")]]))
        """
    )
    names = [["alpha", False], ["beta", True], ["shipped", False]]
    assert result.json == [names, [[f"acme.{name}", package] for name, package in names], []]
    assert made.asked() == ["/manifest.json"]


def test_walk_packages(acme: Make) -> None:
    made = acme({name: text for name, text in LISTED.items() if name != "alpha.py"})
    result = made.run(
        """
        import json, pkgutil
        import acme
        print(json.dumps(sorted([m.name, m.ispkg] for m in pkgutil.walk_packages(acme.__path__, "acme."))))
        """
    )
    assert result.json == [
        ["acme.beta", True],
        ["acme.beta.inner", True],
        ["acme.beta.inner.leaf", False],
        ["acme.beta.side", False],
    ]


def test_listing_below_a_unit_that_is_not_downloaded(acme: Make) -> None:
    made = acme(LISTED)
    result = made.run(
        """
        import importlib.util, pkgutil
        spec = importlib.util.find_spec("acme.beta")
        print(sorted((m.name, m.ispkg) for m in pkgutil.iter_modules(spec.submodule_search_locations)))
        """
    )
    assert result.stdout.strip() == "[('inner', True), ('side', False)]"
    assert made.asked() == ["/manifest.json"]


DISTRIBUTION: Sources = {
    "thing/__init__.py": "",
    "thing/cli.py": "def main():\n    return 'ran'\n",
    "thing-1.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: thing\nVersion: 1.2\nSummary: A thing\n",
    "thing-1.2.dist-info/RECORD": "thing/__init__.py,,\nthing/cli.py,,\nthing-1.2.dist-info/METADATA,,\n"
    "thing-1.2.dist-info/RECORD,,\nthing-1.2.dist-info/entry_points.txt,,\nthing-1.2.dist-info/top_level.txt,,\n",
    "thing-1.2.dist-info/top_level.txt": "thing\n",
    "thing-1.2.dist-info/entry_points.txt": "[acme.plugins]\nrun = thing.cli:main\n",
}


def test_metadata(acme: Make) -> None:
    result = acme(DISTRIBUTION, namespace="").run(
        """
        import json
        import thing
        from importlib import metadata
        distribution = metadata.distribution("thing")
        (point,) = [point for point in metadata.entry_points(group="acme.plugins")]
        print(json.dumps([metadata.version("thing"), metadata.metadata("Thing")["Summary"], point.load()(),
            "thing" in metadata.packages_distributions()
            if hasattr(metadata, "packages_distributions") else True,
            [str(file) for file in distribution.files][:1],
            str(distribution.locate_file("thing/cli.py")) == thing.__file__.replace("__init__", "cli"),
            len([found for found in metadata.distributions() if found.metadata["Name"] == "thing"])]))
        """,
        warnings=False,
    )
    assert result.json == ["1.2", "A thing", "ran", True, ["thing/__init__.py"], True, 1]


def test_metadata_of_what_is_not_there(acme: Make) -> None:
    result = acme(DISTRIBUTION, namespace="").run(
        """
        from importlib import metadata
        try:
            metadata.version("nothing-of-the-kind")
        except metadata.PackageNotFoundError as error:
            print(error.name)
        """
    )
    assert result.stdout.strip() == "nothing-of-the-kind"


OTHER_TESTS = tuple(f"cpython/{name}/" for name in ("builtin", "extension", "frozen", "import_", "source"))


def cpython_tests() -> tuple[Sources, list[str]]:
    """The interpreter's own resource tests with their data, as one package `cpython`.

    Those of 3.15 use `importlib.abc` without importing it: whoever runs them does.
    """
    folder = Path(sysconfig.get_path("stdlib")) / "test" / "test_importlib"
    names = ["compatibilty_files", "contents", "files", "open", "path", "read", "reader", "resource"]
    root = folder / "resources"
    if not (root / "test_files.py").is_file():
        root = folder
    if not (root / "test_files.py").is_file():
        pytest.skip("this interpreter was installed without its tests (test/test_importlib)")
    units: dict[str, str | bytes] = {}
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        tests = parts[0].startswith("test_") and parts[0][5:-3] not in names
        if path.is_file() and "__pycache__" not in parts and not tests:
            units["cpython/" + "/".join(parts)] = path.read_bytes().replace(b"'test.test_importlib.", b"'cpython.")
    tests = [f"cpython.test_{name}" for name in names if f"cpython/test_{name}.py" in units]
    if root == folder:
        units = {path: data for path, data in units.items() if not path.startswith(OTHER_TESTS)}
    else:
        units = {path: data.replace(b"'cpython.resources.", b"'cpython.") for path, data in units.items()}
    return units, tests


@pytest.mark.slow
def test_cpythons_own_resource_tests(acme: Make) -> None:
    units, tests = cpython_tests()
    made = acme(units, namespace="")
    script = f"""
        import sys, importlib.abc, unittest
        suite = unittest.defaultTestLoader.loadTestsFromNames({tests!r})
        result = unittest.TextTestRunner(stream=sys.stderr).run(suite)
        print(result.testsRun, len(result.failures), len(result.errors), len(result.skipped))
        print(sys.modules["cpython"].__file__)
        """
    result = made.run(script, warnings=False)
    counts, file = result.stdout.strip().splitlines()
    total, failures, errors, _ = map(int, counts.split())
    assert (failures, errors) == (0, 0), result.stderr
    assert total > 50
    assert file.startswith(str(made.world.cache if made.server else made.folder))


def flat(prefix: str, tree: dict[str, Any]) -> Iterator[tuple[str, str | bytes]]:
    for name, content in tree.items():
        if isinstance(content, dict):
            yield from flat(f"{prefix}{name}/", content)
        else:
            yield f"{prefix}{name}", content


SERVED_FIXTURES = """
    import importlib.abc, os, sys, unittest
    import cpython.util as util

    stock = util.DiskSetup.tree_on_path
    used = set()

    def tree_on_path(self, spec):
        if all(spec[name] == util.fixtures.get(name) for name in spec):
            used.update(spec)
            if "FIXTURES" in os.environ:
                sys.path.append(os.environ["FIXTURES"])
                self.addCleanup(sys.path.remove, os.environ["FIXTURES"])
        else:
            stock(self, spec)

    util.DiskSetup.tree_on_path = tree_on_path
    suite = unittest.defaultTestLoader.loadTestsFromNames(TESTS)
    result = unittest.TextTestRunner(stream=sys.stderr).run(suite)
    print(result.testsRun, len(result.failures), len(result.errors), sorted(used))
    """


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info < (3, 13), reason="older interpreters have their fixtures as folders")
def test_cpythons_resource_tests_with_fixtures_as_units(acme: Make, world: World, how: str, tmp_path: Path) -> None:
    """Since 3.13 the tests write their packages to temporary folders; here they are units instead."""
    units, tests = cpython_tests()
    plain = write_tree(tmp_path / "plain", units)
    shown = world.run(
        "import importlib.abc; from cpython.util import fixtures; print(repr(fixtures))",
        env={"PYTHONPATH": str(plain)},
        warnings=False,
    )
    fixtures = dict(flat("", ast.literal_eval(shown.stdout)))
    made = acme({**units, **(fixtures if how == "hook" else {})}, namespace="")
    env = {"FIXTURES": str(write_tree(tmp_path / "fixtures", fixtures))} if how == "installed" else {}
    result = made.run(SERVED_FIXTURES.replace("TESTS", repr(tests)), warnings=False, flags=["-B"], env=env)
    total, failures, errors, used = result.stdout.strip().split(" ", 3)
    assert (failures, errors) == ("0", "0"), result.stderr
    assert int(total) > 50 and used == "['data01', 'data02', 'namespacedata01']"


def test_unpacking_to_another_place(acme: Make, tmp_path: Path) -> None:
    """A copy of a package's folder is an ordinary package."""
    made = acme(PACKAGE)
    made.run("import acme.data.sub")
    made.run(
        f"""
        import os, shutil, acme.data
        shutil.rmtree({str(tmp_path / "copy")!r}, ignore_errors=True)
        shutil.copytree(os.path.dirname(acme.data.__file__), {str(tmp_path / "copy" / "data")!r})
        """
    )
    shutil.rmtree(made.world.cache, ignore_errors=True)
    result = made.world.run(
        "import data.sub, pkgutil; print(pkgutil.get_data('data', 'table.csv'))",
        env={"PYTHONPATH": str(tmp_path / "copy")},
    )
    assert result.stdout.strip() == r"b'a,b\n1,2\n'"
