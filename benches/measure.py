"""Interleaved measurements and what is made of them.

Pairs run in turns (ours, theirs, theirs, ours, …), so that whatever else the machine does meets both. A ratio is the
median of the pairs' ratios; the spread is the interquartile range of a side, relative to its median, of the worse side.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

BUSY = 0.30
"""From this spread on a row says that the machine was busy."""


NO_TARGET = "-"
"""The target of a row that only tells."""


class Failure(Exception):
    """One sentence: what cannot be measured, and why."""


@dataclass(frozen=True)
class Side:
    """The values of one contestant, in seconds, bytes or whatever the row says."""

    values: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> float | None:
        """Two values have none that means anything."""
        if len(self.values) < 3 or not self.median:
            return None
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return (high - low) / self.median


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    against: str
    target: str
    ours: str = "-"
    theirs: str = "-"
    spread: float | None = None
    got: str = "-"
    """What the target speaks of: a ratio, a number of bytes, a count."""
    reached: bool | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        if self.target == NO_TARGET and self.ours != "-":
            return "told"
        if self.reached is None:
            return "not measured"
        outcome = "reached" if self.reached else "missed"
        return f"{outcome} (busy machine)" if self.spread is not None and self.spread > BUSY else outcome

    def not_measured(self, why: str) -> Row:
        return replace(self, got=why, reached=None)

    def told(
        self, ours: Side, theirs: Side, show: Callable[[float], str] | None = None, notes: Sequence[str] = ()
    ) -> Row:
        """The row of a ratio without a target."""
        show = show or time_of
        return replace(
            self,
            ours=show(ours.median),
            theirs=show(theirs.median),
            spread=worse(ours, theirs),
            got=f"{ratio(ours, theirs):.2f}×",
            notes=[*self.notes, *notes],
        )

    def judged(self, got: str, reached: bool, notes: Sequence[str] = (), ours: str = "-", theirs: str = "-") -> Row:
        """The row of a count, or of the worst of many."""
        return replace(self, got=got, reached=reached, notes=[*self.notes, *notes], ours=ours, theirs=theirs)

    def compared(
        self, ours: Side, theirs: Side, most: float, show: Callable[[float], str], notes: Sequence[str] = ()
    ) -> Row:
        """The row of a ratio that may be at most `most`."""
        value = ratio(ours, theirs)
        return replace(
            self,
            ours=show(ours.median),
            theirs=show(theirs.median),
            spread=worse(ours, theirs),
            got=times(value, most),
            reached=value <= most,
            notes=[*self.notes, *notes],
        )


@dataclass(frozen=True)
class Table:
    """More than a row can say: the same measure over several contestants and conditions."""

    title: str
    head: Sequence[str]
    lines: list[list[str]]
    note: str = ""


def ratio(ours: Side, theirs: Side) -> float:
    """The median of the pairs' ratios. Who is slow takes part in the first rounds only."""
    return statistics.median(a / b for a, b in zip(ours.values, theirs.values, strict=False))


def worse(*sides: Side) -> float | None:
    """The spread of the less steady side."""
    return max((side.spread for side in sides if side.spread is not None), default=None)


def times(value: float, most: float) -> str:
    """Two places, or as many as it takes to see on which side of the target it is."""
    places = next((places for places in (2, 3, 4) if (round(value, places) <= most) == (value <= most)), 5)
    return f"{value:.{places}f}×"


def interleave(rounds: int, *contestants: Callable[[], Any]) -> list[list[Any]]:
    """Each contestant's results over `rounds`, in reverse order every second round; one more goes ahead."""
    results: list[list[Any]] = [[] for _ in contestants]
    for number in range(-1, rounds):
        order = list(enumerate(contestants))
        for at, contestant in order if number % 2 else reversed(order):
            result = contestant()
            if number >= 0:
                results[at].append(result)
    return results


SLOW = 2.0
"""Seconds from which on a contestant takes part in the first rounds only."""
SLOW_ROUNDS = 3


def contest(
    rounds: int, contestants: Mapping[str, Callable[[], Ended]], ahead: bool = True
) -> dict[str, Side | Failure]:
    """The wall time of each, interleaved; who cannot take part is out, with the reason. One round goes ahead."""
    values: dict[str, list[float]] = {name: [] for name in contestants}
    out: dict[str, Failure] = {}
    most = dict.fromkeys(contestants, rounds)
    for number in range(-ahead, rounds):
        for name in list(contestants) if number % 2 else reversed(list(contestants)):
            if name in out or number >= most[name]:
                continue
            try:
                wall = contestants[name]().wall
            except Failure as failure:
                out[name] = failure
                continue
            if number >= 0:
                values[name].append(wall)
            elif wall > SLOW:
                most[name] = min(rounds, SLOW_ROUNDS)
    return {name: out.get(name) or Side(values[name]) for name in contestants}


@dataclass(frozen=True)
class Ended:
    """What a process took."""

    wall: float
    cpu: float
    stdout: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


def run(command: Sequence[str], env: Mapping[str, str], capture: bool = False) -> Ended:
    """Runs a process to its end, which must be a good one."""
    output = subprocess.PIPE if capture else subprocess.DEVNULL
    begin = time.perf_counter()
    process = subprocess.Popen(
        command, env=dict(env), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, close_fds=False
    )
    assert process.stderr is not None
    stdout = process.stdout.read() if process.stdout is not None else b""
    stderr = process.stderr.read()
    if hasattr(os, "wait4"):
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu = usage.ru_utime + usage.ru_stime
    else:
        process.wait()
        wall, cpu = time.perf_counter() - begin, float("nan")
    process.stderr.close()
    if process.stdout is not None:
        process.stdout.close()
    if process.returncode:
        line = stderr.decode(errors="replace").strip().splitlines()
        raise Failure(f"`{Path(command[0]).name} …` ended with {process.returncode}: {brief(line)}")
    return Ended(wall, cpu, stdout)


def brief(lines: list[str]) -> str:
    """The last line that a failed process wrote, in the size of a cell."""
    last = lines[-1].strip() if lines else "no message"
    return last if len(last) <= 120 else f"{last[:119]}…"


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def time_of(seconds: float) -> str:
    """In the unit that suits it."""
    return f"{seconds:.2f} s" if seconds >= 1 else milliseconds(seconds)


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms" if seconds < 0.1 else f"{seconds * 1e3:.0f} ms"


def nanoseconds(seconds: float) -> str:
    return f"{seconds * 1e9:.0f} ns"


def megabytes(value: float) -> str:
    return f"{value / 1e6:.1f} MB"
