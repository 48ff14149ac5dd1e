"""1, 8, 32 and 100 processes at once, cold, with one shared cache: requests for each artifact, and the wall time.

All of them start first and are let go at once; the wall time is from there to the end of the last. What is fetched is a
file of 16 MiB; ours comes with a pack of 51 modules beside it, which it imports. The server takes 20 ms a request, so
that the processes have time to meet; ours is measured at 0 ms, too. The peers fetch the same file, each as its
documentation shows: `pooch.retrieve` and `hf_hub_download`. All take turns; who takes more than a few seconds takes
part in one round only, and is given up after a minute.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import fixtures
import peers
from measure import Failure, Row, Side, Table, brief, time_of
from offer import Offer
from origin import Origin
from plot import Plot
from workplace import Workplace, remove

COUNTS = (1, 8, 32, 100)
FEWER = (1, 8, 32)
"""In a quick run."""
JUDGED = 32
DELAY = 0.02
ARTIFACTS = 2
LARGE = 16 << 20
MOST = 2.0
PEERS = ("pooch", "huggingface_hub")
FEW = 5.0
"""Seconds from which on one round is enough."""
LIMIT = 60.0

READY = """
print("ready", flush=True)
input()
"""
OURS = f"import magic_module\n{READY}import magic_module.shared.module_0000"


def row(counts: Sequence[int] = COUNTS) -> Row:
    what = f"{', '.join(map(str, counts))} processes at once, cold, one cache"
    return Row(what, "requests at the server", "exactly one per artifact")


def wall_row(delay: float = DELAY) -> Row:
    what = f"{JUDGED} processes at once, cold, {delay * 1e3:.0f} ms a request: wall time"
    return Row(what, "one process", f"≤ {MOST:.0f}×")


@dataclass
class Crowd:
    """One contestant: `prepare` makes its command and environment for a fresh folder."""

    origin: Origin
    prepare: Callable[[Path], tuple[list[str], dict[str, str]]]
    rounds: int
    most: int = COUNTS[-1]
    """So many processes are enough."""
    walls: dict[int, list[float]] = field(default_factory=dict)
    asked: dict[int, list[list[tuple[str, int]]]] = field(default_factory=dict)
    """Path and bytes of what was asked for in each round."""
    out: dict[int, Failure] = field(default_factory=dict)

    def let_go(self, workplace: Workplace, number: int) -> None:
        """One round."""
        walls = self.walls.setdefault(number, [])
        if number > self.most or number in self.out or len(walls) >= self.rounds or (walls and walls[0] > FEW):
            return
        folder = workplace.folder("crowd")
        self.origin.take()
        try:
            walls.append(at_once([self.prepare(folder)] * number, LIMIT))
            self.asked.setdefault(number, []).append(self.origin.take())
        except Failure as failure:
            self.out[number] = failure
        finally:
            remove(folder)

    def cell(self, number: int) -> str:
        if number > self.most:
            return "not in a quick run"
        if number in self.out:
            return str(self.out[number])
        downloads = max(sum(size == LARGE for _, size in asked) for asked in self.asked[number])
        times = f"{downloads} download" + "s" * (downloads != 1)
        return f"{time_of(statistics.median(self.walls[number]))}, {times}"

    def curve(self) -> list[tuple[float, float]]:
        return [(float(number), statistics.median(walls)) for number, walls in self.walls.items() if walls]


def run(workplace: Workplace) -> list[Row | Table | Plot]:
    offer = offered(workplace)
    counts = FEWER if workplace.quick else COUNTS
    workplace.size("processes at once", COUNTS[-1], FEWER[-1])
    of_peers = workplace.size("processes of a peer at once", COUNTS[-1], FEWER[1])
    with Origin(offer.site, DELAY) as origin, Origin(offer.site) as near:
        rounds = workplace.rounds(7, 3)
        crowds = {"ours, 20 ms": Crowd(origin, of_ours(workplace, origin), rounds)}
        crowds["ours, 0 ms"] = Crowd(near, of_ours(workplace, near), rounds)
        for peer in PEERS:
            prepare = of_peer(workplace, offer, origin, peer)
            crowds[f"{peer}, 20 ms"] = Crowd(origin, prepare, workplace.rounds(3, 1), of_peers)
        for number in range(rounds):
            for count in counts:
                for crowd in list(crowds.values())[:: 1 if number % 2 else -1]:
                    crowd.let_go(workplace, count)
    remove(offer.site)
    head = ["", *(f"{number} process" + "es" * (number > 1) for number in counts)]
    lines = [[name, *(crowd.cell(number) for number in counts)] for name, crowd in crowds.items()]
    curves = {name: curve for name, crowd in crowds.items() if (curve := crowd.curve())}
    title = "Processes that start at once, cold"
    return [
        requests_row(row(counts), [crowds["ours, 20 ms"], crowds["ours, 0 ms"]], rounds),
        wall(wall_row(), crowds["ours, 20 ms"]),
        wall(wall_row(0.0), crowds["ours, 0 ms"]),
        Table("Processes at once, cold", head, lines, "Medians, and how often the file was downloaded."),
        Plot("crowd", title, "processes", "seconds until the last is done", curves),
    ]


def requests_row(empty: Row, ours: Sequence[Crowd], rounds: int) -> Row:
    counts: list[int] = []
    for asked in (asked for crowd in ours for each in crowd.asked.values() for asked in each):
        artifacts = Counter(path for path, _ in asked if path != "/manifest.json")
        if len(artifacts) != ARTIFACTS:
            raise Failure(f"{len(artifacts)} artifacts were asked for, not {ARTIFACTS}")
        counts += artifacts.values()
    for failure in (failure for crowd in ours for failure in crowd.out.values()):
        return empty.not_measured(str(failure))
    least, most = min(counts), max(counts)
    got = f"{least}" if least == most else f"{least} to {most}"
    return empty.judged(got, least == most == 1, [f"{rounds} rounds at 20 ms a request and at 0"], got, "1")


def wall(empty: Row, ours: Crowd) -> Row:
    for failure in ours.out.values():
        return empty.not_measured(str(failure))
    return empty.compared(Side(ours.walls[JUDGED]), Side(ours.walls[1]), MOST, time_of)


def offered(workplace: Workplace) -> Offer:
    source = workplace.folder("source")
    fixtures.package(source, "shared", 50, 1000)
    fixtures.noise(source / "shared" / "data.bin", LARGE, "crowd")
    return Offer(source, workplace.folder("site"), "shared")


def of_ours(workplace: Workplace, origin: Origin) -> Callable[[Path], tuple[list[str], dict[str, str]]]:
    def prepare(folder: Path) -> tuple[list[str], dict[str, str]]:
        environment = workplace.environment(folder, MAGIC_MODULE_MANIFEST_URL=origin.manifest_url)
        return workplace.python(OURS), environment

    return prepare


def of_peer(
    workplace: Workplace, offer: Offer, origin: Origin, peer: str
) -> Callable[[Path], tuple[list[str], dict[str, str]]]:
    def prepare(folder: Path) -> tuple[list[str], dict[str, str]]:
        environment = workplace.environment()
        if peer == "pooch":
            url, known = f"{origin.url}/plain/shared/data.bin", f"sha256:{offer.files['shared/data.bin']}"
            script = f"import pooch\n{READY}pooch.retrieve({url!r}, {known!r}, path={str(folder)!r})"
        else:
            environment |= {"HF_ENDPOINT": origin.url, "HF_HOME": str(folder), "HF_HUB_DISABLE_TELEMETRY": "1"}
            script = f"from huggingface_hub import hf_hub_download\n{READY}"
            script += "hf_hub_download('bench/shared', 'shared/data.bin')"
        return [peers.python(peer), "-c", script], environment

    return prepare


def at_once(lines: Sequence[tuple[Sequence[str], Mapping[str, str]]], limit: float) -> float:
    """Seconds from the start signal to the end of the last process, each with its command and environment; given up
    after `limit` of them."""
    pipe = subprocess.PIPE
    with contextlib.ExitStack() as started:
        processes = [
            subprocess.Popen(command, env=dict(environment), stdin=pipe, stdout=pipe, stderr=pipe, text=True)
            for command, environment in lines
        ]
        for process in processes:
            started.callback(end, process)
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        begin = time.perf_counter()
        for process in processes:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write("go\n")
                process.stdin.flush()
        for process in processes:
            try:
                _, stderr = process.communicate(timeout=max(begin + limit - time.perf_counter(), 0.01))
            except subprocess.TimeoutExpired:
                raise Failure(f"given up after {limit:.0f} s") from None
            if process.returncode:
                raise Failure(f"a process failed: {brief(stderr.strip().splitlines())}")
        return time.perf_counter() - begin


def end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
        process.communicate()
