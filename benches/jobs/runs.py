"""Runs within limits: until the first line of a script, and twenty at once in twenty spaces, against bare interpreters.

One process that has the package starts both kinds in turn, as a server does. The script tells when its first line runs,
by the clock that all processes share. The bare interpreter gets the same environment and pipes. Twenty at once are
started by twenty threads; each run has a space of its own, whose lock is known.
"""

from __future__ import annotations

import json
from pathlib import Path

import measure
from jobs.spaces import lock, wheel
from measure import NO_TARGET, Row, Side, milliseconds
from workplace import Workplace

MOST = 0.010
MOST_AT_ONCE = 1.3
AT_ONCE = 20

START = """
import json, os, subprocess, sys, time
import magic_module as mm
script, rounds = sys.argv[1], int(sys.argv[2])
kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "MAGIC_MODULE_CACHE_DIR") if name in os.environ}
def bare():
    return float(subprocess.run([sys.executable, script], env=kept, capture_output=True).stdout)
def limited(**limits):
    return float(mm.run(script, **limits).stdout)
limits = dict(timeout=100, memory="1G", cpu=100, open_files=99, network=False)
ways = [bare, lambda: limited(timeout=100), lambda: limited(**limits)]
times = [[] for _ in ways]
for at in range(-3, rounds):
    for way, found in zip(ways, times):
        began = time.monotonic()
        first = way() - began
        if at >= 0:
            found.append(first)
print(json.dumps(times))
"""

CROWD = """
import json, os, subprocess, sys, threading, time
import magic_module as mm
script, rounds, spaces = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
for name, lock in spaces.items():
    mm.Space.create(name, lock=lock)
kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
def bare(_):
    subprocess.run([sys.executable, script], env=kept, capture_output=True, check=True)
def own(name):
    run = mm.run(script, space=name, timeout=100)
    assert run.ok, run
def at_once(way):
    threads = [threading.Thread(target=way, args=(name,)) for name in spaces]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - began
at_once(own)
times = [[], []]
for _ in range(rounds):
    for way, found in zip((own, bare), times):
        found.append(at_once(way))
print(json.dumps(times))
"""


def row() -> Row:
    return Row("`mm.run()` until the script's first line", "a bare `python script.py`", "+ ≤ 10 ms")


def crowd_row() -> Row:
    what = f"{AT_ONCE} runs at once in {AT_ONCE} spaces, warm: wall time"
    return Row(what, f"{AT_ONCE} bare interpreters at once", f"≤ {MOST_AT_ONCE:.1f}×")


def run(workplace: Workplace) -> list[Row]:
    folder = workplace.folder("runs")
    folder.mkdir()
    script = folder / "script.py"
    script.write_text("import time\nprint(time.monotonic())\n")
    environment = workplace.environment(workplace.folder("cache"))
    line = [*workplace.python(START), str(script), str(workplace.rounds(100, 20))]
    bare, timed, limited = (Side(values) for values in measure.run(line, environment, capture=True).json)
    return [
        started(row(), timed, bare),
        started(
            Row("the same with limits of memory, processor, files and network", row().against, NO_TARGET), limited, bare
        ),
        command(workplace, script, environment, bare),
        at_once(workplace, script),
    ]


def started(line: Row, ours: Side, bare: Side) -> Row:
    """By how much the median is later."""
    later = ours.median - bare.median
    values = {
        "ours": milliseconds(ours.median),
        "theirs": milliseconds(bare.median),
        "spread": measure.worse(ours, bare),
    }
    reached = None if line.target == NO_TARGET else later <= MOST
    return Row(line.what, line.against, line.target, got=f"+ {milliseconds(later)}", reached=reached, **values)


def command(workplace: Workplace, script: Path, environment: dict[str, str], bare: Side) -> Row:
    """The whole command, an interpreter that starts another one."""
    main = "import sys; from magic_module._py.cli import main; sys.exit(main(sys.argv[1:]))"
    line = [*workplace.python(main), "run", "--timeout", "100", str(script)]
    ours = Side([measure.run(line, environment).wall for _ in range(workplace.rounds(20, 5))])
    return started(Row("`magic-module run --timeout`, whole process", "the same", NO_TARGET), ours, bare)


def at_once(workplace: Workplace, script: Path) -> Row:
    folder = workplace.folder("wheels")
    folder.mkdir()
    alpha = wheel(folder, "alpha")
    spaces = {f"org-{at}": str(lock(folder, f"pylock.org{at}.toml", [alpha])) for at in range(AT_ONCE)}
    environment = workplace.environment(
        workplace.folder("cache"), MAGIC_MODULE_SPACES_DIR=str(workplace.folder("spaces"))
    )
    arguments = [str(script), str(workplace.rounds(20, 5)), json.dumps(spaces)]
    values = measure.run([*workplace.python(CROWD), *arguments], environment, capture=True).json
    ours, bare = (Side(found) for found in values)
    return crowd_row().compared(ours, bare, MOST_AT_ONCE, milliseconds)
