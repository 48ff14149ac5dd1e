"""Folders of sources, given as a dict from path to text or bytes."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

Sources = Mapping[str, "str | bytes"]


def write_tree(folder: Path, sources: Sources) -> Path:
    """Writes every file of `sources` below `folder`; a text is dedented, a path that ends in "/" is a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in sources.items():
        target = folder / path
        if path.endswith("/"):
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            content = textwrap.dedent(content.removeprefix("\n")).encode()
        target.write_bytes(content)
    return folder
