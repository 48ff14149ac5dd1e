"""Mutated caches: a file is flipped, cut, swapped, emptied, replaced by a link, or joined by a stranger.

After each mutation a fresh process imports everything. No wrong byte may be imported, and nothing that was planted
may run. Then `verify` runs, which mends what it finds, and a second one has to find nothing. In half of the caches that
comes after each mutation, in the other half after a pile of them.
"""

from __future__ import annotations

import os
import py_compile
import random
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import trials
from child import Wrong
from large import CATALOGUE
from scenes import Scene, Stage

SCENES = (
    Scene("mutations", (), ((1, ("report",)), (2, ("upgrade", "report"))), 2, ("2.0",)),
    Scene("mutations of a catalogue", (), ((1, ("report",)),), content=CATALOGUE),
)
CATALOGUES = 3
"""One cache in so many is of a catalogue, whose import takes longer."""

PILE = 20
"""Mutations before a fresh copy of the cache: what was planted before would get most of those after it."""

FEW = 5
"""In the short form so many mutations share one import; in the long form each has its own."""


class Mutator:
    """Seeded damage to one cache."""

    def __init__(self, cache: Path, marker: Path, chooser: random.Random) -> None:
        self.root = cache / "v1"
        self.only: tuple[str, ...] = ()
        self.chooser = chooser
        self.planted = f"open({str(marker)!r}, 'a').write(__file__ + chr(10))\nVERSION = 'planted'\n"
        self.compiled = marker.with_suffix(".pyc")
        source = marker.with_suffix(".py")
        source.write_text(self.planted)
        # Unchecked: such a file runs whatever source stands beside it.
        py_compile.compile(
            str(source), str(self.compiled), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
        )
        self.kinds: list[Callable[[Path], str | None]] = [
            self.flip,
            self.flip,
            self.cut,
            self.grow,
            self.swap,
            self.empty,
            self.link,
            self.replace,
            self.delete,
            self.folder,
            self.open_to_others,
            self.plant,
            self.plant,
            self.shadow,
        ]

    def files(self) -> list[Path]:
        # In an order of its own: digests of a mount differ from run to run.
        files = (path for path in self.root.rglob("*") if path.is_file())
        if self.only:
            files = (path for path in files if set(self.only) & set(path.relative_to(self.root).parts))
        return sorted(files, key=lambda path: (path.suffix, path))

    def step(self) -> str | None:
        """One mutation, and what it was; None where there was nothing to do it to."""
        if not (files := self.files()):
            return None
        path = self.chooser.choice(files)
        kind = self.chooser.choice(self.kinds)
        try:
            done = kind(path)
        except OSError:
            return None
        return f"{kind.__name__} {path.relative_to(self.root)}{done or ''}"

    def writable(self, path: Path) -> os.stat_result:
        status = path.stat()
        path.chmod(0o644)
        return status

    def back(self, path: Path, status: os.stat_result) -> None:
        """Half of the damage pretends that nothing happened."""
        path.chmod(status.st_mode & 0o777)
        if self.chooser.random() < 0.5:
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def flip(self, path: Path) -> str | None:
        status, data = self.writable(path), bytearray(path.read_bytes())
        if not data:
            return None
        at = self.chooser.randrange(len(data))
        data[at] ^= 1 << self.chooser.randrange(8)
        with path.open("r+b") as file:
            file.write(data)
        self.back(path, status)
        return f" at {at}"

    def cut(self, path: Path) -> str:
        status = self.writable(path)
        size = self.chooser.randrange(status.st_size + 1)
        os.truncate(path, size)
        self.back(path, status)
        return f" to {size}"

    def grow(self, path: Path) -> None:
        status = self.writable(path)
        with path.open("ab") as file:
            file.write(self.planted.encode())
        self.back(path, status)

    def swap(self, path: Path) -> str:
        other = self.chooser.choice(self.files())
        aside = self.root / "swapped"
        path.rename(aside)
        other.rename(path)
        aside.rename(other)
        return f" with {other.relative_to(self.root)}"

    def empty(self, path: Path) -> None:
        status = self.writable(path)
        os.truncate(path, 0)
        self.back(path, status)

    def link(self, path: Path) -> None:
        """The same name, but the bytes are somebody else's."""
        target = self.compiled.with_suffix(".py")
        path.unlink()
        path.symlink_to(target)

    def replace(self, path: Path) -> None:
        """Another file of the same size."""
        status = path.stat()
        body = self.planted.encode()
        path.unlink()
        path.write_bytes((body + b"#" * status.st_size)[: status.st_size])
        self.back(path, status)

    def delete(self, path: Path) -> None:
        path.unlink()

    def folder(self, path: Path) -> None:
        path.unlink()
        path.mkdir()
        (path / "__init__.py").write_text(self.planted)

    def open_to_others(self, path: Path) -> None:
        path.chmod(0o666)

    def plant(self, path: Path) -> str:
        """Code that nobody published, where an import system would find it."""
        folder = path.parent
        stem = path.stem
        tags = ("cpython-310", "cpython-311", "cpython-312", "cpython-313")
        names = [f"{stem}.pyc", f"{stem}.so", f"{stem}.abi3.so", "sitecustomize.py", "part.py", "leaf.py", "acme.pth"]
        name = self.chooser.choice([*names, *(f"__pycache__/{stem}.{tag}.pyc" for tag in tags)])
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        if target.exists():
            target.unlink()
        if target.suffix == ".pyc":
            shutil.copy(self.compiled, target)
        else:
            target.write_text(self.planted)
        return f" beside as {name}"

    def shadow(self, path: Path) -> str:
        """A package where a module is, and an `__init__` where a namespace is."""
        target = path.with_suffix("") / "__init__.py"
        target.parent.mkdir(exist_ok=True)
        target.write_text(self.planted)
        return " by a package"


def run(folder: Path, mutations: int, seed: int, jobs: int, short: bool) -> trials.Figures:
    figures = trials.Figures("mutated caches", mutations)
    share = FEW if short else 1
    stage = Stage(folder, ())
    for scene in SCENES:
        stage.prepare(scene)

    def work(number: int) -> None:
        cache, marker = folder / f"mutated-{number}", folder / f"marker-{number}"
        mutator = Mutator(cache, marker, random.Random(seed * 1000 + number))
        total, height, piles, scene = 0, PILE, 0, SCENES[0]
        while total < mutations / jobs:
            if height >= PILE:
                height, piles = 0, piles + 1
                scene = SCENES[piles % CATALOGUES == 0]
                trials.remove(cache)
                trials.copy(stage.cache(scene), cache)
            done = [text for _ in range(share) if (text := mutator.step())]
            total += len(done)
            height += len(done)
            with figures.lock:
                figures.done += len(done)
            try:
                said = stage.run(scene, cache, "report")
                stage.judge_all(scene, said.answers)
                figures.add("imports")
                # In every other pile damage stays until the pile is complete.
                if piles % 2 or height >= PILE:
                    # What the first one finds it mends.
                    *_, second = stage.run(scene, cache, "verify", "verify").answers
                    if second != {"ok": True, "problems": []}:
                        raise Wrong(f"verify leaves {second}")
                    figures.add("verified twice")
            except Wrong as wrong:
                figures.wrong.append(f"{scene.name}: {'; '.join(done)}: {wrong}")
                # A cache that does not heal would hide what comes after it.
                height = PILE
            if marker.exists():
                figures.wrong.append(f"{scene.name}: {'; '.join(done)}: planted code ran: {marker.read_text()}")
                marker.unlink()
                height = PILE

    with stage, ThreadPoolExecutor(jobs) as pool:
        for future in [pool.submit(work, number) for number in range(jobs)]:
            future.result()
    return figures
