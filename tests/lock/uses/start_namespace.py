"""A namespace of before PEP 420, which a `.pth` makes."""

import sys

print("repoze" in sys.modules)
import repoze.lru  # noqa: E402

cache = repoze.lru.LRUCache(2)
cache.put("a", 1)
print(cache.get("a"), list(repoze.__path__), repoze.lru.__file__)
