"""What is kept of a lock, and mended: its view, what is known of its wheels, the wheels that were fetched."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.interpreter import Interpreter, command_line
from kit.locks import Lock
from kit.process import Result
from kit.wheels import wheel
from origins import Origin


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Origin]:
    (tmp_path / "project" / "wheels").mkdir(parents=True)
    with Origin(tmp_path / "project" / "wheels") as origin:
        yield origin


@pytest.fixture
def lock(origin: Origin) -> Lock:
    wheels = [
        wheel("alpha", "1.0", {"alpha.py": "import beta\nVALUE = beta.VALUE + 1\n"}, requires=["beta"]),
        wheel("beta", "2.0", {"beta.py": "VALUE = 41\n"}),
        wheel("gamma", "3.0", {"gamma.py": "VALUE = 3\n"}),
    ]
    return Lock(origin.folder.parent, wheels, url=origin.url)


def mount(lock: Lock) -> str:
    return f"import magic_module as mm; mount = mm.mount_lock({str(lock.path)!r})\n"


def said(cache: Path, lock: Lock, *arguments: str) -> Result:
    settings = {"MAGIC_MODULE_LOCK": str(lock.path)}
    return command_line(*arguments, "--json", cache=cache, settings=settings)


def trees(cache: Path) -> list[Path]:
    return sorted(path for path in (cache / "v1" / "trees").iterdir() if path.is_dir())


def test_pruning_keeps_what_a_lock_in_use_needs(lock: Lock, origin: Origin, cache: Path) -> None:
    with Interpreter(cache) as python:
        assert python.do(mount(lock) + "import alpha; result = alpha.VALUE") == 42
    origin.take()
    assert said(cache, lock, "prune").status == 0
    origin.stop()
    with Interpreter(cache) as python:
        assert python.do(mount(lock) + "import alpha; result = alpha.VALUE") == 42
        assert python.do("import importlib.util as it; result = it.find_spec('gamma') is not None")
    origin.start()
    with Interpreter(cache) as python:
        assert python.do(mount(lock) + "import gamma; result = gamma.VALUE") == 3
    assert [request.path for request in origin.take()] == ["/gamma-3.0-py3-none-any.whl"]


def test_what_was_known_of_a_wheel_is_learnt_again(lock: Lock, cache: Path) -> None:
    """As after pruning by a version that knew nothing of locks."""
    with Interpreter(cache) as python:
        assert python.do(mount(lock) + "import alpha; result = alpha.VALUE") == 42
        shutil.rmtree(cache / "v1" / "wheels")
        assert python.do("import gamma; result = gamma.VALUE") == 3
    shutil.rmtree(cache / "v1" / "wheels", ignore_errors=True)
    with Interpreter(cache) as python:
        assert python.do(mount(lock) + "import alpha, gamma; result = alpha.VALUE + gamma.VALUE") == 45


def test_a_view_that_is_gone_is_made_anew(lock: Lock, cache: Path) -> None:
    with Interpreter(cache) as python:
        assert python.do(mount(lock) + "import alpha; result = alpha.VALUE") == 42
    (view,) = (path for path in (cache / "v1" / "views").iterdir() if path.is_dir())
    view.rename(cache / "gone")
    with Interpreter(cache) as python:
        assert python.do(mount(lock) + "import alpha; result = alpha.VALUE") == 42
        assert python.do("import gamma, os; result = os.path.isfile(gamma.__file__)") is True


def test_damage_is_mended_from_the_wheel_that_is_here(lock: Lock, origin: Origin, cache: Path) -> None:
    with Interpreter(cache) as python:
        python.do(mount(lock) + "import alpha")
    origin.stop()
    (file,) = (path for tree in trees(cache) for path in tree.rglob("beta.py"))
    file.chmod(0o644)
    file.write_text("VALUE = 'wrong'\n")
    ended = said(cache, lock, "verify")
    report = json.loads(ended.stdout)
    assert (ended.status, report["units"], len(report["problems"])) == (0, 2, 1), ended
    assert "beta.py is damaged" in report["problems"][0]
    assert file.read_text() == "VALUE = 41\n"
    shutil.rmtree(file.parents[3])
    with Interpreter(cache) as python:
        assert python.do(mount(lock) + "import alpha; result = alpha.VALUE") == 42


def age(cache: Path, days: int) -> Path:
    """Makes the one view look as if nobody had used it for that long."""
    (index,) = (cache / "v1" / "views").glob("*.index")
    past = time.time() - days * 24 * 60 * 60
    os.utime(index, (past, past))
    return index


@pytest.mark.once
def test_a_view_that_nobody_used_for_long_goes_with_all_that_only_it_needs(
    lock: Lock, origin: Origin, cache: Path
) -> None:
    with Interpreter(cache) as python:
        assert python.do(mount(lock) + "import alpha; result = alpha.VALUE") == 42
        # A process that uses its units holds it, however long ago it began.
        index = age(cache, 31)
        assert said(cache, lock, "prune").status == 0
        assert index.exists() and len(trees(cache)) == 2
    index = age(cache, 29)
    assert said(cache, lock, "prune").status == 0
    assert index.exists() and len(trees(cache)) == 2
    index = age(cache, 31)
    report = json.loads(command_line("prune", "--json", cache=cache).stdout)
    assert f"the view of {lock.path}" in report["removed"], report
    left = [path for folder in ("views", "trees", "mounts", "wheels") for path in (cache / "v1" / folder).iterdir()]
    assert left == []
    with Interpreter(cache) as python:
        assert python.do(mount(lock) + "import alpha; result = alpha.VALUE") == 42


@pytest.mark.once
def test_a_use_is_noted_once_a_day(lock: Lock, cache: Path) -> None:
    with Interpreter(cache) as python:
        python.do(mount(lock) + "import alpha")
    index = age(cache, 29)
    with Interpreter(cache) as python:
        assert python.do(mount(lock) + "import alpha; result = alpha.VALUE") == 42
    noted = index.stat().st_mtime_ns
    assert time.time() - noted / 1e9 < 24 * 60 * 60
    with Interpreter(cache) as python:
        python.do(mount(lock) + "import alpha")
    assert index.stat().st_mtime_ns == noted


@pytest.mark.once
def test_the_lock_of_a_script_goes_with_its_view(lock: Lock, cache: Path, tmp_path: Path) -> None:
    folder = cache / "v1" / "scripts" / ("0" * 64)
    folder.mkdir(parents=True)
    past = time.time() - 2 * 24 * 60 * 60
    os.utime(folder, (past, past))
    assert command_line("prune", cache=cache).status == 0
    assert not folder.exists()
