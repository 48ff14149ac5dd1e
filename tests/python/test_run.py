"""`magic-module run`, and what its children and those of any program see of a lock."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit import process
from kit.interpreter import environment
from kit.locks import Lock, packages, python, run
from kit.package_index import PackageIndex
from kit.resolvers import UV, with_uv
from kit.wheels import wheel
from origins import Origin


def test_run_is_the_program_in_an_environment_of_its_own(lock: Lock, cache: Path, tmp_path: Path) -> None:
    script = tmp_path / "report.py"
    script.write_text(
        "import alpha, sys\nprint(alpha.VALUE, sys.argv[1:], sys.prefix != sys.base_prefix, __name__)\nsys.exit(3)"
    )
    ended = run(lock, cache, "report.py", "--lock", "x", "-m", status=3)
    assert (ended.stdout, ended.stderr) == ("42 ['--lock', 'x', '-m'] True __main__\n", "")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no shell scripts")
def test_a_script_that_is_not_python(tmp_path: Path, cache: Path) -> None:
    shouting = wheel("shout", "1", {"shout.py": ""}, data={"scripts/shout": "#!/bin/sh\necho shout $1\nexit 4\n"})
    assert run(Lock(tmp_path / "project", [shouting]), cache, "shout", "a", status=4).stdout == "shout a\n"


@pytest.mark.parametrize(
    ("program", "printed", "status"),
    [
        (("-c", "import alpha, sys; print(alpha.VALUE, sys.argv)", "a"), "42 ['-c', 'a']\n", 0),
        (("-m", "beta"), "", 0),
        (("tool", "a", "-b"), "tool a -b\n", 7),
        (("raw", "a"), "raw a\n", 0),
    ],
)
def test_run_takes_modules_code_and_scripts(
    lock: Lock, cache: Path, program: tuple[str, ...], printed: str, status: int
) -> None:
    ended = run(lock, cache, *program, status=status)
    assert (ended.stdout, ended.stderr) == (printed, "")


@pytest.mark.parametrize("arguments", [(), ("-m",), ("-c",)])
def test_run_without_a_program_is_wrong_usage(lock: Lock, cache: Path, arguments: tuple[str, ...]) -> None:
    assert "nothing to run" in run(lock, cache, *arguments, status=2).stderr


def test_run_finds_its_lock(lock: Lock, cache: Path, tmp_path: Path) -> None:
    inside = lock.folder / "inside"
    inside.mkdir()
    code = ("-c", "import beta; print(beta.VALUE)")
    assert run(None, cache, *code, here=inside).stdout == "41\n"
    assert run(None, cache, *code, settings={"MAGIC_MODULE_LOCK": str(lock.path)}).stdout == "41\n"
    assert "there is no pylock.toml here or above" in run(None, cache, *code, status=2).stderr
    (inside / "job.py").write_text("import beta; print(beta.VALUE)")
    lock.path.rename(inside / "pylock.job.toml")
    (lock.folder / "wheels").rename(inside / "wheels")
    assert run(None, cache, str(inside / "job.py")).stdout == "41\n"


def test_what_is_neither_a_file_nor_a_script_is_named(lock: Lock, cache: Path) -> None:
    assert run(lock, cache, "nowhere", status=1).stderr == (
        "magic-module: nowhere is neither a file nor a script of the lock; "
        "check the path; a console script must be one of the lock's packages\n"
    )


def test_children_see_the_same_environment(lock: Lock, cache: Path, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        """
import multiprocessing, shutil, subprocess, sys

def value(number):
    import alpha
    return alpha.VALUE + number

if __name__ == "__main__":
    code = "import alpha; print(alpha.VALUE)"
    for python in (sys.executable, "python"):
        print(subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip())
    print(subprocess.run(["tool", "x"], capture_output=True, text=True).stdout.strip(), shutil.which("raw") is not None)
    for method in ("spawn", "fork"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            print(pool.map(value, [0, 1]))
"""
    )
    assert run(lock, cache, "parent.py").stdout == "42\n42\ntool x True\n[42, 43]\n[42, 43]\n"


def test_spawned_children_have_what_their_parent_mounted(lock: Lock, cache: Path, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        f"""
import multiprocessing

def value(_):
    import alpha
    return alpha.VALUE

if __name__ == "__main__":
    import magic_module
    magic_module.mount_lock({str(lock.path)!r})
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(value, [0]))
"""
    )
    assert python(cache, f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')").stdout == "[42]\n"


def has_start_line() -> bool:
    line = Path(sysconfig.get_path("purelib"), "magic_module.pth")
    return line.is_file() and "_py.start" in line.read_text()


installed = pytest.mark.skipif(
    not has_start_line(), reason="the wheel is not installed: an editable install has no start line"
)


@installed
def test_the_environment_mounts_when_an_interpreter_starts(lock: Lock, cache: Path) -> None:
    program = "import importlib.util; print(importlib.util.find_spec('alpha') is not None)"
    one = {"MAGIC_MODULE_LOCK": str(lock.path)}
    many = {"MAGIC_MODULE_MOUNTS": json.dumps([{"lock": str(lock.path)}])}
    assert python(cache, program).stdout == "False\n"
    assert python(cache, program, one).stdout == "True\n"
    assert python(cache, program, many).stdout == "True\n"
    assert python(cache, program, {**one, "MAGIC_MODULE_START": "0"}).stdout == "False\n"


UNREADABLE = (
    "magic-module: cannot read the lock /nowhere: failed to open file `/nowhere`: "
    "No such file or directory (os error 2); make one: magic-module lock NAME -o pylock.toml\n"
)


def view_of(lock: Lock, cache: Path) -> Path:
    """Where the lock's own interpreter is, which has the start line wherever these tests run."""
    return Path(
        python(cache, f"import magic_module as mm; print(mm.mount_lock({str(lock.path)!r}).view)").stdout.strip()
    )


def start(view: Path, cache: Path, *arguments: str, status: int | None = 0, **settings: str) -> process.Result:
    return process.run([str(view / "bin/python"), *arguments], environment(cache, None, settings), cache.parent, status)


def test_the_start_line_prints_nothing_and_can_be_turned_off(lock: Lock, cache: Path) -> None:
    view, named = view_of(lock, cache), {"MAGIC_MODULE_LOCK": str(lock.path)}
    program = (
        "-c",
        "import sys, importlib.util; print('magic_module' in sys.modules, importlib.util.find_spec('alpha'))",
    )
    quiet = start(view, cache, "-c", "pass", **named)
    assert (quiet.stdout, quiet.stderr) == ("", "")
    assert start(view, cache, *program, **named).stdout.startswith("True ModuleSpec(")
    for flags, settings in (
        (["-E"], {}),
        (["-I"], {}),
        ([], {"MAGIC_MODULE_START": "0"}),
        ([], {"MAGIC_MODULE_LOCK": ""}),
    ):
        assert start(view, cache, *flags, *program, **(named | settings)).stdout == "False None\n"


def test_a_lock_that_cannot_be_mounted_at_the_start_is_one_sentence(lock: Lock, cache: Path) -> None:
    view = view_of(lock, cache)
    mounts = json.dumps([{"lock": str(lock.path)}])
    went = start(
        view, cache, "-c", "import beta; print(beta.VALUE)", MAGIC_MODULE_LOCK="/nowhere", MAGIC_MODULE_MOUNTS=mounts
    )
    assert went.stdout == "41\n"
    assert went.stderr == UNREADABLE


def test_a_mount_that_is_exported_is_seen_by_every_child_until_it_is_closed(lock: Lock, cache: Path) -> None:
    program = f"""
import magic_module as mm, os, subprocess
def child(name):
    line = [str(mount.view / "bin/python"), "-c", f"import {{name}}; print({{name}}.__name__)"]
    return subprocess.run(line, capture_output=True, text=True).stdout
for _ in range(2):
    mount = mm.mount_lock({str(lock.path)!r}, export=True)
print(os.environ["MAGIC_MODULE_MOUNTS"].count("pylock.toml"), child("beta").strip())
other = mm.mount("acme", "https://example.com/manifest.json", export=True)
print(os.environ["MAGIC_MODULE_MOUNTS"].count("namespace"))
mount.close()
print(os.environ["MAGIC_MODULE_MOUNTS"])
print(repr(child("tool")))
other.close()
print("MAGIC_MODULE_MOUNTS" in os.environ)
"""
    rest = '[{"namespace":"acme","manifest_url":"https://example.com/manifest.json"}]'
    assert python(cache, program).stdout == f"1 beta\n2\n{rest}\n''\nFalse\n"


def test_what_is_exported_are_the_settings_and_every_mount(lock: Lock, cache: Path, tmp_path: Path) -> None:
    program = f"""
import json, magic_module as mm
mm.mount_lock({str(lock.path)!r}, extras=["web"])
mm.mount_lock({str(lock.path)!r})
mm.mount("acme", "https://example.com/manifest.json", pins={{"alpha": "1"}})
print(json.dumps(mm.export_environment()))
"""
    lock.path.write_text(lock.path.read_text().replace('created-by = "kit"', 'created-by = "kit"\nextras = ["web"]'))
    inherited = {"namespace": "other", "manifest_url": "https://example.com/other.json"}
    named = {"MAGIC_MODULE_LOCK": "project/pylock.toml", "MAGIC_MODULE_MOUNTS": json.dumps([inherited])}
    secret = {"MAGIC_MODULE_KEY_PASSWORD": "pw", "MAGIC_MODULE_MANIFEST_URL": "https://me:pw@example.com/manifest.json"}
    exported = python(cache, program, named | secret | {"MAGIC_MODULE_OFFLINE": "0"}).json
    assert json.loads(exported.pop("MAGIC_MODULE_MOUNTS")) == [
        inherited,
        {"namespace": "", "lock": str(lock.path), "extras": ["web"]},
        {"namespace": "acme", "manifest_url": "https://example.com/manifest.json", "pins": {"alpha": "1"}},
    ]
    assert exported == {
        "MAGIC_MODULE_CACHE_DIR": str(cache),
        "MAGIC_MODULE_LOCK": str(lock.path),
        "MAGIC_MODULE_MANIFEST_URL": "https://example.com/manifest.json",
        "MAGIC_MODULE_OFFLINE": "0",
        "MAGIC_MODULE_PROGRESS": "off",
    }


def test_a_mount_of_a_lock_shows_its_file(lock: Lock, cache: Path) -> None:
    program = f"import magic_module as mm; mount = mm.mount_lock({str(lock.path)!r}); print(mount, mount.manifest_url)"
    assert python(cache, program).stdout == f'Mount("", lock "{lock.path}") file://{lock.path}\n'


SCRIPT = """\
# /// script
# dependencies = ["alpha"]
# ///
import alpha, sys
print(alpha.VALUE, len(sys.argv))
"""


@pytest.fixture
def index(tmp_path: Path) -> Iterator[PackageIndex]:
    made = PackageIndex(tmp_path / "index").add(*packages())
    yield made
    made.close()


def resolving(index: PackageIndex, tmp_path: Path) -> dict[str, str]:
    return {"UV": UV or "", "UV_DEFAULT_INDEX": index.url, "UV_CACHE_DIR": str(tmp_path / "uv")}


@with_uv
def test_a_script_that_says_what_it_requires_is_resolved_once(index: PackageIndex, cache: Path, tmp_path: Path) -> None:
    script = tmp_path / "report.py"
    script.write_text(SCRIPT)
    settings = resolving(index, tmp_path)
    offline = {"MAGIC_MODULE_OFFLINE": "1"}
    assert run(None, cache, "report.py", settings=settings | offline, status=1).stderr == (
        "magic-module: what report.py requires was not resolved yet, and MAGIC_MODULE_OFFLINE forbids asking an index; "
        "unset MAGIC_MODULE_OFFLINE once\n"
    )
    assert run(None, cache, "report.py", "a", settings=settings).stdout == "42 2\n"
    index.server.take()
    # Neither the code nor the name matters, what is kept is not pruned, and nobody is asked.
    process.run([sys.executable, "-m", "magic_module", "prune"], environment(cache, None), tmp_path)
    other = tmp_path / "other"
    other.write_text(SCRIPT.replace("alpha.VALUE", "alpha.VALUE + 1"))
    assert run(None, cache, "other", settings=settings | offline).stdout == "43 1\n"
    assert index.server.take() == []
    other.write_text(SCRIPT.replace('"alpha"', '"alpha", "tool"'))
    assert "was not resolved yet" in run(None, cache, "other", settings=settings | offline, status=1).stderr
    assert not list(tmp_path.glob("pylock*"))


@with_uv
def test_the_lock_beside_a_script_counts_and_one_that_is_older_than_its_metadata_is_told(
    index: PackageIndex, cache: Path, tmp_path: Path
) -> None:
    script = tmp_path / "report.py"
    script.write_text(SCRIPT)
    settings = resolving(index, tmp_path)
    line = [sys.executable, "-m", "magic_module", "lock", "--script", "report.py"]
    process.run(line, environment(cache, None, settings), tmp_path)
    went = run(None, cache, "report.py")
    assert (went.stdout, went.stderr) == ("42 1\n", "")
    script.write_text(SCRIPT.replace('["alpha"]', '["alpha", "tool"]'))
    went = run(None, cache, "report.py")
    assert went.stdout == "42 1\n"
    assert went.stderr == (
        "magic-module: pylock.report.toml was made before the metadata of report.py changed; "
        "make it again: magic-module lock --script report.py\n"
    )


def test_a_lock_that_is_named_comes_before_what_a_script_says(lock: Lock, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "report.py").write_text(SCRIPT)
    # Without a resolver, nothing else could be taken.
    nobody = {"UV": "/nowhere", "PATH": "/nowhere"}
    assert run(lock, cache, "report.py", settings=nobody).stdout == "42 1\n"
    assert run(None, cache, "report.py", settings=nobody | {"MAGIC_MODULE_LOCK": str(lock.path)}).stdout == "42 1\n"


def test_several_blocks_of_metadata_are_refused(lock: Lock, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "report.py").write_text(SCRIPT + SCRIPT)
    assert "several blocks of metadata" in run(None, cache, "report.py", status=1).stderr


TRACED = """\
import alpha
import subprocess, sys
def later():
    import importlib
    return importlib.import_module("tool")
later()
subprocess.run([sys.executable, "-c", "import space.one"])
"""


def test_a_trace_tells_who_pulled_what(served: tuple[Lock, Origin], cache: Path, tmp_path: Path) -> None:
    lock, _ = served
    (tmp_path / "report.py").write_text(TRACED)
    sizes = {name: len(wheel.data) for name, wheel in lock.wheels.items()}
    went = run(lock, cache, "--trace", "report.py")
    assert went.stdout == ""
    assert re.sub(" +", " ", went.stderr) == (
        f"Beta 2.0 {sizes['Beta']} B required by alpha\n"
        f"alpha 1.0 {sizes['alpha']} B report.py:1\n"
        f"tool 3.1 {sizes['tool'] / 1024:.1f} KiB report.py:5\n"
        f"3 packages used, 3 downloaded: {sum(sizes[name] for name in ('Beta', 'alpha', 'tool')) / 1024:.1f} KiB\n"
    )
    site = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    went = run(lock, cache, "--trace-to", "told.txt", "-c", "import alpha")
    assert (went.stdout, went.stderr) == ("", "")
    assert re.sub(" +", " ", (tmp_path / "told.txt").read_text()) == (
        "Beta 2.0 0 B alpha/__init__.py:1\nalpha 1.0 0 B <string>:1\n2 packages used, 0 downloaded: 0 B\n"
        f"\n2 files of packages used:\n{site}/alpha/__init__.py\n{site}/beta.py\n"
    )
    assert run(lock, cache, "--trace", "-m", "beta").stderr.splitlines()[0].endswith("  the command line")


CHILDREN = """
import multiprocessing, os, subprocess, sys
def use(name):
    __import__(name)
    return os.getpid()
if __name__ == "__main__":
    import alpha
    subprocess.run([sys.executable, "-c", "import space.one, os; os._exit(0)"], check=True)
    for way, name in (("fork", "space.two"), ("spawn", "tool")):
        # Its workers are killed at the end.
        with multiprocessing.get_context(way).Pool(1) as pool:
            assert pool.apply(use, (name,)) != os.getpid()
"""


def test_a_trace_in_a_file_has_what_children_use(lock: Lock, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "many.py").write_text(CHILDREN)
    went = run(lock, cache, "--trace-to", "told.txt", "many.py")
    assert (went.stdout, went.stderr) == ("", "")
    used, _, files = (tmp_path / "told.txt").read_text().partition("\n\n")
    *lines, total = [line.split() for line in used.splitlines()]
    assert [line[0] for line in lines] == ["Beta", "alpha", "space-one", "space-two", "tool"]
    assert [line[-1] for line in lines] == ["alpha", "many.py:7", "<string>:1", "many.py:4", "many.py:4"]
    assert total[:5] == ["5", "packages", "used,", "5", "downloaded:"]
    site = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    names = ("alpha/__init__.py", "beta.py", "space/one.py", "space/two/__init__.py", "tool/__init__.py")
    assert [f"{site}/{name}" for name in names] == files.splitlines()[1:]
    assert not (tmp_path / "told.txt.children").exists()


def test_a_trace_is_told_before_another_program_takes_the_process(lock: Lock, cache: Path) -> None:
    went = run(lock, cache, "--trace", "-c", "import os, beta; os.execv('/bin/echo', ['echo', 'other'])")
    assert went.stdout == "other\n"
    assert went.stderr.splitlines()[-1].startswith("1 package used, 1 downloaded")


def test_a_trace_leaves_on_event_to_the_program(lock: Lock, cache: Path) -> None:
    program = "import magic_module as mm; mm.on_event(lambda event: print(event['event'], event['unit'])); import beta"
    went = run(lock, cache, "--trace", "-c", program)
    assert went.stdout.splitlines()[-1] == "load beta"
    assert went.stderr.splitlines()[-1].startswith("1 package used, 1 downloaded")


def test_a_trace_that_cannot_be_written_is_one_sentence(lock: Lock, cache: Path) -> None:
    went = run(lock, cache, "--trace-to", "/nowhere/trace", "-c", "pass")
    assert went.stderr == "magic-module: cannot write the trace to /nowhere/trace: No such file or directory\n"


def test_the_program_has_the_terminal_and_ctrl_c(lock: Lock, cache: Path) -> None:
    code = """
import beta, os, sys, time
print(sys.stdin.isatty(), os.getpid() == os.tcgetpgrp(0), flush=True)
try:
    print(input(), flush=True)
    while True:  # A long wait, like that of input(), misses a signal that comes just before it begins.
        time.sleep(0.01)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(5)
"""
    controller, terminal = pty.openpty()
    line = [sys.executable, "-m", "magic_module", "run", "--lock", str(lock.path), "-c", code]
    # The terminal of a session of its own: a key there is a signal to the program.
    setting = (
        "import os, sys, fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", setting, *line],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment(cache, None),
        cwd=cache.parent,
        start_new_session=True,
    )
    os.close(terminal)
    said = b""

    def until(end: bytes) -> None:
        nonlocal said
        while end not in said:
            said += os.read(controller, 4096)

    until(b"True True")
    os.write(controller, b"typed\n")
    until(b"typed\r\ntyped\r\n")
    os.write(controller, b"\x03")
    until(b"interrupted")
    assert child.wait(process.PATIENCE) == 5
    os.close(controller)


def test_a_signal_ends_the_program_as_it_would_end_by_itself(lock: Lock, cache: Path) -> None:
    line = [sys.executable, "-m", "magic_module", "run", "--lock", str(lock.path), "-c", "print(flush=True); input()"]
    child = process.start(line, environment(cache, None), cache.parent, input=True)
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(signal.SIGTERM)
    assert process.finish(child).status == -signal.SIGTERM


def test_the_environment_is_that_of_an_activated_one(lock: Lock, cache: Path) -> None:
    code = "import os, sys; print(os.environ['VIRTUAL_ENV'] == sys.prefix, os.environ['PATH'].split(os.pathsep)[0])"
    named = {"MAGIC_MODULE_START": "0", "MAGIC_MODULE_LOCK": "/nowhere"}
    printed = run(lock, cache, "-c", code + "; import beta", settings=named).stdout
    assert printed == f"True {view_of(lock, cache)}/bin\n"


def test_a_folder_is_run_as_python_runs_it(lock: Lock, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "tool").mkdir()
    (tmp_path / "tool/__main__.py").write_text("import beta; print('folder', beta.VALUE)")
    # A file wins over the script of that name.
    assert run(lock, cache, "tool").stdout == "folder 41\n"


def test_what_is_read_from_stdin(lock: Lock, cache: Path) -> None:
    line = [sys.executable, "-m", "magic_module", "run", "--lock", str(lock.path), "-", "a"]
    child = process.start(line, environment(cache, None), cache.parent, input=True)
    out, _ = child.communicate("import beta, sys; print(beta.VALUE, sys.argv)")
    assert out == "41 ['-', 'a']\n"


def test_a_wrong_lock_is_one_sentence(cache: Path) -> None:
    assert run(None, cache, "--lock", "/nowhere", "-c", "pass", status=1).stderr == UNREADABLE


@installed
def test_what_we_require_ourselves_is_at_hand_in_a_view(lock: Lock, cache: Path) -> None:
    code = "import magic_module; print(magic_module.info('tool').version)"
    assert run(lock, cache, "-c", code).stdout == "3.1\n"
