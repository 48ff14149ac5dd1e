"""What a command found, and how people read it."""

from __future__ import annotations

from magic_module._native import _shown as shown

TYPE_CHECKING = False  # as type checkers know it; importing `typing` is a tenth of what a command takes
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any


class WrongUsage(Exception):
    """What was asked for cannot be meant, which only the command itself finds out: exit status 2."""


class Answer:
    """What a command found: `data` for machines, `lines` for people, and whether the answer is no."""

    # No dataclass: making one takes longer than most commands.
    def __init__(self, data: dict[str, Any] | None = None, lines: list[str] | None = None, status: int = 0) -> None:
        self.data = data or {}
        self.lines = lines or []
        self.status = status


def table(rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Rows as aligned lines; the last column is ragged, `right` columns are flush right."""
    grid = [tuple(shown(cell) for cell in row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*grid, strict=True)]
    lines = []
    for row in grid:
        cells = [
            cell.rjust(widths[column]) if column in right else cell.ljust(widths[column])
            for column, cell in enumerate(row)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def count(number: int, word: str, words: str | None = None) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {word if number == 1 else words or word + 's'}"


def move(old: str | None, new: str | None) -> str:
    """`1.0 → 1.1`; one version, where there was none or the same."""
    to = new or "not in use"
    return to if old is None or old == new else f"{old} → {to}"


def fields(value: object, names: Sequence[str]) -> dict[str, Any]:
    """An object of the engine as JSON shows it."""
    return {name: getattr(value, name) for name in names}
