"""Finds a film that is shown within another picture, by the edges around it that stay where they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.types import FrameBatch

FRAMES = 12  # of an example, that are looked at
STAYING = 0.25  # an edge is as strong as in this quantile of them
LEAST_STRENGTH = 16.0  # mean step of brightness along a side, of 255
MOST_STRENGTH = 40.0  # of one pixel: a few strong ones make no side
LEAST_SHARE = 0.3  # of the picture's sides
MOST_AREA = 0.9
ENOUGH_STRENGTH = 24.0  # beyond which size decides
END_COST = 6.0  # for each side that is one of the picture's own
LINES = 14  # columns and rows that may be sides


@dataclass(frozen=True, slots=True)
class Inset:
    """A rectangle of a picture, as shares of its height and width: [top, bottom) and [left, right)."""

    top: float
    bottom: float
    left: float
    right: float

    def cut(self, clip: FrameBatch) -> FrameBatch:
        """Returns the part of each picture that lies in it."""
        height, width = clip.frames.shape[1:3]
        rows = slice(round(self.top * height), round(self.bottom * height))
        columns = slice(round(self.left * width), round(self.right * width))
        return FrameBatch(clip.frames[:, rows, columns], clip.pts_seconds)


def find_inset(clips: Sequence[FrameBatch]) -> Inset | None:
    """The rectangle with the strongest sides that stay, other than the picture's own; None without one.

    Args:
        clips: Of one example; of frames of several sizes, those of the first one's are looked at.
    """
    size = clips[0].frames.shape[1:]
    frames = [frame for clip in clips if clip.frames.shape[1:] == size for frame in clip.frames]
    chosen = np.unique(np.linspace(0, len(frames) - 1, FRAMES).round().astype(int))
    if len(chosen) < 3:
        return None
    seen = np.stack([_halved(frames[number]) for number in chosen])
    across = np.quantile(np.abs(np.diff(seen, axis=2)), STAYING, axis=0)  # (H, W - 1), at columns
    down = np.quantile(np.abs(np.diff(seen, axis=1)), STAYING, axis=0).T  # (W, H - 1), at rows
    columns, rows = _Sides(across), _Sides(down)
    found = _best(columns, rows)
    if found is None:
        return None
    left, right, top, bottom = found
    height, width = seen.shape[1:]
    return Inset(top / height, bottom / height, left / width, right / width)


def _halved(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Brightness at half the size: float32 (H // 2, W // 2)."""
    height, width = (side // 2 * 2 for side in frame.shape[:2])
    grey = frame[:height, :width].astype(np.float32).mean(axis=2)
    return np.asarray(grey.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3)))


class _Sides:
    """Places at which a side may be, the picture's own ends among them, and how strong it would be there."""

    def __init__(self, edges: NDArray[np.floating]) -> None:
        length, count = edges.shape
        strength = np.minimum(edges, MOST_STRENGTH)
        # By the stronger third of each line: a side need not go all the way.
        rank = np.sort(strength, axis=0)[-max(1, length // 3) :].mean(axis=0)
        inner = np.sort(np.argsort(-rank)[:LINES]) + 1
        self.places = np.concatenate([[0], inner, [count + 1]])
        self.sums = np.zeros((length + 1, len(self.places)))
        np.cumsum(strength[:, inner - 1], axis=0, out=self.sums[1:, 1:-1])
        self.is_end = np.isin(np.arange(len(self.places)), (0, len(self.places) - 1))
        least = LEAST_SHARE * (count + 1)
        one, other = np.triu_indices(len(self.places), 1)
        wide = self.places[other] - self.places[one] >= least
        self.pairs = one[wide], other[wide]

    def strengths(
        self, number: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Mean of the sides of these numbers from one place to another; infinite for the picture's ends."""
        mean = (self.sums[high[None, :], number[:, None]] - self.sums[low[None, :], number[:, None]]) / (
            high - low
        )[None, :]
        mean[self.is_end[number]] = np.inf
        return np.asarray(mean)


def _best(columns: _Sides, rows: _Sides) -> tuple[int, int, int, int] | None:
    """left, right, top, bottom of the rectangle whose weakest side is strongest, for its size."""
    (left, right), (top, bottom) = columns.pairs, rows.pairs
    if not len(left) or not len(top):
        return None
    low, high = rows.places[top], rows.places[bottom]
    weakest = np.minimum(columns.strengths(left, low, high), columns.strengths(right, low, high))
    low, high = columns.places[left], columns.places[right]
    weakest = np.minimum(weakest, rows.strengths(top, low, high).T)
    weakest = np.minimum(weakest, rows.strengths(bottom, low, high).T)
    ends = (columns.is_end[left].astype(int) + columns.is_end[right])[:, None]
    ends = ends + (rows.is_end[top].astype(int) + rows.is_end[bottom])[None, :]
    widths = columns.places[right] - columns.places[left]
    heights = rows.places[bottom] - rows.places[top]
    area = widths[:, None] * heights[None, :] / (columns.places[-1] * rows.places[-1])
    fits = (weakest >= LEAST_STRENGTH) & (ends <= 2) & (area <= MOST_AREA)
    if not fits.any():
        return None
    order = np.where(fits, np.minimum(weakest, ENOUGH_STRENGTH) * area**0.25 - END_COST * ends, -np.inf)
    pair, other = np.unravel_index(int(np.argmax(order)), order.shape)
    return (
        int(columns.places[left[pair]]),
        int(columns.places[right[pair]]),
        int(rows.places[top[other]]),
        int(rows.places[bottom[other]]),
    )
