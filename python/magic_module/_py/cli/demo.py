"""`demo`: the story of the product, told with its own output and checked while it is told.

```text
publish ── cold import ── warm import ── server stopped ── damage healed ── upgrade ── failed upgrade
```

Every act runs in processes of its own, as a user would run it, against a server in this process that counts what it
is asked. A claim that is not so makes the command fail.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from magic_module._py.cli.answer import Answer
from magic_module._py.progress import size, styled
from magic_module._py.server import Request, Server

ALPHA = '''\
"""A module and its data: the first import downloads both."""

import csv
from pathlib import Path

__version__ = "{version}"


def rows():
    with Path(__file__).with_name("alpha.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))
'''
RELEASES = {
    "1.0.0": "planet,moons\nEarth,1\nMars,2\n",
    "1.1.0": "planet,moons\nEarth,1\nMars,2\nSaturn,274\n",
    "1.2.0": "planet,moons\nEarth,1\nMars,2\nSaturn,274\nUranus,29\n",
}

SHOW = "import magic_module.alpha as a; print(a.__version__, a.rows())"
UPGRADE = "import magic_module.alpha as a; print(a._upgrade()); print(a.__version__, a.rows())"
FAILING_UPGRADE = """\
import magic_module.alpha as a
from magic_module.errors import IntegrityError
try:
    a._upgrade()
except IntegrityError as error:
    print("IntegrityError:", error)
print(a.__version__, a.rows())
"""


@dataclass
class Story:
    """What happened, and whether every claim held."""

    ok: bool = True
    acts: list[dict[str, Any]] = field(default_factory=list)


def demo(options: argparse.Namespace) -> Answer:
    """Tells the story on stdout, or nothing with `--json`; leaves nothing behind."""
    # What is in use on Windows cannot be deleted; a temporary folder that stays is not a reason to fail.
    with tempfile.TemporaryDirectory(prefix="magic-module-demo-", ignore_cleanup_errors=True) as folder:
        story = _Stage(Path(folder).resolve(), quiet=options.json).play()
    return Answer({"ok": story.ok, "acts": story.acts}, [], 0 if story.ok else 1)


class _Stage:
    """The folder, the server and the story so far."""

    def __init__(self, folder: Path, quiet: bool) -> None:
        self.folder = folder
        self.modules, self.site, self.cache = folder / "modules", folder / "site", folder / "cache"
        self.modules.mkdir()
        self.site.mkdir()
        self.server = Server(self.site)
        self.port = int(self.server.url.rstrip("/").rpartition(":")[2])
        self.requests: list[Request] = []
        self.quiet = quiet
        self.story = Story()
        own = {name: value for name, value in os.environ.items() if not name.startswith("MAGIC_MODULE_")}
        self.environment = {
            **own,
            "MAGIC_MODULE_MANIFEST_URL": self.server.manifest_url,
            "MAGIC_MODULE_CACHE_DIR": str(self.cache),
            "MAGIC_MODULE_PROGRESS": "off",
            "PYTHONIOENCODING": "utf-8",
        }

    def play(self) -> Story:
        self.server.start()
        try:
            for act in (self.publish, self.cold, self.warm, self.stopped, self.damaged, self.upgrade, self.failed):
                act()
        finally:
            self.server.close()
        self.say("")
        self.say("Every claim above is true." if self.story.ok else "NOT EVERY CLAIM ABOVE IS TRUE.")
        return self.story

    def publish(self) -> None:
        self.act("A folder becomes files for any static host")
        self.release("1.0.0")
        self.claim("there is a manifest", (self.site / "manifest.json").is_file())

    def cold(self) -> None:
        self.act("The first import downloads code and data")
        text = self.python(SHOW)
        self.claim("it is version 1.0.0 with all its rows", text == self.expected("1.0.0"))
        self.claim("the manifest is asked once", self.asked("/manifest.json") == 1)
        paths = [request.path for request in self.requests]
        self.claim("nothing is asked twice, and nothing is missing", self.all_found() and len(paths) == len(set(paths)))

    def warm(self) -> None:
        self.act("The next import makes no request")
        text = self.python(SHOW)
        self.claim("it is the same module", text == self.expected("1.0.0"))
        self.claim("0 requests", not self.requests)

    def stopped(self) -> None:
        self.act("The server is stopped")
        self.server.close()
        text = self.python(SHOW)
        self.claim("it still works", text == self.expected("1.0.0"))
        self.server = Server(self.site, port=self.port).start()
        self.say(f"  the server is back at {self.server.url}")

    def damaged(self) -> None:
        self.act("A file in the cache is damaged")
        for name, command in (("alpha.csv", None), ("alpha.py", SHOW)):
            found = sorted((self.cache / "v1" / "trees").rglob(name))
            self.claim(f"{name} is in the cache", len(found) == 1)
            for path in found:
                good = path.read_bytes()
                damage(path)
                self.say(f"  some bytes of {name} are overwritten, its size and time stay")
                if command is None:
                    self.magic("verify")
                else:
                    text = self.python(command)
                    self.claim("the import is not fooled", text == self.expected("1.0.0"))
                    self.magic("verify")
                self.claim(f"{name} is healed", path.read_bytes() == good)
        self.requests = []

    def upgrade(self) -> None:
        self.act("A new version is published, and the running process moves to it")
        self.release("1.1.0")
        text = self.python(SHOW)
        self.claim("nobody is upgraded without asking", text == self.expected("1.0.0") and not self.requests)
        text = self.python(UPGRADE)
        self.claim("the module in use is the new one", text.endswith(self.expected("1.1.0")))
        text = self.python(UPGRADE)
        self.claim("upgrading again changes nothing", "nothing changed" in text)
        self.claim("and costs one conditional request", [request.status for request in self.requests] == [304])

    def failed(self) -> None:
        self.act("An upgrade fails, and nothing has changed")
        before = {path for path in self.site.rglob("*") if path.is_file()}
        self.release("1.2.0")
        for path in self.site.rglob("*"):
            if path.is_file() and path not in before:
                damage(path)
        self.say("  the new files are damaged on the server")
        text = self.python(FAILING_UPGRADE)
        self.claim("the damage is refused", "IntegrityError: " in text)
        self.claim("the old module still works in that process", text.endswith(self.expected("1.1.0")))
        status, _ = self.magic("upgrade", "magic_module.alpha", expected=1)
        self.claim("the command says no, in one sentence", status == 1)
        text = self.python(SHOW)
        self.claim("and in the next process, with 0 requests", text == self.expected("1.1.0") and not self.requests)

    def release(self, version: str) -> None:
        """Writes a version of alpha into the folder of modules, and publishes it."""
        (self.modules / "alpha.py").write_text(ALPHA.format(version=version), encoding="utf-8", newline="\n")
        (self.modules / "alpha.csv").write_text(RELEASES[version], encoding="utf-8", newline="\n")
        self.magic("publish", "modules", "site")

    def expected(self, version: str) -> str:
        """What SHOW prints for a version."""
        return f"{version} {[line.split(',') for line in RELEASES[version].splitlines()]}"

    def python(self, code: str) -> str:
        """Runs code in a fresh interpreter, and shows it with its output and its requests."""
        lines = code.strip().splitlines()
        self.say(f'  $ python -c "{lines[0]}' + ('"' if len(lines) == 1 else ""))
        for line in lines[1:]:
            self.say(f"    {line}" + ('"' if line is lines[-1] else ""))
        _, output = self.child(["-c", code], expected=0)
        self.requests = self.take_requests()
        total = sum(request.bytes for request in self.requests)
        requests = f"{len(self.requests)} request" + ("" if len(self.requests) == 1 else "s")
        self.say(f"  {requests}" + (f", {size(total)}" if total else ""))
        for request in self.requests:
            self.say(f"    {request.method} {shortened(request.path)} {request.status}")
        return output

    def magic(self, *arguments: str, expected: int = 0) -> tuple[int, str]:
        """Runs a command of `magic-module`, and shows it with its output."""
        self.say(f"  $ magic-module {' '.join(arguments)}")
        result = self.child(["-m", "magic_module", *arguments], expected)
        self.take_requests()
        return result

    def take_requests(self) -> list[Request]:
        """What the process asked that has just ended, also where it did not wait for the answer."""
        self.server.settle()
        return self.server.take_requests()

    def child(self, arguments: list[str], expected: int) -> tuple[int, str]:
        """Runs a fresh interpreter in the folder."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        for line in (done.stdout + done.stderr).splitlines():
            self.say(f"    {line}")
        self.story.acts[-1]["output"].append(done.stdout + done.stderr)
        if done.returncode != expected:
            self.claim(f"the exit status is {expected}, not {done.returncode}", False)
        return done.returncode, done.stdout.strip()

    def asked(self, path: str) -> int:
        return sum(request.path == path for request in self.requests)

    def all_found(self) -> bool:
        return bool(self.requests) and all(request.status == 200 for request in self.requests)

    def act(self, title: str) -> None:
        self.story.acts.append({"title": title, "claims": [], "output": []})
        self.say("")
        self.say(styled(f"{len(self.story.acts)}. {title}", "1", sys.stdout))

    def claim(self, text: str, holds: bool) -> None:
        """Notes whether something is so."""
        self.story.acts[-1]["claims"].append({"claim": text, "holds": holds})
        self.story.ok = self.story.ok and holds
        mark = styled("✓", "32", sys.stdout) if holds else styled("NOT SO:", "31", sys.stdout)
        self.say(f"  {mark} {text}")

    def say(self, line: str) -> None:
        if not self.quiet:
            print(line, flush=True)


def damage(path: Path) -> None:
    """Overwrites the middle of a file in place; its size and its time stay."""
    status = path.stat()
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4] = bytes(byte ^ 1 for byte in content[middle : middle + 4])
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    path.chmod(status.st_mode & 0o777)


def shortened(path: str) -> str:
    """A path in which no part is longer than a line of the story can bear."""
    return "/".join(part if len(part) <= 40 else f"{part[:12]}…{Path(part).suffix}" for part in path.split("/"))
