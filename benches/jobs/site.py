"""A lock that was published as a site, with packs of what a script uses: a fresh machine's `import pandas`.

Ours starts with nothing but the site's address (`MAGIC_MODULE_MOUNTS`), theirs with the lock; both caches are empty in
every round. Wheels and site are on one server of this machine, at 20 ms a request and 1 Gbit/s, and at 50 ms and
100 Mbit/s; a connection costs nothing there. The packs are for a script that reads a table and sums it up; bytecode
is published, too. uv's virtual environment is there before the clock runs.

Beside them, as a container image: one layer (`tar.gz`) with the installed environment, which `curl` fetches and `tar`
unpacks. And as a bucket: the same site through `s3://`, with signed requests, at which the server does not look.
Bytes and requests are those that the server counted until the import had ended.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable

import measure
from measure import NO_TARGET, Ended, Failure, Row, Side, interleave, megabytes, time_of
from origin import Origin
from stack import Stack
from workplace import Workplace, remove

LINES = ((0.02, 1e9, "20 ms, 1 Gbit/s", 0.35), (0.05, 1e8, "50 ms, 100 Mbit/s", 0.5))
IMPORT = "import pandas"
SITE = "site"
LAYER = "layer.tar.gz"
BESIDE = {"layer": "a layer of an image, with curl and tar", "bucket": "the same site through `s3://`"}
"""What a quick run does without."""
REPORT = """
import io
import pandas
table = pandas.read_csv(io.StringIO("day,many,kind\\n2024-01-01,1,x\\n2024-01-02,3,y\\n"), parse_dates=["day"])
print(table.groupby("kind").many.sum().to_dict(), table.describe().loc["mean", "many"])
"""


def row(line: str = LINES[0][2], most: float = LINES[0][3]) -> Row:
    return Row(f"cold `import pandas` from packs of a site, {line}", "uv installing it, then the import", f"≤ {most}×")


def run(workplace: Workplace) -> list[Row]:
    for name in ("curl", "tar"):
        if shutil.which(name) is None:
            raise Failure(f"no {name}")
    stack = Stack(workplace, ["pandas"])
    report = stack.folder / "report.py"
    report.write_text(REPORT)
    with stack.served(0.0, 0.0):
        stack.publish(stack.wheels / SITE, "--packs-for", str(report), "--compile")
        make_layer(stack)
    return [row for line in LINES for row in compared(stack, *line)]


def make_layer(stack: Stack) -> None:
    """What an image has beside Python."""
    home = stack.workplace.folder("image")
    environment = stack.environment(UV_CACHE_DIR=str(stack.workplace.folder("uv-cache")))
    python = stack.workplace.python("")[0]
    install = [stack.uv, "pip", "install", "--quiet", "--python", python, "--target", str(home)]
    measure.run([*install, "-r", str(stack.lock)], environment)
    subprocess.run(["tar", "-czf", str(stack.wheels / LAYER), "-C", str(home), "."], check=True)
    remove(home)


def compared(stack: Stack, delay: float, link: float, line: str, most: float) -> list[Row]:
    with stack.served(delay, link) as origin:
        cold = Cold(stack, origin)
        ways = {"packs": cold.packs, "uv": cold.uv}
        if not stack.workplace.quick:
            ways |= {"layer": cold.layer, "bucket": cold.bucket}
        ways = {name: cold.counting(name, way) for name, way in ways.items()}
        results = interleave(stack.workplace.rounds(7, 3), *ways.values())
    sides = {name: Side([it.wall for it in side]) for name, side in zip(ways, results, strict=True)}
    notes = [f"ours: {cold.said('packs')}", f"uv: {cold.said('uv')}", f"{stack.count} wheels"]
    rows = [row(line, most).compared(sides["packs"], sides["uv"], most, time_of, notes)]
    for name, what in BESIDE.items():
        if name in sides:
            told = Row(f"the same import, {line}", what, NO_TARGET)
            rows.append(told.told(sides["packs"], sides[name], time_of, [f"{what}: {cold.said(name)}"]))
    return rows


class Cold:
    """Ways from nothing to `import pandas`."""

    def __init__(self, stack: Stack, origin: Origin) -> None:
        self.stack = stack
        self.origin = origin
        self.taken: dict[str, list[tuple[int, int]]] = {}

    def counting(self, name: str, way: Callable[[], Ended]) -> Callable[[], Ended]:
        def one() -> Ended:
            self.origin.take()
            ended = way()
            requests = self.origin.take()
            self.taken.setdefault(name, []).append((len(requests), sum(size for _, size in requests)))
            return ended

        return one

    def said(self, name: str) -> str:
        """The round in the middle, by its bytes."""
        rounds = sorted(self.taken[name], key=lambda it: it[1])
        asked, size = rounds[len(rounds) // 2]
        return f"{asked} request{'s' * (asked != 1)}, {megabytes(size)}"

    def packs(self) -> Ended:
        return self._mounted(f"{self.origin.url}/{SITE}/manifest.json")

    def bucket(self) -> Ended:
        credentials = {"AWS_ENDPOINT_URL": self.origin.url, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "-"}
        return self._mounted(f"s3://{SITE}/manifest.json", **credentials)

    def _mounted(self, url: str, **more: str) -> Ended:
        cache = self.stack.workplace.folder("cache")
        mounts = json.dumps([{"namespace": "", "manifest_url": url}])
        environment = self.stack.workplace.environment(cache, MAGIC_MODULE_MOUNTS=mounts, **more)
        ended = measure.run(self.stack.workplace.python(IMPORT), environment)
        remove(cache)
        return ended

    def uv(self) -> Ended:
        return self.stack.installed(IMPORT)

    def layer(self) -> Ended:
        home = self.stack.workplace.folder("image")
        home.mkdir()
        python = self.stack.workplace.python("")[0]
        fetch = f"curl -sf {self.origin.url}/{LAYER} | tar -xzf - -C {home}"
        line = f'{fetch} && PYTHONPATH={home} exec {python} -c "{IMPORT}"'
        ended = measure.run(["sh", "-c", line], self.stack.workplace.environment())
        remove(home)
        return ended
