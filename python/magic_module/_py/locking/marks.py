"""What a lock says of itself: the digest of what it was made of, so that a stale one is recognised without a request.

```toml
[tool.magic-module]
inputs = "6ba7…"
```
"""

import re
from pathlib import Path

INPUTS = "inputs"
"""The SHA-256 of what a registry, or a list of links, names."""

FILES = "files"
"""The SHA-256 of the files of its folder that a lock was made of, and of nothing else; `uses/sync.rs` reads it."""

_OPTIONAL = re.compile(r"^\[tool\.magic-module\.optional\]\n(?:(?!\[).*\n?)*", re.MULTILINE)


def marked(text: str, mark: str, digest: str) -> str:
    """A lock that says what it was made of."""
    return f'{text.rstrip()}\n\n[tool.magic-module]\n{mark} = "{digest}"\n'


def carried(text: str, old: str) -> str:
    """A lock that says of optional imports what the one before it said: no resolver knows that."""
    table = _OPTIONAL.search(old)
    return text if table is None or _OPTIONAL.search(text) else f"{text.rstrip()}\n\n{table.group().rstrip()}\n"


def found(lock: Path, mark: str) -> str | None:
    """What a lock says; None if it says nothing, or is not there."""
    try:
        text = lock.read_text("utf-8", "replace")
    except OSError:
        return None
    said = re.search(rf'^{mark} = "([0-9a-f]+)"$', text, re.MULTILINE)
    return said and said.group(1)
