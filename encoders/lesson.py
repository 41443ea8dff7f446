"""Heads that are taught: an action learned from a handful of examples, on frozen features.

Logistic regression, P(a | V) = sigma(w . phi(V) + b), on the windows of `encoders/windows.py`. With five
to twenty examples and some ten thousand numbers a window, what counts is how much weight appearance and
movement get; cross-validation chooses it among a few mixes, for each action anew (a small form of multiple
kernel learning, Lanckriet et al. 2004). The same held-out scores, never those of training, give the
calibration (Platt 1999) and the precision and recall that are reported.

What the library holds besides the examples serves as "not this", though some of it may be just this, and
nobody has labelled it. How much is estimated from the held-out scores (best bin estimation); so many of
its most suspicious pieces are left out, the rest is learned from anew, and so on for a few rounds (both
Garg et al. 2021, arXiv:2111.00980). The calibration reckons with the same share.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.calibration import expected_calibration_error, fit_platt
from encoders.errors import TeachingError
from encoders.heads import FeatureTrack
from encoders.taught import TaughtHead, sigmoid
from encoders.windows import PARTS, SCALES_SECONDS, describe_windows

MIN_EXAMPLES = 5
MIN_NEGATIVES = 5
MIN_BACKGROUND = 30
WINDOWS_PER_EXAMPLE = 8
WINDOWS_PER_BACKGROUND = 2
# How much mean, maximum, change and movement count: appearance with some movement; appearance alone;
# mostly movement. In order of preference where they do equally well.
MIXES = {
    "appearance and movement": (1.0, 0.5, 1.0, 0.5),
    "appearance": (1.0, 0.5, 0.0, 0.0),
    "movement": (0.25, 0.1, 4.0, 1.0),
}
CLEARLY_BETTER = 0.02  # in average precision, for a mix that is further down
STRENGTHS = (10.0, 1.0)  # inverse of the L2 penalty
SMALLEST_DEVIATION = 0.3  # of a part's usual one: what hardly varies must not be blown up
PRIOR = 0.2  # how common the action is taken to be, where nothing says
LEAST_AVERAGE_PRECISION = 0.5
LEAST_RECALL = 0.5
ROUNDS = 3  # of setting background aside
LARGEST_SHARE = 0.5  # of the background, that may show the action; beyond, the lesson is at fault
LEAST_SHARE_OF_EXAMPLES = 0.4  # above the score at which background is counted: fewer say too little
LEAST_TOLD_APART = 0.7  # area under the ROC curve: 0.5 is guessing


@dataclass(frozen=True, slots=True)
class Example:
    """Footage that shows the action, or that does not.

    Attributes:
        track: Its features.
        source: Examples of one source (a file, a video) are held out together.
    """

    track: FeatureTrack
    source: str


@dataclass(frozen=True, slots=True)
class TeachReport:
    """What was learned from, and how well it did on what was held out.

    Attributes:
        positives, negatives: Examples given.
        background: Pieces of other footage taken as "not this".
        set_aside: Pieces of it that looked too much like the action to be taken so.
        precision, recall: By cross-validation, an example counting as found when its confidence reaches
            the threshold. Background that does show the action unlabelled lowers the precision.
        average_precision: Area under precision over recall, held out.
        calibration_error: Expected calibration error of the held-out confidences, before they were
            fitted to one another again.
        mix: Which of `MIXES` was chosen.
        by_source: Whether whole sources were held out; else examples of one source are on both sides, and
            the figures flatter.
        seconds: Wall time.
    """

    positives: int
    negatives: int
    background: int
    set_aside: int
    precision: float
    recall: float
    average_precision: float
    calibration_error: float
    mix: str
    by_source: bool
    seconds: float


def teach(
    action: str,
    positives: Sequence[Example],
    negatives: Sequence[Example],
    background: Sequence[Example],
    *,
    encoder_id: str,
    on_progress: Callable[[str], None] = lambda _: None,
) -> tuple[TaughtHead, TeachReport]:
    """Learns an action.

    Args:
        action: Its name.
        positives: Examples of it, `MIN_EXAMPLES` or more.
        negatives: Examples of what it is not; may be empty.
        background: Other footage of the library, presumably not the action; may be empty.
        encoder_id: Of the encoder that all features come from.
        on_progress: Told what is being done.

    Raises:
        TeachingError: Too few examples, or what was learned does not hold on examples held out.
    """
    started = time.perf_counter()
    _check_counts(action, positives, negatives, background)
    if len(negatives) >= MIN_NEGATIVES and len(background) < MIN_BACKGROUND:
        background = []  # of so little footage, most may well be the action itself
    on_progress("comparing the examples")
    lesson = _Lesson(positives, negatives, background)
    on_progress("learning")
    mix, strength = lesson.choose()
    held_out = lesson.held_out(mix, strength)
    # Before any background is set aside: without what it was most wrong about, anything looks learned.
    _check_told_apart(action, len(positives), lesson.told_apart(held_out))
    held_out, set_aside = lesson.set_aside(held_out, mix, strength)
    slope, offset, error = lesson.calibrate(held_out)
    threshold, precision, recall = lesson.threshold(held_out, slope, offset)
    average_precision = lesson.average_precision(held_out)
    _check_worth(action, len(positives), average_precision, recall)
    weights, bias = lesson.fit(mix, strength)
    head = TaughtHead(
        action, encoder_id, (slope * weights).astype(np.float32), float(slope * bias + offset), threshold
    )
    report = TeachReport(
        positives=len(positives),
        negatives=len(negatives),
        background=len(background),
        set_aside=set_aside,
        precision=precision,
        recall=recall,
        average_precision=average_precision,
        calibration_error=error,
        mix=mix,
        by_source=lesson.by_source,
        seconds=time.perf_counter() - started,
    )
    return head, report


def _check_counts(
    action: str, positives: Sequence[Example], negatives: Sequence[Example], background: Sequence[Example]
) -> None:
    if len(positives) < MIN_EXAMPLES:
        raise TeachingError(
            f"{len(positives)} examples of {action!r} are too few to learn it and to check what was "
            f"learned; give at least {MIN_EXAMPLES}, better 10 to 20, as unlike each other as you will "
            "meet them"
        )
    others = len(negatives) + len(background)
    if others < MIN_NEGATIVES:
        raise TeachingError(
            f"there are {others} clips of anything but {action!r} to tell it from; expected at least "
            f"{MIN_NEGATIVES}: index more footage, or give clips of other things with --not"
        )


def _check_told_apart(action: str, positives: int, share: float) -> None:
    if share < LEAST_TOLD_APART:
        raise TeachingError(
            f"{action!r} could not be learned from these {positives} examples: held out, one scored higher "
            f"than other footage in {share:.0%} of the comparisons (guessing: 50 %, expected at least "
            f"{LEAST_TOLD_APART:.0%}). Give more examples, and with --not clips that resemble it and are "
            "not it, above all where much of the library shows it unlabelled; nothing was changed"
        )


def _check_worth(action: str, positives: int, average_precision: float, recall: float) -> None:
    if average_precision < LEAST_AVERAGE_PRECISION or recall < LEAST_RECALL:
        raise TeachingError(
            f"{action!r} could not be learned from these {positives} examples: held out, they were found "
            f"with an average precision of {average_precision:.2f} and a recall of {recall:.2f}, expected "
            f"at least {LEAST_AVERAGE_PRECISION} each. Give more examples, and with --not clips that "
            "resemble it and are not it; nothing was changed"
        )


class _Lesson:
    """The windows of all examples, how alike they are, and what can be learned from that."""

    def __init__(
        self, positives: Sequence[Example], negatives: Sequence[Example], background: Sequence[Example]
    ) -> None:
        self._counts = (len(positives), len(negatives), len(background))
        examples = [*positives, *negatives, *background]
        windows = [
            describe_windows(example.track, _spread(len(example.track), WINDOWS_PER_EXAMPLE))
            for example in examples[: len(positives) + len(negatives)]
        ] + [describe_windows(e.track, _spread(len(e.track), WINDOWS_PER_BACKGROUND)) for e in background]
        self._example = np.repeat(np.arange(len(examples)), [len(rows) for rows in windows])
        self._is_positive = self._example < len(positives)
        self._is_background = self._example >= len(positives) + len(negatives)
        self._used = np.ones(len(self._example), bool)
        sources = {source: number for number, source in enumerate(dict.fromkeys(e.source for e in examples))}
        self._source = np.array([sources[example.source] for example in examples])[self._example]
        self.by_source = len(set(self._source[self._is_positive].tolist())) >= MIN_EXAMPLES
        self._standardise(np.concatenate(windows))
        self._kernels = self._compare()

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

    def _folds(self) -> list[NDArray[np.bool_]]:
        """Rows to hold out together: by source where there are enough, else by example."""
        group = self._source if self.by_source else self._example
        folds = np.zeros(len(group), np.int64)
        random = np.random.default_rng(0)
        for side in (self._is_positive, ~self._is_positive):
            # Dealt out like cards, so that each fold has its share of both sides; a source that shows
            # both stays whole, in the fold of its positives.
            names = np.unique(group[side])
            if side is not self._is_positive:
                names = np.setdiff1d(names, group[self._is_positive])
            random.shuffle(names)
            for number, name in enumerate(names.tolist()):
                folds[group == name] = number % MIN_EXAMPLES
        return [folds == fold for fold in range(MIN_EXAMPLES)]

    def held_out(self, mix: str, strength: float) -> NDArray[np.float64]:
        """Scores of all windows by models that saw nothing of their source: float64 (N,)."""
        coordinates, _ = self._coordinates(mix)
        scores = np.zeros(len(coordinates))
        for fold in self._folds():
            rows = ~fold & self._used
            scores[fold] = self._fitted(coordinates, rows, strength).decision_function(coordinates[fold])
        return scores

    def _per_example(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(self._example, scores) / np.bincount(self._example)

    def _labels(self) -> NDArray[np.bool_]:
        return np.arange(sum(self._counts)) < self._counts[0]

    def _kept(self) -> NDArray[np.bool_]:
        return np.bincount(self._example, self._used) > 0

    def average_precision(self, scores: NDArray[np.float64]) -> float:
        from sklearn.metrics import average_precision_score

        kept = self._kept()
        return float(average_precision_score(self._labels()[kept], self._per_example(scores)[kept]))

    def told_apart(self, scores: NDArray[np.float64]) -> float:
        """How often an example scores higher than other footage: the area under the ROC curve."""
        from sklearn.metrics import roc_auc_score

        return float(roc_auc_score(self._labels(), self._per_example(scores)))

    def choose(self) -> tuple[str, float]:
        """The mix and the strength that do best on what is held out."""
        best, found = -1.0, ("", 0.0)
        for mix in MIXES:
            for strength in STRENGTHS:
                figure = self.average_precision(self.held_out(mix, strength))
                if figure > best + (CLEARLY_BETTER if found[0] else 0.0):
                    best, found = figure, (mix, strength)
        return found

    def set_aside(
        self, scores: NDArray[np.float64], mix: str, strength: float
    ) -> tuple[NDArray[np.float64], int]:
        """Leaves out the background that may well show the action; new scores, and how many pieces."""
        first, count = self._counts[0] + self._counts[1], 0
        for _ in range(ROUNDS if self._counts[2] else 0):
            share = self._share_unlabelled(scores)
            count = round(share * self._counts[2]) if share <= LARGEST_SHARE else 0
            suspects = np.argsort(-self._per_example(scores)[first:], kind="stable")[:count] + first
            used = ~np.isin(self._example, suspects)
            if (used == self._used).all():
                break
            self._used = used
            scores = self.held_out(mix, strength)
        return scores, count

    @property
    def _share_of_others(self) -> float:
        """How much of all that is not an example was set aside."""
        aside = int((~self._kept()).sum())
        return aside / max(1, self._counts[1] + self._counts[2])

    def _share_unlabelled(self, scores: NDArray[np.float64]) -> float:
        """How much of the background shows the action, at most.

        Above any score there is at least so much of it as there is of the examples, times this share.
        """
        by_example = self._per_example(scores)
        examples = np.sort(by_example[: self._counts[0]])
        background = by_example[self._counts[0] + self._counts[1] :]
        if not len(background):
            return 0.0
        fewest = max(3, math.ceil(LEAST_SHARE_OF_EXAMPLES * len(examples)))
        ratios = [
            (background >= score).mean() / (examples >= score).mean()
            for score in examples[: len(examples) - fewest + 1]
        ]
        return float(min(1.0, *ratios))

    def calibrate(self, scores: NDArray[np.float64]) -> tuple[float, float, float]:
        """Slope and offset from scores to log-odds, and how far off such a fit is when held out."""
        labels, kept = self._labels(), self._kept()
        scores = self._per_example(scores)
        share = self._share_of_others
        slope, offset = fit_platt(scores, labels, PRIOR, share)
        odd = np.arange(len(scores)) % 2 == 1
        confidences = np.empty(len(scores))
        for part in (odd, ~odd):
            half = fit_platt(scores[~part], labels[~part], PRIOR, share)
            confidences[part] = sigmoid(half[0] * scores[part] + half[1])
        common = labels[kept].mean()
        weights = np.where(labels[kept], PRIOR / common, (1 - PRIOR) / (1 - common))
        return slope, offset, expected_calibration_error(confidences[kept], labels[kept], weights)

    def threshold(
        self, scores: NDArray[np.float64], slope: float, offset: float
    ) -> tuple[float, float, float]:
        """The confidence with the best F1 on what is held out, with its precision and recall."""
        kept, labels = self._kept(), self._labels()
        confidences = sigmoid(slope * self._per_example(scores)[kept] + offset)
        best = (-1.0, 0.5, 0.0, 0.0)
        for threshold in (0.5, 0.4, 0.6, 0.3, 0.7):
            found = confidences >= threshold
            right = float((found & labels[kept]).sum())
            precision = right / max(1, int(found.sum()))
            recall = right / int(labels[kept].sum())
            f1 = 2 * precision * recall / max(1e-9, precision + recall)
            if f1 > best[0] + CLEARLY_BETTER:
                best = (f1, threshold, precision, recall)
        return best[1:]

    def fit(self, mix: str, strength: float) -> tuple[NDArray[np.float64], float]:
        """The weights on windows as they are, float64 (S * P * D,), and the bias."""
        coordinates, basis = self._coordinates(mix)
        model = self._fitted(coordinates, self._used, strength)
        shares = basis @ model.coef_[0]
        gains = np.array(MIXES[mix])[None, :, None] ** 2
        direction = np.tensordot(shares, self._parts(), axes=1) * gains
        weights = direction.ravel() / self._scale
        return weights, float(model.intercept_[0] - weights @ self._mean)


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """At most so many indices below `count`, spread evenly."""
    if count <= most:
        return np.arange(count)
    return ((2 * np.arange(most) + 1) * count) // (2 * most)
