"""Held-out figures of a lesson: by source, with intervals, and the rule that makes it a draft.

Clips of one video are alike, and tell less than as many videos would: every video counts once, however many
examples are from it, and an interval is Wilson's (1927) of so many videos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.evaluation.intervals import wilson
from encoders.heads.head import FeatureTrack

MIN_VIDEOS = 4  # of the action: of fewer, even a lesson without a mistake says too little
LEAST_FIGURE = 0.76  # of precision and recall: with a quarter mislabelled, no lesson reaches it
LEAST_LOW = 0.45  # of the lower end of either's interval: 4 of 4, 7 of 8, 8 of 10
# Two videos are of one scene where their mean features are as alike as this (cosine) and apart no further
# than the frames within them; a video that shows several places is of none.
SAME_SCENE = 0.9
ONE_PLACE = 0.4  # spread of the frames of one place, at most, of the features' norm
WITHIN = 1.0  # of the frames' own spread around their mean
# Files that are given as examples are mostly cut out of longer ones: pieces of one street, one after the
# other, were 0.9 to 1.5 spreads from the next (cosine 0.55 to 0.88), photographs in motion 4 and more from
# any other.
SAME_RECORDING, PIECES_WITHIN = 0.4, 1.6
LEAST_SPREAD = 0.03  # of the features' norm: what another encoding of the same file may change
LEAST_TOLD_APART = 0.7  # area under the ROC curve: 0.5 is guessing
CLEARLY_BETTER = 0.02  # in F1, for a threshold that is further down
THRESHOLDS = (0.5, 0.4, 0.3)


@dataclass(frozen=True, slots=True)
class Share:
    """A figure from some videos: its value and its 95 % interval, all 0..1."""

    value: float
    low: float
    high: float
    videos: int

    @property
    def is_enough(self) -> bool:
        """True where it reaches both floors."""
        return self.value >= LEAST_FIGURE and self.low >= LEAST_LOW

    def __str__(self) -> str:
        return f"{self.value:.2f}, likely between {self.low:.2f} and {self.high:.2f}"


def count_scenes(
    tracks: Sequence[FeatureTrack], sources: Sequence[str], are_files: Sequence[bool]
) -> NDArray[np.int64]:
    """Numbers the scenes of examples: their source, or an earlier source that looks alike; int64 (E,).

    Args:
        tracks, sources: Of the examples.
        are_files: Whether each is a file of its own, perhaps a piece of another, and no video of a library.
    """
    names = list(dict.fromkeys(sources))
    numbers = np.array([names.index(source) for source in sources])
    frames = [
        np.concatenate([tracks[row].features for row in np.flatnonzero(numbers == number).tolist()]).astype(
            np.float32
        )
        for number in range(len(names))
    ]
    means = np.stack([one.mean(axis=0) for one in frames])
    norms = np.maximum(np.linalg.norm(means, axis=1), 1e-12)
    spreads = np.array([float(np.sqrt(one.var(axis=0).sum())) for one in frames])
    spreads = np.maximum(spreads, LEAST_SPREAD * norms)
    products = means @ means.T
    apart = np.sqrt(np.maximum(norms[:, None] ** 2 + norms**2 - 2 * products, 0.0))
    cosines = products / (norms[:, None] * norms)
    ratios = apart / np.maximum(spreads[:, None], spreads)
    is_one_place = spreads <= ONE_PLACE * norms
    alike = (cosines >= SAME_SCENE) & (ratios <= WITHIN) & is_one_place[:, None] & is_one_place
    scenes = np.arange(len(names))
    for number in range(1, len(names)):
        first = np.flatnonzero(alike[number, :number] & (scenes[:number] == np.arange(number)))
        if len(first):
            scenes[number] = first[0]
    is_file = np.zeros(len(names), bool)
    is_file[numbers[np.asarray(are_files, bool)]] = True
    pieces = (cosines >= SAME_RECORDING) & (ratios <= PIECES_WITHIN) & is_file[:, None] & is_file
    for number in range(len(names)):  # a piece belongs with the next, and that with the one after it
        joined = np.unique(scenes[pieces[number]])
        if len(joined):
            scenes[np.isin(scenes, joined)] = joined[0]
    return scenes[numbers].astype(np.int64)


def choose_threshold(
    confidences: NDArray[np.float64], labels: NDArray[np.bool_], scenes: NDArray[np.int64]
) -> tuple[float, Share, Share]:
    """The confidence with the best F1 on what was held out, with its precision and recall by source.

    None above a half is looked at: of calibrated confidences the best is half the F1 that it reaches
    (Lipton et al. 2014, arXiv:1402.1892), and above, chance decides between a few examples.
    """
    weights = _by_scene(labels, scenes)
    best: tuple[float, float, Share, Share] | None = None
    for threshold in THRESHOLDS:
        found = confidences >= threshold
        right = float(weights[found & labels].sum())
        recall = _share(right / weights[labels].sum(), scenes[labels])
        precision = _share(right / max(1e-9, float(weights[found].sum())), scenes[found])
        f1 = 2 * precision.value * recall.value / max(1e-9, precision.value + recall.value)
        # Where nothing is found at any, the lowest: it is a draft, and there to be looked at.
        if best is None or best[0] == 0.0 or f1 > best[0] + CLEARLY_BETTER:
            best = (f1, threshold, precision, recall)
    assert best is not None
    return best[1:]


def _by_scene(labels: NDArray[np.bool_], scenes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights with which each scene of a side counts once."""
    weights = np.zeros(len(labels))
    for side in (labels, ~labels):
        counts = np.bincount(scenes[side], minlength=int(scenes.max()) + 1)
        weights[side] = 1.0 / counts[scenes[side]]
    return weights


def _share(value: float, scenes: NDArray[np.int64]) -> Share:
    videos = len(np.unique(scenes))
    value = min(1.0, max(0.0, value))
    low, high = wilson(value, videos) if videos else (0.0, 1.0)
    return Share(value, low, high, videos)


def why_draft(videos: int, others: int, precision: Share | None, recall: Share | None, area: float) -> str:
    """Why a lesson is only a draft, as a clause; "" where it is none.

    Args:
        videos: That show the action, and look unlike each other.
        others: That it was told from.
        precision, recall: On what was held out; None where nothing could be.
        area: How often an example scored higher than other footage, 0..1.
    """
    if videos < MIN_VIDEOS or precision is None or recall is None:
        seen = "one video or scene" if videos == 1 else f"{videos} videos"
        return f"the examples are from {seen}, and {MIN_VIDEOS} or more are needed to check what was learned"
    if others < MIN_VIDEOS:
        return (
            f"it was told from other things in {others} video{'' if others == 1 else 's'} only, and "
            f"{MIN_VIDEOS} or more are needed to check what was learned"
        )
    if area < LEAST_TOLD_APART:
        return (
            f"held out, an example scored higher than other footage in {area:.0%} of the comparisons "
            "(guessing: 50 %)"
        )
    if not recall.is_enough:
        return f"too few examples were found when held out: recall {recall}"
    if not precision.is_enough:
        return f"too much else was found with the examples held out: precision {precision}"
    return ""
