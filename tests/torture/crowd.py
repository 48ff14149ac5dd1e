"""Many processes at once: a cold import in an empty cache, while a third of them is killed.

Each process has a login of its own, which is not part of a mount's identity: so the server knows who asked for what.
It answers nobody before all of them run, and kills most of those that die in the middle of a download.
"""

from __future__ import annotations

import base64
import json
import random
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import trials
from child import Child, Said, Wrong, judge
from sites import Site, right_answers

sys.path.append(str(Path(__file__).resolve().parent.parent))

from origins import Origin, Reply

HANGS = 300
"""Seconds after which a process counts as stopped by a stale lock; there may be a hundred on two cores."""

Process = subprocess.Popen[bytes]


class Crowd:
    """The processes, and what the server sees of them."""

    def __init__(self, seed: int, victims: int) -> None:
        self.chooser = random.Random(seed)
        self.victims = victims
        self.processes: list[Process] = []
        self.running = threading.Event()
        self.killed: dict[int, bool] = {}
        self.asked: Counter[tuple[str, int]] = Counter()
        self.lock = threading.Lock()

    def answer(self, reply: Reply) -> None:
        """A good answer, in two halves; between them the one who asked may be killed."""
        self.running.wait()
        path = reply.request.path
        login = base64.b64decode(reply.request.headers["authorization"].split()[1]).decode()
        number = int(login.partition(":")[0])
        is_manifest = path.endswith("manifest.json")
        with self.lock:
            if not is_manifest:
                self.asked[path, number] += 1
            # The first half of them may die early; there are fewer downloads than processes.
            most, chance = (self.victims // 2, 0.3) if is_manifest else (self.victims, 0.9)
            dies = len(self.killed) < most and self.chooser.random() < chance
            if dies:
                self.killed[number] = not is_manifest
        body = reply.body or b""
        reply.head(200, {"Content-Length": str(len(body)), "ETag": '"a"'})
        reply.send(body[: len(body) // 2])
        if dies:
            self.processes[number].kill()
        reply.send(body[len(body) // 2 :])


def run(folder: Path, count: int, seed: int) -> trials.Figures:
    figures = trials.Figures(f"{count} processes at once", 2 * count)
    child = Child(folder / "home")
    right = right_answers(folder, child)
    for packs in (True, False):
        try:
            one_crowd(folder / str(packs), child, right, count, seed, packs, figures)
        except Wrong as wrong:
            figures.wrong.append(f"{'with' if packs else 'without'} packs: {wrong}")
    return figures


def one_crowd(
    folder: Path,
    child: Child,
    right: dict[str, dict[str, str]],
    count: int,
    seed: int,
    packs: bool,
    figures: trials.Figures,
) -> None:
    site = Site(folder, packs)
    site.show(1)
    crowd = Crowd(seed, count // 3)
    cache = folder / "cache"
    with Origin(site.folder, {"*": crowd.answer}) as origin:
        try:
            for number in range(count):
                url = origin.manifest_url.replace("://", f"://{number}@")
                crowd.processes.append(start(child, cache, url))
            crowd.running.set()
            said = [finish(process) for process in crowd.processes]
        finally:
            crowd.running.set()
            for process in crowd.processes:
                process.kill()
        for number, each in enumerate(said):
            figures.done += 1
            if number in crowd.killed:
                figures.add("killed in a download" if crowd.killed[number] else "killed before it")
            else:
                judge(each.answers[0], right, ["1.0"])
                figures.add("right")
        check(crowd, figures)
        # Who comes after them finds all of it.
        before = len(origin.requests)
        (report,) = child.run(cache, origin.manifest_url.replace("://", "://0@"), "report").answers
        judge(report, right, ["1.0"])
        if len(origin.requests) != before:
            raise Wrong("whoever comes later asks again")


def check(crowd: Crowd, figures: trials.Figures) -> None:
    """Among those that lived, nobody downloaded what another one of them had."""
    survivors: Counter[str] = Counter()
    for (path, number), times in crowd.asked.items():
        if number not in crowd.killed:
            survivors[path] += times
    if twice := {path: times for path, times in survivors.items() if times > 1}:
        raise Wrong(f"downloaded more than once by survivors: {json.dumps(twice)}")
    figures.add("artifacts", len({path for path, _ in crowd.asked}))
    figures.add("downloads by survivors", sum(survivors.values()))


def start(child: Child, cache: Path, url: str) -> Process:
    line, environment = child.command(cache, url, "report")
    pipe = subprocess.PIPE
    return subprocess.Popen(line, env=environment, cwd=child.home, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)


def finish(process: Process) -> Said:
    try:
        stdout, stderr = process.communicate(timeout=HANGS)
    except subprocess.TimeoutExpired:
        raise Wrong(f"process {process.pid} still waits after {HANGS} s") from None
    return Said(process.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace"))
