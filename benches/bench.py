"""`make bench`: what the product costs, beside what it is measured against, in one run.

    bench.py                     every job; writes docs/benchmarks.md
    bench.py --quick             fewer pairs, prints only
    bench.py --only warm miss    these jobs
    bench.py --list              their names

Everything is measured as interleaved pairs with the installed release wheel. What cannot be measured here says so in
its row. The exit status tells whether the run came to its end, never whether a target was reached: time is not tested.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path

import machine
import report
from jobs import JOBS
from measure import Failure, Row, Table
from plot import Plot
from workplace import Workplace

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    if options.list:
        print("\n".join(f"{name:13} {job.__doc__.splitlines()[0]}" for name, job in JOBS.items() if job.__doc__))
        return 0
    names = options.only or list(JOBS)
    before, begin = machine.load(), time.monotonic()
    results: list[Row | Table | Plot] = []
    try:
        machine.require_release_wheel(ROOT)
        with Workplace(options.quick, options.directory) as workplace:
            for name in names:
                print(f"… {name}", end="", file=sys.stderr, flush=True)
                began = time.monotonic()
                results += measured(name, workplace)
                print(f" ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
            description = machine.describe(ROOT, workplace.place, before)
            description["took"] = f"{time.monotonic() - begin:.0f} s"
            smaller = workplace.smaller if options.quick else None
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return 130
    rows = [result for result in results if isinstance(result, Row)]
    tables = [result for result in results if isinstance(result, Table)]
    plots = [result for result in results if isinstance(result, Plot)]
    print(report.as_text(rows, tables, description, smaller))
    output = options.output or (None if options.quick or options.only else ROOT / "docs" / "benchmarks.md")
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(report.as_markdown(rows, tables, plots, description, smaller), encoding="utf-8")
        for plot in plots:
            drawn = output.with_suffix("") / f"{plot.name}.svg"
            drawn.parent.mkdir(exist_ok=True)
            drawn.write_text(plot.svg(), encoding="utf-8")
        print(f"written to {output}")
    return 0


def measured(name: str, workplace: Workplace) -> list[Row | Table | Plot]:
    """A job that cannot be done here is a row that says why."""
    job = JOBS[name]
    try:
        results: list[Row | Table | Plot] = job.run(workplace)
    except Failure as failure:
        results = [job.row().not_measured(str(failure))]
    except Exception as error:
        # A mistake of one job is seen, and does not cost what the others measured.
        traceback.print_exc()
        results = [job.row().not_measured(f"the harness failed: {type(error).__name__}: {error}")]
    return results


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.py", description="Measure magic_module side by side with its peers.")
    parser.add_argument("--quick", action="store_true", help="fewer pairs; docs/benchmarks.md is left alone")
    parser.add_argument("--only", nargs="+", choices=list(JOBS), metavar="JOB", help="only these jobs, print only")
    parser.add_argument("--list", action="store_true", help="name the jobs")
    parser.add_argument("--output", type=Path, help="write the table to this file")
    parser.add_argument(
        "--directory", type=Path, help="where to work (default: /dev/shm if it has room, else the temporary directory)"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
