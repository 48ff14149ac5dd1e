"""Faults: the N-th file call fails with ENOSPC, EIO, EACCES or EMFILE, once or from then on.

The process has to import the right bytes or to say in a structured error why it cannot; the next run heals. The same
on a file system of one megabyte that is full, and on one that is mounted for reading only.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import trials
from child import Wrong
from scenes import SCENES, Scene, Stage, noted

CREATING = "create mkdir rename link linkat"
CALLS = {
    "ENOSPC": f"{CREATING} write writev pwrite64 copy_file_range ficlone fsync syncfs ftruncate64",
    "EIO": f"{CREATING} open opendir readdir64 read write ficlone fsync syncfs ftruncate64 unlink unlinkat rmdir statx"
    " flock fchmod",
    "EACCES": f"{CREATING} open opendir unlink unlinkat rmdir statx fchmod chmod",
    "EMFILE": "create open opendir",
}
"""Which calls the kernel lets fail with what."""

OUTCOMES = ("refused", "right all the same")

ERRORS = ("StoreError", "IntegrityError", "FetchError", "ManifestError", "OfflineError", "OwnRead")


@dataclass(frozen=True)
class Fault:
    scene: Scene
    at: int
    call: str
    error: str
    lasting: bool

    def __str__(self) -> str:
        return f"{self.scene.name}: {self.error} at call {self.at} ({self.call}){' and later' if self.lasting else ''}"


def faults(stage: Stage, points: int, chooser: random.Random) -> list[Fault]:
    every = [
        Fault(scene, at, call.name, error, lasting)
        for scene in stage.scenes
        for at, call in enumerate(stage.record(scene), 1)
        for error, calls in CALLS.items()
        if call.name in calls.split()
        # A disk is full for longer than one call.
        for lasting in ((False, True) if error != "EACCES" else (False,))
    ]
    chooser.shuffle(every)
    return every[:points]


def run(folder: Path, points: int, seed: int, jobs: int) -> trials.Figures:
    stage = Stage(folder)
    figures = trials.Figures("injected faults", points, OUTCOMES)
    numbers = itertools.count()

    def trial(fault: Fault) -> str:
        scene, cache = fault.scene, folder / f"trial-{next(numbers)}"
        log = cache.with_suffix(".log")
        trials.copy(stage.cache(scene), cache)
        act = str(getattr(errno, fault.error))
        try:
            said = stage.run(scene, cache, **stage.disturb(cache, log, fault.at, act, fault.lasting))
            failed = stage.judge_all(scene, said.answers, errors=ERRORS)
            stage.heals(scene, cache)
            calls = noted(log)
        finally:
            trials.remove(cache)
            log.unlink(missing_ok=True)
        if not calls:
            return "ended before their call"
        if not calls[0].thread.startswith("python"):
            figures.add("of the faults outside of the main thread")
        return OUTCOMES[0] if failed else OUTCOMES[1]

    with stage:
        trials.run(figures, faults(stage, points, random.Random(seed)), trial, jobs)
    return figures


FREE = (0, 4, 16, 64, 128, 256, 512, 900)
"""Kilobytes that are left on the small disk."""


def full_disk(folder: Path, seed: int) -> trials.Figures:
    """A file system of one megabyte, filled to different degrees before each scene."""
    figures = trials.Figures("a full disk", len(SCENES) * len(FREE), OUTCOMES)
    place = folder / "megabyte"
    place.mkdir()
    with Stage(folder) as stage:
        for scene in stage.scenes:
            for free in FREE:
                try:
                    with mounted("-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs", str(place)):
                        cache = place / "cache"
                        filler = place / "filler"
                        with contextlib.suppress(OSError):
                            trials.copy(stage.cache(scene), cache)
                            room = shutil.disk_usage(place).free - free * 1024
                            filler.write_bytes(bytes(max(0, room)))
                        figures.done += 1
                        try:
                            said = stage.run(scene, cache)
                            failed = stage.judge_all(scene, said.answers, errors=ERRORS)
                            filler.unlink(missing_ok=True)
                            left = cache if cache.exists() else stage.cache(scene)
                            saved = trials.copy(left, folder / "saved")
                            stage.heals(scene, saved)
                            trials.remove(folder / "saved")
                            figures.add(OUTCOMES[0] if failed else OUTCOMES[1])
                        except Wrong as wrong:
                            figures.wrong.append(f"{scene.name} with {free} KB free: {wrong}")
                            trials.remove(folder / "saved")
                except Unmountable as reason:
                    figures.skipped = str(reason)
                    return figures
    return figures


def read_only(folder: Path, seed: int) -> trials.Figures:
    """A whole cache, a damaged one and an empty one, behind a mount that allows no writing."""
    figures = trials.Figures("a read-only mount", len(SCENES), OUTCOMES)
    place = folder / "read-only"
    place.mkdir()
    with Stage(folder) as stage:
        for scene in stage.scenes:
            cache = stage.cache(scene)
            try:
                with mounted("--bind", str(cache), str(place)):
                    mount("-o", "remount,ro,bind", str(place))
                    figures.done += 1
                    before = listing(cache)
                    try:
                        said = stage.run(scene, place)
                        failed = stage.judge_all(scene, said.answers, errors=ERRORS)
                        if listing(cache) != before:
                            raise Wrong("something was written")
                        figures.add(OUTCOMES[0] if failed else OUTCOMES[1])
                    except Wrong as wrong:
                        figures.wrong.append(f"{scene.name}: {wrong}")
            except Unmountable as reason:
                figures.skipped = str(reason)
                return figures
            try:
                stage.heals(scene, cache)
            except Wrong as wrong:
                figures.wrong.append(f"{scene.name}, writable again: {wrong}")
    return figures


def listing(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.lstat().st_size) for path in folder.rglob("*"))


class Unmountable(Exception):
    """Why this machine does not let us mount."""


def mount(*arguments: str) -> None:
    if not sys.platform.startswith("linux"):
        raise Unmountable(f"{sys.platform} has no such mounts")
    if os.geteuid() != 0:
        raise Unmountable("mounting needs root")
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unmountable(f"mount {' '.join(arguments[:-1])}: {done.stderr.strip()}")


@contextlib.contextmanager
def mounted(*arguments: str) -> Iterator[None]:
    mount(*arguments)
    try:
        yield
    finally:
        subprocess.run(["umount", arguments[-1]], check=True)
