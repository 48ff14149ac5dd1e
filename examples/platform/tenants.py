"""What a tenant may do with a script: check it, install what it needs, run it, and read what was decided.

Each tenant is a space: packages, policy and audit log of its own, over bytes that all of them share. The server mounts
nothing itself. What happens in a space happens in a process of its own: two tenants may have two versions of one
package at the same time, and nothing that a script does reaches the server.
"""

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from streams import Streams

import magic_module as mm

#: What a script of a tenant may use.
LIMITS: dict[str, Any] = {"timeout": 30.0, "memory": "512M", "cpu": 30.0, "processes": 64}
#: Decisions that the page shows.
SHOWN = 100


class Refused(Exception):
    """An answer that is no: `error` is what `MagicModuleError.to_dict()` gives."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.error = error


class Tenant:
    """One space, and the pages that watch it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.streams = Streams()
        # One change at a time: two of them would only wait for each other in the cache.
        self._changing = asyncio.Lock()

    async def check(self, script: str) -> dict[str, Any]:
        """What the script needs, and where that stands; the script is read and not run."""
        async with _file(script) as path:
            answer = await self._command("check", str(path), allow=(0, 1))
        report = answer["scripts"][0]
        return {"ok": report["ok"], "missing": report["missing"], "needs": report["needs"]}

    async def install(self, script: str) -> dict[str, Any]:
        """Downloads what the script needs and does not have; every open page sees the bars."""
        needs = (await self.check(script))["needs"]
        names = sorted({need["distribution"] for need in needs if need["state"] == "provided"})
        async with self._changing:
            # One command for each, so that each has a bar; what several of them require comes once.
            answers = await asyncio.gather(*(self._command("fetch", name) for name in names))
        return {"names": names, "bytes": sum(answer["bytes"] for answer in answers)}

    async def run(self, script: str) -> dict[str, Any]:
        """Runs the script within `LIMITS`; its output is in the answer, and on the pages while it comes."""
        async with _file(script) as path:
            run = await mm.arun(path, space=self.name, on_output=self._output, **LIMITS)
        return {"status": run.status, "limit": run.limit, "output": run.stdout + run.stderr}

    async def verify(self, package: str, code: str | None) -> dict[str, Any]:
        """The self-test of one package: is it there, can it be installed and imported, and does it work?"""
        use = () if code is None else ("--use", code)
        async with self._changing:
            return await self._command("doctor", "--package", package, *use, allow=(0, 1))

    def decisions(self) -> list[dict[str, Any]]:
        """The last lines of the audit log, the newest first."""
        files = sorted((mm.Space(self.name).path / "journal").glob("audit*.jsonl"))
        lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
        return sorted(map(json.loads, lines), key=lambda line: str(line["time"]), reverse=True)[:SHOWN]

    def _output(self, stream: str, text: str) -> None:
        self.streams.tell("script-output", {"stream": stream, "text": text})

    async def _command(self, *words: str, allow: tuple[int, ...] = (0,)) -> dict[str, Any]:
        """What `magic-module … --json` answers in this space; its progress goes to the open pages."""
        space = mm.Space(self.name).environment()
        environment = {**os.environ, **space, "MAGIC_MODULE_PROGRESS": "json"}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "magic_module", *words, "--json"),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None and process.stderr is not None
        answer, _ = await asyncio.gather(process.stdout.read(), self._progress(process.stderr))
        status = await process.wait()
        document: dict[str, Any] = json.loads(answer)
        if status not in allow or "error" in document:
            raise Refused(document["error"])
        return document

    async def _progress(self, lines: asyncio.StreamReader) -> None:
        async for line in lines:
            with contextlib.suppress(ValueError, KeyError):  # a warning of the interpreter is not an event
                record = mm.progress.record(json.loads(line))
                if record is not None:
                    self.streams.tell("module-download-progress", _detail(record))


def _detail(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "module": record["module"],
        "percentage": record["percentage"],
        "bytesDownloaded": record["bytes_downloaded"],
        "totalBytes": record["total_bytes"],
    }


@contextlib.asynccontextmanager
async def _file(script: str) -> AsyncIterator[Path]:
    """The script as a file for as long as somebody works on it."""
    with tempfile.TemporaryDirectory(prefix="script-") as folder:
        path = Path(folder, "script.py")
        path.write_text(script, encoding="utf-8")
        yield path
