"""Ahead of time: fetching all, or what a script uses; keeping nothing else; and a lock for a whole environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import magic_module
from kit.interpreter import command_line
from kit.locks import Lock
from kit.process import Result, environment
from kit.wheels import native_tag, wheel
from origins import Origin

pytestmark = pytest.mark.once


def say(lock: Lock | None, cache: Path, *arguments: str, status: int = 0) -> Result:
    named = () if lock is None else ("--lock", str(lock.path))
    ended = command_line(*arguments, *named, cache=cache)
    assert ended.status == status, ended
    return ended


def downloaded(origin: Origin) -> set[str]:
    """The wheels that were fetched whole."""
    taken = [request for request in origin.take() if "range" not in request.headers]
    return {request.path.strip("/").partition("-")[0] for request in taken}


def cached(lock: Lock, cache: Path) -> set[str]:
    return {unit["name"] for unit in say(lock, cache, "list", "--json").json["modules"] if unit["cached"]}


def test_all_of_a_lock_is_fetched(served: tuple[Lock, Origin], cache: Path) -> None:
    lock, origin = served
    told = say(lock, cache, "fetch", "--all", "--json").json
    assert set(told["names"]) == set(lock.wheels)
    assert cached(lock, cache) == set(lock.wheels)
    downloaded(origin)
    again = say(lock, cache, "fetch", "--all", "--json").json
    assert (again["bytes"], downloaded(origin)) == (0, set())


def test_what_a_script_uses_is_fetched_and_nothing_else_kept(
    served: tuple[Lock, Origin], cache: Path, tmp_path: Path
) -> None:
    lock, origin = served
    script = tmp_path / "report.py"
    script.write_text("import alpha\nprint('said by the script')\n")
    told = say(lock, cache, "fetch", "--trace-of", str(script), "--json").json
    assert told["names"] == ["Beta", "alpha"]
    assert cached(lock, cache) == {"alpha", "Beta"}
    trace = tmp_path / "trace"
    origin.stop()
    ended = command_line("run", "--lock", str(lock.path), "--trace-to", str(trace), str(script), cache=cache)
    assert ended.stdout == "said by the script\n", ended
    origin.start()
    say(lock, cache, "fetch", "--all")
    say(lock, cache, "prune", "--keep-trace", str(trace))
    # What `alpha` requires stays, although a warm run does not name it.
    assert cached(lock, cache) == {"alpha", "Beta"}
    origin.stop()
    ended = command_line("run", "--lock", str(lock.path), str(script), cache=cache)
    assert ended.stdout == "said by the script\n", ended


def test_a_script_that_fails_and_a_trace_that_is_none(lock: Lock, cache: Path, tmp_path: Path) -> None:
    script = tmp_path / "report.py"
    script.write_text("import alpha\nraise SystemExit(3)\n")
    ended = say(lock, cache, "fetch", "--trace-of", str(script), status=1)
    assert "report.py ended with status 3: what it uses after that is not known; correct it, or" in ended.stderr
    script.write_text("alpha 1.0 1 KB somewhere\n")
    ended = say(lock, cache, "prune", "--keep-trace", str(script), status=1)
    assert "is not a complete trace; make it again: magic-module run --trace-to FILE SCRIPT" in ended.stderr
    more = '\nnot needed; to leave it out, write into the lock:\n\n[tool.magic-module.optional]\nother = "deny"\n'
    script.write_text(f"nobody 1.0 1 KB somewhere\n1 package used, 1 downloaded: 1 KB\n{more}")
    ended = say(lock, cache, "prune", "--keep-trace", str(script), status=1)
    assert "no package of the lock is called nobody; give the lock that the trace was made with" in ended.stderr
    ended = say(lock, cache, "fetch", status=2)
    assert "name what to fetch, or give --all" in ended.stderr


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A virtual environment that has magic_module, with its start line."""
    folder = tmp_path / "venv"
    venv.create(folder, with_pip=False)
    return furnished(folder)


def furnished(folder: Path) -> Path:
    (site,) = folder.glob("lib/python*/site-packages")
    package = Path(magic_module.__file__).parent
    others = [path for path in sys.path if path.endswith("site-packages")]
    (site / "A.pth").write_text("\n".join([str(package.parent), *others]) + "\n")
    (site / "magic_module.pth").write_text((package.parent / "magic_module.pth").read_text())
    return folder


def in_place(place: Path, cache: Path, code: str, *flags: str, **settings: str) -> str:
    """What a program of the environment prints, or the last line of why it fails."""
    line = [place / "bin" / "python", *flags, "-c", code]
    ended = subprocess.run(line, env=environment(place, cache, settings), capture_output=True, text=True, check=False)
    return ended.stdout.strip() or ended.stderr.strip().splitlines()[-1]


def test_an_environment_has_a_lock_until_it_has_it_no_more(lock: Lock, cache: Path, place: Path) -> None:
    before = sorted(place.rglob("*"))
    missing = "ModuleNotFoundError: No module named 'alpha'"
    code = "import alpha; print(alpha.__file__)"
    assert in_place(place, cache, code) == missing
    told = say(lock, cache, "activate", str(place), "--json").json
    assert told["lock"] == str(lock.path)
    assert in_place(place, cache, code).startswith(str(cache / "v1" / "views"))
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import beta; print(beta.__name__)'])"
    assert in_place(place, cache, child) == "beta"
    assert in_place(place, cache, code, "-E") == missing
    assert in_place(place, cache, code, MAGIC_MODULE_START="0") == missing
    assert say(None, cache, "deactivate", str(place), "--json").json["changed"] is True
    assert in_place(place, cache, code) == missing
    assert sorted(path for path in place.rglob("*") if "__pycache__" not in path.parts) == before
    assert say(None, cache, "deactivate", str(place), "--json").json["changed"] is False


def test_what_cannot_be_activated(lock: Lock, cache: Path, place: Path, tmp_path: Path) -> None:
    ended = say(lock, cache, "activate", str(tmp_path), status=1)
    assert f"{tmp_path} is not a virtual environment; make one: python -m venv" in ended.stderr
    text = lock.path.read_text()
    lock.path.write_text(text.replace("lock-version", "requires-python = '<3.9'\nlock-version", 1))
    ended = say(lock, cache, "activate", str(place), status=1)
    assert f"{lock.path} cannot be mounted in {place}: " in ended.stderr and "<3.9" in ended.stderr
    lock.path.write_text(text)
    (site,) = place.glob("lib/python*/site-packages")
    (site / "A.pth").unlink()
    (site / "magic_module.pth").unlink()
    ended = say(lock, cache, "activate", str(place), status=1)
    assert f"{place} does not have magic_module; install it: {place / 'bin' / 'python'} -m pip" in ended.stderr
    assert not list(place.rglob("_magic_module_lock*"))


def test_an_environment_of_another_python(cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    for minor in range(10, 16):
        program = f"python3.{minor}"
        made = [program, "-m", "venv", "--without-pip", str(folder)]
        if minor != sys.version_info.minor and shutil.which(program) is not None:
            if subprocess.run(made, capture_output=True, check=False).returncode == 0:
                break
    else:
        pytest.skip("NOT TESTED: no other Python with venv is on the path")
    lock = Lock(tmp_path / "project", [wheel("alpha", "1", {"alpha.py": ""}, tag=native_tag())])
    ended = say(lock, cache, "activate", str(furnished(folder)), status=1)
    assert f"{lock.path} cannot be mounted in {folder}: " in ended.stderr and "alpha" in ended.stderr
    assert f"; make a lock for Python 3.{minor}." in ended.stderr
    assert not list(folder.rglob("_magic_module_lock*"))
