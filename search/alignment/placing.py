"""Places a piece of an example exactly: of the lines near a found one, that which fits best.

Two measures at once: the mean cosine along the line, which says *what* is shown, and the correlation of how
both change over time, which says *when*.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from search.alignment.lines import Line, neighbours, step_of

SPEEDS = (1.0, 0.8, 1.25, 0.9, 1.1, 0.667, 1.5, 0.5, 2.0, 0.333, 3.0, 0.25, 4.0)
SPEED_COST = 0.05  # for each factor of e: unchanged speed is by far the commonest
CHANGED_COST = 0.03  # for any other speed
BACKWARDS_COST = 0.05
MOST_FRAMES = 48  # of a piece, by which it is placed
LEAST_WINDOW_SECONDS, MOST_WINDOW_SECONDS = 1.0, 8.0
HELD_SPREAD = 0.01  # of features about their mean, above which no frame is held
MOST_OUTSIDE = 0.34  # of the frames of a piece, before or after the video
FINE_STEPS = 10  # a line is placed to this part of the video's step
# The small floor keeps footage in which nothing happens from being ranked by its noise.
SPREAD_FLOOR = 0.02


def speed_cost(speed: float) -> float:
    """What a speed, below 0 for backwards, must earn before it is believed."""
    if speed == 0:
        return SPEED_COST * math.log(8)
    changed = CHANGED_COST if abs(speed) != 1 else 0.0
    return changed + SPEED_COST * abs(math.log(abs(speed))) + (BACKWARDS_COST if speed < 0 else 0.0)


def place(
    query: NDArray[np.float32],
    query_times: NDArray[np.float64],
    video: NDArray[np.float32],
    video_times: NDArray[np.float64],
    line: Line,
) -> tuple[Line, float]:
    """The best line for frames of an example, among those of any speed near a coarse one, and how it fits.

    Args:
        query: float32 (n, D), unit features of the whole example.
        query_times: float64 (n,), seconds, ascending.
        video: float32 (m, D), unit features.
        video_times: float64 (m,), seconds, ascending.
        line: Which frames, and where they were found. A held frame stays one where nothing happens.
    """
    rows = _some_rows(line.first, line.last)
    times = query_times[rows]
    spread = float(np.square(query[rows] - query[rows].mean(axis=0)).sum(axis=1).mean())
    if line.speed == 0:
        if spread < HELD_SPREAD:
            return line, -math.inf
        line = Line(line.first, line.last, 1.0, line.offset_seconds - float(times.mean()))
    length = abs(line.speed) * float(times[-1] - times[0])
    window = min(max(1.5 * length, LEAST_WINDOW_SECONDS), MOST_WINDOW_SECONDS)
    covered = line.at(times)
    near = (video_times >= covered.min() - 2 * window) & (video_times <= covered.max() + 2 * window)
    if near.sum() < 2 or len(rows) < 2:
        return line, -math.inf
    fits = _Fits(query[rows], times, video[near], video_times[near])
    middle = float(times.mean())
    centre = line.offset_seconds + line.speed * middle
    step = step_of(video_times)
    coarse = np.arange(-window, window + 1e-9, step / 2)
    # A long piece has shown its speed by where it was found.
    speeds = {line.speed, *(sign * speed for speed in SPEEDS for sign in (1, -1))}
    if length > 2 * MOST_WINDOW_SECONDS:
        speeds = {line.speed * factor for factor in (0.96, 0.98, 1.0, 1.02, 1.04)}
    best = max(fits.best(speed, centre + coarse - speed * middle) for speed in sorted(speeds, key=speed_cost))
    fine = np.arange(-1.0, 1.0 + 1e-9, 2 / FINE_STEPS) * step / 2
    around = [best[1] * factor for factor in (1.0, 0.95, 1.05)]
    at_middle = best[2] + best[1] * middle
    best = max(fits.best(speed, at_middle + fine - speed * middle) for speed in around)
    return Line(line.first, line.last, best[1], best[2]), best[0]


def fit_of(
    query: NDArray[np.float32],
    query_times: NDArray[np.float64],
    video: NDArray[np.float32],
    video_times: NDArray[np.float64],
    lines: Sequence[Line],
) -> float:
    """How well frames that follow each other fit on lines of their own, by the measure of one line.

    Args:
        query, query_times, video, video_times: As for `place`.
        lines: In order of the example, without gaps.
    """
    rows = _some_rows(lines[0].first, lines[-1].last)
    numbers = np.searchsorted([line.last for line in lines], rows)
    at = np.array(
        [float(lines[number].at(query_times[[row]])[0]) for row, number in zip(rows, numbers, strict=True)]
    )
    near = (video_times >= at.min() - MOST_WINDOW_SECONDS) & (video_times <= at.max() + MOST_WINDOW_SECONDS)
    if near.sum() < 2 or len(rows) < 2:
        return -math.inf
    fits = _Fits(query[rows], query_times[rows], video[near], video_times[near])
    cost = np.mean([speed_cost(lines[number].speed) for number in numbers])
    return float(fits.measure(at[None, :])[0] - cost)


def _some_rows(first: int, last: int) -> NDArray[np.int64]:
    count = last - first + 1
    return first + np.unique(np.linspace(0, count - 1, min(count, MOST_FRAMES)).round().astype(np.int64))


class _Fits:
    """How well frames of an example fit along lines over a video."""

    def __init__(
        self,
        query: NDArray[np.float32],
        query_times: NDArray[np.float64],
        video: NDArray[np.float32],
        video_times: NDArray[np.float64],
    ) -> None:
        self._query_times, self._video_times = query_times, video_times
        self._cosines = query @ video.T
        centred = query - query.mean(axis=0)
        self._centred = centred @ video.T
        self._query_spread = float(np.square(centred).sum(axis=1).mean())
        self._gram = video @ video.T
        half = step_of(video_times) / 2
        self._span = (video_times[0] - half - 1e-9, video_times[-1] + half + 1e-9)

    def best(self, speed: float, offsets: NDArray[np.float64]) -> tuple[float, float, float]:
        """The highest fit of lines of one speed, with that speed and the winner's offset."""
        fit = self.measure(offsets[:, None] + speed * self._query_times[None, :]) - speed_cost(speed)
        winner = int(np.argmax(fit))
        return float(fit[winner]), speed, float(offsets[winner])

    def measure(self, at: NDArray[np.float64]) -> NDArray[np.float64]:
        """Fits (O,) of ways to give the frames times in the video: seconds (O, n)."""
        inside = (at >= self._span[0]) & (at <= self._span[1])
        before, after, share = neighbours(self._video_times, at)
        rows = np.arange(len(self._query_times))[None, :]
        count = np.maximum(inside.sum(axis=1), 1)

        def along(table: NDArray[np.float32]) -> NDArray[np.float64]:
            values = table[rows, before] * (1 - share) + table[rows, after] * share
            return np.asarray((values * inside).sum(axis=1) / count)

        # Spread of the video along the line: mean |v|^2 - |mean v|^2, from its Gram matrix.
        weights = np.zeros((len(at), len(self._video_times)))
        lines = np.repeat(np.arange(len(at))[:, None], len(self._query_times), axis=1)
        np.add.at(weights, (lines, before), (1 - share) * inside)
        np.add.at(weights, (lines, after), share * inside)
        weights /= count[:, None]
        diagonal = np.diagonal(self._gram)
        squares = (
            diagonal[before] * (1 - share) ** 2
            + diagonal[after] * share**2
            + 2 * share * (1 - share) * self._gram[before, after]
        )
        mean_square = (squares * inside).sum(axis=1) / count
        spread = np.maximum(mean_square - ((weights @ self._gram) * weights).sum(axis=1), 0.0)
        correlation = along(self._centred) / np.sqrt(
            (self._query_spread + SPREAD_FLOOR) * (spread + SPREAD_FLOOR)
        )
        outside = 1 - inside.mean(axis=1)
        fit = along(self._cosines) + 0.5 * np.clip(correlation, -1, 1) - outside
        fit[outside > MOST_OUTSIDE] = -np.inf  # little of it says little of how it changes
        return np.asarray(fit)
