"""`coverage run` of what is downloaded meanwhile: reports have the paths that an installed package would have."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

from kit import locks
from kit.locks import Lock
from kit.process import Result
from kit.wheels import wheel
from kit.world import World

pytest.importorskip("coverage", reason="coverage is not installed")

UNITS = {
    "alpha/__init__.py": "",
    "alpha/part.py": "def half(number):\n    return number / 2\n\n\ndef unused():\n    return None\n",
}
FILES = {"pack/__init__.py": "from .core import add\n", "pack/core.py": "def add(a, b):\n    return a + b\n"}
PROGRAM = """
import magic_module
magic_module.mount_lock({lock!r})
from magic_module.alpha import part
import pack, solo
print(part.half(pack.add(solo.VALUE, 1)))
"""
SETTINGS = "[run]\nplugins = magic_module.integrations.coverage\n[html]\ndirectory = html\n"
PARTS = {"magic_module/alpha/__init__.py", "magic_module/alpha/part.py"}
PACKAGES = {"pack/__init__.py", "pack/core.py", "solo.py"}


@pytest.fixture
def lock(tmp_path: Path) -> Lock:
    return Lock(tmp_path / "project", [wheel("Pack", "1.0", FILES), wheel("solo", "1.0", {"solo.py": "VALUE = 3\n"})])


@pytest.fixture
def measured(world: World, lock: Lock) -> World:
    """A program that was measured with nothing in the cache; the server is gone when it is reported."""
    world.publish(UNITS)
    server = world.serve()
    (world.work / ".coveragerc").write_text(SETTINGS)
    (world.work / "program.py").write_text(PROGRAM.format(lock=str(lock.path)))
    said = coverage(world, "run", "program.py", url=server.manifest_url)
    assert said.stdout == "2.0\n"
    server.stop()
    return world


def coverage(world: World, *arguments: str, url: str | None = None, status: int = 0) -> Result:
    settings = {"MAGIC_MODULE_MANIFEST_URL": url}
    return world.run(None, args=["-m", "coverage", *arguments], env=settings, warnings=False, status=status)


def reported(world: World) -> dict[str, float]:
    """How much of each file of a unit was run, in percent."""
    coverage(world, "json", "-q")
    files = json.loads((world.work / "coverage.json").read_text())["files"]
    shown = {name.replace("\\", "/"): round(it["summary"]["percent_covered"]) for name, it in files.items()}
    return {name: covered for name, covered in shown.items() if name in PARTS | PACKAGES or "v1" in name}


def test_every_report_has_readable_paths(measured: World) -> None:
    assert reported(measured) == dict.fromkeys(PARTS | PACKAGES, 100) | {"magic_module/alpha/part.py": 75}
    text = coverage(measured, "report", "-m").stdout.replace("\\", "/")
    assert {line.split()[0] for line in text.splitlines() if line} >= PARTS | PACKAGES, text
    coverage(measured, "xml", "-q")
    xml = (measured.work / "coverage.xml").read_text()
    assert set(re.findall(r'filename="([^"]+)"', xml)) >= PARTS | PACKAGES, xml
    coverage(measured, "html", "-q")
    pages = "".join(page.read_text("utf-8") for page in (measured.work / "html").glob("z_*.html"))
    shown = html.unescape(re.sub("<[^>]+>", "", pages)).replace("\u2009", "")
    assert "Coverage for magic_module/alpha/part.py" in shown.replace("\\", "/") and "return number / 2" in shown


def test_units_are_measured_by_name(world: World, lock: Lock) -> None:
    """With all files of a package that was named, those that were not imported, too."""
    world.publish(UNITS)
    url = world.serve().manifest_url
    (world.work / ".coveragerc").write_text(SETTINGS)
    program = f"import magic_module\nmagic_module.mount_lock({str(lock.path)!r})\nimport magic_module.alpha, solo\n"
    (world.work / "program.py").write_text(program)
    coverage(world, "run", "--source=magic_module.alpha,solo", "program.py", url=url)
    found = reported(world)
    assert found == {"magic_module/alpha/__init__.py": 100, "magic_module/alpha/part.py": 0, "solo.py": 100}


def test_files_of_the_view_of_a_lock(tmp_path: Path, cache: Path, lock: Lock) -> None:
    from magic_module.integrations.coverage import installed_name

    program = "import pack.core as it, os; print(it.__file__); print(os.path.realpath(it.__file__))"
    paths = locks.run(lock, cache, "-c", program, here=tmp_path).stdout.split()
    assert [installed_name(path) for path in paths] == [str(Path("pack/core.py"))] * 2
    assert installed_name(str(tmp_path / "program.py")) is None
