"""The wheel for every Linux with glibc 2.17 or newer, made on any Linux: zig links it, auditwheel checks it.

`dist/portable/` gets it. The demo then runs from it, in an environment of its own. Elsewhere the wheel of
tools/environments.py is as portable as that system has it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from environments import (
    DIST,
    ROOT,
    TOOLS,
    Failure,
    clean_environment,
    environment,
    executable,
    interpreters,
    main,
    run,
    wheel,
)

POLICY = "manylinux_2_17"
PORTABLE = DIST / "portable"


def portable_wheel() -> Path:
    """The release wheel, with nothing that a system of that age lacks."""
    python = environment("portable", interpreters()[0], TOOLS / "requirements-portable.txt")
    shutil.rmtree(PORTABLE, ignore_errors=True)
    # The builder asks the first Python on PATH for zig.
    path = f"{python.parent}:{clean_environment()['PATH']}"
    command: list[str | Path] = [executable(python, "maturin"), "build", "--release", "--locked", "--zig"]
    run([*command, "--compatibility", POLICY, "--out", PORTABLE, "-i", python], PATH=path)
    (built,) = PORTABLE.glob("*.whl")
    shown = subprocess.run(
        [executable(python, "auditwheel"), "show", built],
        cwd=ROOT,
        env=clean_environment(PATH=path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    print(shown.stdout, shown.stderr, sep="", flush=True)
    # The line that names the oldest system on which it can be loaded.
    if shown.returncode or f'"{POLICY}_' not in shown.stdout:
        raise Failure(f"auditwheel does not take {built.name} for {POLICY}")
    return built


def tell_the_story(built: Path) -> None:
    """The demo, from an environment that has the wheel and what it requires, and nothing else."""
    with tempfile.TemporaryDirectory() as place:
        fresh = Path(place) / "fresh"
        run([interpreters()[0].executable, "-m", "venv", fresh])
        run([fresh / "bin" / "python", "-m", "pip", "install", "--quiet", built])
        run([fresh / "bin" / "magic-module", "demo"])


def tried_wheel() -> Path:
    """The wheel that people get; on Linux its story was told."""
    if sys.platform != "linux":
        return wheel()
    built = portable_wheel()
    tell_the_story(built)
    return built


if __name__ == "__main__":
    sys.exit(main(tried_wheel))
