"""debugpy, as editors use it: a breakpoint in a file that is not downloaded when it is set."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from kit.locks import Lock
from kit.wheels import wheel
from kit.world import World

pytest.importorskip("debugpy", reason="NOT TESTED: debugpy is not installed")

PATIENCE = 60
"""Seconds after which a message that does not come counts as one that never will."""

PART = "def half(number):\n    return number / 2\n"


class Adapter:
    """The Debug Adapter Protocol over the adapter's stdin and stdout: requests, responses and events."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._messages: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._number = 0
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while head := self._process.stdout.readline():
            length = int(head.split(b":")[1])
            while self._process.stdout.readline().strip():
                pass
            self._messages.put(json.loads(self._process.stdout.read(length)))
        self._messages.put(None)

    def send(self, command: str, **arguments: Any) -> int:
        self._number += 1
        request = {"seq": self._number, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(request).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()
        self.said.append(f"> {request}")
        return self._number

    def ask(self, command: str, **arguments: Any) -> Any:
        """What it answers to a request."""
        number = self.send(command, **arguments)
        response = self._until(lambda it: it.get("request_seq") == number)
        assert response["success"], response
        return response.get("body")

    def event(self, *names: str) -> dict[str, Any]:
        """The next event that is called so."""
        return self._until(lambda it: it.get("event") in names)

    def close(self) -> None:
        """Ends it, and what it has started, in whatever state they are."""
        assert self._process.stdin is not None and self._process.stdout is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(PATIENCE)
        self._process.stdout.close()
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def _until(self, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while True:
            try:
                message = self._messages.get(timeout=PATIENCE)
            except queue.Empty:
                message = None
            assert message is not None, "\n".join(["nothing more is said after", *self.said])
            self.said.append(f"< {message}")
            if is_it(message):
                return message


@contextmanager
def adapter(world: World, environment: Mapping[str, str]) -> Iterator[Adapter]:
    """One that is ended, whatever happens; what it starts ends with it."""
    with (world.path / "adapter.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "debugpy.adapter"],
            cwd=world.work,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
        started = Adapter(process)
        try:
            yield started
        finally:
            started.close()


def stopped_at(adapter: Adapter, program: Path, file: Path, **options: Any) -> dict[str, Any]:
    """Runs the program with a breakpoint in the second line of a file; returns where it stopped, with its `number`."""
    adapter.ask("initialize", adapterID="kit", clientID="kit", pathFormat="path")
    adapter.send("launch", program=str(program), cwd=str(program.parent), console="internalConsole", **options)
    adapter.event("initialized")
    adapter.ask("setBreakpoints", source={"path": str(file)}, breakpoints=[{"line": 2}])
    adapter.ask("configurationDone")
    event = adapter.event("stopped", "terminated")
    assert event["event"] == "stopped", "\n".join(adapter.said)
    thread = event["body"]["threadId"]
    frame = dict(adapter.ask("stackTrace", threadId=thread)["stackFrames"][0])
    frame["number"] = adapter.ask("evaluate", expression="number", frameId=frame["id"])["result"]
    adapter.send("continue", threadId=thread)
    adapter.event("terminated")
    return frame


def printed(world: World, script: str, environment: Mapping[str, str]) -> Path:
    """The path that a script prints."""
    line = [sys.executable, "-c", script]
    return Path(subprocess.run(line, env=environment, check=True, capture_output=True, text=True).stdout.strip())


@pytest.mark.parametrize("mine", [True, False], ids=["just-my-code", "all-code"])
@pytest.mark.parametrize("early", [True, False], ids=["loaded-at-the-start", "loaded-by-the-program"])
def test_a_unit_that_is_not_downloaded(world: World, early: bool, mine: bool) -> None:
    """The breakpoint is set before the program runs; then we are loaded already, or not yet."""
    world.publish({"alpha/__init__.py": "", "alpha/part.py": PART})
    if early:
        (world.work / "sitecustomize.py").write_text("import magic_module\n")
    settings = {"MAGIC_MODULE_MANIFEST_URL": world.serve().manifest_url, "PYTHONPATH": str(world.work)}
    environment = world.environment(settings)
    finding = "import magic_module, importlib.util as it; print(it.find_spec('magic_module.alpha').origin)"
    file = printed(world, finding, environment).with_name("part.py")
    assert not file.exists()
    program = world.work / "program.py"
    program.write_text("from magic_module.alpha import part\nprint(part.half(4))\n")
    with adapter(world, environment) as editor:
        frame = stopped_at(editor, program, file, justMyCode=mine)
    assert (frame["name"], frame["line"], frame["number"]) == ("half", 2, "4")
    assert frame["source"]["path"] == str(file)


@pytest.mark.parametrize("inside", [False, True], ids=["mounted", "in-the-environment-of-the-lock"])
def test_a_package_of_a_lock_by_its_path_in_the_view(world: World, inside: bool) -> None:
    """Inside of the environment it is third-party code; elsewhere it is loaded from where the view's link leads."""
    lock = Lock(world.path / "project", [wheel("Pack", "1.0", {"pack/__init__.py": "", "pack/part.py": PART})])
    mounting = f"import magic_module\nmounted = magic_module.mount_lock({str(lock.path)!r})\n"
    environment = world.environment()
    file = printed(world, f"{mounting}print(mounted.paths()[0])", environment) / "pack" / "part.py"
    options: dict[str, Any] = {}
    if inside:
        view = printed(world, f"{mounting}print(mounted.view)", environment)
        options = {"python": [str(view / "bin" / "python")], "justMyCode": False}
        environment["MAGIC_MODULE_LOCK"] = str(lock.path)
    assert not file.exists()
    program = world.work / "program.py"
    program.write_text(f"{'' if inside else mounting}from pack import part\nprint(part.half(4))\n")
    with adapter(world, environment) as editor:
        frame = stopped_at(editor, program, file, **options)
    assert (frame["name"], frame["line"], frame["number"]) == ("half", 2, "4")
