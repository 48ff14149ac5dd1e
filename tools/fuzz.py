"""Runs the fuzzing targets, one after the other, each for `--seconds`.

    fuzz.py [--seconds 600] [TARGET ...]

Needs `cargo fuzz` and a C++ compiler; any toolchain will do, because sanitizers are for unsafe code and
this has none of its own. What is found goes to fuzz/found/ and fuzz/artifacts/, which are not committed; an input
that broke something belongs into fuzz/corpus/ with its fix, where the ordinary tests run it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from environments import ROOT, clean_environment

FUZZ = ROOT / "fuzz"
#: Some targets write files; on a disk they are a tenth as fast.
MEMORY = Path("/dev/shm")


def main() -> int:
    targets = sorted(path.stem for path in (FUZZ / "targets").glob("*.rs"))
    parser = argparse.ArgumentParser(prog="fuzz.py")
    parser.add_argument("--seconds", type=int, default=600, help="how long for each target (default: 600)")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(targets)} (default: all)")
    arguments = parser.parse_args()
    unknown = set(arguments.targets) - set(targets)
    if unknown:
        parser.error(f"no such target: {' '.join(sorted(unknown))} (there are {' '.join(targets)})")
    probe = subprocess.run(["cargo", "fuzz", "--version"], cwd=ROOT, capture_output=True, check=False)
    if probe.returncode:
        print("error: cargo fuzz was not found: run `cargo install cargo-fuzz`", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as place:
        outcomes = {target: fuzz(target, arguments.seconds, place) for target in arguments.targets or targets}
    print("\n| target | executions | outcome |\n|---|---|---|")
    for target, (executions, status) in outcomes.items():
        print(f"| {target} | {executions} | {'no crash' if status == 0 else 'FAILED'} |")
    return max(status != 0 for _, status in outcomes.values())


def fuzz(target: str, seconds: int, place: str) -> tuple[str, int]:
    """How often the target ran, and the exit status; its temporary files are in `place`."""
    found = FUZZ / "found" / target
    found.mkdir(parents=True, exist_ok=True)
    limits = ["-max_len=4096", "-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"]
    command = ["cargo", "fuzz", "run", "--sanitizer", "none", target, str(found), f"corpus/{target}"]
    process = subprocess.Popen(
        [*command, "--", f"-max_total_time={seconds}", *limits],
        cwd=FUZZ,
        # The compiler's switches for coverage count as unstable; nothing else of a nightly toolchain is used.
        env=clean_environment(RUSTC_BOOTSTRAP="1", TMPDIR=place),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    executions = "?"
    assert process.stderr is not None
    for line in process.stderr:
        sys.stderr.write(line)
        if match := re.match(r"stat::number_of_executed_units:\s*(\d+)", line):
            executions = f"{int(match[1]):,}"
    return executions, process.wait()


if __name__ == "__main__":
    sys.exit(main())
