"""Figures of video summaries: selected frames against people's, and importance against people's.

- F1 of frames, and the way from importance to a summary (whole shots, at most 15 % of the video, by a
  knapsack): Zhang et al. 2016, arXiv:1605.08110, after SumMe (Gygli et al. 2014), where the nearest
  person counts (max), and TVSum (Song et al. 2015), where all do (mean).
- Rank correlation of importance: Otani et al. 2019, arXiv:1903.11328, who show that random scores, made
  into summaries of whole shots, reach the F1 of trained models; correlation does not flatter them.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Over = Literal["max", "mean"]
Coefficient = Literal["kendall", "spearman"]

SHARE = 0.15


def key_frame_f1(selected: ArrayLike, users: ArrayLike, over: Over = "max") -> float:
    """F1 of the selected frames against each user's, then the best of the users or their mean.

    Args:
        selected: bool (N,), a flag for each frame of the video.
        users: bool (U, N), the summaries that people made.
        over: "max" (SumMe) or "mean" (TVSum).

    Returns:
        0 to 1; nothing in common is 0, also where nothing is selected.

    Raises:
        ValueError: There are no frames or users, the lengths differ, or `over` is neither.
    """
    if over not in ("max", "mean"):
        raise ValueError(f"over must be max or mean, got {over!r}")
    chosen, wanted = _checked(np.asarray(selected, dtype=bool), np.asarray(users, dtype=bool))
    shared = (chosen & wanted).sum(axis=1)
    both = chosen.sum() + wanted.sum(axis=1)
    scores = np.divide(2 * shared, both, out=np.zeros(len(wanted)), where=both > 0)
    return float(scores.max() if over == "max" else scores.mean())


def rank_correlation(importance: ArrayLike, users: ArrayLike, coefficient: Coefficient = "kendall") -> float:
    """Kendall's tau-b or Spearman's rho of importance with each user's, averaged over the users.

    Importance that is the same everywhere orders nothing and counts as 0, the mean of random orders.

    Args:
        importance: float (N,), of each frame.
        users: float (U, N), the importance that people gave.
        coefficient: "kendall" or "spearman".

    Returns:
        -1 to 1.

    Raises:
        ValueError: There are fewer than two frames or no users, the lengths differ, a value is not
            finite, or there is no such coefficient.
    """
    from scipy.stats import kendalltau, spearmanr  # not needed for anything else that starts

    if coefficient not in ("kendall", "spearman"):
        raise ValueError(f"a coefficient must be kendall or spearman, got {coefficient!r}")
    said, wanted = _checked(np.asarray(importance, dtype=np.float64), np.asarray(users, dtype=np.float64))
    if len(said) < 2:
        raise ValueError("a rank correlation needs at least two frames, got 1")
    if not (np.isfinite(said).all() and np.isfinite(wanted).all()):
        raise ValueError("importance must be finite numbers")
    correlate = kendalltau if coefficient == "kendall" else spearmanr
    values = [
        0.0 if np.ptp(said) == 0 or np.ptp(user) == 0 else float(correlate(said, user).statistic)
        for user in wanted
    ]
    return float(np.mean(values))


def scores_per_frame(scores: ArrayLike, first_frames: ArrayLike, frames: int) -> NDArray[np.float64]:
    """Scores of samples as scores of frames: each holds until the next sample, the first from the start.

    Args:
        scores: float (T,).
        first_frames: int (T,), the frame of each sample, rising strictly.
        frames: N, how many the video has.

    Returns:
        float64 (N,).

    Raises:
        ValueError: There are no samples, the lengths differ, or a frame is out of order or range.
    """
    values, places = np.asarray(scores, dtype=np.float64), np.asarray(first_frames)
    if values.ndim != 1 or values.shape != places.shape or not values.size:
        raise ValueError(f"scores and frames must be (T,), T >= 1, got {values.shape}, {places.shape}")
    if places[0] < 0 or places[-1] >= frames or (np.diff(places) <= 0).any():
        raise ValueError(f"sampled frames must rise strictly within 0 to {frames - 1}")
    starts = np.concatenate([[0], places[1:], [frames]])
    return np.repeat(values, np.diff(starts))


def shot_summary(importance: ArrayLike, borders: ArrayLike, share: float = SHARE) -> NDArray[np.bool_]:
    """The whole shots that are worth most and together last at most a share of the video.

    A shot is worth the mean importance of its frames and costs as many frames as it has.

    Args:
        importance: float (N,), of each frame.
        borders: int (S + 1,), from 0 to N, rising strictly: shot i is [borders[i], borders[i + 1]).
        share: Of the video's frames, above 0 and at most 1.

    Returns:
        bool (N,), the frames of the summary; none where no shot is short enough.

    Raises:
        ValueError: There are no frames, the borders do not cut them into shots, or a value is out of
            range.
    """
    values, edges = np.asarray(importance, dtype=np.float64), np.asarray(borders)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"importance must be finite numbers (N,), N >= 1, got {values.shape}")
    if edges.ndim != 1 or len(edges) < 2 or not np.issubdtype(edges.dtype, np.integer):
        raise ValueError(f"borders must be integers (S + 1,), S >= 1, got {edges.dtype} {edges.shape}")
    if edges[0] != 0 or edges[-1] != len(values) or (np.diff(edges) <= 0).any():
        raise ValueError(f"borders must rise strictly from 0 to {len(values)}, the number of frames")
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share must be above 0 and at most 1, got {share}")
    lengths = np.diff(edges)
    worth = np.add.reduceat(values, edges[:-1]) / lengths
    return np.repeat(knapsack(worth, lengths, int(share * len(values))), lengths)


def knapsack(values: ArrayLike, weights: ArrayLike, capacity: int) -> NDArray[np.bool_]:
    """The 0/1 knapsack by dynamic programming: exact, in time and memory of S x capacity.

    Items worth nothing or less stay out. Of equally good selections, the one that leaves the latest
    items out.

    Args:
        values: float (S,).
        weights: int (S,), positive.
        capacity: What the weights may sum to.

    Returns:
        bool (S,), which items are taken.
    """
    worth, cost = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.int64)
    best = np.zeros(capacity + 1)  # best[c]: what the items so far are worth at most within c
    taken = np.zeros((len(worth), capacity + 1), dtype=bool)
    for item, (value, weight) in enumerate(zip(worth.tolist(), cost.tolist(), strict=True)):
        if weight <= capacity:
            with_it = best[: capacity + 1 - weight] + value
            taken[item, weight:] = with_it > best[weight:]
            best[weight:] = np.maximum(with_it, best[weight:])
    chosen = np.zeros(len(worth), dtype=bool)
    left = capacity
    for item in reversed(range(len(worth))):
        if taken[item, left]:
            chosen[item] = True
            left -= int(cost[item])
    return chosen


def _checked(one: NDArray[Any], users: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    if one.ndim != 1 or users.ndim != 2 or users.shape[1:] != one.shape:
        raise ValueError(f"expected (N,) and users (U, N), got {one.shape} and {users.shape}")
    if not users.size:
        raise ValueError(f"there is nothing to evaluate: {users.shape[0]} users, {users.shape[1]} frames")
    return one, users
