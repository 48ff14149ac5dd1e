"""What `magic-module lock` does: somebody else resolves, and the file that comes of it is safe to keep and to share.

```text
command line ─ inputs ─▶ Request ─ resolvers ─▶ uv, else pip ─▶ a file aside
   ─ urls: no credentials ─ changes: what moved, and whether it may ─ write ─▶ pylock.toml
```

Nothing here chooses a version. `making` drives it; the old lock stays as it is until the new one is complete.
"""
