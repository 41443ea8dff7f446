"""Right answers: every embedding scored for every question, in chunks, by nothing that is being measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.large.questions import Question, by_vector
from search.calibration.probabilities import AskedFor

CHUNK = 4096
DEPTH = 100
TOLERANCE = 1e-6  # clips that differ by less are equally good: rounding decides between them


@dataclass(frozen=True, slots=True)
class Truth:
    """The best scores that there are, by filter and question.

    Attributes:
        asked: What each question's scores are.
        clips: float16 (N, D), that were scored.
        best: float32 (F, Q, 100), descending; -inf where fewer clips pass.
    """

    asked: Sequence[AskedFor]
    clips: NDArray[np.float16]
    best: NDArray[np.float32]

    def recall(self, question: int, case: int, rows: Sequence[int], k: int) -> float | None:
        """The share of the k best that was found, as far as so many pass; None where none does.

        A clip counts as one of the k best where its true score is the k-th best score or better.
        """
        best = self.best[case, question, :k]
        there = int(np.isfinite(best).sum())
        if not there:
            return None
        found = np.unique(np.array(rows[:k], np.int64))
        if not len(found):
            return 0.0
        scores = self.asked[question].score(self.clips[found].astype(np.float32))
        return min(1.0, int((scores >= best[there - 1] - TOLERANCE).sum()) / there)


def find_truth(
    clips: NDArray[np.float16],
    questions: Sequence[Question],
    passes: Sequence[NDArray[np.bool_]],
    *,
    by_cosine: bool,
) -> Truth:
    """Scores all clips.

    Args:
        clips: float16 (N, D).
        questions: Whose own clip is no answer.
        passes: Of each filter, bool (N,).
        by_cosine: With the vector alone, as others search; else as ours are judged (`AskedFor.score`).
    """
    asked = [by_vector(one.vector) if by_cosine else one.asked for one in questions]
    plain = np.array([one.things is None for one in asked])
    vectors = np.concatenate([one.vectors[:1] for one in asked])
    own = np.array([one.row for one in questions])
    best = np.full((len(passes), len(questions), DEPTH), -np.inf, np.float32)
    for start in range(0, len(clips), CHUNK):
        chunk = clips[start : start + CHUNK].astype(np.float32)
        scores = np.empty((len(questions), len(chunk)), np.float32)
        scores[plain] = vectors[plain] @ chunk.T
        for number in np.flatnonzero(~plain):
            scores[number] = asked[number].score(chunk)
        inside = (own >= start) & (own < start + len(chunk))
        scores[inside, own[inside] - start] = -np.inf
        for case, passing in enumerate(passes):
            few = scores[:, passing[start : start + len(chunk)]]
            together = np.concatenate([best[case], few], axis=1)
            best[case] = -np.partition(-together, DEPTH - 1, axis=1)[:, :DEPTH]
    return Truth(asked, clips, -np.sort(-best, axis=2))
