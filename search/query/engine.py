"""Answers queries: encodes, searches the index under the filters, aligns, groups, shows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from encoders.errors import InvalidQueryError
from search.actions.finding import FoundSegments, find_allowed_clips, find_filtering, read_segments_touching
from search.alignment.aligning import find_leads, match_videos, merged, passes
from search.bands import MATCH_PROBABILITY, MAYBE_PROBABILITY
from search.calibration.probabilities import Level, judge
from search.catalog.actions.spans import Span, overlaps_enough
from search.catalog.catalog import Catalog
from search.catalog.clips.views import ShownClips
from search.catalog.record import open_record
from search.hits import ActionTag, Hit, SearchResult
from search.library import Library
from search.query.candidates import find_groups
from search.query.encoding import EncodedQuery, QueryEncoder
from search.query.fitting_frames import order_key_frames
from search.query.grouping import Group
from search.query.timeline import VideoMatches, score_frames
from search.types import MAX_LIMIT, Filters, GroupBy, Query, Segment
from search.view import View


class SearchEngine:
    """Answers queries on one library; safe to share between threads.

    Attributes:
        encoder: Encodes queries ahead of a search.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self.encoder = QueryEncoder(library)

    def search(
        self,
        query: Query | EncodedQuery,
        filters: Filters | None = None,
        *,
        limit: int = 10,
        group_by: GroupBy = "clip",
    ) -> SearchResult:
        """Finds the moments that resemble a query most.

        Args:
            query: What to look for.
            filters: What every hit must satisfy; applied inside the vector search.
            limit: Most hits to return, 1 to 10,000.
            group_by: "clip", "moment" (neighbouring clips merged) or "video" (best clip each).

        Raises:
            InvalidQueryError: The limit is out of range, or parts of the query cancel out.
            NotFoundError: A clip or video that the query names does not exist.
            UnsupportedQueryError: The library's encoder cannot encode such a query.
            UnknownActionError: The filters name an action that nothing knows.
            LibraryError: Nothing has been indexed yet.
        """
        if not 1 <= limit <= MAX_LIMIT:
            raise InvalidQueryError(f"the limit must be from 1 to {MAX_LIMIT}, got {limit}")
        filters = filters or Filters()
        started = time.perf_counter()
        encoded = query if isinstance(query, EncodedQuery) else self.encoder.encode(query)
        wanted = find_filtering(self._library, filters)
        with self._library.view() as view:
            allowed = find_allowed_clips(view, filters, wanted)
            hits = self._answer(view, encoded, filters, allowed, wanted, limit, group_by)
            is_exact = view.is_exact(allowed)
        return SearchResult(
            hits=tuple(hits),
            encoder=view.record.encoder_id,
            exact=is_exact,
            took_ms=(time.perf_counter() - started) * 1000,
            understood=encoded.understood,
        )

    def _answer(
        self,
        view: View,
        encoded: EncodedQuery,
        filters: Filters,
        allowed: NDArray[np.int64] | None,
        wanted: FoundSegments | None,
        limit: int,
        group_by: GroupBy,
    ) -> list[Hit]:
        """The hits in one state of the library."""
        level = judge(encoded.asked, view.sample, view.record.encoder_id)
        groups = find_groups(view, encoded, allowed, limit, group_by, level.score_at(MAYBE_PROBABILITY))
        shown = groups if encoded.examples else groups[:limit]
        ids = [one.clip.id for group in shown for one in group.clips]
        hits = _hits(shown, view.catalog.views.clips(ids, filters.caption), level)
        if encoded.examples:
            matched = self._matched(view, encoded, filters, allowed, wanted, level)
            hits = merged(matched, hits, one_per_video=group_by == "video")[:limit]
        letting_in = read_segments_touching(view.catalog, _spans(hits), wanted)
        hits = _tagged(view.catalog, hits, letting_in)
        return order_key_frames(view.catalog, hits, encoded.asked.score, view.record.dim)

    def matches(self, query: Query | EncodedQuery, video_id: int) -> VideoMatches:
        """Scores each stored frame of a video by how well a query fits it.

        Raises:
            InvalidQueryError, NotFoundError, UnsupportedQueryError, LibraryError: As `search`.
        """
        encoded = query if isinstance(query, EncodedQuery) else self.encoder.encode(query)
        sample = self._library.sample()
        with self._library.read() as catalog:
            record = open_record(catalog)
            catalog.video(video_id)
            level = judge(encoded.asked, sample, record.encoder_id)
            times, scores = score_frames(catalog.tracks(video_id, record.dim), encoded.asked.score)
        usual, sure = level.score_at(MAYBE_PROBABILITY), level.score_at(MATCH_PROBABILITY)
        return VideoMatches(video_id, times, scores, usual, sure)

    def _matched(
        self,
        view: View,
        encoded: EncodedQuery,
        filters: Filters,
        allowed: NDArray[np.int64] | None,
        wanted: FoundSegments | None,
        level: Level,
    ) -> list[Hit]:
        """One hit for each video that shows a part of the query's footage, and passes the filters."""
        with view.index() as index:
            leads = find_leads(index, view.catalog, encoded.examples, allowed)
        sample_ids = view.sample.clip_ids.tolist()
        pool = self._library.encoder().pool
        found = match_videos(view.catalog, encoded.examples, leads, sample_ids, level, pool)
        letting_in = read_segments_touching(view.catalog, _spans(found), wanted)
        hits = [hit for hit in found if passes(hit, allowed, filters, letting_in[hit.video_id])]
        captions = view.catalog.views.clips([hit.clip_id for hit in hits], filters.caption).captions
        return [replace(hit, caption=captions.get(hit.clip_id)) for hit in hits]


def _hits(groups: Sequence[Group], shown: ShownClips, level: Level) -> list[Hit]:
    return [
        Hit(
            clip_id=group.best.clip.id,
            video_id=group.best.clip.video_id,
            path=group.best.clip.path,
            start_seconds=group.clips[0].clip.start_seconds,
            end_seconds=group.clips[-1].clip.end_seconds,
            score=group.best.score,
            probability=level.probability(group.best.score),
            key_frames=tuple(frame for one in group.clips for frame in shown.frames[one.clip.id]),
            caption=shown.captions.get(group.best.clip.id),
        )
        for group in groups
    ]


def _tagged(catalog: Catalog, hits: list[Hit], letting_in: dict[int, list[Segment]]) -> list[Hit]:
    """The hits with what heads saw in their spans, the surest first, each action of a head once.

    Of the action that the filters name, also what is less sure than its head's threshold: it was asked for.
    """
    segments = catalog.actions.segments_touching(_spans(hits))
    tagged = []
    for hit in hits:
        best: dict[tuple[str, str], float] = {}
        for segment in [*segments[hit.video_id], *letting_in[hit.video_id]]:
            if _shows(hit, segment):
                name = (segment.action, segment.head)
                best[name] = max(best.get(name, 0.0), segment.confidence)
        actions = (ActionTag(action, confidence, head) for (action, head), confidence in best.items())
        tagged.append(replace(hit, actions=tuple(sorted(actions, key=lambda tag: -tag.confidence))))
    return tagged


def _spans(hits: Sequence[Hit]) -> dict[int, list[Span]]:
    """The spans of hits, by video."""
    spans: dict[int, list[Span]] = {}
    for hit in hits:
        spans.setdefault(hit.video_id, []).append((hit.start_seconds, hit.end_seconds))
    return spans


def _shows(hit: Hit, segment: Segment) -> bool:
    return overlaps_enough(hit.start_seconds, hit.end_seconds, segment)
