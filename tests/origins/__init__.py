"""The tests' server, and the known ways in which it fails, for tests of what a user then sees.

    site/ ── Origin ── HTTP on 127.0.0.1, a free port
               │
               └─ faults: {"/files/*": faults.truncated}     the first pattern that fits decides

A fault is a function of :mod:`origins.faults`, named after what goes wrong.
Without one an origin is a good static server: strong ETags, ranges, keep-alive; over TLS where it is given a
certificate. `stall` holds bodies back until the test lets them go, `pace` makes it slow, `stop` and `start` keep its
port, and it remembers what it was asked for.
To try one by hand: ``python -m origins truncated ./site``.
"""

from origins import faults
from origins.origin import Fault, Origin, Reply, Request, Silence, Stall

__all__ = ["Fault", "Origin", "Reply", "Request", "Silence", "Stall", "faults"]
