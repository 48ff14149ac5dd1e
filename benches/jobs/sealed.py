"""A shared file system: what a warm import of 200 modules asks it, and processes that start where it has no locks.

Counted are calls for metadata (open, stat in all its forms, access, readlink, getdents) between the first name of the
package and the last of its modules, by `strace`: out of a sealed cache, out of an ordinary one, and by the stock finder
with the same files in site-packages behind 20 entries on `sys.path`. The clock runs in other processes, untraced.
Without locks eight processes start at once with one empty cache; then as many with the full one.
"""

from __future__ import annotations

import errno
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import fixtures
import measure
import native
import timed
from jobs import crowd
from measure import Failure, Row, Table, interleave, milliseconds
from origin import Origin
from workplace import Workplace

COUNT = 200
ENTRIES = 20
MOST = 60
PROCESSES = 8
ERRORS = ("ENOSYS", "EOPNOTSUPP", "ENOLCK")

METADATA = "open,openat,stat,lstat,fstat,newfstatat,statx,access,faccessat,faccessat2,readlink,readlinkat,getdents64"
OURS, THEIRS = timed.modules("magic_module.bulk", COUNT), timed.modules("bulk", COUNT)


def row() -> Row:
    what = f"warm import of {COUNT} modules out of a sealed cache: calls for metadata"
    return Row(what, f"the stock finder behind {ENTRIES} entries", f"≤ {MOST}, no lock")


def lockless_row(error: str) -> Row:
    what = f"{PROCESSES} cold processes where flock fails with {error}, then {PROCESSES} warm ones"
    return Row(what, "requests at the server", "none fails, warm ones ask nobody")


def run(workplace: Workplace) -> list[Row | Table]:
    source, site, cache = (workplace.folder(name) for name in ("source", "site", "cache"))
    fixtures.package(source, "bulk", COUNT, 3000)
    shutil.copytree(source / "bulk", workplace.site_packages / "bulk")
    fixtures.publish(source, site)
    with Origin(site) as origin:
        environment = workplace.environment(cache, MAGIC_MODULE_MANIFEST_URL=origin.manifest_url)
        for _ in range(2):
            timed.process(workplace, OURS, environment, "import magic_module")()
        lockless = [without_locks(workplace, origin, error) for error in ERRORS]
    sealed = workplace.folder("sealed")
    shutil.copytree(cache, sealed, copy_function=shutil.copy)
    closed = environment | {"MAGIC_MODULE_CACHE_DIR": str(sealed)}
    measure.run([*workplace.python("")[:1], "-m", "magic_module", "seal", str(sealed)], closed)
    fillers = [workplace.folder("filler") for _ in range(ENTRIES - 1)]
    for filler in fillers:
        filler.mkdir()
    plain = workplace.environment()
    ways = {
        "sealed": (OURS, closed, "import magic_module", []),
        "ordinary": (OURS, environment, "import magic_module", []),
        f"stock finder behind {ENTRIES} entries": (THEIRS, plain, "", fillers),
    }
    processes = [timed.process(workplace, body, env, before, more) for body, env, before, more in ways.values()]
    for process in processes:
        process()
    walls = [timed.sides(results)[0] for results in interleave(workplace.rounds(40, 7), *processes)]
    counts = [calls(workplace, *way) for way in ways.values()]
    lines = [
        [name, str(metadata), str(locks), milliseconds(wall.median)]
        for name, (metadata, locks), wall in zip(ways, counts, walls, strict=True)
    ]
    reached = counts[0] <= (MOST, 0)
    judged = row().judged(str(counts[0][0]), reached, [f"an ordinary cache {counts[1][0]}"], lines[0][1], lines[2][1])
    head = ["out of", "calls for metadata", "locks", "by the clock"]
    return [
        judged,
        *lockless,
        Table(f"What a warm import of {COUNT} modules asks", head, lines),
    ]


def calls(
    workplace: Workplace, body: str, environment: Mapping[str, str], before: str, fillers: list[Path]
) -> tuple[int, int]:
    """Calls for metadata, and locks, while `body` is run."""
    strace = shutil.which("strace")
    if strace is None:
        raise Failure("no strace, which counts calls")
    log, begin, end = (workplace.folder(name) for name in ("strace", "begin", "end"))
    # The first file of our own is found before: what the interpreter does for it is not what is counted.
    before = f"{before}, magic_module._loader" if before else ""
    text = f"import os\nos.mkdir({str(begin)!r})\n{body}\nos.mkdir({str(end)!r})"
    script = timed.SCRIPT.format(before=before, body=text, fillers=[str(path) for path in fillers])
    trace = [strace, "-f", "-qq", "-e", f"trace={METADATA},flock,mkdir", "-e", "signal=none", "-o", str(log)]
    ended = subprocess.run([*trace, *workplace.python(script)], env=environment, capture_output=True, check=False)
    if ended.returncode:
        raise Failure("strace may not trace here")
    made = [re.sub(r"^\d+ +", "", line) for line in log.read_text(errors="replace").splitlines()]
    (first,) = (at for at, call in enumerate(made) if str(begin) in call)
    (last,) = (at for at, call in enumerate(made) if str(end) in call)
    names = [call.partition("(")[0] for call in made[first + 1 : last]]
    return sum(name in METADATA.split(",") for name in names), names.count("flock")


def without_locks(workplace: Workplace, origin: Origin, error: str) -> Row:
    library = native.compiled("nolocks.c", "cc", "-shared", "-fPIC", "-O2", suffix=".so")
    environment = workplace.environment(
        workplace.folder("cache"),
        MAGIC_MODULE_MANIFEST_URL=origin.manifest_url,
        LD_PRELOAD=str(library),
        NOLOCKS=str(getattr(errno, error)),
    )
    asked, failed, command = [], 0, workplace.python(f"import magic_module\n{OURS}")
    for _ in ("cold", "warm"):
        origin.take()
        started = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for _ in range(PROCESSES)]
        for process in started:
            process.communicate(timeout=crowd.LIMIT)
            failed += process.returncode != 0
        asked.append(len(origin.take()))
    notes = [f"requests cold {asked[0]}, warm {asked[1]}"]
    return lockless_row(error).judged(f"{failed} failed", not failed and not asked[1], notes)
