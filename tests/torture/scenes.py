"""What is being done when something goes wrong: a cache as it is before, a manifest, and the process's actions.

Each scene is prepared once; a trial works on a copy of its cache, so that trials run side by side.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from child import HERE, Child, Said, Wrong, judge
from large import CATALOGUE, SIGNED
from sites import FOUR, Content, Site, right_answers

sys.path.append(str(HERE.parent))

from origins import Origin

_CHANGES = "create write writev pwrite64 sendfile64 copy_file_range ficlone ftruncate64 ftruncate rename link linkat"
_LASTS = "unlink unlinkat mkdir rmdir fsync fdatasync syncfs fchmod chmod"
WRITING = frozenset(f"{_CHANGES} {_LASTS}".split())
"""Calls that change the disk: only between these, what a crash leaves differs."""


@dataclass(frozen=True)
class Scene:
    """`before` ran on the cache, then the manifest of `shown` appeared, then `actions` run and are disturbed.

    `threads` is what the scene is for: so many threads of each name touch the cache, on a machine of four cores.
    """

    name: str
    actions: tuple[str, ...]
    before: tuple[tuple[int, tuple[str, ...]], ...] = ()
    shown: int = 1
    allowed: tuple[str, ...] = ("1.0",)
    packs: bool = True
    damaged: bool = False
    http: bool = False
    content: Content = FOUR
    threads: dict[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Call:
    """A call that touches the cache, and the thread that makes it."""

    name: str
    thread: str
    number: str


SCENES = (
    Scene("first import", ("report",)),
    Scene("first import, file by file", ("report",), packs=False),
    Scene("first import over http", ("report",), packs=False, http=True),
    Scene("upgrade", ("report", "upgrade", "report"), ((1, ("report",)),), 2, ("1.0", "2.0")),
    Scene("upgrade over http", ("report", "upgrade", "report"), ((1, ("report",)),), 2, ("1.0", "2.0"), http=True),
    Scene("rollback", ("report", "rollback", "report"), ((1, ("report",)), (2, ("upgrade",))), 2, ("1.0", "2.0")),
    Scene("forced upgrade", ("report", "force"), ((1, ("report",)),), 2, ("1.0", "2.0")),
    Scene(
        "prune",
        ("prune",),
        ((1, ("report",)), (2, ("report", "upgrade", "report")), (3, ("upgrade", "report"))),
        3,
        ("3.0",),
    ),
    Scene("healing", ("report", "verify"), ((1, ("report",)),), damaged=True),
    # Those that unpack have the name of the thread that starts them.
    Scene("signed site", ("report",), content=SIGNED, threads={"magic_module": 6, "magic_module-co": 2}),
    Scene("catalogue over http", ("report",), http=True, content=CATALOGUE, threads={"magic_module-la": 2}),
)


class Stage(contextlib.ExitStack):
    """A folder in which the scenes are prepared and trials run; what serves them ends with the `with` block."""

    def __init__(self, folder: Path, names: tuple[str, ...] | None = None) -> None:
        super().__init__()
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.child = self.enter_context(contextlib.closing(Child(folder / "home", build_layer(folder))))
        self.right: dict[Content, dict[str, dict[str, str]]] = {}
        self.urls: dict[str, str] = {}
        self.settings: dict[str, dict[str, str]] = {}
        self.scenes = [scene for scene in SCENES if names is None or scene.name in names]
        try:
            for scene in self.scenes:
                self.prepare(scene)
        except BaseException:
            self.close()
            raise

    def prepare(self, scene: Scene) -> None:
        place = self.folder / scene.name.replace(" ", "-").replace(",", "")
        versions = range(1, scene.shown + 1)
        site, cache = Site(place, scene.packs, versions, scene.content), self.cache(scene)
        self.urls[scene.name] = self.enter_context(Origin(site.folder)).manifest_url if scene.http else site.url
        self.settings[scene.name] = scene.content.settings(site.key)
        right = self.right.setdefault(scene.content, {})
        if missing := [version for version in versions if f"{version}.0" not in right]:
            right |= right_answers(self.folder, self.child, missing, scene.content)
        for version, actions in scene.before:
            site.show(version)
            for answer in self.run(scene, cache, *actions).answers:
                if isinstance(answer, dict) and "error" in answer:
                    raise Wrong(f"{scene.name} could not be prepared: {answer}")
        site.show(scene.shown)
        cache.mkdir(exist_ok=True)
        if scene.damaged:
            damage(cache)

    def run(self, scene: Scene, cache: Path, *actions: str, child: Child | None = None, **environment: str) -> Said:
        """A process that does `actions`, those of the scene if none are given."""
        settings = self.settings[scene.name] | environment
        return (child or self.child).run(cache, self.urls[scene.name], *(actions or scene.actions), **settings)

    def cache(self, scene: Scene) -> Path:
        return self.folder / scene.name.replace(" ", "-").replace(",", "") / "cache"

    def record(self, scene: Scene) -> list[Call]:
        """The calls that touch the cache while the scene runs undisturbed."""
        log, cache = self.folder / "log", self.folder / "recorded"
        # On a busy machine a thread may come too late to find anything to do.
        for _ in range(5):
            log.unlink(missing_ok=True)
            shutil.copytree(self.cache(scene), cache, symlinks=True)
            self.judge_all(scene, self.run(scene, cache, **self.disturb(cache, log)).answers)
            shutil.rmtree(cache)
            if not (calls := noted(log)):
                raise Wrong(f"{scene.name}: no call was counted: the fault layer is not there")
            seen = Counter(thread for thread, _ in {(call.thread, call.number) for call in calls})
            if len(os.sched_getaffinity(0)) < 4 or seen >= Counter(scene.threads):
                return calls
        raise Wrong(f"{scene.name}: {dict(seen)} threads touch the cache, not {scene.threads}")

    def disturb(self, cache: Path, log: Path, at: int = 0, act: str = "", on: bool = False) -> dict[str, str]:
        """Settings of the fault layer; `log` tells afterwards what it counted, or with `at` what it injected."""
        environment = {"TORTURE_ROOT": str(cache), "TORTURE_LOG": str(log)}
        if at:
            environment |= {"TORTURE_AT": str(at), "TORTURE_ACT": act, "TORTURE_ON": "1" if on else "0"}
        return environment

    def judge_all(self, scene: Scene, answers: list[object], errors: tuple[str, ...] = ()) -> int:
        failed = 0
        for answer in answers:
            if isinstance(answer, dict) and "alpha" in answer:
                failed += judge(answer, self.right[scene.content], scene.allowed, errors=errors)
            elif isinstance(answer, dict) and "error" in answer:
                if answer["error"] not in errors:
                    raise Wrong(f"{answer['error']}: {answer['text']}")
                failed += 1
        return failed

    def heals(self, scene: Scene, cache: Path, child: Child | None = None) -> None:
        """The next run imports what is right, moves on and cleans up, and the one after it needs no server."""
        right = self.right[scene.content]
        # What `verify` finds it mends: the second one finds nothing.
        report, upgraded, after, pruned, _, verified = self.run(
            scene, cache, "report", "upgrade", "report", "prune", "verify", "verify", child=child
        ).answers
        judge(report, right, scene.allowed)
        newest = (f"{scene.shown}.0",)
        if isinstance(upgraded, dict):
            raise Wrong(f"the next run cannot upgrade: {upgraded}")
        judge(after, right, newest)
        if verified != {"ok": True, "problems": []}:
            raise Wrong(f"the next run leaves damage: {verified}")
        if isinstance(pruned, dict):
            raise Wrong(f"the next run cannot prune: {pruned}")
        halves = [path.name for path in (cache / "v1" / "tmp").iterdir() if path.suffix in {".part", ".tree"}]
        if halves:
            raise Wrong(f"halves are left: {halves}")
        alone = {"MAGIC_MODULE_OFFLINE": "1", "MAGIC_MODULE_VERIFY": "full"}
        (offline,) = self.run(scene, cache, "report", child=child, **alone).answers
        judge(offline, right, newest)


def noted(log: Path) -> list[Call]:
    """What the fault layer wrote down."""
    if not log.exists():
        return []
    return [Call(*line.split("\t")) for line in log.read_text().splitlines()]


def damage(cache: Path) -> None:
    """One of each: a file of a tree, a blob, an index, a code pack, a generation."""
    root = cache / "v1"
    for pattern, change in (
        ("trees/*/alpha.csv", b"flipped"),
        ("trees/*/tool/part.py", b""),
        ("mounts/*/code/*", b"cut"),
    ):
        path = sorted(root.glob(pattern))[0]
        data = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(data[:-9] if change == b"cut" else change)
    trees = sorted(path for path in root.glob("trees/*") if path.is_dir() and (path / "base.py").exists())
    trees[0].with_name(trees[0].name + ".index").unlink()


def build_layer(folder: Path) -> Path:
    """Compiles the fault layer."""
    layer = folder / "layer.so"
    # The standard library of Rust probes statx with a null path.
    flags = ["-O1", "-shared", "-fPIC", "-fno-delete-null-pointer-checks"]
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, *flags, "-o", str(layer), str(HERE / "layer.c"), "-ldl"], check=True)
    return layer
