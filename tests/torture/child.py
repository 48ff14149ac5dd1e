"""Runs `inside.py` in a process of its own, with or without the fault layer, and judges what it says."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
INSIDE = HERE / "inside.py"
NURSERY = HERE / "nursery.py"


@dataclass(frozen=True)
class Said:
    """What a process left behind."""

    status: int
    stdout: str
    stderr: str

    @property
    def killed(self) -> bool:
        return self.status in (-9, 137)

    @property
    def answers(self) -> list[Any]:
        """Its answers; a process that printed none, or ended badly, is a wrong one."""
        if self.status:
            raise Wrong(f"exit status {self.status}: {self.stderr.strip()[-1500:]}")
        parsed: list[Any] = json.loads(self.stdout.strip().splitlines()[-1])
        return parsed


class Wrong(Exception):
    """What must never happen: wrong bytes, an unstructured failure, or a cache that does not heal."""


class Child:
    """Starts processes that see one package folder and nothing of the machine's settings.

    They are forks of an interpreter that has not imported the product, one for each trial that runs at the same time.
    """

    def __init__(self, home: Path, layer: Path | None = None, before: Sequence[str] = ()) -> None:
        import packaging

        import magic_module

        places = {Path(str(package.__file__)).resolve().parent.parent: None for package in (magic_module, packaging)}
        self.packages = os.pathsep.join(map(str, places))
        self.home = home
        self.layer = layer
        self.before = before
        self.idle: queue.SimpleQueue[subprocess.Popen[str]] = queue.SimpleQueue()
        home.mkdir(parents=True, exist_ok=True)

    def run(self, cache: Path, url: str, *actions: str, packages: Path | None = None, **environment: str) -> Said:
        settings = self.settings(cache) | environment
        order = {"arguments": [str(packages or self.packages), url, *actions], "environment": settings}
        try:
            nursery = self.idle.get_nowait()
        except queue.Empty:
            nursery = self.nursery()
        assert nursery.stdin is not None and nursery.stdout is not None
        nursery.stdin.write(json.dumps(order) + "\n")
        nursery.stdin.flush()
        if not (line := nursery.stdout.readline()):
            raise Wrong(f"ended the process that it was forked from: {' '.join(actions)}")
        told = json.loads(line)
        self.idle.put(nursery)
        if told["hangs"]:
            raise Wrong(f"hangs: {' '.join(actions)}")
        return Said(told["status"], told["stdout"], told["stderr"])

    def nursery(self) -> subprocess.Popen[str]:
        """It ends when its stdin does, which is with this process."""
        preload = {"LD_PRELOAD": str(self.layer)} if self.layer else {}
        return subprocess.Popen(
            [*self.before, sys.executable, "-I", "-S", "-B", str(NURSERY), self.packages],
            env=machine() | preload,
            cwd=self.home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                with self.idle.get_nowait() as nursery:
                    nursery.kill()

    def settings(self, cache: Path) -> dict[str, str]:
        return {"HOME": str(self.home), "MAGIC_MODULE_CACHE_DIR": str(cache), "MAGIC_MODULE_PROGRESS": "off"}

    def command(self, cache: Path, url: str, *actions: str) -> tuple[list[str], dict[str, str]]:
        """The command line and the whole environment of such a process with an interpreter of its own."""
        line = [sys.executable, "-I", "-S", "-B", str(INSIDE), self.packages, url, *actions]
        return line, machine() | self.settings(cache)


def machine() -> dict[str, str]:
    """What a process has to know of this machine."""
    return {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}


def judge(
    report: dict[str, Any], right: dict[str, dict[str, str]], allowed: Sequence[str], *, errors: Sequence[str] = ()
) -> int:
    """Raises `Wrong` unless every unit is one of the allowed versions, whole; counts the structured errors."""
    failed = 0
    for name, entry in report.items():
        if "error" in entry:
            if entry["error"] not in errors:
                raise Wrong(f"{name}: {entry['error']}: {entry['text']}")
            if not entry["text"] or not entry["hint"]:
                raise Wrong(f"{name}: an error without a hint: {entry}")
            failed += 1
            continue
        if entry["version"] not in allowed:
            raise Wrong(f"{name} is {entry['version']}, not {' or '.join(allowed)}")
        if entry["digest"] != right[entry["version"]][name]:
            raise Wrong(f"{name} {entry['version']} is not what was published: {entry['digest']}")
        if entry["base"] not in (None, entry["version"]):
            raise Wrong(f"{name} {entry['version']} runs with base {entry['base']}")
    return failed
