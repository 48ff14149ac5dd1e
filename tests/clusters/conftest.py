"""Real engines on this machine: a driver mounts, and their workers import.

A test writes a program, because workers that are spawned import the driver's main file. `cluster.drive(body)` runs one
that begins with `mm`, `URL` and, where there is one, the engine's own start; it returns the lines of what it printed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit import process
from kit.locks import Lock
from kit.process import Result
from kit.wheels import wheel
from kit.world import World
from origins import Origin

UNITS = {
    "shapes.py": """
        class Point:
            def __init__(self, x):
                self.x = x

            def __eq__(self, other):
                return self.x == other.x

        def double(number):
            return number * 2
        """,
    "other.py": "VALUE = 1\n",
}

#: Seconds for a program with a cluster; a hang is reported instead of waited for.
PATIENCE = 300.0


class Cluster:
    """A site with `acme.shapes`, its server, and a home and cache of its own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.parts: list[subprocess.Popen[str]] = []
        world.publish(UNITS, namespace="acme")
        self.origin: Origin = world.serve()
        self.url = f"{self.origin.url}/manifest.json"
        # Spark and Ray start interpreters by themselves, and of this environment.
        self.environment = world.environment({"PYSPARK_PYTHON": sys.executable, "RAY_USAGE_STATS_ENABLED": "0"})

    def drive(self, body: str, *, status: int = 0, **environment: str) -> Result:
        """Runs a driver's program to its end."""
        program = self.world.work / "driver.py"
        text = textwrap.indent(textwrap.dedent(body), "    ")
        head = f"import os, sys\nimport magic_module as mm\n\nURL = {self.url!r}\n\n"
        program.write_text(f'{head}if __name__ == "__main__":\n{text}', encoding="utf-8")
        line = [sys.executable, str(program)]
        done = process.finish(process.start(line, {**self.environment, **environment}, self.world.work), PATIENCE)
        assert done.status == status, f"{done.stdout}\n{done.stderr}"
        return done

    def carry(self) -> tuple[Lock, Path, Origin]:
        """A lock with a distribution `shapes`, a bundle of it, and the server that nobody has to ask any more."""
        server = self.world.serve("project")
        distribution = wheel("shapes", "1.0", {"shapes.py": textwrap.dedent(UNITS["shapes.py"])})
        lock = Lock(self.world.path / "project", [distribution], url=f"{server.url}/wheels")
        bundle = self.world.path / "run.zip"
        line = [sys.executable, "-m", "magic_module", "bundle", "-o", str(bundle), "--lock", str(lock.path)]
        process.run(line, self.environment, self.world.work)
        server.take()
        return lock, bundle, server

    def start(self, *line: str) -> None:
        """Starts a part of a cluster that is ended with the test."""
        self.parts.append(process.start([sys.executable, *line], self.environment, self.world.work))

    def close(self) -> None:
        for part in self.parts:
            # It leads a session of its own, in which its workers are, too.
            os.killpg(part.pid, signal.SIGKILL)
            part.communicate()
        self.world.close()

    def asked(self, part: str) -> int:
        """How many requests named `part`."""
        return sum(part in request.path for request in self.origin.requests)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(World(tmp_path))
    yield cluster
    cluster.close()
