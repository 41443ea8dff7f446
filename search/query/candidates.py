"""Finds the clips that answer an encoded query, looking into the index as deep as it takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encoders.budget import check_budget
from encoders.types import normalise
from encoders.words.things import Things
from search.catalog.catalog import Catalog
from search.index.vector_index import VectorIndex
from search.query.encoding import EncodedQuery
from search.query.grouping import Group, ScoredClip, group_clips
from search.types import GroupBy
from search.view import View

CANDIDATES_PER_EXAMPLE_CLIP = 100
# Where an index does not compare all clips: in how many that it finds by words the things are looked for.
CANDIDATES_BY_WORDS = 1000
CLIPS_AT_ONCE = 1024  # whose embeddings are held in memory

Ids = NDArray[np.int64]
Scores = NDArray[np.float32]


def find_groups(
    view: View, query: EncodedQuery, allowed: Ids | None, limit: int, group_by: GroupBy, background: float
) -> list[Group]:
    """Finds at least `limit` groups where so many exist, best first: looks deeper until there are.

    Args:
        view: Of the library.
        query: What to look for.
        allowed: int64 (A,), ascending, the clips that may be found; None for all.
        limit: How many groups are wanted.
        group_by: As `group_clips`.
        background: As `group_clips`.
    """
    depth = limit + len(query.excluded)
    if query.examples:
        depth = max(2 * depth, CANDIDATES_PER_EXAMPLE_CLIP)  # aligned spans swallow some
    elif group_by != "clip":
        depth = max(4 * depth, 64)
    while True:
        check_budget()
        things = query.asked.things
        if things is None:
            scored, is_all = _find_by_vectors(view, query, allowed, depth)
        else:
            scored, is_all = _find_by_things(view, query, things, allowed, depth)
        groups = group_clips(scored, group_by, background)
        if len(groups) >= limit or is_all:
            return groups
        depth *= 4


def _find_by_vectors(
    view: View, query: EncodedQuery, allowed: Ids | None, depth: int
) -> tuple[list[ScoredClip], bool]:
    """The `depth` nearest clips of each of the query's vectors, and whether there are no more."""
    with view.index() as index:
        scores, ids = index.search(query.vectors, depth, allowed)
    best: dict[int, float] = {}
    for clip_id, score in zip(ids.ravel().tolist(), scores.ravel().tolist(), strict=True):
        if clip_id not in query.excluded and score > best.get(clip_id, -2.0):
            best[clip_id] = score
    return _in_order(view.catalog, best), ids.shape[1] < depth


def _find_by_things(
    view: View, query: EncodedQuery, things: Things, allowed: Ids | None, depth: int
) -> tuple[list[ScoredClip], bool]:
    """Clips that show all things: among all clips, or what an index in lists finds by the words."""
    at_least = max(depth, CANDIDATES_BY_WORDS // len(things))
    sought = query.vectors
    if len(things) > 1:
        sought = np.concatenate([sought, normalise(things.vectors)])
    with view.index() as index:
        every = _score_all(index, query, allowed) if index.is_stored_exactly else None
        if every is None:
            _, found = index.search(sought, at_least, allowed)
    if every is not None:
        return _best_of(view.catalog, *every, depth)
    ids = np.array(list(view.catalog.clips(np.unique(found).tolist())), np.int64)
    scores = [np.zeros(0, np.float32)]
    for start in range(0, len(ids), CLIPS_AT_ONCE):
        few = ids[start : start + CLIPS_AT_ONCE].tolist()
        scores.append(query.asked.score(view.catalog.embeddings(few, view.record.dim)))
    scored, are_all = _best_of(view.catalog, ids, np.concatenate(scores), depth)
    return scored, are_all and found.shape[1] < at_least


def _score_all(index: VectorIndex, query: EncodedQuery, allowed: Ids | None) -> tuple[Ids, Scores]:
    """Every allowed clip of an index that stores vectors exactly, and its score."""
    ids, vectors = index.contents()
    may = np.ones(len(ids), np.bool_) if allowed is None else np.isin(ids, allowed)
    scores = [np.zeros(0, np.float32)]
    for start in range(0, len(ids), CLIPS_AT_ONCE):
        rows = slice(start, start + CLIPS_AT_ONCE)
        few = vectors[rows] if may[rows].all() else vectors[rows][may[rows]]
        scores.append(query.asked.score(few))
    return ids[may], np.concatenate(scores)


def _best_of(catalog: Catalog, ids: Ids, scores: Scores, depth: int) -> tuple[list[ScoredClip], bool]:
    """The `depth` best of clips, and whether that is all of them."""
    order = np.lexsort((ids, -scores))[:depth]
    best = dict(zip(ids[order].tolist(), scores[order].tolist(), strict=True))
    return _in_order(catalog, best), len(ids) <= depth


def _in_order(catalog: Catalog, scores: dict[int, float]) -> list[ScoredClip]:
    """The clips that the catalog has, best first, equal ones by id, so that an answer stays the same."""
    found = catalog.clips(list(scores))
    scored = [
        ScoredClip(found[clip_id], max(-1.0, min(1.0, score)))
        for clip_id, score in scores.items()
        if clip_id in found
    ]
    return sorted(scored, key=lambda one: (-one.score, one.clip.id))
