"""Places a piece of an example exactly: of the lines near a found one, the likeliest.

Features wander: half a second later a frame of a film is some way off in a direction that nothing foretells,
even where all frames look alike. What was between two frames that are known is then a Brownian bridge: their
mean, give or take what is greatest half way and nothing at either. So a film is a Gaussian process in time,
given its frames, and an example is that process read along a line, plus what was done to it: something
constant (a caption, a border, less light), a change that shows less, and noise that wanders as the example
does, since what a poor copy loses depends on what it shows. The likelihood of the example's frames on a line
follows (Rasmussen and Williams, "Gaussian processes for machine learning", 2006, eq. 2.30), with as much of
these as makes it greatest. Frames that fall close to known ones decide; far from them little does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from search.alignment.lines import Line, neighbours, step_of

SPEEDS = (1.0, 0.8, 1.25, 0.9, 1.1, 0.667, 1.5, 0.5, 2.0, 0.333, 3.0, 0.25, 4.0)
# What speeds must earn is in log likelihood per frame, of pieces of `SHORT_FRAMES` and more that change.
SPEED_COST = 0.05  # for each factor of e: unchanged speed is by far the commonest
CHANGED_COST = 0.03  # for any other speed
BACKWARDS_COST = 0.05
SHORT_FRAMES = 12
# Squared distances of frames from their mean: three times what encoding alone does, below which their changes
# are evidence of less and less; and what is taken for none.
STILL_SPREAD, LEAST_SPREAD = 0.03, 1e-4
OUTSIDE_COST = 0.2
MOST_OUTSIDE = 0.34  # of the frames of a piece, before or after the video
MOST_FRAMES = 48  # of a piece, by which it is placed
FIRST_FRAMES, FIRST_LINES = 12, 48  # by which, and how many, likely lines are chosen to be looked at closely
LINES_AT_ONCE = 2000  # 2 MB for each of the matrices of 12 frames
LEAST_WINDOW_SECONDS, MOST_WINDOW_SECONDS = 1.0, 8.0
HELD_SPREAD = 0.01  # of features about their mean, above which no frame is held
FINE_STEPS = 10
MOST_BRIDGE = 0.8  # squared distance of two frames, beyond which a shot ends between them
GAINS = (1.0, 0.7, 0.5)  # how much of the film's change an example shows
GAIN_COST = 0.1  # for each part of it that is lacking: else any pan is a slower one, shown less
NOISES = (0.01, 0.1, 0.3)  # squared distances
FIRST_DISTURBANCE = ((1.0, 0.1),)
DISTURBANCES = tuple(product(GAINS, NOISES))
WHITE_SHARE, WHITE_FLOOR = 0.05, 0.002  # of the noise, and at least: each frame's own
CHANGE_FLOOR = 0.01  # of spreads
BRIDGE_SHARE = 0.5  # of a bridge's distance, that the correlation of changes is given back


def speed_cost(speed: float) -> float:
    """Returns the cost of a speed (below 0: backwards), which its fit must earn before it is believed."""
    if speed == 0:
        return SPEED_COST * math.log(8)
    changed = CHANGED_COST if abs(speed) != 1 else 0.0
    return changed + SPEED_COST * abs(math.log(abs(speed))) + (BACKWARDS_COST if speed < 0 else 0.0)


def burden_of(features: NDArray[np.float32]) -> float:
    """Returns the factor on the costs of any but the plainest reading of frames (n, D); at least 1.

    The plainest is one piece, at unchanged speed, forwards, within the video. Where frames hardly differ, as
    of a still film, the noise of encoding would else decide how fast and which way round they run.
    """
    spread = 1 - float(np.square(features.mean(axis=0)).sum())
    return max(1.0, STILL_SPREAD / max(spread, LEAST_SPREAD))


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
    rows = _some_rows(line.first, line.last, MOST_FRAMES)
    times = query_times[rows]
    spread = float(np.square(query[rows] - query[rows].mean(axis=0)).sum(axis=1).mean())
    is_held = line.speed == 0 and spread < HELD_SPREAD
    if line.speed == 0 and not is_held:
        line = Line(line.first, line.last, 1.0, line.offset_seconds - float(times.mean()))
    length = abs(line.speed) * float(times[-1] - times[0])
    window = min(max(1.5 * length, LEAST_WINDOW_SECONDS), MOST_WINDOW_SECONDS)
    covered = line.at(times)
    near = (video_times >= covered.min() - 2 * window) & (video_times <= covered.max() + 2 * window)
    if near.sum() < 2 or len(rows) < 2:
        return line, -math.inf
    film, film_times = video[near], video_times[near]
    middle = float(times.mean())
    step = step_of(video_times)
    likelihood = _Likelihood(query[rows], times, film, film_times)
    speed, centre, reach = line.speed, line.offset_seconds + line.speed * middle, step
    if not is_held:
        speeds = [sign * speed for speed in {abs(line.speed), *SPEEDS} for sign in (1, -1)]
        if length > 2 * MOST_WINDOW_SECONDS:  # a long piece has shown its speed by where it was found
            speeds = [1.0, *(line.speed * factor for factor in (0.96, 0.98, 1.0, 1.02, 1.04))]
        reach = step / 4
        shifts = np.arange(-window, window + 1e-9, reach)
        nearest = shifts[np.argsort(np.abs(shifts), kind="stable")]  # which of equals comes first
        lines = _all_pairs(speeds, centre + nearest)
        few = _some_rows(line.first, line.last, FIRST_FRAMES)
        first = _Likelihood(query[few], query_times[few], film, film_times)
        fits = first.fits(lines, middle, len(rows), FIRST_DISTURBANCE)
        lines = lines[np.argsort(-fits, kind="stable")[:FIRST_LINES]]
        speed, centre = lines[int(np.argmax(likelihood.fits(lines, middle, len(rows))))]
    fine = centre + np.linspace(-reach, reach, FINE_STEPS + 1)
    lines = _all_pairs([speed * factor for factor in (1.0, 0.95, 1.05)], fine)
    fits = likelihood.fits(lines, middle, len(rows))
    winner = int(np.argmax(fits))
    speed, centre = lines[winner]
    return Line(line.first, line.last, float(speed), float(centre - speed * middle)), float(fits[winner])


def fit_of(
    query: NDArray[np.float32],
    query_times: NDArray[np.float64],
    video: NDArray[np.float32],
    video_times: NDArray[np.float64],
    lines: Sequence[Line],
) -> float:
    """Measures how well frames that follow each other fit on lines of their own, by the measure of one line.

    Args:
        query, query_times, video, video_times: As for `place`.
        lines: In order of the example, without gaps.
    """
    rows = _some_rows(lines[0].first, lines[-1].last, MOST_FRAMES)
    numbers = np.searchsorted([line.last for line in lines], rows)
    at = np.array(
        [float(lines[number].at(query_times[[row]])[0]) for row, number in zip(rows, numbers, strict=True)]
    )
    near = (video_times >= at.min() - MOST_WINDOW_SECONDS) & (video_times <= at.max() + MOST_WINDOW_SECONDS)
    if near.sum() < 2 or len(rows) < 2:
        return -math.inf
    likelihood = _Likelihood(query[rows], query_times[rows], video[near], video_times[near])
    cost = np.mean([speed_cost(lines[number].speed) for number in numbers])
    return float(likelihood.measure(at[None, :])[0] - burden_of(query[rows]) * cost)


def change_of(
    query: NDArray[np.float32],
    query_times: NDArray[np.float64],
    video: NDArray[np.float32],
    video_times: NDArray[np.float64],
    line: Line,
) -> float:
    """Correlates the changes of an example with those of a video along a line; -1..1.

    Args:
        query, query_times, video, video_times, line: As for `place`.
    """
    rows = _some_rows(line.first, line.last, MOST_FRAMES)
    before, after, share = neighbours(video_times, line.at(query_times[rows]))
    shown = video[before] * (1 - share[:, None]) + video[after] * share[:, None]
    one, other = query[rows] - query[rows].mean(axis=0), shown - shown.mean(axis=0)
    # Of what lies between two frames their mean is not all: a part of its expected distance is added again.
    bridges = np.square(video[after] - video[before]).sum(axis=1) * share * (1 - share)
    bridged = np.mean((one * other).sum(axis=1) + BRIDGE_SHARE * bridges)
    spread = 1 - np.square(shown.mean(axis=0)).sum()  # with what it wandered between frames
    own = np.square(one).sum(axis=1).mean()
    return float(bridged / math.sqrt((own + CHANGE_FLOOR) * (spread + CHANGE_FLOOR)))


def _all_pairs(speeds: Sequence[float], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lines (O, 2) of each speed through each centre, the likeliest speeds first."""
    ordered = sorted(speeds, key=speed_cost)
    return np.stack([np.repeat(ordered, len(centres)), np.tile(centres, len(ordered))], axis=1)


def _some_rows(first: int, last: int, most: int) -> NDArray[np.int64]:
    count = last - first + 1
    return first + np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


class _Likelihood:
    """How likely frames of an example, two at least, are along lines over a video."""

    def __init__(
        self,
        query: NDArray[np.float32],
        query_times: NDArray[np.float64],
        video: NDArray[np.float32],
        video_times: NDArray[np.float64],
    ) -> None:
        self._query_times, self._video_times = query_times, video_times
        self._own = (query @ query.T).astype(np.float64)
        self._cosines = (video @ query.T).astype(np.float64)
        self._gram = (video @ video.T).astype(np.float64)
        self._bridges = np.maximum(2 - 2 * np.diagonal(self._gram, 1), 0.0)
        self._noise = self._wandering_noise()
        self._burden = burden_of(query)

    def _wandering_noise(self) -> NDArray[np.float64]:
        """Correlations (n, n) of the noise of an example's frames.

        Noise is forgotten as soon as the example itself is: distances of its frames rise exponentially
        towards twice their spread. So no line is preferred for how much of the example it leaves to noise.
        """
        count = len(self._own)
        most = 2 * max(1 - float(self._own.mean()), 1e-4) * count / (count - 1)
        change = float(np.median(np.maximum(2 - 2 * np.diagonal(self._own, 1), 0.0)))
        forgotten = -math.log(1 - min(max(change / most, 1e-3), 0.95))
        memory = max(step_of(self._query_times), 1e-3) / forgotten
        lag = np.abs(self._query_times[:, None] - self._query_times[None, :])
        return np.asarray((1 - WHITE_SHARE) * np.exp(-lag / memory) + WHITE_SHARE * np.eye(count))

    def fits(
        self,
        lines: NDArray[np.float64],
        middle_seconds: float,
        piece_frames: int,
        disturbances: Sequence[tuple[float, float]] = DISTURBANCES,
    ) -> NDArray[np.float64]:
        """Fits (O,) of lines (O, 2): speeds, and times of the video at the middle of the example's frames.

        Args:
            lines, middle_seconds: Which, and that middle.
            piece_frames: Of how many the frames here were chosen. Few must say more for a speed.
            disturbances: As for `measure`.
        """
        at = lines[:, 1:] + lines[:, :1] * (self._query_times - middle_seconds)[None, :]
        costs = np.array([speed_cost(speed) for speed in lines[:, 0]])
        parts = np.array_split(at, math.ceil(len(at) / LINES_AT_ONCE))
        measured = np.concatenate([self.measure(part, disturbances) for part in parts])
        return measured - costs * max(self._burden, SHORT_FRAMES / piece_frames)

    def measure(
        self, at: NDArray[np.float64], disturbances: Sequence[tuple[float, float]] = DISTURBANCES
    ) -> NDArray[np.float64]:
        """Log likelihoods (O,), per frame, of ways to give the frames times in the video: seconds (O, n).

        Args:
            at: Seconds (O, n).
            disturbances: How much of the video's change is shown, and how much noise: the likeliest is taken.
        """
        count = at.shape[1]
        cross, shown, bridges = self._shown(at)
        best = np.full(len(at), -np.inf)
        for gain, noise in disturbances:
            residuals = self._own - gain * (cross + cross.transpose(0, 2, 1)) + gain**2 * shown
            covariances = gain**2 * bridges + noise * self._noise + WHITE_FLOOR * np.eye(count)
            likelihoods = _log_likelihoods(residuals, covariances) / count
            np.maximum(best, likelihoods - GAIN_COST * (1 - gain), out=best)
        half = step_of(self._video_times) / 2 + 1e-9
        outside = ((at < self._video_times[0] - half) | (at > self._video_times[-1] + half)).mean(axis=1)
        best -= OUTSIDE_COST * self._burden * outside
        best[outside > MOST_OUTSIDE] = -np.inf  # little of it says little of where it is
        return best

    def _shown(
        self, at: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """What the video is expected to show at some times (O, n).

        Returns:
            Its products with the example's frames and with itself, and the covariances of what it wanders
            from that: (O, n, n) each.
        """
        before, after, share = neighbours(self._video_times, at)
        share = share.astype(np.float64)
        bridge = self._bridges[before]
        # Where between two frames a shot ends is not known: one of them is shown, and not what lies between.
        is_cut = bridge > MOST_BRIDGE
        unknown = np.where(is_cut, bridge * share * (1 - share), 0.0)
        share = np.where(is_cut, np.round(share), share)
        sides = ((before, 1 - share), (after, share))
        cross = sum(part[:, :, None] * self._cosines[frames] for frames, part in sides)
        shown = sum(
            part[:, :, None] * other_part[:, None, :] * self._gram[frames[:, :, None], others[:, None, :]]
            for (frames, part), (others, other_part) in product(sides, sides)
        )
        least = np.minimum(share[:, :, None], share[:, None, :])
        wandered = np.where(is_cut, 0.0, bridge)[:, :, None] * (least - share[:, :, None] * share[:, None, :])
        # Before the first frame and after the last it wanders freely.
        first, last = self._video_times[[0, -1]]
        beyond = np.maximum(np.maximum(first - at, at - last), 0.0) / step_of(self._video_times)
        wandered += np.median(self._bridges) * np.minimum(beyond[:, :, None], beyond[:, None, :])
        wandered *= before[:, :, None] == before[:, None, :]
        wandered += unknown[:, :, None] * np.eye(at.shape[1])
        return np.asarray(cross), np.asarray(shown), wandered


def _log_likelihoods(residuals: NDArray[np.float64], covariances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of residuals with something constant among them, as much of it as is likeliest, but for a constant.

    Args:
        residuals: Their dot products, (O, n, n).
        covariances: Without that of what is constant, (O, n, n).
    """
    roots = np.linalg.inv(np.linalg.cholesky(covariances))
    logarithms = -2 * np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(axis=1)
    traces = ((roots @ residuals) * roots).sum(axis=(1, 2))
    # What is constant adds a matrix of equal entries; the likeliest such entry is known in closed form.
    ones = roots.sum(axis=2)
    weights = (roots.transpose(0, 2, 1) @ ones[:, :, None])[:, :, 0]
    known = np.square(ones).sum(axis=1)
    constants = (weights * (residuals @ weights[:, :, None])[:, :, 0]).sum(axis=1) / known
    ratios = np.maximum(constants, 1.0)
    return np.asarray(-(logarithms + np.log(ratios) + traces - (1 - 1 / ratios) * constants) / 2)
