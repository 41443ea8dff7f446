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

import numpy as np
from numpy.typing import NDArray

from encoders.calibration import expected_calibration_error, fit_platt
from encoders.errors import TeachingError
from encoders.heads import FeatureTrack
from encoders.lesson_windows import MIXES, LessonWindows
from encoders.taught import TaughtHead, sigmoid

MIN_EXAMPLES = 5
MIN_NEGATIVES = 5
MIN_BACKGROUND = 30
WINDOWS_PER_EXAMPLE = 8
WINDOWS_PER_BACKGROUND = 2
CLEARLY_BETTER = 0.02  # in average precision, for a mix that is further down
STRENGTHS = (10.0, 1.0)  # inverse of the L2 penalty
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
    from threadpoolctl import threadpool_limits

    started = time.perf_counter()
    _check_counts(action, positives, negatives, background)
    if len(negatives) >= MIN_NEGATIVES and len(background) < MIN_BACKGROUND:
        background = []  # of so little footage, most may well be the action itself
    with threadpool_limits(1):  # small products: two threads would wait for each other
        return _taught(action, positives, negatives, background, encoder_id, on_progress, started)


def _taught(
    action: str,
    positives: Sequence[Example],
    negatives: Sequence[Example],
    background: Sequence[Example],
    encoder_id: str,
    on_progress: Callable[[str], None],
    started: float,
) -> tuple[TaughtHead, TeachReport]:
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
            f"{len(positives)} example{'' if len(positives) == 1 else 's'} of {action!r} "
            f"{'is' if len(positives) == 1 else 'are'} too few to learn it and to check what was "
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
    """What is learned from examples, and what the held-out scores say of it: float64 (E,) of all examples."""

    def __init__(
        self, positives: Sequence[Example], negatives: Sequence[Example], background: Sequence[Example]
    ) -> None:
        examples = [*positives, *negatives, *background]
        given, others = len(positives) + len(negatives), len(background)
        self._windows = LessonWindows(
            [example.track for example in examples],
            [example.source for example in examples],
            len(positives),
            [WINDOWS_PER_EXAMPLE] * given + [WINDOWS_PER_BACKGROUND] * others,
        )
        self.by_source = self._windows.by_source
        self._labels = np.arange(len(examples)) < len(positives)
        self._is_background = np.arange(len(examples)) >= given
        self._used = np.ones(len(examples), bool)

    def held_out(self, mix: str, strength: float) -> NDArray[np.float64]:
        """Scores of all examples by models that saw nothing of their source."""
        return self._windows.held_out(mix, strength, self._used)

    def fit(self, mix: str, strength: float) -> tuple[NDArray[np.float64], float]:
        """The weights on windows as they are, float64 (S * P * D,), and the bias."""
        return self._windows.fit(mix, strength, self._used)

    def average_precision(self, scores: NDArray[np.float64]) -> float:
        """Of what is not set aside."""
        from sklearn.metrics import average_precision_score

        return float(average_precision_score(self._labels[self._used], scores[self._used]))

    def told_apart(self, scores: NDArray[np.float64]) -> float:
        """How often an example scores higher than other footage: the area under the ROC curve."""
        from sklearn.metrics import roc_auc_score

        return float(roc_auc_score(self._labels, scores))

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
        places, count = np.flatnonzero(self._is_background), 0
        for _ in range(ROUNDS if len(places) else 0):
            share = self._share_unlabelled(scores)
            count = round(share * len(places)) if share <= LARGEST_SHARE else 0
            used = np.ones(len(scores), bool)
            used[places[np.argsort(-scores[places], kind="stable")[:count]]] = False
            if (used == self._used).all():
                break
            self._used = used
            scores = self.held_out(mix, strength)
        return scores, count

    @property
    def _share_of_others(self) -> float:
        """How much of all that is not an example was set aside."""
        return float((~self._used).sum() / max(1, (~self._labels).sum()))

    def _share_unlabelled(self, scores: NDArray[np.float64]) -> float:
        """How much of the background shows the action, at most.

        Above any score there is at least so much of it as there is of the examples, times this share.
        """
        examples, background = np.sort(scores[self._labels]), scores[self._is_background]
        fewest = max(3, math.ceil(LEAST_SHARE_OF_EXAMPLES * len(examples)))
        ratios = [
            (background >= score).mean() / (examples >= score).mean()
            for score in examples[: len(examples) - fewest + 1]
        ]
        return float(min(1.0, *ratios))

    def calibrate(self, scores: NDArray[np.float64]) -> tuple[float, float, float]:
        """Slope and offset from scores to log-odds, and how far off such a fit is when held out."""
        labels, kept = self._labels, self._used
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
        """The confidence with the best F1 on what is held out, with its precision and recall.

        None above a half is looked at: of calibrated confidences the best is half the F1 that it reaches
        (Lipton et al. 2014, arXiv:1402.1892), and above, chance decides between a few examples.
        """
        kept, labels = self._used, self._labels
        confidences = sigmoid(slope * scores[kept] + offset)
        best = (-1.0, 0.5, 0.0, 0.0)
        for threshold in (0.5, 0.4, 0.3):
            found = confidences >= threshold
            right = float((found & labels[kept]).sum())
            precision = right / max(1, int(found.sum()))
            recall = right / int(labels[kept].sum())
            f1 = 2 * precision * recall / max(1e-9, precision + recall)
            if f1 > best[0] + CLEARLY_BETTER:
                best = (f1, threshold, precision, recall)
        return best[1:]
