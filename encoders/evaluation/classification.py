"""Figures of classifiers: one right class for each sample, or several.

Arithmetic on arrays; whoever made them is not asked. `intervals` says how far a figure is to be trusted.
Retrieval is in `retrieval_metrics`, summaries in `summary_metrics`, localised actions in `detection`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from encoders.evaluation.intervals import row_count, rows_of_groups

# --- one right class -------------------------------------------------------------------------------


def target_ranks(scores: ArrayLike, targets: ArrayLike) -> NDArray[np.int64]:
    """At which place each sample's right class stands, from 1.

    Of equal scores the lower class number goes first, as `argmax` has it, so that rank 1 and the
    diagonal of the confusion matrix are the same samples.

    Args:
        scores: float (N, C); probabilities or logits, higher is surer.
        targets: int (N,), 0 to C - 1.

    Returns:
        int64 (N,), 1 to C.

    Raises:
        ValueError: There are no samples, a shape or class is wrong, or a score is not a number.
    """
    table, right = _checked(scores, targets)
    own = np.take_along_axis(table, right[:, None], axis=1)
    equal_before = (table == own) & (np.arange(table.shape[1]) < right[:, None])
    return 1 + ((table > own) | equal_before).sum(axis=1)


def top_k_accuracy(scores: ArrayLike, targets: ArrayLike, k: int = 1) -> float:
    """The share of samples whose right class is among the k that score highest.

    Raises:
        ValueError: As `target_ranks`; or k is not from 1 to C.
    """
    classes = np.shape(scores)[-1] if np.ndim(scores) else 0
    ranks = target_ranks(scores, targets)
    if not 1 <= k <= classes:
        raise ValueError(f"k must be from 1 to {classes}, the number of classes, got {k}")
    return float(np.mean(ranks <= k))


def confusion_matrix(targets: ArrayLike, predicted: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Counts how many samples of each class (row) were taken for each class (column).

    Args:
        targets: int (N,), 0 to C - 1.
        predicted: int (N,), 0 to C - 1.
        classes: C.

    Returns:
        int64 (C, C).

    Raises:
        ValueError: There are no samples, the lengths differ, or a class is out of range.
    """
    true, said = _class_numbers(targets, classes), _class_numbers(predicted, classes)
    row_count([true, said])
    return np.bincount(true * classes + said, minlength=classes * classes).reshape(classes, classes)


def class_recall(matrix: ArrayLike) -> NDArray[np.float64]:
    """The share of each class's samples that were recognised: per-class accuracy, which is its recall.

    Args:
        matrix: int (C, C), rows are true classes.

    Returns:
        float64 (C,), NaN for a class that has no samples.
    """
    table = np.asarray(matrix)
    return _share(np.diagonal(table), table.sum(axis=1))


def class_precision(matrix: ArrayLike) -> NDArray[np.float64]:
    """The share of what was taken for each class that is of it: float64 (C,), NaN where nothing was."""
    table = np.asarray(matrix)
    return _share(np.diagonal(table), table.sum(axis=0))


def average_views(probabilities: ArrayLike, video_ids: Sequence[Hashable]) -> NDArray[np.float64]:
    """The mean over the views of each video: several clips of it, and several crops of each clip.

    Give probabilities, not logits, as the papers' multi-clip x multi-crop figures are made. Videos may
    differ in their number of views, and a video's views need not stand together.

    Args:
        probabilities: float (N, C), a row for each view.
        video_ids: N names.

    Returns:
        float64 (V, C), the videos in order of their first view: `list(dict.fromkeys(video_ids))`.

    Raises:
        ValueError: There are no views, or the lengths differ.
    """
    table = np.asarray(probabilities, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"probabilities must be (N, C), got {table.shape}")
    members = rows_of_groups(video_ids, len(table))
    return np.stack([table[rows].mean(axis=0) for rows in members])


# --- several right classes, or several right answers -----------------------------------------------


def average_precisions(scores: ArrayLike, relevant: ArrayLike) -> NDArray[np.float64]:
    """Average precision of each ranking: the mean, over its right answers, of the precision there.

    No interpolation. Equal scores count as one place, with the precision at its end: how they happen to
    be stored changes nothing.

    Args:
        scores: float (M, N): M rankings of N answers, higher is better.
        relevant: bool (M, N), which answers are right.

    Returns:
        float64 (M,), 0 to 1; NaN for a ranking without a right answer.

    Raises:
        ValueError: There are no answers, the shapes differ, or a score is not a number.
    """
    table, right = check_rankings(scores, relevant)
    order = np.argsort(-table, axis=1, kind="stable")
    ranked = np.take_along_axis(table, order, axis=1)
    hit = np.take_along_axis(right, order, axis=1)
    places = np.arange(table.shape[1])
    precision = np.cumsum(hit, axis=1) / (places + 1)
    ends_here = np.ones(hit.shape, dtype=bool)
    ends_here[:, :-1] = ranked[:, :-1] != ranked[:, 1:]
    ends = np.minimum.accumulate(np.where(ends_here, places, len(places))[:, ::-1], axis=1)[:, ::-1]
    found = (np.take_along_axis(precision, ends, axis=1) * hit).sum(axis=1)
    return _share(found, hit.sum(axis=1))


def multilabel_average_precision(scores: ArrayLike, targets: ArrayLike) -> float:
    """Mean average precision over the classes that occur (mAP), where a clip may show several.

    Args:
        scores: float (N, C).
        targets: bool (N, C).

    Returns:
        0 to 1; NaN where no class occurs.

    Raises:
        ValueError: As `average_precisions`.
    """
    return mean_of_known(average_precisions(np.transpose(scores), np.transpose(targets)))


def mean_of_known(values: ArrayLike) -> float:
    """The mean of what is not NaN; NaN where nothing is."""
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    return float(known.mean()) if len(known) else float("nan")


def check_rankings(scores: ArrayLike, relevant: ArrayLike) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """Scores (M, N) and right answers (M, N), or a ValueError that says what is wrong with them."""
    table, right = np.asarray(scores), np.asarray(relevant)
    if table.ndim != 2 or table.shape != right.shape:
        raise ValueError(f"scores and right answers must both be (M, N), got {table.shape}, {right.shape}")
    if not table.size:
        raise ValueError(f"there is nothing to evaluate: the scores are {table.shape}")
    table = table.astype(np.result_type(table, np.float32), copy=False)
    if np.isnan(table).any():
        raise ValueError(f"{int(np.isnan(table).any(axis=1).sum())} rows have a score that is not a number")
    if not np.isin(right, (0, 1)).all():
        raise ValueError("right answers must be marked 1 and the others 0")
    return table, right.astype(bool)


def _checked(scores: ArrayLike, targets: ArrayLike) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    table = np.asarray(scores)
    if table.ndim != 2:
        raise ValueError(f"scores must be (N, C), got {table.shape}")
    right = _class_numbers(targets, table.shape[1])
    row_count([table, right])
    if np.isnan(table).any():
        raise ValueError(f"{int(np.isnan(table).any(axis=1).sum())} samples score something not a number")
    return table, right


def _class_numbers(numbers: ArrayLike, classes: int) -> NDArray[np.int64]:
    found = np.asarray(numbers)
    if found.ndim != 1 or (found.size and not np.issubdtype(found.dtype, np.integer)):
        raise ValueError(f"class numbers must be integers (N,), got {found.dtype} {found.shape}")
    if found.size and not 0 <= found.min() <= found.max() < classes:
        raise ValueError(f"class numbers must be 0 to {classes - 1}, got {found.min()} to {found.max()}")
    return found.astype(np.int64)


def _share(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
