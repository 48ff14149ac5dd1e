"""How cost grows: curves over a logarithmic axis, as SVG that is legible on light and on dark pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 78, 170, 36, 44
# Legible on white and on black; each curve also has a mark of its own.
COLOURS = ("#2f81f7", "#d9822b", "#2da44e", "#bf4b8a", "#8957e5", "#8b949e")
FONT = 'font-family="system-ui, sans-serif" font-size="12"'
DARK = "@media(prefers-color-scheme:dark){text{fill:#9ea7b3}}"
STYLE = f"<style>text{{fill:#57606a}}.line{{stroke:#8b949e;stroke-opacity:.35}}{DARK}</style>"
DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 4", "10 4")


@dataclass(frozen=True)
class Plot:
    """Written to docs/benchmarks/NAME.svg; both axes are logarithmic unless `linear` says otherwise for the values."""

    name: str
    title: str
    across: str
    up: str
    curves: dict[str, list[tuple[float, float]]]
    linear: bool = False

    def svg(self) -> str:
        points = [point for curve in self.curves.values() for point in curve if point[1] > 0]
        if not points:
            return ""
        wide = Axis([x for x, _ in points], LEFT, WIDTH - RIGHT, logarithmic=True)
        high = Axis([y for _, y in points] + [0.0] * self.linear, HEIGHT - BOTTOM, TOP, logarithmic=not self.linear)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" {FONT}>',
            f"<title>{escape(self.title)}</title>",
            STYLE,
            text(LEFT, 20, self.title, "start", 'font-weight="600"'),
            text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, self.across),
            text(14, HEIGHT / 2, self.up, more=f'transform="rotate(-90 14 {HEIGHT / 2:.0f})"'),
        ]
        for value in wide.ticks():
            at = wide.at(value)
            parts.append(f'<line class="line" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
            parts.append(text(at, HEIGHT - BOTTOM + 16, short(value)))
        for value in high.ticks():
            at = high.at(value)
            parts.append(f'<line class="line" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
            parts.append(text(LEFT - 6, at + 4, short(value), "end"))
        for number, (label, curve) in enumerate(self.curves.items()):
            colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
            path = " ".join(f"{wide.at(x):.1f},{high.at(y):.1f}" for x, y in curve if y > 0 or self.linear)
            drawn = f'fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'
            parts.append(f'<polyline points="{path}" {drawn}/>')
            parts += [
                f'<circle cx="{at.split(",")[0]}" cy="{at.split(",")[1]}" r="3" fill="{colour}"/>'
                for at in path.split()
            ]
            top = TOP + 10 + 20 * number
            begin = WIDTH - RIGHT + 12
            parts.append(f'<line x1="{begin}" x2="{begin + 24}" y1="{top}" y2="{top}" {drawn}/>')
            parts.append(text(begin + 30, top + 4, label, "start"))
        return "\n".join([*parts, "</svg>", ""])


@dataclass(frozen=True)
class Axis:
    values: Sequence[float]
    first: float
    last: float
    logarithmic: bool

    @property
    def ends(self) -> tuple[float, float]:
        low, high = min(self.values), max(self.values)
        if self.logarithmic:
            low, high = 10 ** math.floor(math.log10(low) + 1e-9), 10 ** math.ceil(math.log10(high) - 1e-9)
            return (low, high) if high > low else (low, low * 10)
        step = 10 ** math.floor(math.log10(high or 1))
        return low, math.ceil((high or 1) / step) * step

    def at(self, value: float) -> float:
        low, high = self.ends
        if self.logarithmic:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return self.first + (self.last - self.first) * (value - low) / (high - low)

    def ticks(self) -> list[float]:
        low, high = self.ends
        if self.logarithmic:
            decades = round(math.log10(high / low))
            return [low * 10**step for step in range(decades + 1)]
        return [low + (high - low) * step / 4 for step in range(5)]


def text(x: float, y: float, words: str, anchor: str = "middle", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(words)}</text>'


def short(value: float) -> str:
    """1500000 as 1.5M, 0.01 as 0.01."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:.3g}"
