"""The plot of `benchmarks.order_of_time`: a bar for each model, its interval, chance and goal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from benchmarks.order_of_time import Outcome

WIDTH, LEFT, RIGHT, TOP, BOTTOM, ROW, BAR = 1000, 190, 250, 84, 62, 40, 24
PAPER, INK, GREY, FAINT = (255, 255, 255), (30, 30, 30), (110, 110, 110), (225, 228, 232)
CONTROL, SEES_ORDER, GOAL_INK = (176, 182, 190), (33, 113, 181), (200, 80, 20)
SCALE = 2  # pixels for each of the sizes above: sharp on dense screens


def draw(outcomes: Sequence[Outcome], file: Path, *, chance: float = 1 / 8, goal: float = 0.9) -> None:
    """Writes a PNG, a row for each model in the order given."""
    height = TOP + ROW * len(outcomes) + BOTTOM
    image = Image.new("RGB", (WIDTH * SCALE, height * SCALE), PAPER)
    pen = _Pen(ImageDraw.Draw(image))
    bottom = height - BOTTOM
    pen.text(16, 24, "The order of time: accuracy on clips whose eight classes differ only in motion", 20)
    pen.text(16, 50, "grey: the network cannot know which frame came first; blue: it can", 14, ink=GREY)
    for percent in range(0, 101, 20):
        pen.line(_x(percent / 100), TOP, _x(percent / 100), bottom, FAINT)
        pen.text(_x(percent / 100), bottom + 14, f"{percent} %", 14, anchor="mm", ink=GREY)
    for number, one in enumerate(outcomes):
        middle = TOP + (number + 0.5) * ROW
        accuracy = one.accuracy
        pen.text(LEFT - 10, middle, one.family, 15, anchor="rm")
        colour = SEES_ORDER if one.sees_order else CONTROL
        pen.bar(_x(0), middle - BAR / 2, _x(accuracy.value), middle + BAR / 2, colour)
        pen.line(_x(accuracy.low), middle, _x(accuracy.high), middle, INK, 2)
        for end in (accuracy.low, accuracy.high):
            pen.line(_x(end), middle - 5, _x(end), middle + 5, INK, 2)
        told = f"{100 * accuracy.value:.1f} %   {one.parameters / 1e6:.2f} M, {one.seconds:.0f} s"
        pen.text(WIDTH - RIGHT + 24, middle, told, 14)
    for share, name, ink in ((chance, "chance", INK), (goal, "goal", GOAL_INK)):
        pen.dashed(_x(share), TOP - 4, bottom + 24, ink)
        pen.text(_x(share), bottom + 34, f"{name} {100 * share:g} %", 14, anchor="mm", ink=ink)
    pen.text(WIDTH - RIGHT + 24, TOP - 12, "accuracy, parameters, training", 12, ink=GREY)
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file, optimize=True)


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


class _Pen:
    """Draws in the sizes above, whatever the scale."""

    def __init__(self, pen: ImageDraw.ImageDraw) -> None:
        self._pen = pen

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: int,
        *,
        anchor: str = "lm",
        ink: tuple[int, int, int] = INK,
    ) -> None:
        font = ImageFont.load_default(size * SCALE)
        self._pen.text((x * SCALE, y * SCALE), words, fill=ink, font=font, anchor=anchor)

    def line(
        self, x: float, y: float, to_x: float, to_y: float, ink: tuple[int, int, int], width: int = 1
    ) -> None:
        ends = (x * SCALE, y * SCALE, to_x * SCALE, to_y * SCALE)
        self._pen.line(ends, fill=ink, width=width * SCALE)

    def dashed(self, x: float, top: float, bottom: float, ink: tuple[int, int, int]) -> None:
        at = top
        while at < bottom:
            self.line(x, at, x, min(at + 6, bottom), ink, 1)
            at += 10

    def bar(self, x: float, y: float, to_x: float, to_y: float, ink: tuple[int, int, int]) -> None:
        self._pen.rectangle((x * SCALE, y * SCALE, to_x * SCALE, to_y * SCALE), fill=ink)
