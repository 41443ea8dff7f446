"""Bayesian generalisation: what a few examples have in common, among things that an encoder knows.

An encoder whose features hold what it recognised can say which sets of that belong together: all dogs, all
animals. A lesson then need not find its action among thousands of numbers, but among a thousand sets, and for
that a handful of examples is enough. Each set is a hypothesis; how well it explains the examples decides how
much it counts (Tenenbaum and Griffiths 2001, Generalization, similarity, and Bayesian inference):

- an example of the action is drawn from the set, so a small set that holds all of them explains them better
  than a large one (the size principle);
- an example of what it is not lies outside the set;
- one in ten is mistaken, by whoever gave it or by the encoder.

What is learned is the sum of all sets by their posterior, and so says of each thing how likely it is part of
the action. What the action is called makes the sets that its name means more likely beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MISTAKEN = 0.1
NAME_NATS = 5.0  # how much likelier a set is beforehand that is all that the name means
LEAST_MASS = 0.01  # what is taken for none: recognition is no surer than that
FRAMES_PER_EXAMPLE = 16


@dataclass(frozen=True, slots=True)
class Concepts:
    """Sets of what an encoder recognises.

    Attributes:
        weights: float32 (C, D). The share of a frame that falls into a set is `weights[c] @ h**2`, 0..1, h
            its feature; a row's sum says how large the set is.

    Raises:
        ValueError: A shape is not as stated, a weight is negative, or a set is empty.
    """

    weights: NDArray[np.float32]

    def __post_init__(self) -> None:
        weights = self.weights
        if weights.ndim != 2 or not len(weights):
            raise ValueError(f"weights must be (C, D), C >= 1, got {weights.shape}")
        if (weights < 0).any() or not weights.any(axis=1).all():
            raise ValueError("every set must have a positive weight and no negative one")

    def likeness(self, name: NDArray[np.floating]) -> NDArray[np.float64]:
        """The likeness of each set to what a text (D,) names: float64 (C,), 0..1, 1 for exactly that."""
        wanted = np.maximum(np.asarray(name, np.float64), 0.0)
        norms = np.linalg.norm(self.weights, axis=1) * max(float(np.linalg.norm(wanted)), 1e-12)
        return np.minimum(self.weights @ wanted / norms, 1.0)


class Generalisation:
    """Examples as shares of sets, ready to be generalised from.

    Args:
        concepts: The sets.
        features: float (T, D) of each of E examples.
        counts: float (E,), as how many examples each counts: several of one video as one together.
        name: The text that names the action, (D,); None where it says nothing.
    """

    def __init__(
        self,
        concepts: Concepts,
        features: list[NDArray[np.floating]],
        counts: NDArray[np.float64],
        name: NDArray[np.floating] | None = None,
    ) -> None:
        self._concepts = concepts
        self._squares = np.stack([mean_square(one) for one in features])
        shares = np.clip(self._squares @ concepts.weights.T, 0.0, 1.0).astype(np.float64)
        sizes = concepts.weights.sum(axis=1, dtype=np.float64)
        sizes /= sizes.max()
        shown = np.log((1 - MISTAKEN) * shares + MISTAKEN * sizes) - np.log(sizes)
        self._shown = counts[:, None] * shown
        self._not_shown = counts[:, None] * np.log((1 - MISTAKEN) * (1 - shares) + MISTAKEN)
        self._likeness = None if name is None else concepts.likeness(name)

    def learn(
        self, positives: NDArray[np.bool_], negatives: NDArray[np.bool_], *, with_name: bool
    ) -> NDArray[np.float32]:
        """Learns the weight of each square of a feature, float32 (D,), as one row of `Concepts`.

        Args:
            positives, negatives: bool (E,), which examples to learn from.
            with_name: Whether the name counts.
        """
        logs = self._shown[positives].sum(axis=0) + self._not_shown[negatives].sum(axis=0)
        if with_name and self._likeness is not None:
            logs = logs + NAME_NATS * self._likeness
        posterior = np.exp(logs - logs.max())
        posterior /= posterior.sum()
        weights: NDArray[np.float32] = posterior.astype(np.float32) @ self._concepts.weights
        return weights

    def scores(self, weights: NDArray[np.float32]) -> NDArray[np.float64]:
        """Log-odds of all examples, float64 (E,), by what `learn` gave."""
        return log_odds(self._squares @ weights)


def mean_square(features: NDArray[np.floating]) -> NDArray[np.float32]:
    """The mean of the squares of some of an example's features, float (T, D) -> float32 (D,)."""
    chosen = np.unique(np.linspace(0, len(features) - 1, FRAMES_PER_EXAMPLE).round().astype(int))
    mean: NDArray[np.float32] = (features[chosen].astype(np.float32) ** 2).mean(axis=0)
    return mean


def log_odds(shares: NDArray[np.floating]) -> NDArray[np.float64]:
    """Log-odds of shares 0..1, which are kept `LEAST_MASS` away from either end."""
    kept = np.clip(np.asarray(shares, np.float64), LEAST_MASS, 1 - LEAST_MASS)
    return np.log(kept / (1 - kept))
