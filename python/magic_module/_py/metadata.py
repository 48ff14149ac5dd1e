"""Units as distributions: what `importlib.metadata` finds.

A unit that was published with its `.dist-info` brings that directory into its tree. The finder on `sys.meta_path`
hands `find_distributions` on to this file; it stands behind the stock finders there, so what is installed wins.
"""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import DistributionFinder, PathDistribution
from pathlib import Path

from magic_module import _native


def find_distributions(context: DistributionFinder.Context | None = None) -> Iterator[PathDistribution]:
    """The distributions of active units that are downloaded.

    A search that names a path of its own (`distributions(path=[...])`) asks about those directories, not about us.
    """
    context = DistributionFinder.Context() if context is None else context
    if list(context.path) != sys.path:
        return
    wanted = None if context.name is None else normalised(context.name)
    for name, directory in _native._distributions():
        if wanted is None or normalised(name) == wanted:
            yield PathDistribution(Path(directory))


def normalised(name: str) -> str:
    """The one spelling under which a distribution is compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
