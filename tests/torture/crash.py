"""Crashes: the process is killed before its N-th file call, or in the middle of its N-th write, in whichever thread.

Afterwards the next run has to import the right bytes and leave a whole cache. In the long form the next run is
killed too, at a call of its own, before the run that heals. Where helper interpreters compile, they are killed as well,
at a call of the process that uses them: it goes on without them.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from pathlib import Path

import trials
from child import Wrong
from scenes import WRITING, Scene, Stage, noted

EARLIER = 20
"""Calls before the first one for a helper: so much earlier one begins."""

REAL = ("killed", "killed twice", "helpers killed")


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
    writing, reading, lengths = [], [], {}
    for scene in stage.scenes:
        calls = stage.record(scene)
        lengths[scene.name] = len(calls)
        for at, call in enumerate(calls, 1):
            (writing if call.name in WRITING else reading).append(Crash(scene, at, call.name, "kill"))
            if call.name == "write":
                writing.append(Crash(scene, at, call.name, "torn"))
        helped = [at for at, call in enumerate(calls, 1) if call.thread == "magic_module-co"]
        if helped:
            points_of_helpers = range(max(1, helped[0] - EARLIER), helped[-1], 4)
            writing += [Crash(scene, at, calls[at - 1].name, "child") for at in points_of_helpers]
    for each in (writing, reading):
        chooser.shuffle(each)
    every = writing + reading
    if points > len(every):
        killed = [crash for crash in writing if crash.act != "child"]
        for first in itertools.islice(itertools.cycle(killed), points - len(every)):
            # What the first one did the second one does not do again.
            left = lengths[first.scene.name] - first.at + EARLIER
            every.append(Crash(first.scene, first.at, first.call, first.act, chooser.randrange(1, left)))
    return every[:points]


def run(folder: Path, points: int, seed: int, jobs: int) -> trials.Figures:
    stage = Stage(folder)
    figures = trials.Figures("crash points", points, REAL)
    numbers = itertools.count()

    def kill(scene: Scene, cache: Path, at: int, act: str, errors: tuple[str, ...] = ()) -> str:
        """Which process was killed: `self`, `child`, or none of them."""
        log = cache.with_suffix(".log")
        log.unlink(missing_ok=True)
        said = stage.run(scene, cache, **stage.disturb(cache, log, at, act))
        calls = noted(log)
        if not said.killed:
            stage.judge_all(scene, said.answers, errors)
            return "child" if calls else ""
        if not calls:
            raise Wrong(f"killed by somebody else: {said.stderr}")
        if not calls[0].thread.startswith("python"):
            figures.add("of the kills outside of the main thread")
        return "self"

    def trial(crash: Crash) -> str:
        scene, cache = crash.scene, folder / f"trial-{next(numbers)}"
        trials.copy(stage.cache(scene), cache)
        try:
            killed = kill(scene, cache, crash.at, crash.act)
            again = crash.second and kill(scene, cache, crash.second, "kill", ("UnitNotFoundError",))
            stage.heals(scene, cache)
        finally:
            trials.remove(cache)
            cache.with_suffix(".log").unlink(missing_ok=True)
        if crash.act == "child":
            return "helpers killed" if killed else "with no helper at that point"
        if not killed:
            # Threads do not make the same number of calls each time.
            return "ended before their point"
        return "killed twice" if again else "killed"

    with stage:
        trials.run(figures, crashes(stage, points, random.Random(seed)), trial, jobs)
    return figures
