"""How the frames of one video look beside each other, and the importance that follows without training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.heads import FeatureTrack

_REFERENCES = 1200  # samples that coverage is measured on; those of a longer video are thinned to so many
_ROWS_AT_ONCE = 2048
_NEIGHBOURS = 4  # samples on either side that make a frame's own moment
SHORTEST_SECONDS = 1.0  # what is on screen for less counts for less


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike frames of one video are, on a scale of its own.

    Encoders differ in what two unrelated pictures score, and so do videos. `low` is the cosine of a frame
    with the most unlike one of the video (mean over frames, so that one rare event is enough), `high` that
    of neighbours within a shot; two frames count as alike from `alike` on, near the upper end.
    """

    low: float
    alike: float

    def kernel(self, cosines: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosines as 0 (as unlike as it gets here) to 1 (alike)."""
        return np.clip((cosines - self.low) / (self.alike - self.low), 0.0, 1.0)


def unit_features(features: NDArray[np.floating]) -> NDArray[np.float32]:
    """Features (T, D) as float32 rows of L2 norm 1; rows of zeros stay."""
    rows = np.asarray(features, np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def steady_features(track: FeatureTrack) -> NDArray[np.float32]:
    """Features float32 (T, D) of norm 1, each mixed with its neighbours in the shot.

    A frame that a cut or a codec spoilt then counts as what is around it.
    """
    units = unit_features(track.features)
    same = (track.shots[1:] == track.shots[:-1]).astype(np.float32)[:, None] / 2
    mixed = units.copy()
    mixed[1:] += units[:-1] * same
    mixed[:-1] += units[1:] * same
    return unit_features(mixed)


def measure_likeness(units: NDArray[np.float32], shots: NDArray[np.int64]) -> Likeness:
    """The scale of one video.

    Args:
        units: float32 (T, D), of norm 1, T >= 1.
        shots: int64 (T,), ascending.
    """
    neighbours = np.einsum("td,td->t", units[1:], units[:-1])[shots[1:] == shots[:-1]]
    high = float(np.clip(np.median(neighbours), 0.7, 0.98)) if len(neighbours) else 0.95
    some = units[_thinned(len(units), _REFERENCES)]
    low = min(float((some @ some.T).min(axis=1).mean()), high - 0.2)
    return Likeness(low, float(np.clip(low + 0.7 * (high - low), 0.5, 0.95)))


@dataclass(frozen=True, slots=True)
class Looks:
    """How the frames of one video look beside each other.

    Attributes:
        units: float32 (T, D), features of norm 1, each mixed with its neighbours'.
        seconds: float64 (T,), what each sample stands for.
        likeness: The scale of the video.
        shown_seconds: float64 (T,), for how long the video shows something like each sample.
        references: int64 (R,), samples spread evenly, that coverage is measured on.
    """

    units: NDArray[np.float32]
    seconds: NDArray[np.float64]
    likeness: Likeness
    shown_seconds: NDArray[np.float64]
    references: NDArray[np.int64]


def look_at(track: FeatureTrack) -> Looks:
    """The looks of T samples, T >= 1."""
    units = steady_features(track)
    seconds = np.maximum(np.diff(track.borders_seconds), 1e-3)
    references = _thinned(len(units), _REFERENCES)
    likeness = measure_likeness(units, track.shots)
    weights = seconds[references] * (seconds.sum() / seconds[references].sum())
    shown = [
        likeness.kernel(units[start : start + _ROWS_AT_ONCE] @ units[references].T) ** 2 @ weights
        for start in range(0, len(units), _ROWS_AT_ONCE)
    ]
    return Looks(units, seconds, likeness, np.maximum(np.concatenate(shown), seconds), references)


def representativeness(track: FeatureTrack, looks: Looks | None = None) -> NDArray[np.float32]:
    """Importance without training: sigma(f), f of how well a frame stands for its moment, and how rarely
    the video shows such a thing, both relative to the video's other frames.

    0.5 is as important as the video's average frame; if all frames are alike, all of them are.

    Args:
        track: T samples, T >= 1.
        looks: Of the track, where they are known already.

    Returns:
        float32 (T,), 0..1.
    """
    looks = looks or look_at(track)
    rarity = 1.0 - looks.shown_seconds / max(float(looks.seconds.sum()), 1e-9)
    typical = _typicality(unit_features(track.features), track.shots, looks.seconds)
    logits = _standardised(rarity) + 0.5 * _standardised(typical)
    return (1.0 / (1.0 + np.exp(-logits))).astype(np.float32)


def _standardised(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Deviations from the mean in standard deviations; little of one is made no more of."""
    wide = np.asarray(values, np.float64)
    deviation = float(wide.std())
    return (wide - wide.mean()) / max(deviation, 0.05) if deviation > 0.005 else np.zeros(len(wide))


def _typicality(
    units: NDArray[np.float32], shots: NDArray[np.int64], seconds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Cosine with the mean of the neighbours in its shot; less for what is over in a moment."""
    count = len(units)
    total = np.zeros_like(units)
    lasting = np.zeros(count)
    for step in range(-_NEIGHBOURS, _NEIGHBOURS + 1):
        if abs(step) >= count:
            continue
        here = slice(max(0, -step), min(count, count - step))
        there = slice(max(0, step), min(count, count + step))
        same = (shots[here] == shots[there]).astype(np.float32)
        total[here] += units[there] * same[:, None]
        lasting[here] += seconds[there] * same
    cosines = np.einsum("td,td->t", units, unit_features(total))
    return cosines * np.minimum(1.0, lasting / SHORTEST_SECONDS)


def _thinned(count: int, most: int) -> NDArray[np.int64]:
    """At most so many of `count` places, spread evenly."""
    if count <= most:
        return np.arange(count)
    return (np.arange(most) * count + count // 2) // most
