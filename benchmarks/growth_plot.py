"""The plot of `benchmarks.growth`: seconds of each piece of work by the size of the library, as SVG.

python -m benchmarks.growth_plot benchmarks/results/growth.json docs/images/growth.svg
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 76, 150, 56, 52
COLOURS = ("#2171b5", "#c85014", "#3a8a3a", "#7a4fa3", "#8a6d1d", "#555555")
LEAST_GAP = 15  # between labels


def draw(figures: Mapping[str, Any], work: Sequence[str], file: Path) -> None:
    """Writes a plot with logarithmic axes: what grows with the size rises like the dashed line.

    Args:
        figures: By size, "work" by name, with the spread of "seconds".
        work: Names to draw, in order.
        file: To write.
    """
    sizes = [int(size) for size in figures]
    lines = {name: [figures[str(size)]["work"][name]["seconds"] for size in sizes] for name in work}
    every = [value[key] for line in lines.values() for value in line for key in ("least", "most")]
    low, high = math.floor(math.log10(max(min(every), 1e-5))), math.ceil(math.log10(max(every)))
    plane = _Plane((math.log10(sizes[0]), math.log10(sizes[-1])), (low, max(high, low + 1)))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="13" fill="#1e1e1e">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 24, "Seconds of everyday work by the number of clips in the library", size=16),
        _text(LEFT, 42, "medians, with the least and most; dashed: what grows with the size", ink="#6e6e6e"),
    ]
    for power in range(low, plane.high + 1):
        y = plane.y(10.0**power)
        parts += [
            _line(LEFT, y, WIDTH - RIGHT, y, "#e1e4e8"),
            _text(LEFT - 8, y + 4, f"{10.0**power:g} s", "end"),
        ]
    for size in sizes:
        x = plane.x(size)
        parts += [_line(x, TOP, x, HEIGHT - BOTTOM, "#e1e4e8")]
        parts += [_text(x, HEIGHT - BOTTOM + 20, f"{size:,}", "middle")]
    parts += [_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, "clips", "middle", ink="#6e6e6e")]
    parts += [_proportional(plane, sizes)]
    for colour, (_, line) in zip(COLOURS, lines.items(), strict=False):
        points = [(plane.x(size), plane.y(one["median"])) for size, one in zip(sizes, line, strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts += [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
        for (x, y), one in zip(points, line, strict=True):
            parts += [_line(x, plane.y(one["least"]), x, plane.y(one["most"]), colour)]
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>']
    parts += _labels(plane, lines)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([*parts, "</svg>\n"]))


class _Plane:
    """Where a size and a number of seconds lie."""

    def __init__(self, across: tuple[float, float], up: tuple[int, int]) -> None:
        self._left, right = across
        self._across = max(right - self._left, 1e-9)
        self.low, self.high = up

    def x(self, size: float) -> float:
        return LEFT + (math.log10(size) - self._left) / self._across * (WIDTH - LEFT - RIGHT)

    def y(self, seconds: float) -> float:
        share = (math.log10(max(seconds, 10.0**self.low)) - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)


def _proportional(plane: _Plane, sizes: Sequence[int]) -> str:
    """What takes ten times as long for ten times as many, as far as it fits."""
    most = min(sizes[-1] / sizes[0], 10.0 ** (plane.high - plane.low))
    start = (plane.x(sizes[0]), plane.y(10.0**plane.low))
    end = (plane.x(sizes[0] * most), plane.y(10.0**plane.low * most))
    return _line(*start, *end, "#9a9a9a", dashed=True)


def _labels(plane: _Plane, lines: Mapping[str, Sequence[Mapping[str, float]]]) -> list[str]:
    """Each name at the end of its line, moved where two would meet."""
    ends = sorted(
        (plane.y(line[-1]["median"]), name, colour, line[-1]["median"])
        for colour, (name, line) in zip(COLOURS, lines.items(), strict=False)
    )
    placed, at = [], -math.inf
    for y, name, colour, seconds in ends:
        at = max(y + 4, at + LEAST_GAP)
        placed.append(_text(WIDTH - RIGHT + 12, at, f"{name} {seconds:.3g} s", ink=colour))
    return placed


def _text(x: float, y: float, words: str, anchor: str = "start", *, size: int = 13, ink: str = "") -> str:
    fill = f' fill="{ink}"' if ink else ""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"'
    return f"<text {place}{fill}>{escape(words)}</text>"


def _line(x: float, y: float, to_x: float, to_y: float, ink: str, *, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="5 5"' if dashed else ""
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="{ink}"{dash}/>'


def main() -> None:
    result = json.loads(Path(sys.argv[1]).read_text())
    figures = result["sizes"]
    draw(figures, list(next(iter(figures.values()))["work"]), Path(sys.argv[2]))


if __name__ == "__main__":
    main()
