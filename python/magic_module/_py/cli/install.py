"""Plain files in a folder: `install`."""

import argparse
import os
from dataclasses import asdict

from magic_module._py import installing
from magic_module._py.cli.answer import Answer, WrongUsage, count, table


def install(options: argparse.Namespace) -> Answer:
    """Installs names, or all of a lock."""
    if not options.names and options.lock is None:
        raise WrongUsage("name what to install, or give --lock FILE")
    done = installing.install(*options.names, into=options.into, lock=options.lock)
    new = [each for each in done if each.status == installing.SUCCESS]
    where = options.into or "this environment"
    rows = [(each.name, each.version, "" if each in new else "already installed") for each in done]
    data = {"into": options.into and os.path.abspath(options.into), "installed": [asdict(each) for each in done]}
    return Answer(data, [*table(rows), f"{where}: {count(len(new), 'distribution')} installed"])
