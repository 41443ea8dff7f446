"""The windows of a lesson's examples, how alike they are, and logistic regression on that.

With some hundred windows of some ten thousand numbers each, all that can be learned lies in the space
that the windows themselves span: everything is computed from how alike any two of them are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.heads.head import FeatureTrack
from encoders.heads.windows import PARTS, SCALES_SECONDS, describe_windows

# How much mean, maximum, change and movement count: appearance with some movement; appearance alone;
# mostly movement. In order of preference where they do equally well.
MIXES = {
    "appearance and movement": (1.0, 0.5, 1.0, 0.5),
    "appearance": (1.0, 0.5, 0.0, 0.0),
    "movement": (0.25, 0.1, 4.0, 1.0),
}
SMALLEST_DEVIATION = 0.3  # of a part's usual one: what hardly varies must not be blown up


class LessonWindows:
    """Windows of examples, of which the first ones are positive."""

    def __init__(self, tracks: Sequence[FeatureTrack], positives: int, most: Sequence[int]) -> None:
        """Describes the windows.

        Args:
            tracks: Of the examples.
            positives: How many of them show the action.
            most: How many windows of each are looked at, at most.
        """
        windows = [
            describe_windows(track, _spread(len(track), count))
            for track, count in zip(tracks, most, strict=True)
        ]
        self._example = np.repeat(np.arange(len(tracks)), [len(rows) for rows in windows])
        self._is_positive = self._example < positives
        self._standardise(np.concatenate(windows))
        self._kernels = self._compare()

    def held_out(
        self, mix: str, strength: float, used: NDArray[np.bool_], folds: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Scores of all examples by models that saw nothing of their fold: float64 (E,).

        Args:
            mix: One of `MIXES`.
            strength: Inverse of the L2 penalty.
            used: bool (E,), which examples to learn from.
            folds: int64 (E,), in which of at least two each is held out.
        """
        coordinates, _ = self._coordinates(mix)
        scores, fold_of = np.zeros(len(coordinates)), folds[self._example]
        for fold in np.unique(folds).tolist():
            held = fold_of == fold
            rows = ~held & used[self._example]
            scores[held] = self._fitted(coordinates, rows, strength).decision_function(coordinates[held])
        return np.bincount(self._example, scores) / np.bincount(self._example)

    def fit(self, mix: str, strength: float, used: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
        """The weights on windows as they are, float64 (S * P * D,), and the bias."""
        coordinates, basis = self._coordinates(mix)
        model = self._fitted(coordinates, used[self._example], strength)
        shares = basis @ model.coef_[0]
        gains = np.array(MIXES[mix])[None, :, None] ** 2
        direction = np.tensordot(shares, self._parts(), axes=1) * gains
        weights = direction.ravel() / self._scale
        return weights, float(model.intercept_[0] - weights @ self._mean)

    def scores(self, weights: NDArray[np.float64], bias: float) -> NDArray[np.float64]:
        """Scores of all examples by what `fit` gave: float64 (E,)."""
        scores = (self._windows * self._scale + self._mean) @ weights + bias
        return np.bincount(self._example, scores) / np.bincount(self._example)

    def _coordinates(self, mix: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Windows in the space that they span: coordinates (N, R), and the basis (N, R) of it."""
        kernel = sum(
            gain**2 * k.astype(np.float64) for gain, k in zip(MIXES[mix], self._kernels, strict=True)
        )
        values, vectors = np.linalg.eigh(kernel)
        kept = values > 1e-7 * values[-1]
        basis = vectors[:, kept] / np.sqrt(values[kept])
        return kernel @ basis, basis

    def _weights(self, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Every example of a side counts alike, and both sides together alike."""
        weights = np.zeros(len(self._example))
        for side in (self._is_positive, ~self._is_positive):
            chosen = rows & side
            per_example = np.bincount(self._example[chosen], minlength=self._example[-1] + 1)
            weights[chosen] = 1.0 / per_example[self._example[chosen]]
            weights[chosen] /= weights[chosen].sum()
        return weights[rows] * rows.sum() / 2

    def _fitted(self, coordinates: NDArray[np.float64], rows: NDArray[np.bool_], strength: float) -> Any:
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=strength, max_iter=300, tol=1e-3)
        return model.fit(coordinates[rows], self._is_positive[rows], sample_weight=self._weights(rows))

    def _standardise(self, windows: NDArray[np.float32]) -> None:
        width = windows.shape[1] // (len(SCALES_SECONDS) * len(PARTS))
        self._mean = windows.mean(axis=0)
        deviation = windows.std(axis=0).reshape(-1, width)
        usual = np.sqrt((deviation**2).mean(axis=1, keepdims=True))
        deviation = np.maximum(np.maximum(deviation, SMALLEST_DEVIATION * usual), 1e-9)
        self._scale = deviation.ravel() * np.sqrt(windows.shape[1])
        self._windows = (windows - self._mean) / self._scale

    def _parts(self) -> NDArray[np.float32]:
        return self._windows.reshape(len(self._windows), len(SCALES_SECONDS), len(PARTS), -1)

    def _compare(self) -> list[NDArray[np.float32]]:
        """For each of `PARTS` how alike the windows are: float32 (N, N)."""
        parts = self._parts()
        kernels = []
        for part in range(len(PARTS)):
            rows = np.ascontiguousarray(parts[:, :, part]).reshape(len(parts), -1)
            kernels.append(rows @ rows.T)
        return kernels


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """At most so many indices below `count`, spread evenly."""
    if count <= most:
        return np.arange(count)
    return ((2 * np.arange(most) + 1) * count) // (2 * most)
