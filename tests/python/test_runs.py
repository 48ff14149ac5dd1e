"""Scripts in processes of their own: what they get, what ends them, and that nothing of them is left."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import magic_module as mm
from kit import process, typed
from kit.locks import Lock
from kit.package_index import USER, PackageIndex
from kit.wheels import wheel
from kit.world import World
from origins import Origin

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform != "linux", reason="what ends a run is Linux's"),
]

LONG = 100
"""Seconds that no test waits for: a run that lasts so long was not ended."""


class Trail:
    """A pipe with a name, which what a script leaves behind has open: its end tells that nothing is left."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        path.chmod(0o666)
        self.path = path
        self.end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def is_over(self) -> bool:
        """True if something had it open, and nothing has now."""
        written = b""
        try:
            while data := os.read(self.end, 1 << 16):
                written += data
        except BlockingIOError:
            return False
        return bool(written)

    def wait(self) -> None:
        """Until nothing has it open any more."""
        os.set_blocking(self.end, True)
        while os.read(self.end, 1 << 16):
            pass


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[Trail]:
    trail = Trail(tmp_path / "trail")
    yield trail
    os.close(trail.end)


def script(folder: Path, text: str) -> Path:
    path = folder / "job.py"
    path.write_text(f"import os, signal, sys, time\n{text}")
    return path


TOLD = """
import resource
seen = {
    "argv": sys.argv, "path": sys.path, "names": sorted(k for k in globals() if k not in ("seen", "__annotations__")),
    "file": __file__, "name": __name__, "loader": type(__loader__).__name__, "spec": __spec__,
    "environment": dict(os.environ), "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "files": resource.getrlimit(resource.RLIMIT_NOFILE), "inherited": [fd for fd in range(3, 99) if inherits(fd)],
    "main": sys.modules["__main__"].__dict__ is globals(), "optimize": sys.flags.optimize,
}
import json
print(json.dumps(seen))
"""
INHERITS = """
def inherits(fd):
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False
"""


def test_a_script_sees_what_it_would_see_without_a_supervisor(tmp_path: Path) -> None:
    path = script(tmp_path, INHERITS + TOLD)
    run = mm.run(path, ["--lock", "x"], timeout=LONG, env={"MORE": "1"})
    assert (run.stderr, run.ok) == ("", True)
    seen = json.loads(run.stdout)
    kept = ("PATH", "HOME", "LANG", "TZ", "TMPDIR")
    expected = {k: v for k, v in os.environ.items() if k in kept or k.startswith(("LC_", "MAGIC_MODULE_"))}
    assert seen["environment"] == expected | {"MORE": "1"}
    line = [sys.executable, str(path), "--lock", "x"]
    bare = subprocess.run(line, env=seen["environment"], capture_output=True, text=True, check=True)
    assert seen == json.loads(bare.stdout)


def test_what_a_script_raises_is_shown_as_python_shows_it(tmp_path: Path) -> None:
    for text in ("def f(): 1 / 0\nf()\n", "raise SystemExit('why')\n", "x = (\n", "sys.exit(7)\n"):
        path = script(tmp_path, text)
        bare = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
        run = mm.run(path, timeout=LONG)
        assert (run.status, run.stderr, run.limit, run.ok) == (bare.returncode, bare.stderr, None, False)
    run = mm.run(script(tmp_path, "os.kill(os.getpid(), signal.SIGTERM)"), timeout=LONG)
    assert (run.status, run.signal, run.limit) == (None, signal.SIGTERM, None)


IGNORING = "for number in set(signal.valid_signals()) - {9, 19}: signal.signal(number, signal.SIG_IGN)\n"
LEAVING = """
told, tell = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(out, b"x")
        os.write(tell, b"x")
        time.sleep(1000)
    os._exit(0)
os.read(told, 1)
"""


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        (IGNORING + "os.write(out, b'x')\nwhile True: time.sleep(1000)", "timeout"),
        (LEAVING + "time.sleep(1000)", "timeout"),
        (LEAVING, None),
        ("os.write(out, b'x')\nos.kill(os.getpid(), signal.SIGSTOP)", "timeout"),
        (LEAVING + "os.killpg(0, signal.SIGKILL)", None),
        ("os.write(out, b'x')\nos.fork()\nos.fork()\nwhile True: print('x' * 1000)", "timeout"),
    ],
    ids=[
        "ignores signals",
        "leaves its session",
        "leaves something behind",
        "stops itself",
        "ends its group",
        "writes without end",
    ],
)
def test_nothing_is_left_of_a_run(tmp_path: Path, trail: Trail, text: str, limit: str | None) -> None:
    path = script(tmp_path, f"out = os.open({str(trail.path)!r}, os.O_WRONLY)\n{text}")
    run = mm.run(path, timeout=1 if limit else LONG)
    assert run.limit == limit
    assert trail.is_over()
    assert (run.left_out > 0) == ("'x' * 1000" in text)


def test_output_is_kept_within_a_bound_and_told_as_it_comes(tmp_path: Path) -> None:
    text = "sys.stdout.write('a' * 3_000_000 + 'end')\nsys.stderr.buffer.write('é'.encode() * 2 + b'\\xff')"
    told: dict[str, str] = {"stdout": "", "stderr": ""}

    def listen(stream: str, text: str) -> None:
        told[stream] += text

    run = mm.run(script(tmp_path, text), timeout=LONG, on_output=listen)
    assert (len(told["stdout"]), told["stderr"]) == (3_000_003, "éé�")
    assert run.stdout.startswith("aaa") and run.stdout.endswith("aaaend") and len(run.stdout) < 1_100_000
    assert run.left_out == 3_000_003 - (1 << 20) and f"{run.left_out} bytes are left out" in run.stdout
    assert run.stderr == "éé�"


def test_what_a_listener_raises_ends_the_run(tmp_path: Path, trail: Trail) -> None:
    text = f"out = os.open({str(trail.path)!r}, os.O_WRONLY)\nos.write(out, b'x')\nwhile True: print('x', flush=True)"

    def listen(stream: str, text: str) -> None:
        raise KeyError(stream)

    with pytest.raises(KeyError, match="stdout"):
        mm.run(script(tmp_path, text), timeout=LONG, on_output=listen)
    assert trail.is_over()


def test_memory_and_processor_are_those_of_all_processes(tmp_path: Path) -> None:
    text = "for _ in range(3): os.fork() or (bytearray(os.urandom(1) * (40 << 20)), time.sleep(1000))\ntime.sleep(1000)"
    run = mm.run(script(tmp_path, text), timeout=LONG, memory="100M")
    assert (run.limit, run.enforced["memory"]) == ("memory", "sampled every 50 ms")
    assert run.peak_memory > 100 << 20
    text = "for _ in range(3): os.fork()\nwhile True: pass"
    run = mm.run(script(tmp_path, text), timeout=LONG, cpu=0.5)
    assert run.limit == "cpu"
    assert run.cpu >= 0.5


def test_shared_memory_counts_once(tmp_path: Path) -> None:
    text = "held = bytearray(b'x' * (60 << 20))\nfor _ in range(4): os.fork() or (time.sleep(0.3), os._exit(0))\n"
    text += "for _ in range(4): os.wait()"
    run = mm.run(script(tmp_path, text), timeout=LONG, memory="200M")
    assert (run.limit, run.status) == (None, 0)


def test_open_files(tmp_path: Path) -> None:
    text = "files = []\ntry:\n    while True: files.append(os.dup(1))\nexcept OSError: print(max(files))"
    run = mm.run(script(tmp_path, text), timeout=LONG, open_files=30)
    assert (run.stdout, run.enforced["open_files"]) == ("29\n", "rlimit, for each process")


#: It doubles ten times, and not without end: if nothing bounds it, the test fails and the machine goes on.
BOMB = """
out = os.open({trail!r}, os.O_WRONLY)
os.write(out, b"x")
for _ in range(10):
    try:
        os.fork()
    except OSError:
        pass
while True:
    pass
"""


def test_a_fork_bomb_is_bounded_and_ended(tmp_path: Path, trail: Trail) -> None:
    path = script(tmp_path, BOMB.format(trail=str(trail.path)))
    run = mm.run(path, timeout=LONG, processes=20, cpu=20)
    assert (run.limit, trail.is_over()) == ("processes", True)


SOCKETS = """
import ctypes, errno, socket
def refused(make):
    try:
        make()
    except OSError as error:
        return errno.errorcode[error.errno]
libc = ctypes.CDLL(None, use_errno=True)
ring = libc.syscall(425, 1, ctypes.create_string_buffer(256)), errno.errorcode.get(ctypes.get_errno())
families = socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_UNIX
print([refused(lambda: socket.socket(it, socket.SOCK_DGRAM)) for it in families], ring, os.getuid())
"""


def test_without_network_only_local_sockets_are_made(tmp_path: Path) -> None:
    path = script(tmp_path, SOCKETS)
    (tmp_path / "parent.py").write_text(f"import subprocess, sys; subprocess.run([sys.executable, {str(path)!r}])")
    for each in (path, tmp_path / "parent.py"):
        run = mm.run(each, timeout=LONG, network=False)
        assert run.stdout == f"['EPERM', 'EPERM', 'EPERM', None] (-1, 'EPERM') {os.getuid()}\n", run.stderr
        assert run.enforced["network"] == "seccomp"


SERVER = """
import sys, threading, magic_module
def work():
    try:
        magic_module.run(sys.argv[1], timeout=100, on_output=lambda *_: print("runs", flush=True))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
if sys.argv[2] == "thread":
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
work()
"""


@pytest.mark.parametrize(("where", "number"), [("thread", signal.SIGKILL), ("main", signal.SIGINT)])
def test_a_run_ends_with_whoever_waits_for_it(
    world: World, tmp_path: Path, trail: Trail, where: str, number: signal.Signals
) -> None:
    text = IGNORING + LEAVING.replace('out, b"x")', 'out, b"x"); print("x", flush=True)')
    path = script(tmp_path, f"out = os.open({str(trail.path)!r}, os.O_WRONLY)\n{text}\ntime.sleep(1000)")
    line = process.command(SERVER, args=[str(path), where])
    server = process.start(line, world.environment(), world.work)
    assert process.read_line(server) == "runs"
    server.send_signal(number)
    trail.wait()
    ended = process.finish(server)
    assert (ended.stdout, ended.status) == (("", -9) if number == signal.SIGKILL else ("interrupted\n", 0)), ended


def test_runs_in_an_event_loop_and_one_that_is_cancelled(tmp_path: Path, trail: Trail) -> None:
    path = script(tmp_path, f"out = os.open({str(trail.path)!r}, os.O_WRONLY)\nos.write(out, b'x')\nprint(sys.argv[1])")
    other = tmp_path / "other.py"
    other.write_text(path.read_text() + "\nsys.stdout.flush()\ntime.sleep(1000)")

    async def main() -> list[str]:
        runs = await asyncio.gather(*(mm.arun(path, [str(number)], timeout=LONG) for number in range(3)))
        began = asyncio.Event()
        task = asyncio.ensure_future(mm.arun(other, ["x"], timeout=LONG, on_output=lambda *_: began.set()))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert trail.is_over()
        return [run.stdout for run in runs]

    assert asyncio.run(main()) == ["0\n", "1\n", "2\n"]


def test_what_is_no_script_or_no_limit(tmp_path: Path) -> None:
    path = script(tmp_path, "")
    for limits in (
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"memory": "lots"},
        {"memory": "-5M"},
        {"memory": 0},
        {"cpu": "1"},
        {"open_files": 0},
        {"open_files": 1.5},
        {"processes": -3},
        {"processes": True},
    ):
        with pytest.raises(ValueError, match=f"^{next(iter(limits))} must be a "):
            mm.run(path, **limits)  # type: ignore[arg-type]
    with pytest.raises(mm.errors.ConfigurationError, match="it is a directory"):
        mm.run(tmp_path, timeout=1)
    with pytest.raises(mm.errors.UnitNotFoundError, match="there is no such file; check the path"):
        mm.run(tmp_path / "nothing.py")


def command(world: World, *arguments: str, status: int | None = 0) -> process.Result:
    return world.run(None, flags=("-m", "magic_module", "run"), args=arguments, status=status)


def test_the_command_answers_with_one_object(world: World, tmp_path: Path) -> None:
    path = script(tmp_path, "print('out'); print('error', file=sys.stderr); sys.exit(3)")
    told = command(world, "--json", str(path), "--json", status=3)
    answer = typed.answer(told.stdout, "run")
    assert (answer["stdout"], answer["stderr"], answer["status"], told.stderr) == ("out\n", "error\n", 3, "")
    schema = json.loads((Path(__file__).parents[2] / "docs/reference/run.schema.json").read_text("utf-8"))["oneOf"][0]
    assert {"schema", "command", *answer} == set(schema["required"]) == set(schema["properties"])
    shown = command(world, "--cpu", "50", str(path), status=3)
    assert (shown.stdout, shown.stderr) == ("out\n", "error\n")
    code = ("-c", "import time; print(1, flush=True); time.sleep(1000)")
    ended = command(world, "--timeout", "1", *code, status=124)
    sentence = "magic-module: -c was ended: it took longer than 1 s; raise --timeout if it needs that\n"
    assert (ended.stdout, ended.stderr) == ("1\n", sentence)
    assert command(world, "--processes", "9", "-m", "calendar", "2026").stdout.strip().startswith("2026")


def test_what_the_command_does_not_take(world: World) -> None:
    for option, value in (("timeout", "0"), ("memory", "x"), ("cpu", "-1"), ("open-files", "1.5"), ("processes", "0")):
        assert f"argument --{option}: " in command(world, f"--{option}", value, "x.py", status=2).stderr
    assert "--env takes NAME=VALUE, not x" in command(world, "--env", "x", "-c", "1", status=2).stderr
    told = typed.answer(command(world, "--json", "nothing.py", status=1).stdout, "run", failed=True)
    assert told["message"] == "cannot run nothing.py: there is no such file; check the path"


IMPORTING = """
import alpha, json
try:
    import tool
except ImportError as error:
    print(type(error).__name__, str(error).rpartition("; ")[2])
told = sorted(name for name in os.environ if name.startswith(("MAGIC", "UV_", "NETRC")))
print(alpha.VALUE, sys.prefix != sys.base_prefix, told)
"""


def test_what_a_script_imports_is_fetched_before_it_starts(world: World, served: tuple[Lock, Origin]) -> None:
    lock, origin = served
    path = script(world.work, IMPORTING.replace("import tool", "__import__('to' + 'ol')"))
    world.extra |= {"MAGIC_MODULE_KEY_PASSWORD": "canary", "UV_INDEX_X_PASSWORD": "canary", "NETRC": "/canary"}
    arguments = ("--json", "--no-network", "--env", "UV_OWN=1", str(path))
    first = typed.answer(command(world, "--lock", str(lock.path), *arguments).stdout, "run")
    hint = "have it fetched before the run: --prefetch NAME, or prefetch=[NAME] of run()"
    names = ["MAGIC_MODULE_CACHE_DIR", "MAGIC_MODULE_LOCK", "MAGIC_MODULE_OFFLINE", "UV_OWN"]
    assert (first["stdout"], first["stderr"]) == (f"OfflineError {hint}\n42 True {names}\n", "")
    assert sorted(unit["name"] for unit in first["imported"]) == ["Beta", "alpha"]
    sizes = sum(len(lock.wheels[name].data) for name in ("alpha", "Beta"))
    assert first["downloaded"]["bytes"] == sizes
    assert [(each["name"], each["type"]) for each in first["refused"]] == [("tool", "OfflineError")]
    origin.take()
    second = typed.answer(command(world, "--lock", str(lock.path), "--prefetch", "tool", *arguments).stdout, "run")
    assert (second["stdout"], second["refused"]) == (f"42 True {names}\n", [])
    assert second["downloaded"]["bytes"] == len(lock.wheels["tool"].data)
    origin.take()
    third = typed.answer(command(world, "--lock", str(lock.path), *arguments).stdout, "run")
    assert (third["stdout"], third["downloaded"]) == (second["stdout"], {"bytes": 0, "seconds": 0.0, "units": []})
    assert origin.take() == []


def test_what_wants_a_login_is_fetched_before_although_nothing_is_seen_to_import_it(world: World) -> None:
    index = PackageIndex(world.path / "index", "canary-password")
    wheels = [wheel("alpha", "1.0", {"alpha.py": "VALUE = 42"}), wheel("beta", "1.0", {"beta.py": "VALUE = 41"})]
    index.add(*wheels)
    lock = Lock(world.path / "project", wheels, url=f"{index.server.url}/files")
    path = script(world.work, "print(__import__('be' + 'ta').VALUE, 'UV_INDEX_URL' in os.environ)")
    world.extra["UV_INDEX_URL"] = index.url.replace("://", f"://{USER}:canary-password@")
    run = typed.answer(command(world, "--lock", str(lock.path), "--json", str(path)).stdout, "run")
    assert (run["stdout"], run["stderr"], run["downloaded"]["bytes"]) == (
        "41 False\n",
        "",
        sum(len(it.data) for it in wheels),
    )
    index.close()


def test_a_run_sees_what_its_starter_has_mounted_without_its_login(world: World) -> None:
    world.publish({"alpha.py": "VALUE = 1\n"})
    server = world.serve()
    url = server.manifest_url.replace("://", "://user:canary@")
    path = script(
        world.work,
        "import magic_module.alpha as it\nprint(it.VALUE, [v for v in os.environ.values() if 'canary' in v])",
    )
    world.extra["MAGIC_MODULE_MANIFEST_URL"] = url
    run = typed.answer(command(world, "--json", str(path)).stdout, "run")
    assert (run["stdout"], run["stderr"]) == ("1 []\n", "")
    assert [unit["name"] for unit in run["downloaded"]["units"]] == ["magic_module.alpha"]


TENANTS = """
import magic_module as mm, sys, threading
runs = {}
def work(space):
    runs[space] = mm.run(sys.argv[1], space=space, network=False)
for name, lock in zip(("one", "two"), sys.argv[2:]):
    mm.Space.create(name, lock=lock)
threads = [threading.Thread(target=work, args=(space,)) for space in ("one", "two")]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print([(run.stdout, run.stderr) for _, run in sorted(runs.items())], "alpha" in sys.modules)
try:
    mm.run(sys.argv[1], space="three")
except mm.errors.ConfigurationError as error:
    print(error)
try:
    mm.run(sys.argv[1], space="one", lock=sys.argv[2])
except mm.errors.ConfigurationError as error:
    print(error)
"""


def test_runs_in_two_spaces_at_once(world: World) -> None:
    path = script(world.work, "import alpha\nprint(alpha.VALUE)")
    locks = []
    (world.path / "wheels").mkdir()
    with Origin(world.path / "wheels") as origin:
        for name in ("one", "two"):
            lock = Lock(world.path / name, [wheel("alpha", "1.0", {"alpha.py": f"VALUE = {name!r}"})])
            locks.append(Lock(world.path / name, list(lock.wheels.values()), url=f"{origin.url}/{name}").path)
            (lock.folder / "wheels").rename(world.path / "wheels" / name)
        told = world.run(TENANTS, args=[str(path), *map(str, locks)]).stdout.splitlines()
    assert told[0] == "[('one\\n', ''), ('two\\n', '')] False"
    assert told[1].startswith("there is no space three in ") and told[2].endswith("is another one; give one of them")


OTHERS = """
import json, os, sys
import magic_module as mm
bomb = mm.run(sys.argv[1], timeout=100, processes=20, cpu=1)
mm.mount_lock(sys.argv[2])
run = mm.run(sys.argv[3], timeout=100, memory="500M", processes=20, network=False)
print(json.dumps([bomb.limit, bomb.enforced, run.to_dict()]))
"""


SETPRIV = shutil.which("setpriv")
#: Who may read what root may, where the interpreter may lie, and write nothing.
OTHER = "--reuid=61234 --regid=61234 --clear-groups --inh-caps=-all,+dac_read_search --ambient-caps=+dac_read_search"


@pytest.mark.skipif(os.getuid() != 0 or SETPRIV is None, reason="only root can become somebody else")
def test_together_with_a_user_of_its_own_a_cache_that_it_only_reads_and_no_network(
    world: World, lock: Lock, trail: Trail, tmp_path: Path
) -> None:
    bomb = tmp_path / "bomb.py"
    bomb.write_text("import os\n" + BOMB.format(trail=str(trail.path)))
    text = "import alpha\nprint(alpha.VALUE, os.getuid(), [os.access(p, os.W_OK) for p in sys.argv])\n" + SOCKETS
    path = script(tmp_path, text)
    world.run(None, flags=("-m", "magic_module", "fetch"), args=("--lock", str(lock.path), "alpha"))
    line = process.command(OTHERS, args=[str(bomb), str(lock.path), str(path)])
    told = process.run([str(SETPRIV), *OTHER.split(), *line], world.environment(), world.work)
    limit, enforced, run = json.loads(told.stdout)
    assert limit == "cpu", "it never had more than it may"
    assert trail.is_over()
    assert enforced["processes"] == "rlimit, which counts all that this user runs, and sampled every 50 ms"
    assert (run["stderr"], run["stdout"].splitlines()[0]) == ("", "42 61234 [False]")
    assert "['EPERM', 'EPERM', 'EPERM', None] (-1, 'EPERM') 61234" in run["stdout"]
    assert run["enforced"]["network"] == "seccomp"
