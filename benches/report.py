"""The table, for a terminal and for docs/benchmarks.md."""

from __future__ import annotations

import collections
from collections.abc import Sequence

from measure import BUSY, Row, Table
from plot import Plot

HEAD = ("what", "against", "ours", "theirs", "spread", "got", "target", "outcome")

INTRODUCTION = """# Benchmarks

Written by `make bench`; do not edit. `make bench-quick` measures the same with fewer pairs and prints it.

Contestants take turns in one run (ours, theirs, theirs, ours, …), with the release wheel, in an environment that holds
nothing of the caller's. *Ours* and *theirs* are medians; *spread* is the interquartile range of the less steady side,
relative to its median (from {busy:.0%} on the machine was busy: the row says so, and is counted apart); a ratio is the
median of the pairs' ratios. What each row measures exactly stands at the head of its file in `benches/jobs/`.

Not in turns are: memory (the worst of three processes each, after the interpreter that does nothing); an upgrade (bytes
and requests are counted, once for each contestant); verification (ours is timed with and without a part of itself); and
a peer that takes more than two seconds or more than all rounds are worth, which takes part in the first rounds only.
"""


def as_text(
    rows: list[Row], tables: list[Table], description: dict[str, str], smaller: Sequence[str] | None = None
) -> str:
    """Blocks instead of columns: a terminal is narrow."""
    lines = [f"{name + ':':14}{value}" for name, value in description.items()]
    lines += [] if smaller is None else [quick_run(smaller)]
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
    rows: list[Row], tables: list[Table], plots: list[Plot], description: dict[str, str], smaller: Sequence[str] | None
) -> str:
    """`smaller` is what a quick run did with less than a full one; none of a full one."""
    parts = [INTRODUCTION.format(busy=BUSY)]
    if smaller is not None:
        parts.append(quick_run(smaller) + "\n")
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


def quick_run(smaller: Sequence[str]) -> str:
    """Says of what it had less."""
    sizes = "all sizes are those of a full one" if not smaller else "of other sizes are " + "; ".join(smaller)
    return f"This was a quick run: few pairs; {sizes}."


def summary(rows: list[Row]) -> str:
    """What was measured while others used the machine is counted apart."""
    outcomes = collections.Counter(row.outcome for row in rows)
    said = [f"{outcomes['reached']} targets reached, {outcomes['missed']} missed"]
    for outcome in ("reached (busy machine)", "missed (busy machine)", "not measured"):
        if outcomes[outcome]:
            said.append(f"{outcomes[outcome]} {outcome.replace(' (', ' on a ').rstrip(')')}")
    return ", ".join(said) + "."
