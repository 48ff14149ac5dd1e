"""What a lock says of itself: the digest of what it was made of, so that an old one is told without a request.

```toml
[tool.magic-module]
inputs = "6ba7…"
```
"""

import re
from pathlib import Path

INPUTS = "inputs"
"""The SHA-256 of what a registry, or a list of links, names."""


def marked(text: str, mark: str, digest: str) -> str:
    """A lock that says what it was made of."""
    return f'{text.rstrip()}\n\n[tool.magic-module]\n{mark} = "{digest}"\n'


def found(lock: Path, mark: str) -> str | None:
    """What a lock says; None where it says nothing, or is not there."""
    try:
        text = lock.read_text("utf-8", "replace")
    except OSError:
        return None
    said = re.search(rf'^{mark} = "([0-9a-f]+)"$', text, re.MULTILINE)
    return said and said.group(1)
