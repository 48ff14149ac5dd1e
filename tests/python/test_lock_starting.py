"""`.pth` files of wheels: nothing runs them but our start line, and it runs what was checked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kit.locks import Lock, python, run, whole
from kit.wheels import wheel
from magic_module._py import site_files
from origins import Origin

# As setuptools writes it for a package that is declared as a namespace.
NAMESPACE = (
    "import sys, types, os;p = os.path.join(sys._getframe(1).f_locals['sitedir'], *('old',));"
    "m = sys.modules.setdefault('old', types.ModuleType('old'));"
    "mp = m.__dict__.setdefault('__path__', []);(p not in mp) and mp.append(p)\n"
)

WHEELS = [
    wheel(
        "adds", "1", {"adds.pth": "# a folder\nadds_more/lib\nadds_more/gone\n", "adds_more/lib/added.py": "NAME = 1"}
    ),
    wheel(
        "fails",
        "1",
        {"a_fails.pth": "import os; os.environ['BEFORE'] = 'b'\nimport os; os.nowhere\nimport antigravity\n"},
    ),
    wheel("exits", "1", {"b_exits.pth": "import sys; sys.exit(3)\n"}),
    wheel("hook", "1", {"c_hook.pth": "\nimport hook; hook.started()\n", "hook.py": "def started(): print('hook')"}),
    wheel("old-one", "1", {"old_one-nspkg.pth": NAMESPACE, "old/one.py": "NAME = __name__"}),
    wheel("old-two", "1", {"old/two.py": "NAME = __name__"}),
    wheel("new", "1", {"new.start": "hook:started\n", "new.py": ""}),
    wheel("other", "1", {"other.py": ""}),
]

#: Files that name what to call are new in 3.15, and come after the lines of others.
CALLED = "hook\n" if sys.version_info >= (3, 15) else ""

REPORTED = (
    "magic-module: line 2 of a_fails.pth of fails failed: AttributeError: module 'os' has no attribute 'nowhere'; "
    "the rest of that file was not run\n"
    "magic-module: line 1 of b_exits.pth of exits wanted to exit; the rest of that file was not run\n"
)

PROGRAM = """
import os, subprocess, sys
import added, old.one, old.two
print(os.environ["BEFORE"], old.two.NAME, len(old.__path__), [os.path.basename(entry) for entry in sys.path][-2:])
print(sys.modules.keys() & {"antigravity", "other", "typing"}, flush=True)
if sys.argv[1:] != ["child"]:
    subprocess.run([sys.executable, __file__, "child"], check=True)
"""


def test_a_start_runs_what_wheels_say_and_no_failure_ends_it(tmp_path: Path, cache: Path) -> None:
    wheels = tmp_path / "project" / "wheels"
    wheels.mkdir(parents=True)
    with Origin(wheels) as origin:
        lock = Lock(tmp_path / "project", WHEELS, url=origin.url)
        program = lock.folder / "program.py"
        program.write_text(PROGRAM)
        out = f"hook\n{CALLED}b old.two 1 ['site-packages', 'lib']\nset()\n"
        ended = run(lock, cache, str(program))
        assert (ended.stdout, ended.stderr) == (out * 2, REPORTED * 2)
        assert whole(origin) == {"adds", "fails", "exits", "hook", "old_one", "old_two", "new"}
        ended = run(lock, cache, str(program), settings={"MAGIC_MODULE_OFFLINE": "1"})
        assert (ended.stdout, ended.stderr) == (out * 2, REPORTED * 2)
        assert origin.take() == []
    places = [path.name for path in (cache / "v1" / "views").glob("*/lib/python*/site-packages/*.pth")]
    assert places == ["magic_module.pth"]


@pytest.mark.once
def test_a_program_that_mounts_a_lock_runs_it_once(tmp_path: Path, cache: Path) -> None:
    lock = Lock(tmp_path / "project", WHEELS)
    program = f"""
import sys, magic_module as mm
for _ in range(2):
    with mm.mount_lock({str(lock.path)!r}) as mount:
        print(sys.path[-1].removeprefix(str(mount.view.parent))[65:].partition("site-packages")[2])
print(any(str(mount.view) in entry for entry in sys.path))
"""
    ended = python(cache, program)
    assert (ended.stdout, ended.stderr) == (f"hook\n{CALLED}/adds_more/lib\n/adds_more/lib\nFalse\n", REPORTED)


@pytest.mark.once
def test_what_is_not_what_the_wheel_was_said_to_have_is_not_run(tmp_path: Path, cache: Path) -> None:
    record = "liar.pth,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,26\nliar-1.dist-info/RECORD,,\n"
    liar = wheel("liar", "1", {"liar.pth": "import sys; print('liar')\n"}, record=record)
    lock = Lock(tmp_path / "project", [liar])
    ended = python(cache, f"import magic_module as mm; mm.mount_lock({str(lock.path)!r})", status=1)
    assert ended.stdout == ""
    assert "IntegrityError: " in ended.stderr and "liar.pth" in ended.stderr


@pytest.mark.once
def test_entry_points_are_called_where_python_calls_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = "# what\n\nsys:getrecursionlimit\nnowhere:at\n"
    files = [("x.pth", "import nowhere_at_all\n", "x"), ("x.start", lines, "x")]
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))
    site_files.run("/view", files[1:])
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys, "version_info", (3, 15, 0))
    site_files.run("/view", files)
    assert capsys.readouterr().err.startswith("magic-module: nowhere:at, which x.start names, of x failed: ")
