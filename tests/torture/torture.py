"""Crashes, faults, power cuts and mutations, until a wrong byte is imported or a cache does not heal.

    torture.py [--short] [--seed N] [--jobs N] [TEST…]       TEST: crash …; all of them without one

Each test prints one line of figures; the exit status is 1 if anything was wrong. What the machine does not allow is
skipped, with the reason.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import crash
import crowd
import faults
import model
import mutate
import network
import power
import trials

Test = Callable[[Path, bool, int, int], trials.Figures]

TESTS: dict[str, Test] = {
    "crash": lambda folder, short, seed, jobs: crash.run(folder, 300 if short else 12_000, seed, jobs),
    "network": lambda folder, short, seed, jobs: network.run(folder, 16 if short else 200, seed, jobs),
    "crowd": lambda folder, short, seed, jobs: crowd.run(folder, 16 if short else 100, seed),
    "faults": lambda folder, short, seed, jobs: faults.run(folder, 300 if short else 10_000, seed, jobs),
    "mutations": lambda folder, short, seed, jobs: mutate.run(folder, 600 if short else 10_000, seed, jobs, short),
    "power": lambda folder, short, seed, jobs: power.run(folder, short),
    "model": lambda folder, short, seed, jobs: model.run(folder, 200 if short else 10_000, seed),
    "full-disk": lambda folder, short, seed, jobs: faults.full_disk(folder, seed),
    "read-only": lambda folder, short, seed, jobs: faults.read_only(folder, seed),
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Torture the cache.")
    parser.add_argument("--short", action="store_true", help="the form for continuous integration")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    parser.add_argument("tests", nargs="*", metavar="TEST", help=", ".join(TESTS))
    options = parser.parse_args()
    if unknown := [name for name in options.tests if name not in TESTS]:
        parser.error(f"no such test: {' '.join(unknown)} (there are {', '.join(TESTS)})")
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    good = True
    for name in options.tests or TESTS:
        with tempfile.TemporaryDirectory(prefix="magic-torture-", dir=place, ignore_cleanup_errors=True) as folder:
            good &= TESTS[name](Path(folder).resolve(), options.short, options.seed, options.jobs).finish()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
