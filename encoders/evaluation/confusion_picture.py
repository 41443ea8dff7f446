"""The confusion matrix as a picture: a row for each true class, a column for what it was taken for."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

PAPER, INK, FAINT, EMPTY = (255, 255, 255), (20, 20, 20), (205, 210, 216), (226, 226, 226)
# From white to dark blue, each step darker than the last, so that it reads in grey too.
RAMP = np.array([(255, 255, 255), (198, 219, 239), (107, 174, 214), (33, 113, 181), (8, 38, 84)])
LEGEND_TICKS = (0, 5, 25, 50, 100)
LABEL_LETTERS = 32
MARGIN = 16


def confusion_picture(matrix: ArrayLike, labels: Sequence[str], title: str = "") -> bytes:
    """The matrix drawn: each row's shares by darkness, the counts written in where there is room.

    Darkness grows with the square root of the share, so that rare confusions show. The row of a class
    that has no samples is grey. Labels stand on all four sides of a large matrix. Long ones are cut; the
    font has Latin letters without accents, and a class that it cannot write is named by its number.

    Args:
        matrix: int (C, C), rows are true classes, as of `confusion_matrix`.
        labels: C names.
        title: A line above; the accuracy stands there as well.

    Returns:
        A PNG; its sides grow with the number of classes, to about 5,500 pixels for 400.

    Raises:
        ValueError: The matrix is empty or not square, a count is negative, or the labels are not C.
    """
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ValueError(f"a confusion matrix must be (C, C), C >= 1, got {counts.shape}")
    if len(labels) != len(counts) or counts.min() < 0:
        raise ValueError(f"expected {len(counts)} labels and counts of 0 or more, got {len(labels)} labels")
    return _Drawing(counts, labels, title).png()


class _Drawing:
    """Sizes first, then the parts in order from back to front."""

    def __init__(self, counts: NDArray[np.integer], labels: Sequence[str], title: str) -> None:
        self.counts, self.classes = counts, len(counts)
        self.cell = int(np.clip(1100 // self.classes, 13, 96))
        self.font = ImageFont.load_default(min(16, self.cell - 2))
        self.heading = ImageFont.load_default(20)
        self.words = ImageFont.load_default(14)
        self.labels = [_writable(label, number, self.font) for number, label in enumerate(labels)]
        self.label_width = max(int(self.font.getlength(label)) for label in self.labels) + 8
        self.all_sides = self.classes > 40
        self.side = self.cell * self.classes
        self.left = MARGIN + 26 + self.label_width
        self.top = MARGIN + 62 + self.label_width
        after = self.label_width if self.all_sides else 0
        accuracy = np.trace(counts) / max(counts.sum(), 1)
        self.title = f"{title + ': ' if title else ''}{counts.sum():,} samples, {100 * accuracy:.1f} % right"
        self.legend_top = self.top + self.side + after + 20
        width = max(self.left + self.side + after, 420, int(self.heading.getlength(self.title)) + MARGIN)
        self.image = Image.new("RGB", (width + MARGIN, self.legend_top + 58), PAPER)
        self.pen = ImageDraw.Draw(self.image)

    def png(self) -> bytes:
        self._cells()
        self._lines()
        self._labels()
        self._axes()
        self._legend()
        written = BytesIO()
        self.image.save(written, "PNG")
        return written.getvalue()

    def _cells(self) -> None:
        totals = self.counts.sum(axis=1, keepdims=True)
        shares = np.divide(self.counts, totals, out=np.zeros(self.counts.shape), where=totals > 0)
        colours = _colours(shares)
        colours[np.broadcast_to(totals == 0, shares.shape)] = EMPTY
        large = np.repeat(np.repeat(colours, self.cell, axis=0), self.cell, axis=1)
        self.image.paste(Image.fromarray(large), (self.left, self.top))
        widest = self.words.getlength(f"{int(self.counts.max()):,}")
        if self.cell < 24 or widest > self.cell - 4:
            return
        for row, column in np.argwhere(self.counts > 0).tolist():
            centre = (self.left + (column + 0.5) * self.cell, self.top + (row + 0.5) * self.cell)
            ink = PAPER if colours[row, column].mean() < 140 else INK
            text = f"{int(self.counts[row, column]):,}"
            self.pen.text(centre, text, fill=ink, font=self.words, anchor="mm")

    def _lines(self) -> None:
        """A line between any two cells, or of many, after each tenth."""
        for number in range(0, self.classes + 1, 1 if self.classes <= 60 else 10):
            offset = number * self.cell
            across = (self.left, self.top + offset, self.left + self.side, self.top + offset)
            down = (self.left + offset, self.top, self.left + offset, self.top + self.side)
            self.pen.line(across, fill=FAINT)
            self.pen.line(down, fill=FAINT)
        frame = (self.left, self.top, self.left + self.side, self.top + self.side)
        self.pen.rectangle(frame, outline=INK)

    def _labels(self) -> None:
        for number, label in enumerate(self.labels):
            middle = (number + 0.5) * self.cell
            row = self.top + middle
            self.pen.text((self.left - 5, row), label, fill=INK, font=self.font, anchor="rm")
            self._upright(label, self.left + middle, self.top - 5, above=True)
            if self.all_sides:
                self.pen.text((self.left + self.side + 6, row), label, fill=INK, font=self.font, anchor="lm")
                self._upright(label, self.left + middle, self.top + self.side + 6, above=False)

    def _upright(self, label: str, centre: float, edge: int, *, above: bool) -> None:
        """A label that is read from below: its end at the edge above it, or its start at the one below."""
        length, height = int(self.font.getlength(label)) + 2, self.cell
        strip = Image.new("RGB", (length, height), PAPER)
        ImageDraw.Draw(strip).text((0, height / 2), label, fill=INK, font=self.font, anchor="lm")
        turned = strip.rotate(90 if above else 270, expand=True)
        self.image.paste(turned, (round(centre - height / 2), edge - length if above else edge))

    def _axes(self) -> None:
        self.pen.text((MARGIN, MARGIN), self.title, fill=INK, font=self.heading)
        taken_for = (self.left, self.top - self.label_width - 22)
        self.pen.text(taken_for, "taken for", fill=INK, font=self.words)
        word = Image.new("RGB", (90, 20), PAPER)
        ImageDraw.Draw(word).text((0, 10), "true class", fill=INK, font=self.words, anchor="lm")
        self.image.paste(word.rotate(90, expand=True), (MARGIN, self.top + max(self.side - 90, 0)))

    def _legend(self) -> None:
        """The ramp with its shares; ticks stand at the square roots, as the darkness does."""
        width, left, top = 300, MARGIN, self.legend_top
        ramp = _colours(np.linspace(0, 1, width)[None] ** 2).repeat(14, axis=0)
        self.image.paste(Image.fromarray(ramp), (left, top))
        self.pen.rectangle((left, top, left + width, top + 14), outline=FAINT)
        for tick in LEGEND_TICKS:
            place = left + width * (tick / 100) ** 0.5
            self.pen.line((place, top + 14, place, top + 18), fill=INK)
            self.pen.text((place, top + 20), f"{tick}", fill=INK, font=self.words, anchor="ma")
        self.pen.text((left + width + 14, top), "% of row", fill=INK, font=self.words)


def _colours(shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Shares (...) 0 to 1 -> uint8 (..., 3)."""
    stops = np.linspace(0, 1, len(RAMP))
    channels = [np.interp(np.sqrt(shares), stops, RAMP[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def _writable(label: str, number: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The label, cut to a length; where the font lacks its letters, without accents, or else its number."""
    label = unicodedata.normalize("NFC", label)
    missing = bytes(font.getmask("\uffff"))
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", label) if ord(letter) < 128)
    for text in (label, plain):
        letters = set(text) - {" "}
        known = all(bytes(font.getmask(letter)) != missing for letter in letters)
        if letters and known and len(text) >= len(label):
            return text if len(text) <= LABEL_LETTERS else f"{text[: LABEL_LETTERS - 1]}…"
    return f"class {number}"
