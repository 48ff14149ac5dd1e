"""Power cuts: the image of a mounted file system is copied while it is in use, and used as if after a boot.

What is simulated: a file in memory holds ext4 or xfs, mounted through a loop device. A copy of that file, made without
unmounting or syncing, has what the file system had sent to its device until then, in order, and nothing of what was
still in the page cache: the state after pulling the plug of a disk that does not lie about flushes. The copy is mounted
by itself, which replays the journal. The process that uses it is told another boot id through a bind mount, as after a
real boot. Reordering inside of the disk's own cache is not simulated.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import trials
from child import Child, Wrong
from faults import Unmountable, mount, mounted
from scenes import Scene, Stage

SIZES = {"ext4": "96M", "xfs": "320M"}
MAKE = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"]}
NAMES = ("first import", "upgrade", "prune")


def run(folder: Path, short: bool) -> trials.Figures:
    figures = trials.Figures("power cuts")
    delays = (0.0,) if short else (0.0, 7.0, 20.0, 40.0)
    try:
        with other_boot(folder) as boot:
            for system, command in MAKE.items():
                try:
                    on_one(folder / system, system, command, delays, boot, figures)
                except Unmountable as reason:
                    print(f"power cuts on {system}: skipped: {reason}", flush=True)
            if not figures.done:
                figures.skipped = "no such file system can be made here"
    except Unmountable as reason:
        figures.skipped = str(reason)
    return figures


def on_one(
    folder: Path,
    system: str,
    command: list[str],
    delays: tuple[float, ...],
    boot: list[str],
    figures: trials.Figures,
) -> None:
    make = [program(command[0]), *command[1:]]
    with Stage(folder, NAMES) as stage:
        for scene in stage.scenes:
            cut(stage, scene, system, make, delays, boot, figures)


def program(name: str) -> str:
    """Where administrators' programs are is not on everybody's PATH."""
    found = shutil.which(name, path=os.environ["PATH"] + ":/sbin:/usr/sbin")
    if found is None:
        raise Unmountable(f"{name} is not installed")
    return found


def cut(
    stage: Stage,
    scene: Scene,
    system: str,
    make: list[str],
    delays: tuple[float, ...],
    boot: list[str],
    figures: trials.Figures,
) -> None:
    image, place = stage.folder / "image", stage.folder / "mounted"
    place.mkdir(exist_ok=True)
    subprocess.run(["truncate", "-s", SIZES[system], str(image)], check=True)
    subprocess.run([*make, str(image)], check=True, stdout=subprocess.DEVNULL)
    copies: list[tuple[float, Path]] = []
    with mounted("-o", "loop", str(image), str(place)):
        cache = trials.copy(stage.cache(scene), place / "cache")
        os.sync()
        said = stage.run(scene, cache)
        ended = time.monotonic()
        stage.judge_all(scene, said.answers)
        for delay in delays:
            time.sleep(max(0.0, ended + delay - time.monotonic()))
            copies.append((delay, Path(shutil.copy(image, stage.folder / f"image-{delay}"))))
    for delay, copied in copies:
        figures.done += 1
        booted = Child(stage.child.home, before=boot)
        try:
            with mounted("-o", "loop", str(copied), str(place)), contextlib.closing(booted):
                lost = sum(path.stat().st_size == 0 for path in (place / "cache").rglob("*.py"))
                said = stage.run(scene, place / "cache", "report", child=booted, MAGIC_MODULE_OFFLINE="1")
                refused = stage.judge_all(scene, said.answers, ("OfflineError", "IntegrityError"))
                stage.heals(scene, place / "cache", booted)
            figures.add("needed the server" if refused else "whole without the server")
            figures.add("derived files found empty", lost)
        except Wrong as wrong:
            figures.wrong.append(f"{scene.name} on {system}, {delay:.0f} s after success: {wrong}")
        copied.unlink()
    image.unlink()


@contextlib.contextmanager
def other_boot(folder: Path) -> Iterator[list[str]]:
    """What to start a process with, so that it sees another boot id."""
    identity = folder / "boot_id"
    identity.write_text("00000000-0000-4000-8000-000000000001\n")
    probe = folder / "probe"
    probe.mkdir()
    mount("-t", "tmpfs", "tmpfs", str(probe))
    subprocess.run(["umount", str(probe)], check=True)
    script = f'mount --bind "{identity}" /proc/sys/kernel/random/boot_id && exec "$@"'
    words = ["unshare", "-m", "sh", "-c", script, "sh"]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        raise Unmountable("a process cannot be given a mount namespace of its own (unshare -m)")
    yield words
