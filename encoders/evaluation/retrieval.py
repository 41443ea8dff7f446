"""Figures of retrieval: in what place the right answers of each query stand.

R@k and median rank look at the first right answer, as in text-to-video retrieval since Yu et al. 2018
(arXiv:1808.02559); mAP looks at all of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from encoders.evaluation.classification import average_precisions, check_rankings, mean_of_known


def first_ranks(similarity: ArrayLike, relevant: ArrayLike) -> NDArray[np.int64]:
    """At which place the first right answer of each query stands, from 1.

    Wrong answers of equal score go first: vectors that have all fallen into one find nothing.

    Args:
        similarity: float (Q, N), higher is nearer. -inf takes an answer, as the query itself, out.
        relevant: bool (Q, N), which answers are right.

    Returns:
        int64 (Q,), 1 to N.

    Raises:
        ValueError: There are no queries, a query has no right answer, the shapes differ, or a
            similarity is not a number.
    """
    table, right = _checked(similarity, relevant)
    best = np.where(right, table, -np.inf).max(axis=1, keepdims=True)
    return 1 + ((table >= best) & ~right).sum(axis=1)


def recall_at(ranks: ArrayLike, k: int) -> float:
    """R@k: the share of queries with a right answer among the first k.

    Args:
        ranks: int (Q,) of `first_ranks`.
        k: From 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    return float(np.mean(np.asarray(ranks) <= k))


def median_rank(ranks: ArrayLike) -> float:
    """The median of the first right answers' places; 1 is best."""
    return float(np.median(np.asarray(ranks)))


def query_average_precisions(similarity: ArrayLike, relevant: ArrayLike) -> NDArray[np.float64]:
    """Average precision of each query over all its right answers: float64 (Q,), 0 to 1.

    Equal scores count as one place (`average_precisions`).

    Raises:
        ValueError: As `first_ranks`.
    """
    return average_precisions(*_checked(similarity, relevant))


def retrieval_average_precision(similarity: ArrayLike, relevant: ArrayLike) -> float:
    """Mean average precision over queries (mAP), for queries with several right answers.

    Raises:
        ValueError: As `first_ranks`.
    """
    return mean_of_known(query_average_precisions(similarity, relevant))


def _checked(similarity: ArrayLike, relevant: ArrayLike) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    table, right = check_rankings(similarity, relevant)
    lost = int((~(right & (table > -np.inf)).any(axis=1)).sum())
    if lost:
        raise ValueError(f"{lost} of {len(right)} queries have no right answer among the {right.shape[1]}")
    return table, right
