"""Programs that use real packages: lazily from a lock, and in the environment that uv makes of the same lock.

    compare.py [USES]      USES: a folder with requirements.in and scripts; default: tests/lock/uses

Each script must print the same and end with the same status: cold, warm, offline, and from a site that the lock was
published to, with a cache of its own. What differs is shown, and the status is 1. Packages come from the index
that uv is set to; without uv or an index this says so, and is skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
PATIENCE = 900
"""Seconds after which a script counts as hanging; nothing is measured with it."""


def main(arguments: Sequence[str]) -> int:
    uses = Path(arguments[0] if arguments else HERE / "uses").resolve()
    with tempfile.TemporaryDirectory(prefix="magic-module-lock.") as folder:
        return compare(uses, Path(folder))


def compare(uses: Path, folder: Path) -> int:
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        print("skipped: uv is not installed")
        return 0
    lock, real = folder / "pylock.toml", folder / "real"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAGIC_MODULE_", "VIRTUAL_"))}
    clean["UV"] = uv
    clean["MAGIC_MODULE_CACHE_DIR"] = str(folder / "cache")
    for step in (
        [sys.executable, "-m", "magic_module", "lock", str(uses / "requirements.in"), "-o", str(lock)],
        [uv, "venv", "--quiet", "--python", sys.executable, str(real)],
        [uv, "pip", "install", "--quiet", "--python", str(real / "bin" / "python"), "--requirements", str(lock)],
    ):
        done = subprocess.run(step, env=clean, capture_output=True, text=True, check=False)
        if done.returncode:
            # Without an index there is nothing to compare; what else is wrong is told by the tests.
            print(f"skipped: `{' '.join(step[:4])} …` failed, perhaps for want of a package index:\n{done.stderr}")
            return 0
    site = folder / "site"
    publish = [sys.executable, "-m", "magic_module", "publish", "--lock", str(lock), str(site), "--compile"]
    subprocess.run(publish, env=clean, stdout=subprocess.DEVNULL, check=True)
    differing = 0
    for script in sorted(uses.glob("*.py")):
        differing += not agrees(script, lock, site, real, clean)
    print(f"{differing} differ", flush=True)
    return 1 if differing else 0


def agrees(script: Path, lock: Path, site: Path, real: Path, environment: Mapping[str, str]) -> bool:
    path = os.pathsep.join([str(real / "bin"), environment.get("PATH", "")])
    expected = said([real / "bin" / "python", script], {**environment, "PATH": path, "VIRTUAL_ENV": str(real)})
    of_lock = ["--lock", str(lock)]
    of_site = ["--manifest-url", f"{site.as_uri()}/manifest.json", "--namespace", ""]
    ways = (
        ("cold", of_lock, {}),
        ("warm", of_lock, {}),
        ("offline", of_lock, {"MAGIC_MODULE_OFFLINE": "1"}),
        ("from a site", of_site, {"MAGIC_MODULE_CACHE_DIR": f"{site}.cache"}),
    )
    right = True
    for name, where, more in ways:
        begin = time.monotonic()
        ours = [sys.executable, "-m", "magic_module", "run", *where, str(script)]
        got = said(ours, {**environment, **more})
        same = got[:2] == expected[:2]
        print(f"{'same' if same else 'DIFFERS'} {script.stem} {name} ({time.monotonic() - begin:.1f} s)", flush=True)
        if not same:
            print(f"  expected {expected}\n  got      {got}")
            right = False
    return right


def said(command: Sequence[str | Path], environment: Mapping[str, str]) -> tuple[int, str, str]:
    """Exit status, stdout without the places of packages, and the end of stderr."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [str(word) for word in command],
            env={**environment, "PYTHONHASHSEED": "0"},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    return done.returncode, re.sub(r"/\S*/site-packages", "SITE", done.stdout), done.stderr[-2000:]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
