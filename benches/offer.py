"""One package, served in every way that somebody fetches it: side by side on one server.

manifest.json, …        ours, by `publish`
plain/                  the files as they are
package.zip             all of them in one archive
simple/, wheels/        an index with one wheel
api/, bench/            what a hub answers for the repository `bench/NAME`
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zipfile
from pathlib import Path

import fixtures
from measure import sha256_of

COMMIT = f"{1:040}"
"""The commit that the server names in every answer."""
PLAIN_ABOVE = 1 << 20
"""Larger files are stored in archives as they are: nothing can compress them, and inflating them would cost."""


class Offer:
    """Serves the one package or module below `source`, which is consumed."""

    def __init__(
        self, source: Path, site: Path, name: str, version: str = "1.0", namespace: str = "magic_module", *options: str
    ) -> None:
        self.site = site
        self.name = name
        self.version = version
        self.namespace = namespace
        (site / "plain").mkdir(parents=True)
        paths = sorted(path for path in source.rglob("*") if path.is_file())
        self.files = {path.relative_to(source).as_posix(): sha256_of(path) for path in paths}
        for path in paths:
            share(path, site / "plain" / path.relative_to(source))
        archive(site / "package.zip", [(path.relative_to(source).as_posix(), path) for path in paths])
        self._wheel(paths, source)
        self._hub()
        fixtures.publish(source, site, namespace, *options)

    def _wheel(self, paths: list[Path], source: Path) -> None:
        information = f"{self.name}-{self.version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {self.version}\n"
        written = {
            f"{information}/METADATA": metadata,
            f"{information}/WHEEL": "Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        lines = []
        for path in paths:
            lines.append(f"{path.relative_to(source).as_posix()},sha256={short(path.read_bytes())},")
        lines += [f"{name},sha256={short(text.encode())}," for name, text in written.items()]
        written[f"{information}/RECORD"] = "\n".join([*lines, f"{information}/RECORD,,", ""])
        file = f"{self.name}-{self.version}-py3-none-any.whl"
        self.wheel = self.site / "wheels" / file
        archive(self.wheel, [(path.relative_to(source).as_posix(), path) for path in paths], written)
        Path(f"{self.wheel}.metadata").write_text(metadata)
        index = self.site / "simple" / self.name / "index.html"
        index.parent.mkdir(parents=True, exist_ok=True)
        of_metadata = hashlib.sha256(metadata.encode()).hexdigest()
        index.write_text(
            f'<!DOCTYPE html><html><body><a href="../../wheels/{file}#sha256={sha256_of(self.wheel)}" '
            f'data-core-metadata="sha256={of_metadata}">{file}</a></body></html>\n'
        )

    def _hub(self) -> None:
        described = self.site / "api" / "models" / "bench" / self.name
        for kind in ("revision", "tree"):
            (described / kind).mkdir(parents=True)
        siblings = [{"rfilename": path} for path in self.files]
        answer = {"id": f"bench/{self.name}", "sha": COMMIT, "siblings": siblings, "tags": [], "private": False}
        (described / "revision" / "main").write_text(json.dumps(answer))
        plain = self.site / "plain"
        sizes = {path: (plain / path).stat().st_size for path in self.files}
        tree = [{"type": "file", "path": path, "oid": self.files[path][:40], "size": sizes[path]} for path in sizes]
        (described / "tree" / COMMIT).write_text(json.dumps(tree))
        for path in self.files:
            for revision in ("main", COMMIT):
                share(plain / path, self.site / "bench" / self.name / "resolve" / revision / path)


def archive(target: Path, files: list[tuple[str, Path]], texts: dict[str, str] | None = None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as pack:
        for name, path in files:
            pack.write(path, name, zipfile.ZIP_STORED if path.stat().st_size > PLAIN_ABOVE else zipfile.ZIP_DEFLATED)
        for name, text in (texts or {}).items():
            pack.writestr(name, text)


def share(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    os.link(path, target)


def short(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
