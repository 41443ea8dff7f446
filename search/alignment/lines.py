"""Cuts an example into pieces that lie on straight lines over a video, and into what does not match.

A line has a speed and an offset. Of all ways to give each frame of the example to a line or to none, the
best is found exactly, by dynamic programming over lines: a frame on a line earns its gain, going over to
another line, or beginning one, costs something, and no line earns nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NOTHING = np.float32(-1e9)
MOST_CELLS_PER_FRAME = 4  # where a video's frames are unevenly spaced, the grid is no finer than this
SINGLE_STEP_SECONDS = 0.5  # taken between frames where there is one only


@dataclass(frozen=True, slots=True)
class Line:
    """Frames `first` to `last` of an example, both included, on one line over a video.

    Attributes:
        speed: Seconds of the video per second of the example: below 0 backwards, 0 for a held frame.
        offset_seconds: Where the line is at the example's time 0.
    """

    first: int
    last: int
    speed: float
    offset_seconds: float

    def at(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """The line's times in the video at times of the example."""
        return self.offset_seconds + self.speed * seconds


def step_of(times_seconds: NDArray[np.float64]) -> float:
    """The usual time between frames, in seconds."""
    return float(np.median(np.diff(times_seconds))) if len(times_seconds) > 1 else SINGLE_STEP_SECONDS


def neighbours(
    times_seconds: NDArray[np.float64], at: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """The frames before and after some times, and how far each lies between them, 0..1."""
    last = len(times_seconds) - 1
    after = np.clip(np.searchsorted(times_seconds, at), min(1, last), last)
    before = np.maximum(after - 1, 0)
    gap = times_seconds[after] - times_seconds[before]
    share = (at - times_seconds[before]) / np.where(gap > 0, gap, 1.0)
    return before, after, np.clip(share, 0.0, 1.0).astype(np.float32)


def along(
    table: NDArray[np.float32],
    rows: NDArray[np.int64] | slice,
    times_seconds: NDArray[np.float64],
    at: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Values of a table (n, T) at times between its columns: mixed from both sides, or the nearer one.

    Of both the higher: where a shot ends, what lies between two frames is one of them, and no mixture.
    """
    before, after, share = neighbours(times_seconds, at)
    one, other = table[rows, before], table[rows, after]
    return np.maximum(one + (other - one) * share, np.where(share < 0.5, one, other))


def find_lines(
    gains: NDArray[np.float32],
    query_times: NDArray[np.float64],
    video_times: NDArray[np.float64],
    costs: dict[float, float],
    piece_cost: float,
) -> list[Line]:
    """The pieces of an example that earn most.

    Time and memory grow as n times m: 1,800 frames over 1,800 take about a second.

    Args:
        gains: float32 (n, m), what each frame of the example earns on each of the video.
        query_times, video_times: float64 (n,) and (m,), seconds, ascending.
        costs: By speed that a line may have, what each frame on it costs.
        piece_cost: What each piece costs.

    Returns:
        The pieces, in order of the example.
    """
    length = video_times[-1] - video_times[0]
    step = max(step_of(video_times), length / (MOST_CELLS_PER_FRAME * len(video_times)), 1e-3)
    grid = video_times[0] + step * np.arange(-1, math.ceil(length / step - 1e-6) + 2)
    table = along(gains, slice(None), video_times, grid)
    bundles = [_Bundle(speed, cost, query_times, step, table.shape[1] - 1) for speed, cost in costs.items()]
    best = np.float32(0.0)
    ends: list[tuple[_Bundle, int, int] | None] = []
    for number, row in enumerate(table):
        fresh = np.float32(best - piece_cost)
        ends.append(None)
        for bundle in bundles:
            value, offset, first = bundle.advance(number, row, fresh)
            if value > best:
                best = value
                ends[-1] = (bundle, offset, first)
    lines: list[Line] = []
    last = len(ends) - 1
    while last >= 0:
        end = ends[last]
        if end is None:
            last -= 1
            continue
        bundle, offset, first = end
        lines.append(Line(first, last, bundle.speed, float(grid[0] + offset * step)))
        last = first - 1
    return lines[::-1]


class _Bundle:
    """All lines of one speed, by their offsets in steps of the grid: what the best way up to here earns."""

    def __init__(
        self, speed: float, cost: float, query_times: NDArray[np.float64], step: float, cells: int
    ) -> None:
        self.speed = speed
        self._cost = np.float32(cost)
        shifts = speed * query_times / step
        whole = np.floor(shifts)
        self._shares = (shifts - whole).astype(np.float32)
        self._first_offsets = (-whole).astype(np.int64)  # of the line that is at the grid's first cell
        self._base = int(self._first_offsets.min())
        self._cells = cells
        count = int(self._first_offsets.max()) - self._base + cells
        self._values = np.full(count, _NOTHING, np.float32)
        self._firsts = np.zeros(count, np.int32)

    def advance(
        self, number: int, row: NDArray[np.float32], fresh: np.float32
    ) -> tuple[np.float32, int, int]:
        """Takes one more frame: the value of the best line, its offset, and the frame it began with."""
        low = int(self._first_offsets[number]) - self._base
        values, firsts = self._values[low : low + self._cells], self._firsts[low : low + self._cells]
        np.copyto(firsts, number, where=values < fresh)
        np.maximum(values, fresh, out=values)
        share = self._shares[number]
        if share > 0:
            mixed = row[:-1] + (row[1:] - row[:-1]) * share
            values += np.maximum(mixed, row[:-1] if share < 0.5 else row[1:])
        else:
            values += row[:-1]
        values -= self._cost
        winner = int(values.argmax())
        return values[winner], winner + low + self._base, int(firsts[winner])
