"""A lock that is published as a site: its author, whoever has its wheels, and whoever mounts it."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from kit import process
from kit.interpreter import environment
from kit.locks import Lock, python
from kit.process import Result
from kit.wheels import Wheel
from origins import Origin

MANIFEST, SIGNATURE = "/manifest.json", "/manifest.json.minisig"


class Desk:
    """A lock whose wheels another server has, and the site that is published of it."""

    def __init__(self, path: Path, index: Origin, origin: Origin) -> None:
        self.path, self.index, self.origin = path, index, origin
        self.project, self.site, self.cache = path / "project", path / "site", path / "cache"

    def lock(self, wheels: Sequence[Wheel], more: str = "") -> Lock:
        return Lock(self.project, wheels, url=f"{self.index.url}/wheels", more=more)

    def command(self, *line: str, cache: str = "author", status: int | None = 0) -> Result:
        whole = [sys.executable, "-m", "magic_module", *line]
        return process.run(whole, environment(self.path / cache, None), self.path, status)

    def publish(self, *options: str, status: int | None = 0) -> dict[str, Any]:
        done = self.command(
            "publish", "--lock", str(self.project / "pylock.toml"), str(self.site), "--json", *options, status=status
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def refuse(self, *line: str) -> str:
        return self.command(*line, status=1).stderr.strip()

    def key(self, name: str) -> str:
        made = self.command("keygen", str(self.path / name), "--json")
        return str(json.loads(made.stdout)["public_key"])

    def mounted(self, program: str, more: str = "", *, fails: bool = False, **settings: str) -> str:
        line = f"import magic_module as mm\nmount = mm.mount('', {self.origin.url + MANIFEST!r}{more})\n"
        done = python(self.cache, line + program, settings, status=None if fails else 0)
        assert fails == (done.status != 0), done.stderr
        return (done.stderr.strip().splitlines()[-1] if fails else done.stdout).strip()

    def asked(self) -> list[str]:
        """What the site was asked for: wheels by their package, documents and locks by their suffix."""
        names = {each.stem: name.partition("-")[0] for name, each in self.wheels()}
        found = []
        for path in self.origin.paths():
            stem, _, suffix = path.rsplit("/", 1)[-1].partition(".")
            found.append(names.get(stem, path if path in (MANIFEST, SIGNATURE) else suffix))
        return sorted(found)

    def wheels(self) -> Iterator[tuple[str, Path]]:
        """Of the site, each with the name that its author gave it."""
        names = {each.read_bytes(): each.name for each in (self.project / "wheels").glob("*.whl")}
        for each in (self.site / "wheels").iterdir():
            yield names.get(each.read_bytes(), "damaged-"), each

    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.site / "manifest.json").read_text("utf-8"))
        return found

    def rewrite(self, change: Callable[[dict[str, Any]], object]) -> None:
        document = self.manifest()
        change(document)
        (self.site / "manifest.json").write_text(json.dumps(document), "utf-8")

    def state(self) -> dict[str, tuple[int, int]]:
        files = (path for path in self.site.rglob("*") if path.is_file())
        return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Desk]:
    """A desk in a folder, with both servers."""
    (path / "project").mkdir()
    (path / "site").mkdir()
    with Origin(path / "project") as index, Origin(path / "site") as origin:
        yield Desk(path, index, origin)
