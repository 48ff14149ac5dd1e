"""Servers that fail in one known way each, for tests of what a user then sees.

    site/ ── Origin ── HTTP on 127.0.0.1, a free port
               │
               └─ faults: {"/files/*": faults.truncated}     the first pattern that fits decides

A fault is a function of :mod:`origins.faults`, named after what goes wrong.
Without one an origin is a good static server: strong ETags, ranges, keep-alive.
To try one by hand: ``python -m origins truncated ./site``.
"""

from origins import faults
from origins.origin import Fault, Origin, Reply, Request, Silence

__all__ = ["Fault", "Origin", "Reply", "Request", "Silence", "faults"]
