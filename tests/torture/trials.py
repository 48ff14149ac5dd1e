"""Many trials side by side, each in a copy of a cache, and one line of figures at the end."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from child import Wrong

Case = TypeVar("Case")

SHOWN = 40
"""So many failures are printed in full."""


NEARLY_ALL = 0.9
"""Of the trials, so many have to be disturbed for real: threads do not make the same calls each time."""


@dataclass
class Figures:
    """What a test of this folder found.

    `wanted` trials have to be done, and nearly all of them have to count as one of `real`: nothing goes wrong in a run
    that disturbs nothing.
    """

    name: str
    wanted: int = 0
    real: tuple[str, ...] = ()
    done: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    skipped: str = ""
    began: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, what: str, number: int = 1) -> None:
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + number

    def line(self) -> str:
        if self.skipped:
            return f"{self.name}: skipped: {self.skipped}"
        counts = "".join(f", {number} {what}" for what, number in self.counts.items())
        seconds = time.monotonic() - self.began
        return f"{self.name}: {self.done} trials{counts}, {len(self.wrong)} wrong ({seconds:.0f} s)"

    def missing(self) -> str | None:
        """Why this says nothing, although nothing was wrong."""
        if self.skipped:
            return None
        if not self.done or self.done < self.wanted:
            return f"{self.done} trials, not {self.wanted}"
        real = sum(self.counts.get(what, 0) for what in self.real)
        if self.real and real + len(self.wrong) < NEARLY_ALL * self.done:
            return f"{real} of {self.done} trials are {' or '.join(self.real)}: nearly all have to be"
        return None

    def finish(self) -> bool:
        for text in self.wrong[:SHOWN]:
            print(f"WRONG {self.name}: {text}", flush=True)
        print(self.line(), flush=True)
        if missing := self.missing():
            print(f"TOO LITTLE {self.name}: {missing}", flush=True)
        return not self.wrong and not missing


def run(figures: Figures, cases: Sequence[Case], trial: Callable[[Case], str | None], jobs: int) -> None:
    """Runs `trial` for each case; it returns what to count, and raises `Wrong`."""
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(trial, case): case for case in cases}
        for future in as_completed(futures):
            figures.done += 1
            try:
                if what := future.result():
                    figures.add(what)
            except Wrong as wrong:
                figures.wrong.append(f"{futures[future]}: {wrong}")


def copy(cache: Path, target: Path) -> Path:
    shutil.copytree(cache, target, symlinks=True)
    return target


def remove(folder: Path) -> None:
    """Also what a trial made unwritable."""
    shutil.rmtree(folder, ignore_errors=True)
