"""Crashes: the process is killed before its N-th file call, or in the middle of its N-th write.

Afterwards the next run has to import the right bytes and leave a whole cache. In the long form the next run is
killed too, at a call of its own, before the run that heals.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from pathlib import Path

import trials
from scenes import WRITING, Scene, Stage


@dataclass(frozen=True)
class Crash:
    """Where the first process dies, and where the one after it does (0: it lives)."""

    scene: Scene
    at: int
    call: str
    act: str
    second: int = 0

    def __str__(self) -> str:
        again = f", then before call {self.second} of the next run" if self.second else ""
        return f"{self.scene.name}: {self.act} at call {self.at} ({self.call}){again}"


def crashes(stage: Stage, points: int, chooser: random.Random) -> list[Crash]:
    """Every call of every scene, those that write first; then pairs of them, up to `points`."""
    writing, reading = [], []
    for scene in stage.scenes:
        for at, call in enumerate(stage.record(scene), 1):
            (writing if call in WRITING else reading).append(Crash(scene, at, call, "kill"))
            if call == "write":
                writing.append(Crash(scene, at, call, "torn"))
    for each in (writing, reading):
        chooser.shuffle(each)
    every = writing + reading
    if points > len(every):
        for first in itertools.islice(itertools.cycle(writing), points - len(every)):
            every.append(Crash(first.scene, first.at, first.call, first.act, chooser.randrange(1, 500)))
    return every[:points]


def run(folder: Path, points: int, seed: int, jobs: int) -> trials.Figures:
    stage = Stage(folder)
    figures = trials.Figures("crash points")
    numbers = itertools.count()

    def trial(crash: Crash) -> str:
        scene, cache = crash.scene, folder / f"trial-{next(numbers)}"
        trials.copy(stage.cache(scene), cache)
        url = stage.urls[scene.name]
        try:
            said = stage.child.run(cache, url, *scene.actions, **stage.disturb(cache, at=crash.at, act=crash.act))
            if not said.killed:
                # Threads do not make the same number of calls each time.
                stage.judge_all(scene, said.answers)
            if crash.second:
                second = stage.child.run(
                    cache, url, *scene.actions, **stage.disturb(cache, at=crash.second, act="kill")
                )
                if not second.killed:
                    stage.judge_all(scene, second.answers, errors=("UnitNotFoundError",))
            stage.heals(scene, cache)
        finally:
            trials.remove(cache)
        return "killed" if said.killed else "ended before"

    with stage:
        trials.run(figures, crashes(stage, points, random.Random(seed)), trial, jobs)
    return figures
