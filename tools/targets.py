"""Rust's lints for the systems that wheels are made for: code for another system is never compiled otherwise.

Nothing is linked and nothing runs. The compiler, with the sources of its standard library, is that of Debian's
unstable suite, in the root that unstable.py makes: one rustup toolchain has the standard library of one target.

    targets.py                       in the root, every target
    targets.py x86_64-pc-windows-gnu only this one
    targets.py --here ...            with the cargo on PATH, which has rust-src
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import unstable
from environments import ENVIRONMENTS, ROOT, Failure, clean_environment

FOLDER = ENVIRONMENTS / "targets"

#: Debian's rustc and what goes with it; a linker for what runs while it is built.
PACKAGES = ("rustc", "cargo", "rust-clippy", "rust-src", "gcc", "libc6-dev", "python3", "python3-venv")

#: Those of the workflow's wheels; of Windows also the one that mingw-w64 links.
TARGETS = (
    *("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"),
    *("x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"),
    *("x86_64-pc-windows-msvc", "x86_64-pc-windows-gnu"),
    *("x86_64-apple-darwin", "aarch64-apple-darwin"),
)

#: In the place of a C compiler and an archiver: what they make is linked only, and nothing is linked.
_NOTHING = """#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in
    -o) : >"$2"; shift ;;
    -o* | -Fo*) : >"${1#-??}" ;;
    *.a | *.lib) : >"$1" ;;
    esac
    shift
done
"""

#: Where the standard library has no thread-locals of the target's own, it wraps what is constant already.
_WRONG = ("-A", "clippy::missing_const_for_thread_local")


def root() -> Path:
    """The root, made if it is not there."""
    return unstable.made(FOLDER, PACKAGES)


def check(targets: list[str]) -> list[str]:
    """Lints for each target, with Python and without; which targets have errors or warnings."""
    failed = []
    with tempfile.TemporaryDirectory() as place:
        nothing = Path(place) / "nothing"
        nothing.write_text(_NOTHING)
        nothing.chmod(0o755)
        for target in targets:
            results = [_clippy(target, nothing, *more) for more in ((), ("--no-default-features",))]
            if any(results):
                failed.append(target)
    return failed


def _clippy(target: str, nothing: Path, *more: str) -> int:
    name = target.replace("-", "_")
    environment = clean_environment(
        **{f"{tool}_{name}": str(nothing) for tool in ("CC", "CXX", "AR")},
        # The standard library is compiled, too: Debian's compiler comes with its own system's.
        RUSTC_BOOTSTRAP="1",
        CARGO_UNSTABLE_BUILD_STD="std,panic_unwind",
        CARGO_TARGET_DIR=str(ROOT / "target" / "targets"),
        PYO3_CROSS_PYTHON_VERSION="3.10",
        PYO3_NO_PYTHON="1",
    )
    lint = ["cargo", "clippy", "--locked", "--all-targets", "--target", target, *more]
    command = [*lint, "--", "-D", "warnings", *_WRONG]
    print(f"\n=== {target}\n$ {' '.join(command)}", flush=True)
    return subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, check=False).returncode


def main(arguments: list[str]) -> int:
    names = [name for name in arguments if name != "--here"]
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        print(f"error: no such target: {' '.join(unknown)} (there are {' '.join(TARGETS)})", file=sys.stderr)
        return 2
    if "--here" not in arguments:
        try:
            command = unstable.inside(root(), "tools/targets.py", "--here", *names)
        except Failure as failure:
            print(f"error: {failure}", file=sys.stderr)
            return 1
        words = [str(word) for word in command]
        return subprocess.run(words, cwd=ROOT, env=clean_environment(), check=False).returncode
    failed = check(names or list(TARGETS))
    print(f"failed: {' '.join(failed)}" if failed else "no target has an error or a warning", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
