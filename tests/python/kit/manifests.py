"""Manifests written by hand, for what `publish` does not write: variants, lies, odd shapes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .sources import Sources, write_tree


def record(site: Path, version: str, sources: Sources, *, lazy: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    """Puts `sources` below `site/by-hand/<version>` and returns the record that pins them."""
    base = f"by-hand/{version}"
    write_tree(site / base, sources)
    files = []
    for path in sources:
        data = (site / base / path).read_bytes()
        entry = {"path": path, "url": f"{base}/{path}", "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        files.append(entry | ({"lazy": True} if path in lazy else {}))
    return {"version": version, "files": files, **fields}


def write_manifest(site: Path, namespace: str, modules: Mapping[str, Any], **fields: Any) -> Path:
    """Writes `site/manifest.json`."""
    path = site / "manifest.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"manifest": 1, "namespace": namespace, **fields, "modules": dict(modules)}))
    return path
