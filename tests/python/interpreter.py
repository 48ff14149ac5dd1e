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

#: After this many seconds without an answer the child is ended: a hang is a failure.
PATIENCE = 120

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


@dataclass(frozen=True)
class Ended:
    """A process that has ended."""

    status: int
    output: str
    errors: str


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

    def attempt(self, step: str) -> Any | Failure:
        """Run some statements that may raise."""
        return self._step(step)

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
    """The whole environment of a child: nothing of ours, no home but the test's own.

    An empty value in ``settings`` removes a variable.
    """
    home = cache.parent / "home"
    if not home.exists() and os.access(cache.parent, os.W_OK):
        home.mkdir()
    variables = {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "MAGIC_MODULE_CACHE_DIR": str(cache),
        "MAGIC_MODULE_MANIFEST_URL": manifest_url or "",
        "MAGIC_MODULE_PROGRESS": "off",
        **(settings or {}),
    }
    return {name: value for name, value in variables.items() if value}


def command_line(
    *arguments: str,
    cache: Path,
    manifest_url: str | None = None,
    settings: Mapping[str, str] | None = None,
    before: Sequence[str] = (),
) -> Ended:
    """Run ``magic-module`` with arguments to its end."""
    ended = subprocess.run(
        [*before, sys.executable, "-m", "magic_module", *arguments],
        env=environment(cache, manifest_url, settings),
        cwd=cache.parent,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)
