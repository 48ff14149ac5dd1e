"""CPython's own tests, run against its own modules as they come through the hook."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.interpreter import PATIENCE, command_line, environment
from origins import Origin

LIBRARY = Path(sysconfig.get_path("stdlib"))
#: The units that are served, and the tests that must pass against them.
UNITS = ("json", "email", "tomllib", "xml")
TESTS = {
    "json": "test.test_json",
    "email": "test.test_email",
    "tomllib": "test.test_tomllib",
    "xml": "test.test_minidom",
}

MOUNT = """
import magic_module
magic_module.mount("", {url!r}, first=True)
"""

PROGRAM = """
import importlib, sys, unittest
module = importlib.import_module({unit!r})
assert module.__file__.startswith({cache!r}), module.__file__
suite = unittest.defaultTestLoader.loadTestsFromName({test!r})
ran = unittest.TextTestRunner(verbosity=0).run(suite)
ours = [module for name, module in sys.modules.items() if name.partition(".")[0] == {unit!r}]
strangers = [module for module in ours if not (getattr(module, "__file__", None) or {cache!r}).startswith({cache!r})]
assert strangers == [], strangers
print("ran", ran.testsRun)
sys.exit(not ran.wasSuccessful())
"""


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    """Serves the standard library's modules as top-level units."""
    root = tmp_path_factory.mktemp("library")
    (root / "source").mkdir()
    for unit in UNITS:
        if (LIBRARY / unit).is_dir():
            shutil.copytree(LIBRARY / unit, root / "source" / unit, ignore=shutil.ignore_patterns("__pycache__"))
    ended = command_line("publish", str(root / "source"), str(root / "site"), "--namespace", "", cache=root / "unused")
    assert ended.status == 0, ended.stderr
    with Origin(root / "site") as origin:
        yield origin


@pytest.mark.slow
@pytest.mark.parametrize("how", ["installed", "cold and warm"])
@pytest.mark.parametrize("unit", UNITS)
def test_their_own_tests(unit: str, how: str, origin: Origin, tmp_path: Path) -> None:
    if not (LIBRARY / unit).is_dir():
        pytest.skip(f"this interpreter has no {unit}")
    if importlib.util.find_spec(TESTS[unit]) is None:
        pytest.skip(f"this interpreter comes without {TESTS[unit]}")
    cache = tmp_path / "cache"
    if how == "installed":
        program = PROGRAM.format(unit=unit, cache=str(LIBRARY), test=TESTS[unit])
    else:
        program = (MOUNT + PROGRAM).format(url=origin.manifest_url, unit=unit, cache=str(cache), test=TESTS[unit])
    for _ in range(1 if how == "installed" else 2):
        ended = subprocess.run(
            [sys.executable, "-c", program],
            env=environment(cache, None),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=5 * PATIENCE,
        )
        assert ended.returncode == 0, ended.stderr[-4000:]
        assert int(ended.stdout.split()[-1]) > 10, "the tests were found"
