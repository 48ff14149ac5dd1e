"""The first import of one unit out of 10, 1,000, 100,000 and 1,000,000.

Whole processes from an empty cache. Above 200 units the manifest is in parts; the ones that no import of this unit
reads are digests without a file, everything else is what `publish` writes: the records, the names and their slots.
"""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import fixtures
import measure
from measure import Row, Side, Table, interleave, ratio, time_of
from origin import Origin
from plot import Plot
from workplace import Workplace, remove

COUNTS = (10, 1_000, 100_000, 1_000_000)
IN_PARTS = 200
"""Above so many units `publish` writes a catalogue."""
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
    sites = [site(workplace, count) for count in COUNTS]
    sides, requests, sizes = {}, [], []
    for delay in (0.0, DELAY):
        origins = [Origin(one, delay) for one in sites]
        try:
            contestants = [importing(workplace, origin) for origin in origins]
            sides[delay] = [Side(side) for side in interleave(workplace.rounds(15, 7), *contestants)]
            for origin, contestant in zip(origins, contestants, strict=True):
                origin.take()
                contestant()
                asked = [(path, size) for path, size in origin.take() if not path.startswith("/files/")]
                requests.append(len(asked))
                sizes.append(sum(size for _, size in asked))
        finally:
            for origin in origins:
                origin.stop()
    for one in sites:
        remove(one)
    near, far = sides[0.0], sides[DELAY]
    fits = max(requests[: len(COUNTS)]) <= MOST_REQUESTS and max(sizes[: len(COUNTS)]) <= MOST_BYTES
    worst = max(range(len(COUNTS)), key=lambda at: sizes[at])
    got = f"{max(requests)} requests, {sizes[worst] / 1e3:.1f} kB at {COUNTS[worst]:,} units"
    of_all, of_ten = (f"{requests[at]} requests, {sizes[at] / 1e3:.1f} kB" for at in (-1, 0))
    trips = (far[3].median - near[3].median - far[0].median + near[0].median) / DELAY
    rows: list[Row | Table | Plot] = [
        row().judged(got, fits, [], of_all, of_ten),
        row("time at 0 ms", f"≤ {MOST}×").compared(near[3], near[0], MOST, time_of),
        row("round trips more at 20 ms", "≤ 2").judged(
            f"{trips:.1f}",
            round(trips, 1) <= 2,
            [f"{requests[3] - requests[0]} requests more"],
            time_of(far[3].median),
            time_of(far[0].median),
        ),
    ]
    lines = [
        [
            f"{count:,}",
            str(requests[at]),
            f"{sizes[at] / 1e3:.1f} kB",
            time_of(near[at].median),
            time_of(far[at].median),
            f"{ratio(near[at], near[0]):.2f}×",
        ]
        for at, count in enumerate(COUNTS)
    ]
    head = ["units", "requests for metadata", "bytes", "at 0 ms", "at 20 ms", "of 10 units, at 0 ms"]
    curves = {
        f"{delay * 1e3:.0f} ms a request": [
            (count, side.median) for count, side in zip(COUNTS, sides[delay], strict=True)
        ]
        for delay in sides
    }
    return [
        *rows,
        Table("Catalogues", head, lines),
        Plot("catalogue", "First import by size of the catalogue", "units", "seconds", curves, True),
    ]


def importing(workplace: Workplace, origin: Origin) -> Any:
    def one() -> float:
        cache = workplace.folder("cache")
        environment = workplace.environment(cache, MAGIC_MODULE_MANIFEST_URL=origin.manifest_url)
        wall = measure.run(workplace.python(f"import magic_module.{UNIT}"), environment).wall
        remove(cache)
        return wall

    return one


def site(workplace: Workplace, count: int) -> Path:
    folder = workplace.folder("site")
    (folder / "files").mkdir(parents=True)
    (folder / "parts").mkdir()
    (folder / "files" / f"{UNIT}.py").write_text("VALUE = 7\n")
    document: dict[str, Any] = {"manifest": 1, "namespace": "magic_module"}
    if count <= IN_PARTS:
        document["modules"] = {f"unit_{number}": record(folder, f"unit_{number}") for number in range(count)}
    else:
        document["catalogue"] = catalogue(folder, count)
    (folder / "manifest.json").write_text(json.dumps(document, separators=(",", ":")))
    return folder


def record(folder: Path, name: str) -> dict[str, Any]:
    """What `publish` says of a single module; only the one that is imported is there."""
    content = b"VALUE = 7\n" if name == UNIT else name.encode()
    digest = hashlib.sha256(content).hexdigest()
    file = {"path": f"{name}.py", "url": f"files/{name}.py", "size": len(content), "sha256": digest}
    return {"version": "1.0.0", "summary": f"What {name} is good for", "files": [file]}


def catalogue(folder: Path, count: int) -> dict[str, Any]:
    """The slots follow from the names; the sizes of tables and leaves from what one import reads least."""
    each = len(json.dumps(record(folder, f"unit_{count}"))) + 20
    bits = min(
        range(21), key=lambda bits: 67 * ((1 << bits // 2) + (1 << bits - bits // 2)) + 1.4 * each * count / (1 << bits)
    )
    first, second = bits // 2, bits - bits // 2
    wanted = slot(UNIT, bits)
    names = [name for name in (f"unit_{number}" for number in range(count)) if slot(name, bits) == wanted]
    chance = random.Random(f"{fixtures.SEED} {count}")
    leaf = part(folder, {"modules": {name: record(folder, name) for name in names}})
    table = [chance.randbytes(32).hex() for _ in range(1 << second)]
    table[wanted & ((1 << second) - 1)] = leaf
    tables = [chance.randbytes(32).hex() for _ in range(1 << first)]
    tables[wanted >> second] = part(folder, table)
    return {"units": count, "bits": [first, second], "parts": "parts", "tables": tables}


def slot(name: str, bits: int) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") >> (32 - bits)


def part(folder: Path, content: object) -> str:
    data = json.dumps(content, separators=(",", ":")).encode() + b"\n"
    digest = hashlib.sha256(data).hexdigest()
    (folder / "parts" / f"{digest}.json").write_bytes(data)
    return digest
