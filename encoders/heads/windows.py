"""Windows of features, pooled over several time scales: the input of a taught head.

A window lies around one sampled frame and never reaches into another shot. Of each of its scales a head
sees the mean (what is shown), the maximum (what is shown at any time), the mean of the later half minus
that of the earlier half (where it goes: reversed, the sign turns) and the mean absolute difference of
neighbouring frames (how much moves: 0 for a still). The first and the two last are sums over time, so a
linear head can be applied before them, to single frames: `score_windows` does, `describe_windows` gives
the same numbers the long way round, as vectors to learn from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from encoders.heads.head import FeatureTrack

SCALES_SECONDS = (1.5, 2.5, 4.5)
PARTS = ("mean", "maximum", "change", "movement")
ROWS_AT_ONCE = 512  # keeps the temporaries of a long video within the processor's caches


@dataclass(frozen=True, slots=True)
class _Window:
    """Sample t's window [first[t], last[t]], both within its shot: int64 (T,)."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]


def describe_windows(track: FeatureTrack, positions: NDArray[np.int64]) -> NDArray[np.float32]:
    """The windows around some samples, as vectors.

    Args:
        track: Of one video or example.
        positions: int64 (N,), indices of samples.

    Returns:
        float32 (N, S * P * D): scale by scale, part by part as in `PARTS`.
    """
    features = track.features.astype(np.float32)
    steps = _steps(features, track.shots)
    rows = []
    windows = _windows(track)
    for position in positions.tolist():
        parts = []
        for window in windows:
            first, last = int(window.first[position]), int(window.last[position])
            inside = features[first : last + 1]
            before, after = features[first:position], features[position + 1 : last + 1]
            here = features[position : position + 1]
            change = (after if len(after) else here).mean(0) - (before if len(before) else here).mean(0)
            moved = steps[first:last]
            movement = moved.mean(0) if len(moved) else np.zeros_like(change)
            parts += [inside.mean(0), inside.max(0), change, movement]
        rows.append(np.concatenate(parts))
    width = len(SCALES_SECONDS) * len(PARTS) * features.shape[1]
    return np.stack(rows) if rows else np.zeros((0, width), np.float32)


def score_windows(
    track: FeatureTrack, weights: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Linear heads on the windows around every sample.

    Args:
        track: Of one video, of any length.
        weights: float32 (S * P * D, H), over what `describe_windows` gives.

    Returns:
        Twice float32 (T, H): `describe_windows(track, all) @ weights`; and what the heads say of each
        frame for itself, noisier but as sharp in time as the sampling.
    """
    heads = weights.shape[1]
    shaped = weights.reshape(len(SCALES_SECONDS), len(PARTS), -1, heads)
    scores, alone = np.zeros((2, len(track), heads), np.float32)
    windows = _windows(track)
    reach = max((int((w.last - w.first).max(initial=0)) for w in windows), default=0)
    for start in range(0, len(track), ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, len(track))
        low, high = max(0, start - reach), min(len(track), stop + reach)
        features = track.features[low:high].astype(np.float32)
        near = [
            _Window(
                np.maximum(w.first[low:high] - low, 0), np.minimum(w.last[low:high] - low, high - low - 1)
            )
            for w in windows
        ]
        wanted = slice(start - low, stop - low)
        scores[start:stop], alone[start:stop] = _scores(features, track.shots[low:high], near, shaped, wanted)
    return scores, alone


def average_windows(track: FeatureTrack, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over the middle scale's window around every sample.

    Args:
        track: Of one video, of any length.
        values: float32 (T, H), of each of its samples.

    Returns:
        float32 (T, H).
    """
    window = _windows(track)[len(SCALES_SECONDS) // 2]
    return _means(_running_sums(values), window.first, window.last + 1)


def _scores(
    features: NDArray[np.float32],
    shots: NDArray[np.int64],
    windows: list[_Window],
    weights: NDArray[np.float32],
    wanted: slice,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    scales, heads = len(windows), weights.shape[-1]
    steps = _steps(features, shots)
    # One product gives what every linear part says of every frame: (T, scales, 2, heads).
    linear = np.concatenate([weights[s, p] for s in range(scales) for p in (0, 2)], axis=1)
    per_frame = (features @ linear).reshape(len(features), scales, 2, heads)
    per_step = (steps @ np.concatenate(list(weights[:, 3]), axis=1)).reshape(-1, scales, heads)
    position = np.arange(len(features))[wanted]
    total = np.zeros((len(position), heads), np.float32)
    # The head's opinion of a window that is all like this one frame and its neighbours.
    alone = (features[wanted] @ weights[:, 1].sum(axis=0)) + per_frame[wanted, :, 0].sum(axis=1)
    maxima = _RunningMaxima(features)
    for scale, window in enumerate(windows):
        first, last = window.first[wanted], window.last[wanted]
        frame_sums, change_sums = (_running_sums(per_frame[:, scale, part]) for part in (0, 1))
        step_sums = _running_sums(per_step[:, scale])
        total += _means(frame_sums, first, last + 1)
        total += _change(change_sums, first, position, last)
        total += _means(step_sums, first, last)
        total += maxima.over(first, last) @ weights[scale, 1]
        near_first, near_last = np.maximum(first, position - 1), np.minimum(last, position + 1)
        alone += _change(change_sums, near_first, position, near_last)
        alone += _means(step_sums, near_first, near_last)
    return total, alone


def _change(
    sums: NDArray[np.float64], first: NDArray[np.int64], position: NDArray[np.int64], last: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The mean after a sample minus the mean before it; the sample itself where there is no other."""
    after = _means(sums, np.where(last > position, position + 1, position), last + 1)
    before = _means(sums, first, np.where(first < position, position, position + 1))
    return after - before


class _RunningMaxima:
    """Maxima over any window by two overlapping powers of two (a sparse table)."""

    def __init__(self, features: NDArray[np.float32]) -> None:
        self._levels = [features]

    def over(self, first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.float32]:
        """The maxima of features[first[i] .. last[i]], ends included: float32 (N, D)."""
        result = np.empty((len(first), self._levels[0].shape[1]), np.float32)
        # Inside a shot both ends move along with the sample: whole runs of rows at once, uncopied.
        is_break = (np.diff(first) != 1) | (np.diff(last) != 1)
        starts = np.concatenate([[0], np.flatnonzero(is_break) + 1, [len(first)]]).tolist()
        for start, stop in pairwise(starts):
            low, high, count = int(first[start]), int(last[start]), stop - start
            level = (high - low + 1).bit_length() - 1
            table = self._level(level)
            second = high - (1 << level) + 1
            np.maximum(table[low : low + count], table[second : second + count], out=result[start:stop])
        return result

    def _level(self, level: int) -> NDArray[np.float32]:
        while len(self._levels) <= level:
            below, half = self._levels[-1], 1 << (len(self._levels) - 1)
            self._levels.append(np.maximum(below[:-half], below[half:]))
        return self._levels[level]


def _windows(track: FeatureTrack) -> list[_Window]:
    count = len(track)
    position = np.arange(count)
    begins = np.searchsorted(track.shots, track.shots, side="left")
    ends = np.searchsorted(track.shots, track.shots, side="right") - 1
    windows = []
    for radius in radii(track):
        windows.append(_Window(np.maximum(position - radius, begins), np.minimum(position + radius, ends)))
    return windows


def radii(track: FeatureTrack) -> Iterator[int]:
    """Samples that each scale reaches to either side, at this track's sampling rate."""
    step = step_seconds(track)
    for seconds in SCALES_SECONDS:
        yield max(1, round((seconds / step - 1) / 2))


def step_seconds(track: FeatureTrack) -> float:
    """The usual time between samples; half a second where there is but one."""
    steps = np.diff(track.times_seconds)
    return float(np.clip(np.median(steps), 1e-3, 3600)) if len(steps) else 0.5


def _steps(features: NDArray[np.float32], shots: NDArray[np.int64]) -> NDArray[np.float32]:
    """|h_{t+1} - h_t|: float32 (T - 1, D); across a cut nothing moves."""
    steps = features[1:] - features[:-1]
    np.abs(steps, out=steps)
    steps[shots[1:] != shots[:-1]] = 0.0
    return steps


def _running_sums(values: NDArray[np.float32]) -> NDArray[np.float64]:
    sums = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=sums[1:], dtype=np.float64)
    return sums


def _means(
    sums: NDArray[np.float64], first: NDArray[np.int64], stop: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Means over [first[i], stop[i]); 0 where that is empty."""
    count = np.maximum(stop - first, 1)[:, None]
    return ((sums[np.maximum(stop, first)] - sums[first]) / count).astype(np.float32)
