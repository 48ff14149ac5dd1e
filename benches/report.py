"""The table, for a terminal and for docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Sequence

from measure import BUSY, Row, Table
from plot import Plot

HEAD = ("what", "against", "ours", "theirs", "spread", "got", "target", "outcome")

INTRODUCTION = """# Benchmarks

Written by `make bench`; do not edit. `make bench-quick` measures the same with fewer pairs and prints it.

Every comparison runs as interleaved pairs in one run, with the release wheel, in an environment that holds nothing of
the caller's. *Ours* and *theirs* are medians; *spread* is the interquartile range of the less steady side, relative to
its median (from {busy:.0%} on the machine was busy, and the row says so); a ratio is the median of the pairs' ratios.
What each row measures exactly stands at the head of its file in `benches/jobs/`.
"""


def as_text(rows: list[Row], tables: list[Table], description: dict[str, str]) -> str:
    """Blocks instead of columns: a terminal is narrow."""
    lines = [f"{name + ':':14}{value}" for name, value in description.items()]
    for row in rows:
        spread = "" if row.spread is None else f", spread {row.spread:.0%}"
        lines += ["", f"{row.what}", f"    {row.ours} against {row.theirs} ({row.against}){spread}"]
        lines += [f"    {row.got}, target {row.target}: {row.outcome}", *(f"    {note}" for note in row.notes)]
    for table in tables:
        lines += ["", table.title]
        for first, *cells in table.lines:
            lines += [
                f"  {first}",
                *(f"    {head}: {cell}" for head, cell in zip(table.head[1:], cells, strict=True)),
            ]
    return "\n".join([*lines, "", summary(rows)])


def as_markdown(
    rows: list[Row], tables: list[Table], plots: list[Plot], description: dict[str, str], quick: bool
) -> str:
    parts = [INTRODUCTION.format(busy=BUSY)]
    if quick:
        parts.append("This was a quick run: few pairs.\n")
    parts.append("| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in description.items()))
    parts += [grid(HEAD, [cells_of(row) for row in rows]), summary(rows) + "\n"]
    for table in tables:
        parts += [f"## {table.title}\n", *([table.note + "\n"] if table.note else []), grid(table.head, table.lines)]
    if plots:
        drawn = "\n\n".join(f"![{plot.title}](benchmarks/{plot.name}.svg)" for plot in plots)
        parts.append(f"## How cost grows\n\n{drawn}\n")
    noted = [row for row in rows if row.notes]
    if noted:
        parts.append("## Notes\n")
        parts.append("\n".join(f"- {row.what}: {'; '.join(row.notes)}." for row in noted) + "\n")
    return "\n".join(parts)


def cells_of(row: Row) -> list[str]:
    spread = "-" if row.spread is None else f"{row.spread:.0%}"
    return [row.what, row.against, row.ours, row.theirs, spread, row.got, row.target, row.outcome]


def grid(head: Sequence[str], lines: list[list[str]]) -> str:
    rows = ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in ([*head], *lines)]
    return "\n".join([rows[0], "|" + "---|" * len(head), *rows[1:], ""])


def summary(rows: list[Row]) -> str:
    reached, missed = (sum(row.reached is wanted for row in rows) for wanted in (True, False))
    left = len(rows) - reached - missed
    return f"{reached} targets reached, {missed} missed" + (f", {left} not measured" if left else "") + "."
