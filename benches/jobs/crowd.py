"""1, 8, 32 and 100 processes at once, cold, with one shared cache: requests for each artifact, and the wall time.

All of them start first and are let go at once; the wall time is from there to the end of the last. The unit has a pack
and two files that are too large for one; the server takes 20 ms a request, so that they have time to meet. The peers do
the same with one file of the same size as all of ours, each as its documentation shows: `pooch.retrieve` and
`hf_hub_download`.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence

import fixtures
import peers
from measure import Failure, Row, Side, Table, brief, sha256_of, time_of
from offer import Offer
from origin import Origin
from plot import Plot
from workplace import Workplace, remove

COUNTS = (1, 8, 32, 100)
JUDGED = 32
DELAY = 0.02
ARTIFACTS = 3
MOST = 2.0

READY = """
print("ready", flush=True)
input()
"""
OURS = f"import magic_module\n{READY}import magic_module.shared.module_0000"


def row() -> Row:
    what = f"{', '.join(map(str, COUNTS))} processes at once, cold, one cache"
    return Row(what, "requests at the server", "exactly one per artifact")


def wall_row() -> Row:
    return Row(f"{JUDGED} processes at once, cold: wall time", "one process", f"≤ {MOST:.0f}×")


def run(workplace: Workplace) -> list[Row | Table | Plot]:
    offer = offered(workplace)
    rounds = workplace.rounds(7, 3)
    counts: list[int] = []
    walls: dict[int, list[float]] = {number: [] for number in COUNTS}
    with Origin(offer.site, DELAY) as origin:
        for _ in range(rounds):
            for number in COUNTS:
                cache = workplace.folder("cache")
                environment = workplace.environment(cache, MAGIC_MODULE_MANIFEST_URL=origin.manifest_url)
                walls[number].append(at_once(number, workplace.python(OURS), environment))
                remove(cache)
                asked = origin.take_requests()
                asked.pop("/manifest.json")
                if len(asked) != ARTIFACTS:
                    raise Failure(f"{len(asked)} artifacts were asked for, not {ARTIFACTS}")
                counts += asked.values()
        others = {peer: of_peer(workplace, offer, origin, peer) for peer in ("pooch", "huggingface_hub")}
    remove(offer.site)
    least, most = min(counts), max(counts)
    got = f"{least}" if least == most else f"{least} to {most}"
    rows: list[Row | Table | Plot] = [row().judged(got, least == most == 1, [f"{rounds} rounds"], got, "1")]
    rows.append(wall_row().compared(Side(walls[JUDGED]), Side(walls[1]), MOST, time_of))
    lines = [["ours", *(f"{time_of(statistics.median(walls[number]))}, 1 request an artifact" for number in COUNTS)]]
    if least != most:
        lines = [["ours", *(time_of(statistics.median(walls[number])) for number in COUNTS)]]
    lines += [[peer, *cells] for peer, cells in others.items()]
    head = ["", "1 process", *(f"{number} processes" for number in COUNTS[1:])]
    curve = [(float(number), statistics.median(walls[number])) for number in COUNTS]
    plot = Plot(
        "crowd", "Processes that start at once, cold", "processes", "seconds until the last is done", {"ours": curve}
    )
    return [*rows, Table("Processes at once, cold", head, lines), plot]


def offered(workplace: Workplace) -> Offer:
    source = workplace.folder("source")
    fixtures.package(source, "shared", 50, 1000)
    for name in ("first", "second"):
        fixtures.noise(source / "shared" / f"{name}.bin", 16 << 20, name)
    return Offer(source, workplace.folder("site"), "shared")


def at_once(number: int, command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Seconds from the start signal to the end of the last process."""
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(command, env=dict(environment), stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        for _ in range(number)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        begin = time.perf_counter()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            _, stderr = process.communicate()
            if process.returncode:
                raise Failure(f"a process failed: {brief(stderr.strip().splitlines())}")
        return time.perf_counter() - begin
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.communicate()


def of_peer(workplace: Workplace, offer: Offer, origin: Origin, peer: str) -> list[str]:
    """One round of each number, as far as there is time: who downloads once a process takes minutes."""
    cells: list[str] = []
    most = workplace.rounds(JUDGED, 8)
    for number in COUNTS:
        if number > most:
            cells.append(f"not measured: more than {most} take too long")
            continue
        folder = workplace.folder("peer")
        environment = workplace.environment()
        if peer == "pooch":
            url, known = f"{origin.url}/package.zip", f"sha256:{sha256_of(offer.site / 'package.zip')}"
            script = f"import pooch\n{READY}pooch.retrieve({url!r}, {known!r}, path={str(folder)!r})"
        else:
            environment |= {"HF_ENDPOINT": origin.url, "HF_HOME": str(folder), "HF_HUB_DISABLE_TELEMETRY": "1"}
            script = f"from huggingface_hub import hf_hub_download\n{READY}"
            script += "hf_hub_download('bench/shared', 'shared/first.bin')"
        origin.take()
        try:
            wall = at_once(number, [peers.python(peer), "-c", script], environment)
            cells.append(f"{time_of(wall)}, {downloads(origin)}")
        except Failure as failure:
            cells.append(str(failure))
        remove(folder)
    return cells


def downloads(origin: Origin) -> str:
    asked = Counter(path for path, size in origin.take() if size > 1 << 20)
    total = sum(asked.values())
    return "1 download" if total == 1 else f"{total} downloads"
