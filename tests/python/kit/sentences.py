"""Every sentence that a user sees, in one place for each test file: ``sentences/*.json``.

A test compares; with ``UPDATE_SENTENCES=1`` in the environment it writes, and the
change is read in the diff. What differs from run to run is named in braces.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "sentences"


def normal(text: str, names: Mapping[str, object]) -> str:
    """``text`` with the values of ``names`` (longest first) replaced by ``{name}``, and without ports."""
    for name, value in sorted(names.items(), key=lambda item: -len(str(item[1]))):
        text = text.replace(str(value), f"{{{name}}}")
    text = re.sub(r"127\.0\.0\.1:\d+", "{server}", text)
    text = re.sub(r"\d+ bytes in (\d+) s\b", r"{bytes} bytes in \1 s", text)
    return re.sub(r"\b[0-9a-f]{64}\b", "{sha256}", text)


def check(collection: str, case: str, text: str, **names: object) -> None:
    """Compare a sentence with the one that is kept for this case."""
    text = normal(text, names)
    file = _FOLDER / f"{collection}.json"
    kept: dict[str, str] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    if os.environ.get("UPDATE_SENTENCES") and kept.get(case) != text:
        kept[case] = text
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(dict(sorted(kept.items())), indent=2, ensure_ascii=False) + "\n", "utf-8")
    assert kept.get(case) == text
    assert "\n" not in text, "one line"
    assert len(text) < 500, "one sentence"
