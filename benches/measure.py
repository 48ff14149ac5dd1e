"""Interleaved measurements and what is made of them.

Pairs run in turns (ours, theirs, theirs, ours, …), so that whatever else the machine does meets both. A ratio is the
median of the pairs' ratios; the spread is the interquartile range of a side, relative to its median, of the worse side.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

BUSY = 0.30
"""From this spread on a row says that the machine was busy."""


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
    def spread(self) -> float:
        if len(self.values) < 3 or not self.median:
            return 0.0
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
        if self.reached is None:
            return "not measured"
        outcome = "reached" if self.reached else "missed"
        return f"{outcome} (busy machine)" if self.spread is not None and self.spread > BUSY else outcome

    def not_measured(self, why: str) -> Row:
        return replace(self, got=why, reached=None)

    def compared(
        self, ours: Side, theirs: Side, most: float, show: Callable[[float], str], notes: Sequence[str] = ()
    ) -> Row:
        """The row of a ratio that may be at most `most`."""
        value = ratio(ours, theirs)
        return replace(
            self,
            ours=show(ours.median),
            theirs=show(theirs.median),
            spread=max(ours.spread, theirs.spread),
            got=f"{value:.2f}×",
            reached=value <= most,
            notes=[*self.notes, *notes],
        )


def ratio(ours: Side, theirs: Side) -> float:
    """The median of the pairs' ratios."""
    return statistics.median(a / b for a, b in zip(ours.values, theirs.values, strict=True))


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
        raise Failure(f"`{command[0]} …` ended with {process.returncode}: {line[-1] if line else 'no message'}")
    return Ended(wall, cpu, stdout)


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms" if seconds < 0.1 else f"{seconds * 1e3:.0f} ms"


def nanoseconds(seconds: float) -> str:
    return f"{seconds * 1e9:.0f} ns"


def seconds(value: float) -> str:
    return f"{value:.2f} s"


def mebibytes(value: float) -> str:
    return f"{value / (1 << 20):.1f} MiB"
