"""A lock of real packages and a folder with its wheels, fetched once from the index that uv is set to."""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import re
import shutil
import sys
import urllib.request
import zipfile
from pathlib import Path

import measure
from measure import Ended, Failure
from origin import Origin
from workplace import Workplace, remove

DELAY, LINK = 0.02, 1e9


class Stack:
    """A lock, and a folder with its wheels."""

    def __init__(self, workplace: Workplace, names: list[str]) -> None:
        self.workplace = workplace
        self.folder = workplace.folder("stack")
        self.wheels = self.folder / "wheels"
        self.wheels.mkdir(parents=True)
        self.uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
        if not Path(self.uv).exists():
            raise Failure("uv is not installed")
        asked = self.folder / "pylock.asked.toml"
        requirements = self.folder / "requirements.in"
        requirements.write_text("\n".join(names))
        compile_lock = [self.uv, "pip", "compile", "--quiet", "--python", sys.executable, "--format", "pylock.toml"]
        try:
            measure.run([*compile_lock, str(requirements), "-o", str(asked)], self.environment())
        except Failure as failure:
            raise Failure(f"no package index: {failure}") from None
        self.asked = asked.read_text()
        urls = re.findall(r'url = "(https?://[^"]+\.whl)"', self.asked)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(self._download, urls))
        self.count = self.asked.count("[[packages]]")

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name.startswith(("UV_", "SSL_"))}
        return kept | self.workplace.environment() | more

    def _download(self, url: str) -> None:
        target = self.wheels / url.rsplit("/", 1)[1]
        with urllib.request.urlopen(url) as answer, target.open("wb") as file:
            shutil.copyfileobj(answer, file)

    def served(self, delay: float = DELAY, link: float = LINK) -> Origin:
        origin = Origin(self.wheels, delay, link)
        self.lock = self.folder / "pylock.toml"
        self.lock.write_text(re.sub(r'https?://[^"]+/([^"/]+\.whl)"', rf'{origin.url}/\1"', self.asked))
        return origin

    def ours(self, body: str, cache: Path, lock: Path | None = None, capture: bool = False) -> Ended:
        program = f"import magic_module; magic_module.mount_lock({str(lock or self.lock)!r}); {body}"
        return measure.run(self.workplace.python(program), self.workplace.environment(cache), capture)

    def publish(self, site: Path | str, *options: str, **more: str) -> Ended:
        """As a user does who publishes the lock more than once, with one cache."""
        line = [self.workplace.python("")[0], "-m", "magic_module", "publish", "--lock", str(self.lock), str(site)]
        cache = str(self.folder / "publisher")
        return measure.run([*line, *options], self.environment(MAGIC_MODULE_CACHE_DIR=cache, **more))

    def known(self) -> Path:
        """A cache in which it is known what is in the wheels, and nothing else is."""
        cache = self.workplace.folder("known")
        self.ours("pass", cache)
        return cache

    def installed(self, body: str) -> Ended:
        """uv with an empty cache: the whole lock, then the import."""
        home, cache = self.workplace.folder("installed"), self.workplace.folder("uv-cache")
        environment = self.environment(UV_CACHE_DIR=str(cache))
        measure.run([self.uv, "venv", "--quiet", "--python", sys.executable, str(home)], environment)
        install = f"{self.uv} pip install --quiet --python {home}/bin/python -r {self.lock}"
        ended = measure.run(["sh", "-c", f'{install} && exec {home}/bin/python -c "{body}"'], environment)
        remove(home)
        remove(cache)
        return ended

    def packages(self) -> dict[str, tuple[str, Path]]:
        """Version and wheel of each package that is locked."""
        found = {}
        for wheel in sorted(self.wheels.glob("*.whl")):
            name, version = wheel.name.split("-")[:2]
            found[re.sub(r"[-_.]+", "-", name).lower()] = (version, wheel)
        return found

    def make_index(self) -> None:
        """Pages of a package index beside the wheels (PEP 503), with the metadata of each wheel (PEP 658)."""
        for name, (_, wheel) in self.packages().items():
            with zipfile.ZipFile(wheel) as archive:
                inside = next(it for it in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", it))
                metadata = archive.read(inside)
            wheel.with_name(f"{wheel.name}.metadata").write_bytes(metadata)
            page = self.wheels / "simple" / name / "index.html"
            page.parent.mkdir(parents=True, exist_ok=True)
            said = f'data-core-metadata="sha256={hashlib.sha256(metadata).hexdigest()}"'
            href = f"/{wheel.name}#sha256={measure.sha256_of(wheel)}"
            page.write_text(f'<!DOCTYPE html><html><body><a href="{href}" {said}>{wheel.name}</a></body></html>')

    def without(self, name: str) -> Path:
        """Another lock, which lacks one package."""
        head, *packages = self.lock.read_text().split("[[packages]]")
        kept = [it for it in packages if f'name = "{name}"' not in it]
        if len(kept) != len(packages) - 1:
            raise Failure(f"the lock does not hold {name}")
        other = self.folder / "pylock.other.toml"
        other.write_text("[[packages]]".join([head, *kept]))
        return other
