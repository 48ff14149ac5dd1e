"""A Python interpreter in a child process that does what it is told, step by step.

    with Interpreter(cache=tmp_path / "cache", manifest_url=origin.manifest_url) as python:
        failure = python.fail("import magic_module.alpha")   # the exception, as a Failure
        origin.heal()
        assert python.do("import magic_module.alpha as a; result = a.X") == 1

The state of the child lives on between the steps: what fails and then works must
work in the same process. Whatever JSON can hold may be assigned to ``result``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import process
from .process import PATIENCE, Result

_PROGRAM = """
import json, sys
names = {"__name__": "__main__"}
details = ("name", "url", "path", "expected", "got", "hint", "causes")
replies = sys.stdout
sys.stdout = sys.stderr
for line in sys.stdin:
    names.pop("result", None)
    try:
        exec(compile(json.loads(line), "<step>", "exec"), names)
        reply = {"result": names.get("result")}
    except BaseException as error:
        reply = {
            "kind": type(error).__name__,
            "kinds": [kind.__name__ for kind in type(error).__mro__],
            "sentence": str(error),
            "details": {name: getattr(error, name, None) for name in details},
        }
    print(json.dumps(reply, default=str), file=replies, flush=True)
"""


@dataclass(frozen=True)
class Failure:
    """An exception that a step ended with."""

    kind: str
    kinds: Sequence[str]
    sentence: str
    details: Mapping[str, Any] = field(repr=False)


class Interpreter:
    """See the module's text. ``before`` is put in front of the command line (``setpriv …``)."""

    def __init__(
        self,
        cache: Path,
        manifest_url: str | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
        options: Sequence[str] = (),
    ) -> None:
        self._environment = environment(cache, manifest_url, settings)
        command = [*before, sys.executable, *options, "-c", _PROGRAM]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, env=self._environment, cwd=cache.parent
        )
        self._said: list[bytes] = []
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def __enter__(self) -> Interpreter:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        assert self._process.stderr
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()
            self._listener.join()
            self._process.stdout.close()
            self._process.stderr.close()

    def do(self, step: str) -> Any:
        """Run some statements; returns what they assigned to ``result``."""
        outcome = self._step(step)
        assert not isinstance(outcome, Failure), f"{outcome.kind}: {outcome.sentence}"
        return outcome

    def fail(self, step: str) -> Failure:
        """Run some statements that must raise; returns the exception."""
        outcome = self._step(step)
        assert isinstance(outcome, Failure), f"{step!r} did not fail: {outcome!r}"
        return outcome

    def _step(self, step: str) -> Any | Failure:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(step).encode() + b"\n")
        self._process.stdin.flush()
        alarm = threading.Timer(PATIENCE, self._process.kill)
        alarm.start()
        line = self._process.stdout.readline()
        alarm.cancel()
        assert line, f"the interpreter died during {step!r}:\n{self._last_words()}"
        reply: dict[str, Any] = json.loads(line)
        return reply["result"] if "result" in reply else Failure(**reply)

    def _listen(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            self._said.append(line)

    def _last_words(self) -> str:
        self._process.wait()
        self._listener.join()
        return b"".join(self._said).decode(errors="replace")


def environment(cache: Path, manifest_url: str | None, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """A clean environment with a home beside the cache; an empty value in ``settings`` removes a variable."""
    home = cache.parent / "home"
    if not home.exists() and os.access(cache.parent, os.W_OK):
        home.mkdir()
    own = {
        "LANG": "C.UTF-8",
        "LC_ALL": None,
        "MAGIC_MODULE_MANIFEST_URL": manifest_url,
        "MAGIC_MODULE_PROGRESS": "off",
        **(settings or {}),
    }
    return process.environment(home, cache, {name: value or None for name, value in own.items()})


def command_line(
    *arguments: str,
    cache: Path,
    manifest_url: str | None = None,
    settings: Mapping[str, str] | None = None,
    before: Sequence[str] = (),
) -> Result:
    """Run ``magic-module`` with arguments to its end."""
    line = [*before, sys.executable, "-m", "magic_module", *arguments]
    return process.run(line, environment(cache, manifest_url, settings), cache.parent, None)
