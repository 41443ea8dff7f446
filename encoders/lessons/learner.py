"""Learning from a lesson's examples: the kinds of classifier that are tried, and the choice among them.

Three ways to tell the action: by the kinds of things that are shown, where the encoder knows such
(`encoders.words.concepts`); by windows of features (`encoders.lessons.windows`); by the words of its name.
Each, and some of them together, is learned without a part of the examples and judged by those: the simplest
one that does as well as any is kept. What people gave as "not this" is all that judges, where they gave
enough of it; other footage of the library then is learned from only where that does clearly better on what
people gave.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.heads.head import FeatureTrack
from encoders.heads.platt import expected_calibration_error, fit_platt
from encoders.heads.taught import sigmoid
from encoders.heads.windows import PARTS, SCALES_SECONDS
from encoders.lessons.windows import MIXES, LessonWindows
from encoders.words.concepts import Concepts, Generalisation

FOLDS = 5
MIN_NEGATIVES = 5  # given by people: fewer cannot judge alone
MIN_BACKGROUND = 30
WINDOWS_PER_EXAMPLE = 8
WINDOWS_PER_BACKGROUND = 2
CLEARLY_BETTER = 0.02  # in average precision, for a way that is further down
KINDS_LEAD = 0.4  # so much over the number of videos, for a way that leaves kinds or adds to them
STRENGTHS = (10.0, 1.0)  # inverse of the L2 penalty
PRIOR = 0.2  # how common the action is taken to be, where nothing says
COMMON = (0.1, 0.5)  # the range in which footage that nobody labelled may say otherwise
SURELY_TOLD_APART = 0.95  # area under the ROC curve from which on it may
VIDEOS_THAT_CHOOSE = 4  # of the action; fewer cannot tell one way of telling it from another
ROUNDS = 3  # of setting background aside
LARGEST_SHARE = 0.5  # of the background, that may show the action; beyond, the lesson is at fault
LEAST_SHARE_OF_EXAMPLES = 0.4  # above the score at which background is counted: fewer say too little


@dataclass(frozen=True, slots=True)
class Way:
    """A way to tell the action.

    Attributes:
        kinds: By kinds of things.
        mix: By windows, one of `MIXES`; "" for not.
        strength: Of what is learned on windows.
        words: By the likeness of frames to its name.
    """

    kinds: bool = False
    mix: str = ""
    strength: float = 0.0
    words: bool = False

    def __str__(self) -> str:
        parts = ["kinds"] * self.kinds + [self.mix] * bool(self.mix) + ["its name"] * self.words
        return " and ".join(parts)


@dataclass(frozen=True, slots=True)
class Learned:
    """The parts of a head, before calibration.

    Attributes:
        weights: float64 (S * P * D,), on windows.
        bias: Added to them.
        kinds: float32 (D,), or None; `kinds_gain` is what its log-odds are multiplied by.
    """

    weights: NDArray[np.float64]
    bias: float
    kinds: NDArray[np.float32] | None
    kinds_gain: float


class Learner:
    """Examples in the order positives, negatives, background; scores of all are float64 (E,).

    Attributes:
        labels: bool (E,).
        judges: bool (E,), which examples the figures are of.
        by_source: Whether whole sources are held out.
        is_checked: Whether anything can be held out; else scores are of what was learned from.
        set_aside: How many pieces of background are left out, because they look too much like the action.
    """

    def __init__(
        self,
        tracks: Sequence[FeatureTrack],
        sources: Sequence[Hashable],
        counts: tuple[int, int],
        concepts: Concepts | None,
        name: NDArray[np.floating] | None,
    ) -> None:
        """Prepares them.

        Args:
            tracks: Of all examples.
            sources: What each is from; what is from the same is held out together.
            counts: How many positives, and how many negatives.
            concepts: What the encoder offers.
            name: The text that names the action, (D,); None where it says nothing.
        """
        number = np.arange(len(tracks))
        self.labels = number < counts[0]
        self._is_background = number >= sum(counts)
        self._is_given = ~self._is_background
        has_judges = counts[1] >= MIN_NEGATIVES
        self.judges = self._is_given.copy() if has_judges else np.ones(len(tracks), bool)
        self._used = self.judges.copy()
        self.set_aside = 0
        self._tracks = tracks
        self._videos = len(set(sources[: counts[0]]))
        self._name = name
        self._folds, self.by_source = deal_folds(self.labels, sources, self.judges)
        self.is_checked = len(np.unique(self._folds[self.judges])) > 1
        self._kinds = (
            None
            if concepts is None
            else Generalisation(concepts, [one.features for one in tracks], self._counts(sources), name)
        )
        self._windows: LessonWindows | None = None
        self._gains: dict[str, float] = {}

    def _counts(self, sources: Sequence[Hashable]) -> NDArray[np.float64]:
        """Weights of examples: those of one source and side count as one together."""
        keys = [(source, bool(label)) for source, label in zip(sources, self.labels, strict=True)]
        number = Counter(keys)
        return np.array([1.0 / number[key] for key in keys])

    # --- ways ------------------------------------------------------------------------------

    def choose(self) -> Way:
        """The simplest way that does as well as any on what is held out."""
        ways: list[Way] = []
        best = 0.0
        if self._kinds is not None:
            ways.append(Way(kinds=True))
            self._with_name = self._name is not None and (
                self._figure(self._kinds_scores(True)) >= self._figure(self._kinds_scores(False))
            )
            best = self._figure(self.scores(ways[0]))
        if ways and (best > 1 - CLEARLY_BETTER or self._videos < VIDEOS_THAT_CHOOSE):
            return ways[0]  # nothing can do clearly better, or too little says what does
        by_windows = self._choose_windows()
        if self._kinds is not None:
            ways.append(Way(True, by_windows.mix, by_windows.strength))
        ways.append(by_windows)
        if self._kinds is None and self._name is not None:
            ways += [Way(False, by_windows.mix, by_windows.strength, words=True), Way(words=True)]
        chosen, best = ways[0], self._figure(self.scores(ways[0]))
        for way in ways[1:]:
            # Of few videos the figure says little, and kinds mislead least.
            least = max(CLEARLY_BETTER, KINDS_LEAD / self._videos) if chosen.kinds else CLEARLY_BETTER
            if (figure := self._figure(self.scores(way))) > best + least:
                chosen, best = way, figure
        return chosen

    def _choose_windows(self) -> Way:
        best, found = -1.0, Way()
        for mix in MIXES:
            for strength in STRENGTHS:
                figure = self._figure(self._windows_scores(mix, strength))
                if figure > best + (CLEARLY_BETTER if found.mix else 0.0):
                    best, found = figure, Way(mix=mix, strength=strength)
        if self._is_background.sum() >= MIN_BACKGROUND and not self._used[self._is_background].any():
            without = self._used
            self._used = np.ones(len(self.labels), bool)
            if self._figure(self._windows_scores(found.mix, found.strength)) <= best + CLEARLY_BETTER:
                self._used = without
        return found

    def scores(self, way: Way) -> NDArray[np.float64]:
        """Scores of all examples, by models that saw nothing of their source."""
        parts: dict[str, NDArray[np.float64]] = {}
        if way.kinds:
            parts["kinds"] = self._kinds_scores(self._with_name)
        if way.mix:
            parts["windows"] = self._windows_scores(way.mix, way.strength)
        if way.words:
            assert self._name is not None
            parts["words"] = np.array([float((one.features @ self._name).mean()) for one in self._tracks])
        # Each part counts alike: by how far it spreads over the examples that judge.
        self._gains = {name: 1.0 / max(1e-6, float(one[self.judges].std())) for name, one in parts.items()}
        return np.sum([self._gains[name] * one for name, one in parts.items()], axis=0)

    def _kinds_scores(self, with_name: bool) -> NDArray[np.float64]:
        assert self._kinds is not None
        scores = np.zeros(len(self.labels))
        for fold in np.unique(self._folds).tolist():
            held = self._folds == fold
            kept = self._is_given & (~held if self.is_checked else True)
            weights = self._kinds.learn(kept & self.labels, kept & ~self.labels, with_name=with_name)
            scores[held] = self._kinds.scores(weights)[held]
        return scores

    def _windows_scores(self, mix: str, strength: float) -> NDArray[np.float64]:
        if self._windows is None:
            most = np.where(self._is_given, WINDOWS_PER_EXAMPLE, WINDOWS_PER_BACKGROUND).tolist()
            self._windows = LessonWindows(self._tracks, int(self.labels.sum()), most)
        if self.is_checked:
            return self._windows.held_out(mix, strength, self._used, self._folds)
        weights, bias = self._windows.fit(mix, strength, self._used)
        return self._windows.scores(weights, bias)

    def learn(self, way: Way) -> Learned:
        """The same from all examples, after `scores` was asked for this way."""
        weights, bias, kinds = np.zeros(0), 0.0, None
        dim = self._tracks[0].features.shape[1]
        shape = (len(SCALES_SECONDS), len(PARTS), dim)
        total = np.zeros(shape)
        if way.mix:
            assert self._windows is not None
            weights, bias = self._windows.fit(way.mix, way.strength, self._used)
            total += self._gains["windows"] * weights.reshape(shape)
            bias *= self._gains["windows"]
        if way.words:
            assert self._name is not None
            total[:, 0] += self._gains["words"] * self._name / len(SCALES_SECONDS)
        if way.kinds:
            assert self._kinds is not None
            given = self._is_given
            kinds = self._kinds.learn(given & self.labels, given & ~self.labels, with_name=self._with_name)
        return Learned(total.ravel(), bias, kinds, self._gains.get("kinds", 0.0))

    # --- figures ---------------------------------------------------------------------------

    @property
    def counted(self) -> NDArray[np.bool_]:
        """bool (E,): the examples that judge, but for what is set aside."""
        return self.judges & (self._used | self._is_given)

    def _figure(self, scores: NDArray[np.float64]) -> float:
        """Average precision of what judges."""
        from sklearn.metrics import average_precision_score

        return float(average_precision_score(self.labels[self.counted], scores[self.counted]))

    average_precision = _figure

    def area_under_roc(self, scores: NDArray[np.float64]) -> float:
        """The area under the ROC curve: how often an example scores higher than what judges beside it."""
        from sklearn.metrics import roc_auc_score

        return float(roc_auc_score(self.labels[self.judges], scores[self.judges]))

    def leave_out_alike(self, way: Way, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Leaves out the background that judges though it may well show the action; new scores."""
        places = np.flatnonzero(self._is_background & self.judges)
        for _ in range(ROUNDS if len(places) else 0):
            share = self._share_unlabelled(scores)
            count = round(share * len(places)) if share <= LARGEST_SHARE else 0
            used = np.ones(len(scores), bool)
            used[places[np.argsort(-scores[places], kind="stable")[:count]]] = False
            self.set_aside = count
            if (used == self._used).all() or not (used & ~self.labels).any():
                break
            self._used = used
            scores = self.scores(way)
        return scores

    def _share_unlabelled(self, scores: NDArray[np.float64]) -> float:
        """The largest share of background that may show the action (best bin estimation, see `lesson.py`).

        Above any score there is at least so much of it as there is of the examples, times this share.
        """
        examples, background = np.sort(scores[self.labels]), scores[self._is_background]
        fewest = min(len(examples), max(3, math.ceil(LEAST_SHARE_OF_EXAMPLES * len(examples))))
        ratios = [
            (background >= score).mean() / (examples >= score).mean()
            for score in examples[: len(examples) - fewest + 1]
        ]
        return float(min(1.0, *ratios))

    def calibrate(self, scores: NDArray[np.float64]) -> tuple[float, float, float | None]:
        """Slope and offset from scores to log-odds, and how far off such a fit is when held out."""
        labels, judges, counted = self.labels[self.judges], scores[self.judges], self.counted[self.judges]
        share = self.set_aside / max(1, int((~labels).sum()))
        slope, offset = fit_platt(judges, labels, PRIOR, share)
        if not self.is_checked and list(self._gains) == ["kinds"]:
            return 1.0 / self._gains["kinds"], 0.0, None  # kinds have log-odds of their own
        odd = np.arange(len(judges)) % 2 == 1
        if min(labels[odd].sum(), (~labels[odd]).sum(), labels[~odd].sum(), (~labels[~odd]).sum()) == 0:
            return slope, offset, None
        confidences = np.empty(len(judges))
        for part in (odd, ~odd):
            half = fit_platt(judges[~part], labels[~part], PRIOR, share)
            confidences[part] = sigmoid(half[0] * judges[part] + half[1])
        common = labels[counted].mean()
        weights = np.where(labels[counted], PRIOR / common, (1 - PRIOR) / (1 - common))
        return (
            slope,
            offset,
            expected_calibration_error(confidences[counted], labels[counted], weights),
        )

    def more_common(self, scores: NDArray[np.float64], slope: float, offset: float) -> float:
        """By how much log-odds change, because the action is more or less common here than `PRIOR`.

        How common it is, is read off footage that nobody labelled: expectation and maximisation (Saerens,
        Latinne and Decaestecker 2002). Only where what was learned tells well.
        """
        unlabelled = self._is_background & ~self.judges
        if unlabelled.sum() < MIN_BACKGROUND or self.area_under_roc(scores) < SURELY_TOLD_APART:
            return 0.0
        logits = slope * scores[unlabelled] + offset
        usual = math.log(PRIOR / (1 - PRIOR))
        shift = 0.0
        for _ in range(50):
            common = float(np.clip(sigmoid(logits + shift).mean(), *COMMON))
            shift = math.log(common / (1 - common)) - usual
        return shift


def deal_folds(
    labels: NDArray[np.bool_], sources: Sequence[Hashable], judges: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], bool]:
    """Deals examples into folds, int64 (E,), and says whether whole sources are held out.

    Dealt out like cards, so that each fold has its share of both sides; a source that shows both stays
    whole, in the fold of its positives. Where that leaves nothing of a side to learn from, single examples
    are dealt; where that does too, all are in one fold: nothing can be held out.
    """
    numbers = {source: number for number, source in enumerate(dict.fromkeys(sources))}
    by_source = np.array([numbers[source] for source in sources])
    for group in (by_source, np.arange(len(labels))):
        folds = _dealt(labels, group)
        if all(
            (labels & judges & (folds != fold)).any() and (~labels & judges & (folds != fold)).any()
            for fold in np.unique(folds).tolist()
        ):
            return folds, group is by_source
    return np.zeros(len(labels), np.int64), False


def _dealt(labels: NDArray[np.bool_], group: NDArray[np.int64]) -> NDArray[np.int64]:
    random = np.random.default_rng(0)
    folds = np.zeros(len(group), np.int64)
    for side in (labels, ~labels):
        names = np.unique(group[side])
        if side is not labels:
            names = np.setdiff1d(names, group[labels])
        random.shuffle(names)
        for number, name in enumerate(names.tolist()):
            folds[group == name] = number % FOLDS
    return folds
