"""Likeness of the frames of one video, and the importance that follows without training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.heads.head import FeatureTrack

_REFERENCES = 1200  # samples that coverage is measured on; those of a longer video are thinned to so many
_ROWS_AT_ONCE = 2048
_NEIGHBOURS = 4  # samples on either side that make a frame's own moment
SHORTEST_SECONDS = 1.0  # what is on screen for less counts for less
_SPOILT_SECONDS = 2.5  # at most, of footage that a codec or a flash spoilt
_SPOILT_LOGITS = 4.0


@dataclass(frozen=True, slots=True)
class Likeness:
    """Likeness of frames of one video, on a scale of its own.

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


def spoilt_samples(track: FeatureTrack) -> NDArray[np.bool_]:
    """Finds samples that only interrupt a shot: a flash, a torn frame, a frozen one.

    What comes before is like what comes after, and neither like it; it is a lone sample, or several that move
    by far less than the video does, over within `_SPOILT_SECONDS`. A short event in a shot moves as well, and
    what was cut in has a cut on both sides, while the end of a torn piece may be taken for one.

    Returns:
        bool (T,).
    """
    units, shots = unit_features(track.features), track.shots
    spoilt = np.zeros(len(units), bool)
    steps = np.einsum("td,td->t", units[1:], units[:-1])
    if not (shots[1:] == shots[:-1]).any():
        return spoilt
    usual = 1.0 - float(np.median(steps[shots[1:] == shots[:-1]]))
    seconds = np.diff(track.borders_seconds)
    first = 1
    while first < len(units) - 1:
        last = first
        while last + 2 < len(units) and 1.0 - steps[last] < usual / 4:
            last += 1
        before, after = first - 1, last + 1
        unlike = 1.0 - max(steps[before], steps[last])
        if (
            (shots[before] == shots[first] or shots[last] == shots[after])
            and (shots[before] == shots[after] or first < last)
            and seconds[first:after].sum() <= (SHORTEST_SECONDS if first == last else _SPOILT_SECONDS)
            and unlike > max(0.1 + usual, 1.5 * (1.0 - float(units[before] @ units[after])))
        ):
            spoilt[first:after] = True
        first = after
    return spoilt


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
    """Features of the frames of one video, and how alike they are.

    Attributes:
        units: float32 (T, D), features of norm 1, each mixed with its neighbours'.
        seconds: float64 (T,), what each sample stands for.
        likeness: The scale of the video.
        shown_seconds: float64 (T,), for how long the video shows something like each sample.
        references: int64 (R,), samples spread evenly, that coverage is measured on.
        spoilt: bool (T,), samples that only interrupt their shot.
    """

    units: NDArray[np.float32]
    seconds: NDArray[np.float64]
    likeness: Likeness
    shown_seconds: NDArray[np.float64]
    references: NDArray[np.int64]
    spoilt: NDArray[np.bool_]


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
    shown_seconds = np.maximum(np.concatenate(shown), seconds)
    return Looks(units, seconds, likeness, shown_seconds, references, spoilt_samples(track))


def representativeness(track: FeatureTrack, looks: Looks | None = None) -> NDArray[np.float32]:
    """Importance without training: sigma(f), f of how well a frame stands for its moment, and how rarely
    the video shows such a thing, both relative to the video's other frames. What is spoilt counts little.

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
    logits = _standardised(rarity) + 0.5 * _standardised(typical) - _SPOILT_LOGITS * looks.spoilt
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
