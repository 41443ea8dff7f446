"""The probability that a hit shows what was asked for, from its score and the library's other scores.

A cosine alone says little: how high unrelated things score depends on the query, on the library and on
the encoder. Four things are known when a hit is judged, and a logistic model of few weights takes them
together:

- the score as a share of the best that one thing shown can score with these words (`Encoder.best_score`):
  evidence that does not depend on what else the library holds, so that "dog" is a match in an archive of
  dogs alone;
- how many deviations the score lies above the query's mean over a sample of the library;
- how many clips there are: the best of N unrelated scores grows with N (extreme values);
- how much of the words the encoder understood: the rest may be shown or not, which lowers every promise.

Weights are per family of encoders, learned from many made libraries and not from the one at hand.
`benchmarks/answers/fit_bands.py` makes those of `offline` and says from what: there the share of the best
score carries all that words are told by, and deviations add nothing to it. Several things together have
weights of their own: by those of one thing, what shows one of two clearly was too often said to show both
(calibration error 0.107, by its own 0.018). Of other encoders no best score is known: theirs follow from an
argument (see DEFAULT).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoders.words.things import Things
from search.calibration.background_texts import BACKGROUND_TEXTS
from search.calibration.sample import Sample
from search.calibration.together import best_together, score_together

# From this cosine on two clips show the same, in any library.
NEAR_COPY = 0.95
NEAR_COPY_PROBABILITY = 0.98
# Of two pictures: up to the one cosine, they are ever more of a kind; from the other on, of the same scene.
LIKE_IN_KIND, ALIKE = 0.38, 0.5
LEAST_FIT, MOST_FIT = 0.01, 1.25  # of the best score; what lies beyond says no more
# A word that is not understood is as likely shown as not: "dog invoice", of which two thirds are (as encoders
# count, see `TextReading.known_share`), is half as probable as "dog", with two such words a third.
UNKNOWN_POWER = math.log(2) / math.log(1.5)
MOST_DEVIATIONS = 12.0
LONE_DEVIATION = 0.1  # where one clip is all there is
OWN_COUNT = 16  # of clips: from so many on a query's own spread counts more than that of others


class Evidence(NamedTuple):
    """Evidence for or against a hit.

    Attributes:
        fit: score / best score, from LEAST_FIT to MOST_FIT.
        log_fit: Its natural logarithm.
        score: The cosine itself, up to LIKE_IN_KIND.
        alike: By how much it exceeds ALIKE.
        deviations: How far the score lies above the query's mean, in deviations, 0 to MOST_DEVIATIONS.
        clips: log10 of the number of clips.
    """

    fit: float
    log_fit: float
    score: float
    alike: float
    deviations: float
    clips: float


@dataclass(frozen=True, slots=True)
class Weights:
    """A logistic model of one kind of query.

    Attributes:
        constant: Added always.
        fit, log_fit, score, alike, deviations, clips: What each of `Evidence` adds to the log-odds, times its
            value.
    """

    constant: float
    fit: float = 0.0
    log_fit: float = 0.0
    score: float = 0.0
    alike: float = 0.0
    deviations: float = 0.0
    clips: float = 0.0


@dataclass(frozen=True, slots=True)
class Family:
    """The models of encoders of one kind.

    Attributes:
        words: For words that ask for one thing, or are one whole.
        examples: For pictures and footage.
        together: For words that ask for several things, each of which is told from what else is shown.
    """

    words: Weights
    examples: Weights
    together: Weights


# Unrelated scores that are spread about their mean with the tails of a logistic distribution of their
# deviation (heavier than a normal one's, as those of real archives are) lie above z deviations N exp(-1.81 z)
# times in N. So 1.81 z - ln N of the best unrelated one follows Gumbel's law whatever N is, and passes 3 in
# one library in twenty: that is where a hit of any other encoder becomes a match.
_TAIL = math.pi / math.sqrt(3)
_BY_EXTREMES = Weights(constant=-3.0, deviations=_TAIL, clips=-math.log(10.0))
DEFAULT = Family(words=_BY_EXTREMES, examples=_BY_EXTREMES, together=_BY_EXTREMES)
FAMILIES: dict[str, Family] = {
    "offline": Family(
        words=Weights(-2.0, fit=8.27, log_fit=0.632, clips=-0.83),
        examples=Weights(-6.4, score=16.8, alike=30.9, clips=-0.39),
        together=Weights(-2.26, fit=3.09, log_fit=1.22, deviations=0.331, clips=-0.614),
    ),
}


@dataclass(frozen=True, slots=True)
class AskedFor:
    """A query as its scores are judged by, before it meets a library.

    Attributes:
        vectors: float32 (Q, D), of norm 1, searched together.
        text_share: How much of the weight is that of words, 0..1.
        best_score: What a clip would score that shows all that is asked for; the encoder's word for it,
            1 where that is not known.
        known_share: How much of the words is understood, 0..1.
        things: What words ask for, where that is all that is asked for and the encoder knows it thing by
            thing.
        against: What else must not be shown: the things of each such text, and how much it counts, 0..1.
    """

    vectors: NDArray[np.float32]
    text_share: float
    best_score: float = 1.0
    known_share: float = 1.0
    things: Things | None = None
    against: tuple[tuple[Things, float], ...] = ()

    def score(self, embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
        """Scores N embeddings, float (N, D), by how well they fit: float32 (N,).

        The highest cosine with any of the vectors; of things, what `score_together` makes of their parts, on
        a scale of its own: `best_score` for what clearly shows all, and nothing of what it clearly must not.
        """
        if self.things is not None:
            return self.score_by(lambda things: things.parts(embeddings))
        cosines: NDArray[np.float32] = (embeddings @ self.vectors.T).max(axis=1, initial=-1.0)
        return cosines

    def score_by(self, parts: Callable[[Things], NDArray[np.float32]]) -> NDArray[np.float32]:
        """Scores N embeddings of which only each thing's part is known: as `score`, where there are things.

        Args:
            parts: As `Things.parts` gives them, of any things: float32 (C, N).
        """
        assert self.things is not None
        scores = score_together(parts(self.things))
        for things, weight in self.against:
            shown = score_together(parts(things)) / best_together(things)
            scores *= 1.0 - weight * np.clip(shown, 0.0, 1.0)
        return scores


@dataclass(frozen=True, slots=True)
class Level:
    """Calibrated meaning of the scores of one query in one library.

    Attributes:
        words, examples: The models of the library's encoder for such words, and for examples.
        text_share, best_score, known_share: As in `AskedFor`.
        clips: How many clips are searched, 1 or more.
        mean, deviation: Of the query's scores over the library.
        lead: By how many deviations the mean lies above those of unrelated texts; None where there are none.
    """

    words: Weights
    examples: Weights
    text_share: float
    best_score: float
    known_share: float
    clips: int
    mean: float
    deviation: float
    lead: float | None = None

    def probability(self, score: float) -> float:
        """Probability that a hit of this score shows what was asked for: 0..1, rising with the score."""
        share = self.text_share
        odds = share * self._log_odds(self.words, score)
        odds += (1.0 - share) * self._log_odds(self.examples, score)
        probability = 1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, odds))))
        probability *= self.known_share ** (UNKNOWN_POWER * share)
        if share == 0.0 and score >= NEAR_COPY:
            return max(probability, NEAR_COPY_PROBABILITY)
        return probability

    def score_at(self, probability: float) -> float:
        """Finds the lowest score, -1..1, of which a hit is as probable as that; 1 where none is."""
        low, high = -1.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (low, middle) if self.probability(middle) >= probability else (middle, high)
        return high

    def evidence(self, score: float) -> Evidence:
        """Evidence for a hit of this score."""
        fit = min(max(score / self.best_score, LEAST_FIT), MOST_FIT)
        return Evidence(
            fit=fit,
            log_fit=math.log(fit),
            score=min(score, LIKE_IN_KIND),
            alike=max(score - ALIKE, 0.0),
            deviations=min(max((score - self.mean) / self.deviation, 0.0), MOST_DEVIATIONS),
            clips=math.log10(self.clips),
        )

    def _log_odds(self, weights: Weights, score: float) -> float:
        odds = weights.constant
        for name, value in zip(Evidence._fields, self.evidence(score), strict=True):
            odds += getattr(weights, name) * value
        if self.lead is not None:
            # An archive of one thing: no clip stands out, but the words stand out among all others.
            below = min((score - self.mean) / self.deviation, 0.0)
            whole = _TAIL * (self.lead + below) - math.log(len(BACKGROUND_TEXTS))
            odds = max(odds, whole)
        return odds


def is_fitted(encoder_id: str) -> bool:
    """True where there are weights of its own for an encoder's family."""
    return _family_name(encoder_id) in FAMILIES


def judge(asked: AskedFor, sample: Sample, encoder_id: str) -> Level:
    """Calibrates the scores of a query in the library of a sample.

    Args:
        asked: The query.
        sample: Of the library.
        encoder_id: Of the library; its first part names the family.
    """
    family = FAMILIES.get(_family_name(encoder_id))
    models = family or DEFAULT
    share = asked.text_share
    scores = asked.score(sample.embeddings)
    unlike = scores[scores < NEAR_COPY].astype(np.float64)
    mean, deviation = _spread(unlike, sample, share)
    lead = None
    if family is None and share > 0.5 and sample.text_means is not None and len(unlike):
        # Texts differ less in a library where each of its clips is of another kind.
        spread = max(float(sample.text_means.std()), 1e-3)
        lead = (float(unlike.mean()) - float(sample.text_means.mean())) / spread
    return Level(
        words=models.together if len(asked.things or ()) > 1 else models.words,
        examples=models.examples,
        text_share=share,
        best_score=max(asked.best_score, 1e-3),
        known_share=asked.known_share,
        clips=max(sample.clips, 1),
        mean=mean,
        deviation=max(deviation, 1e-4),
        lead=lead,
    )


def _spread(scores: NDArray[np.float64], sample: Sample, share: float) -> tuple[float, float]:
    """Mean and deviation of scores; the latter drawn towards that of other queries in this library.

    As if those were OWN_COUNT more scores: of a handful, the deviation says little.
    """
    usual = sample.clip_deviation
    if share > 0.5 and sample.text_deviation is not None:
        usual = sample.text_deviation
    usual = LONE_DEVIATION if usual is None else usual
    if not len(scores):
        return 0.0, usual
    count = len(scores)
    variance = (float(scores.var()) * count + OWN_COUNT * usual**2) / (count + OWN_COUNT)
    return float(scores.mean()), math.sqrt(variance)


def _family_name(encoder_id: str) -> str:
    return encoder_id.split("/", 1)[0]
