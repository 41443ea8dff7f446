"""Finds the clips that answer an encoded query, looking into the index as deep as it takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encoders.budget import check_budget
from search.catalog.catalog import Catalog
from search.query.encoding import EncodedQuery
from search.query.grouping import Group, ScoredClip, group_clips
from search.types import GroupBy
from search.view import View

CANDIDATES_PER_EXAMPLE_CLIP = 100

Ids = NDArray[np.int64]


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
        find = _find_by_vectors if query.asked.things is None else _find_by_things
        scored, is_all = find(view, query, allowed, depth)
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
    view: View, query: EncodedQuery, allowed: Ids | None, depth: int
) -> tuple[list[ScoredClip], bool]:
    """The `depth` clips that show best what words ask for, thing by thing, and whether there are no more."""
    with view.index() as index:
        scores, ids = index.search_by(query.asked, depth, allowed)
    best = dict(zip(ids.tolist(), scores.tolist(), strict=True))
    return _in_order(view.catalog, best), len(ids) < depth


def _in_order(catalog: Catalog, scores: dict[int, float]) -> list[ScoredClip]:
    """The clips that the catalog has, best first, equal ones by id, so that an answer stays the same."""
    found = catalog.clips(list(scores))
    scored = [
        ScoredClip(found[clip_id], max(-1.0, min(1.0, score)))
        for clip_id, score in scores.items()
        if clip_id in found
    ]
    return sorted(scored, key=lambda one: (-one.score, one.clip.id))
