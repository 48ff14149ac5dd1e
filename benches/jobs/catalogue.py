"""The first import of one unit out of 10, 150, 1,000, 100,000 and 1,000,000.

Whole processes from an empty cache. Up to 1,000 units `publish` writes the site; of more, records like the one that it
wrote are spread over a catalogue like its own, and the parts that no import of this unit reads are digests without a
file. Up to 150 units stand in the manifest, which is the largest of those; above, the manifest is in parts.

What a request really takes at the server of 20 ms, beyond one at the server without delay, is measured in the same
run, on a kept connection: the round trips are counted in that.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fixtures
import measure
from measure import Row, Side, Table, interleave, ratio, time_of
from origin import Origin
from plot import Plot
from workplace import Workplace, remove

COUNTS = (10, 150, 1_000, 100_000, 1_000_000)
PUBLISHED = 1_000
"""Up to so many units `publish` makes the site."""
UNIT = "unit_7"
MOST = 1.3
DELAY = 0.02
MOST_REQUESTS = 3
MOST_BYTES = 64 << 10


def row(
    what: str = "metadata, and of all sizes", target: str = f"≤ {MOST_REQUESTS} requests and {MOST_BYTES >> 10} KB"
) -> Row:
    return Row(f"first import out of {COUNTS[-1]:,} units: {what}", "the same out of 10", target)


def run(workplace: Workplace) -> list[Row | Table | Plot]:
    sites = made(workplace)
    sides: dict[float, list[Side]] = {}
    asked: list[tuple[int, int]] = []
    kept: dict[float, float] = {}
    for delay in (0.0, DELAY):
        origins = [Origin(one, delay) for one in sites]
        try:
            contestants = [importing(workplace, origin) for origin in origins]
            sides[delay] = [Side(side) for side in interleave(workplace.rounds(15, 7), *contestants)]
            asked = [metadata(origin, one) for origin, one in zip(origins, contestants, strict=True)]
            kept[delay] = a_request(origins[0])
        finally:
            for origin in origins:
                origin.stop()
    for one in sites:
        remove(one)
    return [*judged(sides, asked, kept[DELAY] - kept[0.0]), *drawn(sides, asked)]


def judged(sides: dict[float, list[Side]], asked: list[tuple[int, int]], trip: float) -> list[Row]:
    """`asked` is the number of requests for metadata and their bytes, for each count; `trip` is in seconds."""
    near, far = sides[0.0], sides[DELAY]
    most, heaviest = max(requests for requests, _ in asked), max(range(len(COUNTS)), key=lambda at: asked[at][1])
    size = asked[heaviest][1]
    got = f"{most} requests, {size / 1e3:.1f} kB at {COUNTS[heaviest]:,} units"
    of_all, of_ten = (f"{asked[at][0]} requests, {asked[at][1] / 1e3:.1f} kB" for at in (-1, 0))
    trips = (far[-1].median - near[-1].median - far[0].median + near[0].median) / trip
    notes = [f"{asked[-1][0] - asked[0][0]} requests more, of {measure.milliseconds(trip)} each"]
    return [
        row().judged(got, most <= MOST_REQUESTS and size <= MOST_BYTES, [], of_all, of_ten),
        row("time at 0 ms", f"≤ {MOST}×").compared(near[-1], near[0], MOST, time_of),
        row("round trips more at 20 ms", "≤ 2").judged(
            f"{trips:.1f}", round(trips, 1) <= 2, notes, time_of(far[-1].median), time_of(far[0].median)
        ),
    ]


def drawn(sides: dict[float, list[Side]], asked: list[tuple[int, int]]) -> list[Table | Plot]:
    near, far = sides[0.0], sides[DELAY]
    lines = []
    for at, (count, (requests, size)) in enumerate(zip(COUNTS, asked, strict=True)):
        times = [time_of(near[at].median), time_of(far[at].median), f"{ratio(near[at], near[0]):.2f}×"]
        lines.append([f"{count:,}", str(requests), f"{size / 1e3:.1f} kB", *times])
    head = ["units", "requests for metadata", "bytes", "at 0 ms", "at 20 ms", "of 10 units, at 0 ms"]
    curves = {
        f"{delay * 1e3:.0f} ms a request": [
            (float(count), side.median) for count, side in zip(COUNTS, sides[delay], strict=True)
        ]
        for delay in sides
    }
    title = "First import by size of the catalogue"
    return [Table("Catalogues", head, lines), Plot("catalogue", title, "units", "seconds", curves, True)]


def metadata(origin: Origin, one: Callable[[], float]) -> tuple[int, int]:
    """Requests of one import that are not for artifacts, and their bytes."""
    origin.take()
    one()
    sizes = [size for path, size in origin.take() if not path.startswith("/files/")]
    return len(sizes), sum(sizes)


def a_request(origin: Origin) -> float:
    """Seconds for one on a connection that is kept, the median of 30."""
    connection = http.client.HTTPConnection(origin.url.removeprefix("http://"))
    took = []
    for _ in range(31):
        begin = time.perf_counter()
        connection.request("GET", "/manifest.json")
        connection.getresponse().read()
        took.append(time.perf_counter() - begin)
    connection.close()
    return statistics.median(took[1:])


def importing(workplace: Workplace, origin: Origin) -> Callable[[], float]:
    def one() -> float:
        cache = workplace.folder("cache")
        environment = workplace.environment(cache, MAGIC_MODULE_MANIFEST_URL=origin.manifest_url)
        wall = measure.run(workplace.python(f"import magic_module.{UNIT}"), environment).wall
        remove(cache)
        return wall

    return one


def made(workplace: Workplace) -> list[Path]:
    """The site of each count."""
    return [published(workplace, count) if count <= PUBLISHED else larger(workplace, count) for count in COUNTS]


def source(name: str) -> str:
    return f'"""What {name} is good for."""\n\nVALUE = {len(name)}\n'


def published(workplace: Workplace, count: int) -> Path:
    folder, site = workplace.folder("source"), workplace.folder("site")
    folder.mkdir()
    for number in range(count):
        (folder / f"unit_{number}.py").write_text(source(f"unit_{number}"))
    fixtures.publish(folder, site)
    return site


def larger(workplace: Workplace, count: int) -> Path:
    """A site of ten units whose manifest says that there are `count`."""
    site = published(workplace, COUNTS[0])
    path = site / "manifest.json"
    document = json.loads(path.read_text())
    template = document.pop("modules")[UNIT]
    document |= {"needs": ["catalogue"], "catalogue": catalogue(site, count, template)}
    path.write_text(json.dumps(document, indent=1) + "\n")
    return site


def record(name: str, template: dict[str, Any]) -> dict[str, Any]:
    """What `publish` says of this unit; only of the one that is imported the file is there."""
    content = source(name).encode()
    digest = hashlib.sha256(content).hexdigest()
    url = f"files/{digest[:2]}/{digest}.py"
    file = template["files"][0] | {"path": f"{name}.py", "url": url, "size": len(content), "sha256": digest}
    made_up = template | {"version": f"0+{digest[:12]}", "files": [file]}
    return template if name == UNIT else made_up


def catalogue(site: Path, count: int, template: dict[str, Any]) -> dict[str, Any]:
    """The slots follow from the names; the sizes of tables and leaves from what one import reads least."""
    (site / "parts").mkdir()
    each = len(compact(record(f"unit_{count}", template))) + 20
    bits = min(range(21), key=lambda bits: cost(bits, each * count))
    first, second = bits // 2, bits - bits // 2
    wanted = slot(UNIT, bits)
    names = [name for name in (f"unit_{number}" for number in range(count)) if slot(name, bits) == wanted]
    chance = random.Random(f"{fixtures.SEED} {count}")
    leaf = part(site, {"modules": {name: record(name, template) for name in names}})
    table = [chance.randbytes(32).hex() for _ in range(1 << second)]
    table[wanted & ((1 << second) - 1)] = leaf
    tables = [chance.randbytes(32).hex() for _ in range(1 << first)]
    tables[wanted >> second] = part(site, table)
    return {"units": count, "bits": [first, second], "parts": "parts", "tables": tables}


def cost(bits: int, size: int) -> float:
    """Bytes that an import reads, of records of `size` bytes in all: two tables and a leaf that is larger than most."""
    return 67 * ((1 << bits // 2) + (1 << bits - bits // 2)) + 1.4 * size / (1 << bits)


def slot(name: str, bits: int) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") >> (32 - bits)


def compact(content: object) -> str:
    return json.dumps(content, separators=(",", ":"))


def part(site: Path, content: object) -> str:
    data = compact(content).encode() + b"\n"
    digest = hashlib.sha256(data).hexdigest()
    (site / "parts" / f"{digest}.json").write_bytes(data)
    return digest
