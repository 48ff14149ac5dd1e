"""Runs `inside.py` in a fresh interpreter, with or without the fault layer, and judges what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
INSIDE = HERE / "inside.py"

HANGS = 60
"""Seconds after which a process counts as hanging."""


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
    """Starts processes that see one package folder and nothing of the machine's settings."""

    def __init__(self, home: Path) -> None:
        import packaging

        import magic_module

        places = {Path(str(package.__file__)).resolve().parent.parent: None for package in (magic_module, packaging)}
        self.packages = os.pathsep.join(map(str, places))
        self.home = home
        home.mkdir(parents=True, exist_ok=True)

    def run(
        self,
        cache: Path,
        url: str,
        *actions: str,
        packages: Path | None = None,
        before: Sequence[str] = (),
        **environment: str,
    ) -> Said:
        line, clean = self.command(cache, url, *actions, packages=packages, before=before, **environment)
        try:
            done = subprocess.run(
                line,
                env=clean,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=HANGS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Wrong(f"hangs for {HANGS} s: {' '.join(actions)}") from None
        return Said(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def command(
        self,
        cache: Path,
        url: str,
        *actions: str,
        packages: Path | None = None,
        before: Sequence[str] = (),
        **environment: str,
    ) -> tuple[list[str], dict[str, str]]:
        """The command line and the whole environment of such a process."""
        clean = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        clean |= {"HOME": str(self.home), "MAGIC_MODULE_CACHE_DIR": str(cache), "MAGIC_MODULE_PROGRESS": "off"}
        line = [*before, sys.executable, "-I", "-S", "-B", str(INSIDE), str(packages or self.packages), url, *actions]
        return line, clean | environment


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
