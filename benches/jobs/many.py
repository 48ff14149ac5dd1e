"""32 processes, cold, one shared cache: how often the server is asked for each artifact.

All of them start first and are let go at once. The unit has a pack and two files that are too large for one; the
server takes 20 ms a request, so that they have time to meet.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace

import fixtures
from measure import Failure, Row
from origin import Origin
from workplace import Workplace, remove

PROCESSES = 32
DELAY = 0.02
ARTIFACTS = 3

SCRIPT = """
import magic_module
print("ready", flush=True)
input()
import magic_module.shared.module_0000
"""


def row() -> Row:
    return Row(f"{PROCESSES} processes, cold, one shared cache", "requests at the server", "exactly one per artifact")


def run(workplace: Workplace) -> list[Row]:
    source, site = workplace.folder("source"), workplace.folder("site")
    fixtures.package(source, "shared", 50, 1000)
    for name in ("first", "second"):
        fixtures.noise(source / "shared" / f"{name}.bin", 16 << 20, name)
    fixtures.publish(source, site)
    counts: list[int] = []
    manifests: list[int] = []
    rounds = workplace.rounds(10, 3)
    with Origin(site, DELAY) as origin:
        for _ in range(rounds):
            asked = one_round(workplace, origin)
            manifests.append(asked.pop("/manifest.json"))
            if len(asked) != ARTIFACTS:
                raise Failure(f"{len(asked)} artifacts were asked for, not {ARTIFACTS}")
            counts += asked.values()
    least, most = min(counts), max(counts)
    got = f"{least}" if least == most else f"{least} to {most}"
    notes = [
        f"{rounds} rounds of {ARTIFACTS} artifacts",
        f"the manifest, which is none: {min(manifests)} to {max(manifests)} requests",
    ]
    return [replace(row(), ours=got, theirs="1", got=got, reached=least == most == 1, notes=notes)]


def one_round(workplace: Workplace, origin: Origin):  # type: ignore[no-untyped-def]
    cache = workplace.folder("cache")
    environment = workplace.environment(cache, MAGIC_MODULE_MANIFEST_URL=origin.manifest_url)
    command, pipe = workplace.python(SCRIPT), subprocess.PIPE
    processes = [
        subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        for _ in range(PROCESSES)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            _, stderr = process.communicate()
            if process.returncode:
                line = stderr.strip().splitlines()
                raise Failure(f"a process failed: {line[-1] if line else process.returncode}")
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.communicate()
    remove(cache)
    return origin.take_requests()
