"""Evaluation of found spans: temporal overlap, soft-NMS, and mean average precision by two protocols.

The protocols differ in more than their thresholds, so a figure of one says nothing beside the other's:

- ActivityNet: each prediction, best score first, takes the free true span that it overlaps most, and
  counts when the overlap reaches the threshold; of equal scores the later row goes first. The precision
  at a recall is the best at this or a higher one.
- THUMOS'14: each true span, as listed, takes the free prediction of its video that overlaps it most, if
  by more than the threshold. Unmatched predictions that touch an ambiguous stretch are left out; equal
  scores rank by the video's name. The precision is taken as it is, at each true positive.

ActivityNet: Caba Heilbron et al. 2015, and the challenge's evaluation program. THUMOS'14: Jiang et al.
2014, and the evaluation kit of the challenge, in the updated edition that published tables use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Protocol = Literal["activitynet", "thumos"]

AMBIGUOUS = "Ambiguous"
THRESHOLDS: Mapping[Protocol, tuple[float, ...]] = {
    "activitynet": tuple(np.linspace(0.5, 0.95, 10).tolist()),
    "thumos": (0.3, 0.4, 0.5, 0.6, 0.7),
}


@dataclass(frozen=True, slots=True)
class TrueSpan:
    """One labelled span of a video: [start_seconds, end_seconds)."""

    video: str
    action: str
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class FoundSpan:
    """One predicted span of a video: [start_seconds, end_seconds); a higher score is surer."""

    video: str
    action: str
    start_seconds: float
    end_seconds: float
    score: float


@dataclass(frozen=True, slots=True)
class DetectionScores:
    """Average precisions, 0 to 1.

    Attributes:
        thresholds: Temporal overlaps from which a prediction counts, K of them.
        average_precision: For each action, one value per threshold.
        mean: The mean over actions (mAP), one value per threshold.
        average: The mean of `mean`.
    """

    thresholds: tuple[float, ...]
    average_precision: Mapping[str, tuple[float, ...]]
    mean: tuple[float, ...]
    average: float


def temporal_iou(spans_a: ArrayLike, spans_b: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of each span with each other; 0 where both are empty.

    Args:
        spans_a: float (N, 2), start and end in any one unit.
        spans_b: float (M, 2), in the same unit.

    Returns:
        float64 (N, M), 0 to 1.
    """
    a = np.asarray(spans_a, dtype=np.float64).reshape(-1, 1, 2)
    b = np.asarray(spans_b, dtype=np.float64).reshape(1, -1, 2)
    shared = (np.minimum(a[..., 1], b[..., 1]) - np.maximum(a[..., 0], b[..., 0])).clip(0)
    union = (a[..., 1] - a[..., 0]) + (b[..., 1] - b[..., 0]) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def soft_nms(
    spans: ArrayLike,
    scores: ArrayLike,
    sigma: float = 0.5,
    *,
    min_score: float = 1e-3,
    limit: int | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Gaussian soft-NMS: a span loses score the more it overlaps better ones, instead of being dropped.

    Bodla et al. 2017, arXiv:1704.04503, with temporal overlap. Of equal scores the first goes first.

    Args:
        spans: float (N, 2).
        scores: float (N,), not negative.
        sigma: Width of the decay exp(-overlap² / sigma).
        min_score: A span whose score has fallen below is dropped.
        limit: How many to keep at most; all by default.

    Returns:
        int64 (K,), which spans stay, best first, and float64 (K,), their lowered scores.
    """
    boxes = np.asarray(spans, dtype=np.float64).reshape(-1, 2)
    left = np.array(scores, dtype=np.float64)
    kept: list[int] = []
    lowered: list[float] = []
    while len(kept) < (len(left) if limit is None else min(limit, len(left))):
        best = int(np.argmax(left))
        if left[best] < min_score:
            break
        kept.append(best)
        lowered.append(float(left[best]))
        left *= np.exp(-(temporal_iou(boxes[best], boxes)[0] ** 2) / sigma)
        left[kept] = -np.inf
    return np.array(kept, dtype=np.int64), np.array(lowered)


def average_precision_activitynet(
    ground_truth: Sequence[TrueSpan],
    predictions: Sequence[FoundSpan],
    thresholds: Sequence[float] = THRESHOLDS["activitynet"],
) -> NDArray[np.float64]:
    """Interpolated average precision of one action, by the ActivityNet protocol.

    Actions are not looked at: give the rows of one. No predictions score 0.

    Returns:
        float64 (K,), one value per threshold.

    Raises:
        ValueError: There is no true span.
    """
    _check_some(ground_truth)
    order = np.argsort([row.score for row in predictions], kind="stable")[::-1]
    rows_of_video = _by_video(ground_truth)
    taken = np.zeros((len(thresholds), len(ground_truth)), dtype=bool)
    true = np.zeros((len(thresholds), len(predictions)), dtype=bool)
    for rank, row in enumerate(order):
        found = predictions[row]
        candidates = rows_of_video.get(found.video)
        if candidates is None:
            continue
        overlaps = temporal_iou(_bounds([found]), _bounds([ground_truth[index] for index in candidates]))[0]
        nearest = np.argsort(overlaps, kind="stable")[::-1]
        for level, threshold in enumerate(thresholds):
            for place in nearest[overlaps[nearest] >= threshold]:
                if not taken[level, candidates[place]]:
                    taken[level, candidates[place]] = true[level, rank] = True
                    break
    return np.array([_interpolated_area(flags, len(ground_truth)) for flags in true])


def average_precision_thumos(
    ground_truth: Sequence[TrueSpan],
    predictions: Sequence[FoundSpan],
    thresholds: Sequence[float] = THRESHOLDS["thumos"],
    *,
    ambiguous: Sequence[TrueSpan] = (),
    recall_points: int | None = None,
) -> NDArray[np.float64]:
    """Average precision of one action, by the THUMOS'14 protocol.

    Actions are not looked at: give the rows of one. No predictions score 0.

    Args:
        ground_truth: The action's true spans.
        predictions: The action's predictions.
        thresholds: Overlaps above which a prediction counts.
        ambiguous: Stretches of which nobody can say what they show, whatever the action.
        recall_points: 11 for the kit's first edition, which took the best precision at recalls 0, 0.1
            to 1 and put true positives first among equal scores.

    Returns:
        float64 (K,), one value per threshold.

    Raises:
        ValueError: There is no true span.
    """
    _check_some(ground_truth)
    true_of, unclear_of, found_of = _by_video(ground_truth), _by_video(ambiguous), _by_video(predictions)
    scores: list[NDArray[np.float64]] = [np.zeros(0)]
    flags: list[NDArray[np.bool_]] = [np.zeros((len(thresholds), 0), dtype=bool)]
    counts: list[NDArray[np.bool_]] = [np.zeros((len(thresholds), 0), dtype=bool)]
    for video in sorted(found_of):
        found = sorted((predictions[index] for index in found_of[video]), key=lambda row: -row.score)
        wanted = [ground_truth[index] for index in true_of.get(video, ())]
        unclear = [ambiguous[index] for index in unclear_of.get(video, ())]
        touches = temporal_iou(_bounds(unclear), _bounds(found)).any(axis=0)
        overlaps = temporal_iou(_bounds(wanted), _bounds(found))
        true = np.array([_matched_by_truth(overlaps, threshold) for threshold in thresholds])
        scores.append(np.array([row.score for row in found]))
        flags.append(true)
        counts.append(true | ~touches)
    score, flag, counted = np.concatenate(scores), np.hstack(flags), np.hstack(counts)
    areas = []
    for true, in_play in zip(flag, counted, strict=True):
        kept, kept_scores = true[in_play], score[in_play]
        if recall_points is None:
            ranked = kept[np.argsort(-kept_scores, kind="stable")]
            areas.append(_area(ranked, len(ground_truth)))
        else:
            ranked = kept[np.lexsort((~kept, -kept_scores))]
            areas.append(_area_at_points(ranked, len(ground_truth), recall_points))
    return np.array(areas)


def mean_average_precision(
    ground_truth: Sequence[TrueSpan],
    predictions: Sequence[FoundSpan],
    thresholds: Sequence[float] | None = None,
    protocol: Protocol = "activitynet",
) -> DetectionScores:
    """Average precision of every action that the ground truth names, and their mean.

    Predictions of actions that have no true span are left out, as both protocols do. With "thumos",
    true spans of the action "Ambiguous" are ambiguous stretches.

    Args:
        ground_truth: True spans of all videos and actions.
        predictions: Predictions for all videos and actions, in any order.
        thresholds: Temporal overlaps; by default the protocol's own (0.5:0.05:0.95, or 0.3:0.1:0.7).
        protocol: "activitynet" or "thumos".

    Raises:
        ValueError: There is no true span, or no such protocol.
    """
    if protocol not in THRESHOLDS:
        raise ValueError(f"a protocol must be one of {', '.join(THRESHOLDS)}, got {protocol!r}")
    levels = THRESHOLDS[protocol] if thresholds is None else tuple(float(level) for level in thresholds)
    ambiguous = [row for row in ground_truth if protocol == "thumos" and row.action == AMBIGUOUS]
    clear = [row for row in ground_truth if protocol != "thumos" or row.action != AMBIGUOUS]
    _check_some(clear)
    by_action: dict[str, tuple[float, ...]] = {}
    for action in sorted({row.action for row in clear}):
        true = [row for row in clear if row.action == action]
        found = [row for row in predictions if row.action == action]
        if protocol == "thumos":
            values = average_precision_thumos(true, found, levels, ambiguous=ambiguous)
        else:
            values = average_precision_activitynet(true, found, levels)
        by_action[action] = tuple(values.tolist())
    mean = np.mean(list(by_action.values()), axis=0)
    return DetectionScores(levels, by_action, tuple(mean.tolist()), float(mean.mean()))


def _check_some(ground_truth: Sequence[TrueSpan]) -> None:
    if not ground_truth:
        raise ValueError("average precision needs at least one true span")


def _bounds(rows: Sequence[TrueSpan | FoundSpan]) -> NDArray[np.float64]:
    return np.array([(row.start_seconds, row.end_seconds) for row in rows], dtype=np.float64).reshape(-1, 2)


def _by_video(rows: Sequence[TrueSpan | FoundSpan]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        places.setdefault(row.video, []).append(index)
    return places


def _matched_by_truth(overlaps: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    """Each true span in turn takes the free prediction that overlaps it most: (N, M) -> bool (M,)."""
    free = np.ones(overlaps.shape[1], dtype=bool)
    for row in overlaps:
        best = int(np.argmax(np.where(free, row, -1.0)))
        if free[best] and row[best] > threshold:
            free[best] = False
    return ~free


def _precision_and_recall(
    true: NDArray[np.bool_], positives: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    hits = np.cumsum(true)
    return hits / np.arange(1, len(true) + 1), hits / positives


def _area(true: NDArray[np.bool_], positives: int) -> float:
    precision, _ = _precision_and_recall(true, positives)
    return float(precision[true].sum() / positives)


def _interpolated_area(true: NDArray[np.bool_], positives: int) -> float:
    precision, _ = _precision_and_recall(true, positives)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best_from_here[true].sum() / positives)


def _area_at_points(true: NDArray[np.bool_], positives: int, points: int) -> float:
    precision, recall = _precision_and_recall(true, positives)
    levels = np.arange(points) * (1 / (points - 1))  # as the kit steps: 3 * 0.1 is above 0.3
    return float(np.mean([precision[recall >= level].max(initial=0.0) for level in levels]))
