"""From scores to probabilities, and how far off they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def expected_calibration_error(
    confidences: NDArray[np.floating],
    outcomes: NDArray[np.bool_],
    weights: NDArray[np.floating] | None = None,
    bins: int = 10,
) -> float:
    """Mean distance of confidence and frequency over equal bins of confidence (Guo et al. 2017,
    arXiv:1706.04599).

    Args:
        confidences: float (N,), 0..1, that the outcome is true.
        outcomes: bool (N,).
        weights: How much each counts; None means all alike.
        bins: Of equal width.
    """
    confidences, outcomes = np.asarray(confidences, np.float64), np.asarray(outcomes, np.float64)
    weights = np.ones(len(confidences)) if weights is None else np.asarray(weights, np.float64)
    if not len(confidences):
        return 0.0
    index = np.minimum((confidences * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(index, weights * (confidences - outcomes), minlength=bins)
    return float(np.abs(gaps).sum() / weights.sum())


def fit_platt(
    scores: NDArray[np.floating], labels: NDArray[np.bool_], prior: float, unlabelled_share: float = 0.0
) -> tuple[float, float]:
    """Slope and offset of P = sigma(slope * score + offset), by maximum likelihood.

    Platt (1999) with his softened targets, which keep separable scores from certainty; the sides are
    weighed to the prior, since examples are not as common as the action is. Where part of what is
    labelled false is true, the unbiased risk for positive and unlabelled examples is minimised instead
    (du Plessis, Niu and Sugiyama 2015), which for this loss is convex.

    Args:
        scores: float (N,).
        labels: bool (N,), both values present.
        prior: How common true is where the probabilities will be used, 0..1.
        unlabelled_share: How much of what is labelled false is true all the same, 0..1; where it is more
            than the prior, it takes its place.
    """
    scores, labels = np.asarray(scores, np.float64), np.asarray(labels, bool)
    positives, negatives = int(labels.sum()), int((~labels).sum())
    prior = max(prior, unlabelled_share)
    # A mixture of both sides in which true is as common as the prior says.
    added = (prior - unlabelled_share) / (1 - unlabelled_share)
    weights = np.where(labels, added / positives, (1 - added) / negatives) * len(scores)
    targets = np.where(labels, (positives + 0.5) / (positives + 1), 0.5 / (negatives + 1))
    true_weights = np.where(labels, prior / positives, (1 - prior) / negatives) * len(scores) * targets
    centre, spread = float(scores.mean()), float(scores.std()) or 1.0
    x = (scores - centre) / spread
    design = np.stack([x, np.ones_like(x)], axis=1)
    beta = np.array([1.0, np.log(prior / (1 - prior))])
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))
        gradient = design.T @ (weights * p - true_weights) + np.array([1e-3, 0]) * beta
        curvature = (design * (weights * p * (1 - p))[:, None]).T @ design + 1e-3 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        beta -= step * min(1.0, 5.0 / (np.abs(step).max() + 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    slope = max(float(beta[0]), 1e-3) / spread  # never upside down
    return slope, float(beta[1]) - slope * centre
