"""Scripts from packs of what they use, each with an empty cache, against the same site without packs.

The scripts are those of `USES` (a folder with requirements.in, as `make test-lock` takes it), else of tests/lock/uses.
Each is traced in the environment of the lock. One site has packs for all of these traces, as a team publishes it;
another one has whole wheels. Both have bytecode. Bytes are those that the server had sent when the script ended, at
20 ms and 1 Gbit/s; what came in the background until then is counted. Output and status must be the same.

A second row tells how it is for the first scripts if each has a site of its own, with packs for that script alone.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from measure import NO_TARGET, Failure, Row, megabytes, times
from origin import Origin
from stack import DELAY, LINK, Stack
from workplace import Workplace, remove

USES = Path(__file__).resolve().parents[2] / "tests" / "lock" / "uses"
MOST = 0.6
FEW = 3
ALONE = 8
"""How many scripts have a site of their own: with many large wheels, publishing one takes a minute or two."""
PATIENCE = 900
"""Seconds after which a script counts as hanging."""


@dataclass(frozen=True)
class Done:
    """What a script said, and what it took."""

    status: int
    output: str
    bytes: int
    bytecode: int
    """Those of packs that a site of whole wheels has: nothing but bytecode."""


def row(count: int = 8) -> Row:
    what = f"{count} scripts from packs for all of them, cold: bytes"
    return Row(what, "from whole wheels", f"≤ {MOST}× in the median, the same output")


def run(workplace: Workplace) -> list[Row]:
    folder = Path(os.environ.get("USES") or USES).resolve()
    scripts = sorted(folder.glob("*.py"))
    scripts = scripts[: workplace.size("scripts", len(scripts), min(FEW, len(scripts)))]
    stack = Stack(workplace, (folder / "requirements.in").read_text().splitlines())
    whole, parted, alone = (stack.folder / name for name in ("whole", "parted", "alone"))
    with stack.served(0.0, 0.0):
        traces = {script: traced(stack, script) for script in scripts}
        stack.publish(whole, "--compile")
        stack.publish(parted, "--compile", *packs_for(traces.values()))
        wheels = [cold(stack, whole, script) for script in scripts]
        packs = [cold(stack, parted, script) for script in scripts]
        own = [from_its_own(stack, alone, script, traces[script]) for script in scripts[:ALONE]]
    names = [script.stem for script in scripts]
    apart = Row(f"the same, {len(own)} from packs for one script each", "from whole wheels", NO_TARGET)
    return [
        compared(row(len(scripts)), names, packs, wheels, MOST),
        compared(apart, names[:ALONE], own, wheels[:ALONE]),
    ]


def compared(empty: Row, names: list[str], ours: list[Done], theirs: list[Done], most: float | None = None) -> Row:
    shares = [our.bytes / their.bytes for our, their in zip(ours, theirs, strict=True)]
    ordered = sorted(zip(shares, names, strict=True))
    without_code = [our.bytes / (their.bytes - their.bytecode) for our, their in zip(ours, theirs, strict=True)]
    differ = [name for name, our, their in zip(names, ours, theirs, strict=True) if said(our) != said(their)]
    notes = [
        "least " + ", ".join(f"{name} {share:.2f}×" for share, name in ordered[:3]),
        "most " + ", ".join(f"{name} {share:.2f}×" for share, name in ordered[-3:]),
        f"of the wheels alone, without bytecode: {statistics.median(without_code):.2f}×",
        f"another output: {', '.join(differ)}" if differ else "all say the same",
    ]
    share = statistics.median(shares)
    shown = [megabytes(sum(done.bytes for done in side)) + " in all" for side in (ours, theirs)]
    got = f"{share:.2f}×" if most is None else times(share, most)
    reached = most is None or (share <= most and not differ)
    return empty.judged(got, reached, notes, *shown)


def said(done: Done) -> tuple[int, str]:
    return done.status, done.output


def traced(stack: Stack, script: Path) -> Path:
    """What it uses, in the environment of the lock. Scripts that end with another status than 0 have a trace, too."""
    trace = stack.workplace.folder("trace")
    where = ["--lock", str(stack.lock), "run", "--trace-to", str(trace)]
    in_a_folder(stack, [*where, str(script)], stack.folder / "publisher")
    if not trace.exists():
        raise Failure(f"{script.name} left no trace")
    return trace


def packs_for(traces: Iterable[Path]) -> list[str]:
    return [word for trace in traces for word in ("--packs-for-trace", str(trace))]


def from_its_own(stack: Stack, site: Path, script: Path, trace: Path) -> Done:
    """The site is published again for each script; packs that another one needs as well are there already."""
    stack.publish(site, "--compile", *packs_for([trace]))
    return cold(stack, site, script)


def cold(stack: Stack, site: Path, script: Path) -> Done:
    cache = stack.workplace.folder("cache")
    with Origin(site, DELAY, LINK) as origin:
        where = ["--manifest-url", origin.manifest_url, "--namespace", "", "run"]
        status, output = in_a_folder(stack, [*where, str(script)], cache)
    # The server has ended: what it could not send any more is taken back.
    requests = origin.take()
    remove(cache)
    bytecode = sum(size for path, size in requests if path.startswith("/packs/"))
    return Done(status, output, sum(size for _, size in requests), bytecode)


def in_a_folder(stack: Stack, words: list[str], cache: Path) -> tuple[int, str]:
    """Status and output, without the places of packages."""
    folder = stack.workplace.folder("here")
    folder.mkdir()
    line = [stack.workplace.python("")[0], "-m", "magic_module", *words]
    environment = stack.workplace.environment(cache, PYTHONHASHSEED="0")
    try:
        done = subprocess.run(
            line, env=environment, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise Failure(f"`{Path(words[-1]).name}` was given up after {PATIENCE} s") from None
    remove(folder)
    return done.returncode, re.sub(r"/\S*/site-packages", "SITE", done.stdout)
