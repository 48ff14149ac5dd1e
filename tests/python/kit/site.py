"""Manifests written by hand: what ``publish`` refuses to write, a test needs all the same."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def sha256(data: bytes) -> str:
    """In hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def zstd_frame(data: bytes) -> bytes:
    """A zstd frame of raw blocks, which compresses nothing."""
    blocks = [data[at : at + (1 << 17)] for at in range(0, len(data), 1 << 17)] or [b""]
    frame = b"\x28\xb5\x2f\xfd\xa0" + len(data).to_bytes(4, "little")
    for at, block in enumerate(blocks, 1):
        frame += (len(block) << 3 | (at == len(blocks))).to_bytes(3, "little") + block
    return frame


class Site:
    """A folder with ``files/<sha256>`` and a ``manifest.json``, which has been written when ``write`` was called."""

    def __init__(self, folder: Path, namespace: str = "magic_module") -> None:
        self.folder = folder
        self.document: Json = {"manifest": 1, "namespace": namespace, "modules": {}}
        (folder / "files").mkdir(parents=True, exist_ok=True)

    @property
    def modules(self) -> Json:
        """The records by unit."""
        records: Json = self.document["modules"]
        return records

    def artifact(self, data: bytes) -> Json:
        """Store some bytes; returns ``url``, ``size`` and ``sha256``."""
        digest = sha256(data)
        (self.folder / "files" / digest).write_bytes(data)
        return {"url": f"files/{digest}", "size": len(data), "sha256": digest}

    def file(self, path: str, data: bytes | str) -> Json:
        """An entry of ``files``."""
        return {"path": path, **self.artifact(data.encode() if isinstance(data, str) else data)}

    def pack(self, members: Mapping[str, bytes], *, paths: Iterable[str] | None = None) -> Json:
        """An entry of ``packs``; ``paths`` is what the manifest says is in it."""
        memory = io.BytesIO()
        with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, data in members.items():
                archive.writestr(path, data)
        return {"format": "zip", "paths": list(members if paths is None else paths), **self.artifact(memory.getvalue())}

    def record(self, files: Mapping[str, bytes | str], version: str = "1.0", **fields: Any) -> Json:
        """Store some files; returns the record that pins them."""
        return {"version": version, "files": [self.file(path, data) for path, data in files.items()], **fields}

    def unit(self, name: str, files: Mapping[str, bytes | str], version: str = "1.0", **fields: Any) -> Json:
        """Set the record of a unit; returns it, to be spoilt."""
        self.modules[name] = record = self.record(files, version, **fields)
        return record

    def write(self) -> Site:
        """Write the manifest."""
        (self.folder / "manifest.json").write_text(json.dumps(self.document, indent=1), "utf-8")
        return self
