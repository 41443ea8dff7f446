"""Measures how much an index finds of what an exact search finds, on its own library, and sets its effort."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.budget import check_budget
from search.calibration.background_texts import BACKGROUND_TEXTS
from search.calibration.probabilities import AskedFor
from search.index.vector_index import Effort, Ids, VectorIndex, Vectors
from search.library import Library
from search.query.encoding import QueryEncoder
from search.types import Query, TextPart

QUERIES = 64  # of each kind
MOST_RANKED = 512  # for each result
MOST_RANKED_BY_WORDS = 32_000
MOST_LISTS = 2**14  # more than there are in an index of ten million clips
STEP = 2

Search = Callable[[], Ids]  # the ids that an index finds for one query


@dataclass(frozen=True, slots=True)
class Measured:
    """What an effort gives.

    Attributes:
        recall: By kind of query, "clips" and "texts", the mean share of an exact search's results that was
            found, 0..1; no kind that the library's encoder does not take.
        milliseconds: By kind, the median of a query's time in the index.
    """

    effort: Effort
    recall: dict[str, float]
    milliseconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was measured before and after an index was tuned.

    Attributes:
        kind: Of the index, as it is now.
        clips: How many it holds.
        wanted: The recall that was wanted, above 0 to 1, `at` so many results.
        before, after: None where the index compares all clips.
    """

    kind: str
    clips: int
    wanted: float
    at: int
    before: Measured | None = None
    after: Measured | None = None

    @property
    def is_reached(self) -> bool:
        """True where every kind of query finds as much as was wanted."""
        return self.after is None or min(self.after.recall.values()) >= self.wanted

    def as_json(self) -> dict[str, Any]:
        """The document that `indexer tune --json` prints."""
        return {**asdict(self), "reached": self.is_reached}


def tune(library: Library, recall: float, at: int) -> Tuning:
    """Finds the least effort with which an index finds enough, measured on stored clips and everyday words.

    The truth is an exact search over the index's own vectors. The effort is set in this program's index, and
    not saved.

    Args:
        library: Its index may be large: all of it is read once.
        recall: What is wanted, above 0 to 1.
        at: Of how many results, 1 or more.

    Raises:
        LibraryError: Nothing has been indexed yet.
    """
    with library.index() as index:
        if index.effort is None or index.is_exact():
            return Tuning(index.kind, len(index), recall, at)
    texts = _encode_texts(library)
    with library.index() as index:
        at = min(at, len(index))
        ids = index.ids()
        random = np.random.default_rng(0)
        clips = index.vectors_of(np.sort(random.choice(ids, min(QUERIES, len(ids)), replace=False)))
        truth = _search_exactly(index, clips, texts, at)
        before = best = _measure(index, clips, texts, truth, at)
        while min(best.recall.values()) < recall:
            check_budget()
            effort = _raised(best, recall)
            if effort == best.effort:
                break
            index.effort = effort
            best = _measure(index, clips, texts, truth, at)
        said = ", ".join(f"{value:.3f} for {kind}" for kind, value in best.recall.items())
        index.effort = replace(best.effort, measured=f"recall@{at} {said}")
        after = replace(best, effort=index.effort)
        return Tuning(index.kind, len(index), recall, at, before, after)


def _encode_texts(library: Library) -> list[AskedFor]:
    """Everyday words as they are searched for; none where the encoder takes no words."""
    if not library.encoder().has_text:
        return []
    encoder = QueryEncoder(library)
    chosen = BACKGROUND_TEXTS[:: max(1, len(BACKGROUND_TEXTS) // QUERIES)][:QUERIES]
    return [encoder.encode(Query((TextPart(text.strip()),))).asked for text in chosen]


def _raised(measured: Measured, recall: float) -> Effort:
    """A greater effort for the kinds of query that find too little; the same where there is no greater."""
    effort, found = measured.effort, measured.recall
    if found.get("texts", 1.0) < recall:
        effort = replace(effort, ranked_by_words=min(STEP * effort.ranked_by_words, MOST_RANKED_BY_WORDS))
    if found["clips"] < recall:
        effort = replace(
            effort, ranked=min(STEP * effort.ranked, MOST_RANKED), lists=min(STEP * effort.lists, MOST_LISTS)
        )
    return effort


def _searches(
    index: VectorIndex, clips: Vectors, texts: Sequence[AskedFor], at: int
) -> dict[str, list[Search]]:
    """A search for each query, by kind."""

    def of_clip(query: Vectors) -> Search:
        return lambda: index.search(query[None], at)[1][0]

    def of_text(asked: AskedFor) -> Search:
        if asked.things is None:
            return lambda: index.search(asked.vectors, at)[1][0]
        return lambda: index.search_by(asked, at)[1]

    found = {"clips": [of_clip(query) for query in clips], "texts": [of_text(asked) for asked in texts]}
    return {kind: searches for kind, searches in found.items() if searches}


def _measure(
    index: VectorIndex, clips: Vectors, texts: Sequence[AskedFor], truth: dict[str, list[Ids]], at: int
) -> Measured:
    assert index.effort is not None
    recall, milliseconds = {}, {}
    for kind, searches in _searches(index, clips, texts, at).items():
        shares, times = [], []
        for search, expected in zip(searches, truth[kind], strict=True):
            started = time.perf_counter()
            ids = search()
            times.append((time.perf_counter() - started) * 1000)
            shares.append(len(np.intersect1d(ids, expected)) / len(expected))
        recall[kind], milliseconds[kind] = float(np.mean(shares)), float(np.median(times))
    return Measured(index.effort, recall, milliseconds)


def _search_exactly(
    index: VectorIndex, clips: Vectors, texts: Sequence[AskedFor], at: int
) -> dict[str, list[Ids]]:
    """The best ids for each query, by kind: every vector is compared."""
    best = [_Best(at) for _ in range(len(clips) + len(texts))]
    for ids, vectors in index.batches():
        check_budget()
        scores = [*(clips @ vectors.T), *(asked.score(vectors) for asked in texts)]
        for one, found in zip(best, scores, strict=True):
            one.take(ids, found)
    every = [one.ids for one in best]
    return {"clips": every[: len(clips)], "texts": every[len(clips) :]}


class _Best:
    """The ids of the highest scores so far."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.ids: Ids = np.zeros(0, np.int64)
        self._scores: NDArray[np.float32] = np.zeros(0, np.float32)

    def take(self, ids: Ids, scores: Vectors) -> None:
        ids, scores = np.concatenate([self.ids, ids]), np.concatenate([self._scores, scores])
        if len(ids) > self._count:
            kept = np.argpartition(-scores, self._count)[: self._count]
            ids, scores = ids[kept], scores[kept]
        self.ids, self._scores = ids, scores
