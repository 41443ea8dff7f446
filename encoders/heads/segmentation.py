"""From evidence over time to segments: hysteresis for smooth curves, Viterbi for sharp ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encoders.heads.head import FeatureTrack


def segments_from_curve(
    track: FeatureTrack,
    probabilities: NDArray[np.floating],
    *,
    high: float,
    low: float,
    min_seconds: float = 0.0,
) -> list[tuple[float, float, float]]:
    """Stretches that rise to `high` and stay above `low` (hysteresis thresholding, Canny 1986).

    A border between two shots lies at the cut; within a shot it lies where the curve, drawn straight
    between two samples, crosses the middle of its values beside the border.

    Args:
        track: Whose times the curve is over.
        probabilities: float (T,), 0..1.
        high: What the best sample of a segment must reach.
        low: What every sample of it must reach, at most `high`.
        min_seconds: Shorter segments are left out.

    Returns:
        (start_seconds, end_seconds, confidence) in order of time. The confidence is the mean of the
        upper half of the segment's probabilities, so that soft borders do not lower it.
    """
    if not 0 <= low <= high:
        raise ValueError(f"expected 0 <= low <= high, got {low} and {high}")
    above = np.concatenate([[False], np.asarray(probabilities) >= low, [False]])
    changes = np.flatnonzero(above[1:] != above[:-1])
    found = []
    for first, last in zip(changes[::2], changes[1::2], strict=True):
        inside = probabilities[first:last]
        if inside.max() < high:
            continue
        start = _border(track, probabilities, int(first))
        end = _border(track, probabilities, int(last))
        if end - start >= max(min_seconds, 1e-6) - 1e-9:
            upper = np.sort(inside)[len(inside) // 2 :]
            found.append((start, end, float(upper.mean())))
    return found


def _border(track: FeatureTrack, probabilities: NDArray[np.floating], index: int) -> float:
    """The time between the samples `index` - 1 and `index` at which the curve changes sides."""
    is_edge = index in (0, len(track)) or track.shots[index - 1] != track.shots[index]
    if is_edge:
        return float(track.borders_seconds[index])
    before, after = track.times_seconds[index - 1], track.times_seconds[index]
    # Towards the plateaus, two samples off, the curve is as high as it gets beside this border.
    left = probabilities[max(0, index - 2) : index].astype(np.float64)
    right = probabilities[index : index + 2].astype(np.float64)
    rises = right[0] > left[-1]
    bottom, top = (left.min(), right.max()) if rises else (right.min(), left.max())
    slope = right[0] - left[-1]
    if slope == 0:
        return float(track.borders_seconds[index])
    crossing = ((bottom + top) / 2 - left[-1]) / slope
    return float(before + np.clip(crossing, 0.0, 1.0) * (after - before))


def most_likely_runs(evidence: NDArray[np.floating], switching_cost: float) -> list[tuple[int, int]]:
    """The runs of samples that a two-state hidden Markov model takes for the action (Viterbi 1967).

    Unlike thresholds on a smoothed curve it may read evidence as sharp as the samples are: what keeps it
    from breaking into pieces is the price of a run, not a blur.

    Args:
        evidence: float (T,), log-odds of single samples for the action.
        switching_cost: What a run costs, in nats: its samples must together tell more than that.

    Returns:
        [first, last) of each run, in order.
    """
    count = len(evidence)
    stays, came_from_on = np.zeros(count, bool), np.zeros(count, bool)
    off, on = 0.0, -np.inf
    for index, value in enumerate(np.asarray(evidence, np.float64).tolist()):
        stays[index] = on >= off - switching_cost
        came_from_on[index] = on > off
        on, off = max(on, off - switching_cost) + value, max(on, off)
    runs, is_on, last = [], on > off, count
    for index in range(count - 1, -1, -1):
        if is_on and not stays[index]:
            runs.append((index, last))
            is_on = False
        elif not is_on and came_from_on[index]:
            is_on, last = True, index
    if is_on:
        runs.append((0, last))
    return runs[::-1]
