"""`publish --packs-for`: scripts are traced before their packs are made, and run from these before anybody has them."""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from magic_module._py.cli.ahead import files_in, run_traced
from magic_module.errors import RequirementError

_OTHER_MOUNTS = ("MAGIC_MODULE_LOCK", "MAGIC_MODULE_MOUNTS", "MAGIC_MODULE_SPACE", "MAGIC_MODULE_START")
"""What would give a script packages beside those of the site that it is tried with."""


@contextlib.contextmanager
def packs(options: argparse.Namespace) -> Iterator[tuple[list[str], Path, Callable[[Path], None]]]:
    """What scripts use, a folder, and what runs the scripts from a site in it."""
    with tempfile.TemporaryDirectory() as folder:
        used = {path for trace in options.packs_for_trace for path in files_in(Path(trace))}
        for script in options.packs_for:
            trace = Path(folder) / "trace"
            run_traced(script, Path(options.lock), trace)
            used.update(files_in(trace))
        site = Path(folder) / "site"
        site.mkdir()
        yield sorted(used), site, lambda site: _prove(options.packs_for, site)


def _prove(scripts: list[str], site: Path) -> None:
    """Runs each script from a site, with a cache that has nothing."""
    for script in scripts:
        with tempfile.TemporaryDirectory() as cache:
            manifest = (site / "manifest.json").as_uri()
            command = [sys.executable, "-m", "magic_module", "--manifest-url", manifest, "--namespace", ""]
            environment = {name: value for name, value in os.environ.items() if name not in _OTHER_MOUNTS}
            environment["MAGIC_MODULE_CACHE_DIR"] = cache
            done = subprocess.run([*command, "run", script], stdout=sys.stderr, env=environment, check=False)
        if done.returncode != 0:
            hint = "trace what it lacks: magic-module run --trace-to FILE …, then --packs-for-trace FILE"
            message = (
                f"cannot publish: {script} ended with status {done.returncode} when it ran from its packs alone; {hint}"
            )
            raise RequirementError(message, path=script, hint=hint)
