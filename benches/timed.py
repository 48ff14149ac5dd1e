"""What an import takes inside of a fresh process: its own clock and processor time, without the interpreter's start.

The time of the whole process is known, too: after what is timed it prints two numbers and ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import measure
from measure import Side
from workplace import Workplace

SCRIPT = """
{before}
import sys
sys.path[:0] = {fillers!r}
import time
wall, cpu = time.perf_counter(), time.process_time()
{body}
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
print(wall, cpu)
"""


@dataclass(frozen=True)
class Timed:
    wall: float
    cpu: float
    whole: float
    """From the start of the process to its end, by the clock."""


def modules(package: str, count: int) -> str:
    """The body that imports the numbered modules of a package."""
    return f"for number in range({count}):\n    __import__('{package}.module_%04d' % number)"


def process(
    workplace: Workplace,
    body: str,
    environment: Mapping[str, str],
    before: str = "",
    fillers: list[Path] | None = None,
    under: Sequence[str] = (),
) -> Callable[[], Timed]:
    """One process that does `before` untimed and `body` timed, with `fillers` ahead on `sys.path`; `under` begins its
    command."""
    script = SCRIPT.format(before=before, body=body, fillers=[str(path) for path in fillers or []])
    command = [*under, *workplace.python(script)]

    def one() -> Timed:
        ended = measure.run(command, environment, capture=True)
        wall, cpu = map(float, ended.stdout.split())
        return Timed(wall, cpu, ended.wall)

    return one


def sides(results: list[Timed]) -> tuple[Side, Side]:
    """By the clock, and by processor time."""
    return Side([timed.wall for timed in results]), Side([timed.cpu for timed in results])
