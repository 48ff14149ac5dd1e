"""Helper interpreters that share the compiling of a large first import: same code, same warnings, never needed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from kit.process import PATIENCE
from kit.world import Acme, World

MODULES = 40
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
shared = pytest.mark.skipif(
    CORES < 2 or sys.platform == "win32", reason="sharing needs a second core, and a system with process groups"
)

BODY = "".join(
    f'def function_{number}(first, *rest, key="value"):\n    """Documented {number}."""\n    assert first, "needed"\n'
    f"    return [item * {number} for item in rest if item != first], f'{{key!r:>10}} {{first}}', __debug__\n"
    for number in range(70)
)


def module(number: int) -> str:
    """Imports its two children, in both ways."""
    lines = ["import os"]
    if 2 * number + 1 < MODULES:
        lines.append(f"from . import m{2 * number + 1}")
    if 2 * number + 2 < MODULES:
        lines.append(f"from .m{2 * number + 2} import function_1")
    return "\n".join([*lines, BODY, f"NUMBER = {number}", ""])


UNITS: dict[str, str] = {"heavy/__init__.py": "from . import m0\n"}
UNITS.update({f"heavy/m{number}.py": module(number) for number in range(MODULES)})

# As much as helpers are started for, as soon as it is known that it will be imported.
LARGE = {**UNITS, "heavy/m0.py": UNITS["heavy/m0.py"] + f"#{'-' * 100}\n" * 2700}

# Imports everything, and tells how many modules this process compiled itself.
COUNT = f"""
import builtins, sys
own = []
stock = builtins.compile
def counted(source, name, *arguments, **options):
    if "heavy" in str(name):
        own.append(name)
    return stock(source, name, *arguments, **options)
builtins.compile = counted
import acme.heavy
builtins.compile = stock
loaded = [sys.modules[f"acme.heavy.m{{number}}"] for number in range({MODULES})]
assert [module.NUMBER for module in loaded] == list(range({MODULES}))
"""


# The interpreter as a helper that says who it is, and that it compiles its third module.
WITNESS = """
import marshal, os
open({folder!r} + "/helper-" + str(os.getpid()), "w").close()
def dumps(code, stock=marshal.dumps, compiled=[]):
    compiled.append(code)
    if len(compiled) == 3:
        open({folder!r} + "/busy", "w").close()
    return stock(code)
marshal.dumps = dumps
"""


def with_helpers(world: World, script: str) -> str:
    """The script, in which no module of `LARGE` is compiled before a helper has compiled two."""
    witness = world.path / "python-witness"
    program = WITNESS.format(folder=str(world.path))
    witness.write_text(
        f"#!{sys.executable}\nimport os, sys\nline = sys.argv[1:]\nat = line.index('-c') + 1\n"
        f"line[at] = {program!r} + line[at]\nos.execv(sys.executable, [sys.executable, *line])\n"
    )
    witness.chmod(0o755)
    wait = f"""
import os, sys, time
sys.executable = {str(witness)!r}
def wait(event, arguments):
    if event == "magic_module.load" and arguments[0] == "acme.heavy.m0":
        while not os.path.exists({str(world.path / "busy")!r}):
            time.sleep(0.01)
sys.addaudithook(wait)
"""
    return wait + textwrap.dedent(script)


def helpers(world: World) -> list[int]:
    """The helpers that were started with the script."""
    found = [int(path.name.removeprefix("helper-")) for path in world.path.glob("helper-*")]
    assert found
    return found


@shared
@pytest.mark.parametrize("flag", ["", "-O", "-OO"])
def test_the_code_is_what_this_interpreter_compiles(world: World, flag: str) -> None:
    Acme(world, "hook", LARGE)
    script = (
        COUNT
        + """
def check(holds, what):
    if not holds:  # -O leaves assertions out
        raise AssertionError(what)
check(0 < len(own) < len(loaded), own)
for module in loaded:
    source = open(module.__file__, "rb").read()
    expected = compile(source, module.__file__, "exec", dont_inherit=True)
    check(module.__loader__.get_code(module.__name__) == expected, module)
    function = module.function_3.__code__
    [same] = [it for it in expected.co_consts if getattr(it, "co_name", "") == "function_3"]
    check(function.co_filename == module.__file__, module)
    check(list(function.co_lines()) == list(same.co_lines()), module)
    if hasattr(same, "co_positions"):
        check(list(function.co_positions()) == list(same.co_positions()), module)
print("same")
"""
    )
    flags = [flag] if flag else []
    assert world.run(with_helpers(world, script), flags=flags).stdout.strip() == "same"
    # All of it was kept: the next process compiles nothing.
    assert world.run(COUNT + "print(own)", flags=flags).stdout.strip() == "[]"


@shared
@pytest.mark.skipif(not shutil.which("localedef"), reason="makes a locale that decodes otherwise")
def test_a_helper_that_decodes_paths_otherwise_names_no_file_otherwise(world: World) -> None:
    """A helper runs in isolated mode: it does not know of PYTHONUTF8."""
    locales = world.path / "locales"
    locales.mkdir()
    made = subprocess.run(["localedef", "-i", "de_DE", "-f", "ISO-8859-1", locales / "de_DE.ISO-8859-1"], check=False)
    if made.returncode > 1:
        pytest.skip("the sources of locales are not installed")
    Acme(world, "hook", LARGE)
    world.cache = world.path / "größe"
    script = (
        f"{COUNT}print(len(own) < len(loaded), {{it.function_3.__code__.co_filename == it.__file__ for it in loaded}})"
    )
    settings = {"LC_ALL": "de_DE.ISO-8859-1", "LOCPATH": str(locales), "PYTHONUTF8": "1"}
    for run in (with_helpers(world, script), script):
        assert world.run(run, env=settings).stdout.strip() == "True {True}"


@shared
@pytest.mark.skipif(sys.version_info < (3, 11), reason="columns in tracebacks are new in 3.11")
def test_an_interpreter_without_columns_shares_code_without_columns(world: World) -> None:
    Acme(world, "hook", LARGE)
    script = (
        COUNT
        + """
assert len(own) < len(loaded), own
print({position[2] for module in loaded for position in module.function_3.__code__.co_positions()})
"""
    )
    assert world.run(with_helpers(world, script), flags=["-X", "no_debug_ranges"]).stdout.strip() == "{None}"


@shared
def test_every_module_is_an_audit_event_whoever_compiled_it(world: World) -> None:
    Acme(world, "hook", LARGE)
    script = """
        import sys
        seen = []
        def hook(event, arguments):
            if event == "compile" and "heavy" in str(arguments[1]):
                seen.append((arguments[1].rpartition("heavy")[2], bool(arguments[0])))
        sys.addaudithook(hook)
        import acme.heavy
        print(len(seen), len(set(seen)), all(source for _, source in seen))
        """
    assert world.run(with_helpers(world, script)).stdout.split() == [str(MODULES + 1), str(MODULES + 1), "True"]


def test_warnings_and_errors_are_those_of_a_plain_import(world: World) -> None:
    units = {
        **UNITS,
        "heavy/m16.py": UNITS["heavy/m16.py"] + "def odd(value):\n    return value is 'literal'\n",
        "heavy/m37.py": "this is { no } module\n",
    }
    script = """
        try:
            import acme.heavy
        except SyntaxError as error:
            print(type(error).__name__, error.lineno, error.filename.rpartition("heavy")[2])
        """
    plain = World(world.path / "plain")
    Acme(plain, "installed", units)
    Acme(world, "hook", units)
    expected = plain.run(script, warnings=False)
    done = world.run(script, warnings=False)
    assert done.stdout == expected.stdout
    assert done.stderr.count("SyntaxWarning") == expected.stderr.count("SyntaxWarning") == 1


GREETING = """
import sys, time
probe = compile("first.second(third)", "", "exec", dont_inherit=True, optimize=int(sys.argv[-1]))
greeting = probe.co_code + probe.co_linetable
"""
SAY = "sys.stdout.buffer.write(len(greeting).to_bytes(4, 'little') + greeting); sys.stdout.flush()\n"
ASKED = "sys.stdin.buffer.read(8)\n"
HELPERS = {
    "silent": "import sys\nsys.stdin.buffer.read()\n",
    "gone": "",
    "another": GREETING + "greeting += b'!'\n" + SAY + "sys.stdin.buffer.read()\n",
    "silent when asked": GREETING + SAY + "sys.stdin.buffer.read()\n",
    "gone when asked": GREETING + SAY + ASKED,
    "talking nonsense": GREETING + SAY + ASKED + "sys.stdout.buffer.write(b'\\x03\\0\\0\\0abc\\0\\0\\0\\0')\n",
    "talking without end": GREETING + SAY + ASKED + "sys.stdout.buffer.write(b'\\xff' * 100)\n",
}


@shared
@pytest.mark.parametrize("fault", HELPERS)
def test_a_helper_that_fails_is_done_without(world: World, tmp_path: Path, fault: str) -> None:
    helper = tmp_path / f"python-{fault.replace(' ', '-')}"
    helper.write_text(f"#!{sys.executable}\n{HELPERS[fault]}")
    helper.chmod(0o755)
    Acme(world, "hook", UNITS)
    script = f"import sys\nsys.executable = {str(helper)!r}\n{COUNT}\nprint(len(own))"
    assert world.run(script).stdout.strip() == str(MODULES + 1)


@pytest.mark.parametrize("executable", ["", "python3", "/nonexistent/python3", "/usr/bin/env", None])
def test_what_is_no_interpreter_is_never_started(world: World, executable: str | None) -> None:
    Acme(world, "hook", UNITS)
    script = f"import sys\nsys.executable = {executable!r}\n{COUNT}\nprint(len(own))"
    assert world.run(script).stdout.strip() == str(MODULES + 1)


@shared
def test_a_small_import_starts_nobody(world: World) -> None:
    Acme(world, "hook", {"small.py": BODY})
    script = "import sys\nsys.executable = 'no python at all'\nimport acme.small\nprint(acme.small.function_1.__name__)"
    assert world.run(script).stdout.strip() == "function_1"
    assert world.run(f"{CHILDREN}\nimport acme.small\nprint(children())").stdout.strip() == "[]"


@shared
@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited as Linux does it")
def test_helpers_and_their_import_need_little_room(world: World) -> None:
    Acme(world, "hook", LARGE)
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (250 << 20,) * 2)\n"
    assert world.run(with_helpers(world, limit + COUNT + "print(len(own) < len(loaded))")).stdout.strip() == "True"


CHILDREN = textwrap.dedent(
    """
    import os
    def children():
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    stat = open(f"/proc/{entry}/stat").read().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(stat[1]) == os.getpid():
                    found.append(int(entry))
        return found
    """
)


def is_alive(process: int) -> bool:
    """False for who is gone, and for who only waits to be noticed."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def all_end(processes: list[int]) -> None:
    until = time.monotonic() + PATIENCE
    while any(map(is_alive, processes)):
        assert time.monotonic() < until, processes
        time.sleep(0.02)


@shared
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("end", ["os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_no_helper_outlives_the_process(world: World, end: str) -> None:
    Acme(world, "hook", LARGE)
    world.run(with_helpers(world, f"import acme.heavy\n{end}"), status=None)
    all_end(helpers(world))


@shared
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore")
def test_a_child_that_is_forked_in_the_middle_compiles_alone(world: World) -> None:
    units = {**LARGE, "heavy/m5.py": "import os\nCHILD = os.fork()\n" + UNITS["heavy/m5.py"]}
    Acme(world, "hook", units)
    script = """
        import os, sys
        import acme.heavy
        from acme.heavy import m39
        child = acme.heavy.m5.CHILD
        if child == 0:
            os._exit(m39.NUMBER)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), m39.NUMBER)
        """
    assert world.run(with_helpers(world, script), warnings=False).stdout.split() == ["39", "39"]


@shared
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_ctrl_c_ends_an_import_and_its_helpers(world: World) -> None:
    """As a terminal sends it: to the whole group. The import ends with one traceback, and nobody stays."""
    waits = "import time\nprint('here', flush=True)\ntime.sleep(3600)\n"
    Acme(world, "hook", {**LARGE, "heavy/m20.py": waits + UNITS["heavy/m20.py"]})
    started = world.start(with_helpers(world, "import acme.heavy"), warnings=False)
    assert world.line(started) == "here"
    os.killpg(started.pid, signal.SIGINT)
    ended = world.finish(started)
    assert ended.status == -signal.SIGINT
    assert ended.stderr.count("Traceback") == 1 and ended.stderr.rstrip().endswith("KeyboardInterrupt")
    all_end(helpers(world))
