"""What an installation approves: `modules.toml`, and what follows from it.

```text
modules.toml ─ document: read, keys checked ─ entries: what each may be ─▶ Registry ─ inputs ─▶ pylock.modules.toml
    ${TOKEN} ─ secrets: looked up when a resolver is asked, and in nothing that is written
    [imports], [links] ─ links: what configuration loads
```

Nothing here resolves: `_py.locking` has uv or pip do that.
"""
