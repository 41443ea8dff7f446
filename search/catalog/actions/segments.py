"""Segments: spans of videos in which heads found actions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, delete, func, insert, or_, select, tuple_

from encoders.heads.head import ActionSpan
from search.catalog.actions.heads import DRAFT
from search.catalog.actions.spans import LEAST_OVERLAP_SECONDS, Span
from search.catalog.statements import Statements, larger, smaller, split_into_chunks, video_conditions
from search.catalog.tables import clips, heads, segments, videos
from search.types import Segment, SegmentQuery

EVERYWHERE: Span = (-math.inf, math.inf)
KEPT_STATEMENTS = 64


class SegmentCatalog(Statements):
    """Reads and writes segments."""

    def add_segments(self, video_id: int, head_id: int, spans: Iterable[ActionSpan]) -> None:
        """Adds what a head found in a video."""
        rows = [
            {
                "video_id": video_id,
                "head_id": head_id,
                "action": span.action,
                "start_seconds": span.start_seconds,
                "end_seconds": span.end_seconds,
                "confidence": span.confidence,
            }
            for span in spans
        ]
        if rows:
            self.change_filters()
            self._connection.execute(insert(segments), rows)

    def clear_segments(self, video_id: int, head_ids: Sequence[int] | None = None) -> None:
        """Removes a video's segments: all, or those of some heads."""
        condition = segments.c.video_id == video_id
        if head_ids is not None:
            condition = and_(condition, segments.c.head_id.in_(head_ids))
        self.change_filters()
        self._connection.execute(delete(segments).where(condition))

    def count_segments(self, filters: SegmentQuery) -> int:
        """Counts the segments that pass."""
        query = select(func.count()).select_from(_joined()).where(*_segment_conditions(filters))
        return self._connection.execute(query).scalar_one()

    def list_segments(
        self,
        filters: SegmentQuery,
        *,
        after: tuple[str, float, int] | None = None,
        limit: int | None = None,
    ) -> Iterator[Segment]:
        """Yields segments that pass, by path and time.

        Args:
            filters: Which.
            after: Path, start and id of the segment to continue after.
            limit: None means all of them, streamed.
        """
        order = (videos.c.path, segments.c.start_seconds, segments.c.id)
        query = _segment_select().where(*_segment_conditions(filters)).order_by(*order)
        if after is not None:
            query = query.where(tuple_(*order) > tuple_(*after))
        if limit is not None:
            query = query.limit(limit)
        for row in self._connection.execute(query).yield_per(2000):
            yield Segment(*row)

    def segments_of_videos(
        self, video_ids: Iterable[int], filters: SegmentQuery | None = None
    ) -> dict[int, list[Segment]]:
        """Returns segments of some videos, in order of time, that pass or else reach their thresholds."""
        return self.segments_touching({video_id: [EVERYWHERE] for video_id in video_ids}, filters)

    def segments_touching(
        self, spans: Mapping[int, Sequence[Span]], filters: SegmentQuery | None = None
    ) -> dict[int, list[Segment]]:
        """Returns as `segments_of_videos` what lies in some spans of videos, if only in part."""
        found: dict[int, list[Segment]] = {video_id: [] for video_id in spans}
        query = _of_videos(filters or SegmentQuery())
        for chunk in split_into_chunks(found):
            for row in self._connection.execute(query, {"video_ids": chunk}).all():
                _, video_id, _, start, end, *_ = row
                if any(start < span_end and end > span_start for span_start, span_end in spans[video_id]):
                    found[video_id].append(Segment(*row))
        return found

    def counts(self) -> dict[tuple[int, str], tuple[int, float]]:
        """Counts segments that reach the threshold, by head id and action, and sums up their seconds."""
        length = func.sum(segments.c.end_seconds - segments.c.start_seconds)
        query = (
            select(segments.c.head_id, segments.c.action, func.count(), length)
            .select_from(_joined())
            .where(*_segment_conditions(SegmentQuery(), with_drafts=True))
            .group_by(segments.c.head_id, segments.c.action)
        )
        return {(row[0], row[1]): (row[2], float(row[3])) for row in self._connection.execute(query)}


def clips_with_action(filters: SegmentQuery) -> Select[Any]:
    """Selects the ids of the clips that show one of the actions."""
    shared = smaller(segments.c.end_seconds, clips.c.end_seconds) - larger(
        segments.c.start_seconds, clips.c.start_seconds
    )
    enough = or_(
        shared >= LEAST_OVERLAP_SECONDS,
        2 * shared >= clips.c.end_seconds - clips.c.start_seconds,
        2 * shared >= segments.c.end_seconds - segments.c.start_seconds,
    )
    return (
        select(clips.c.id)
        .select_from(segments)
        .join(heads, heads.c.id == segments.c.head_id)
        .join(clips, clips.c.video_id == segments.c.video_id)
        .where(
            clips.c.start_seconds < segments.c.end_seconds,
            clips.c.end_seconds > segments.c.start_seconds,
            enough,
            *_segment_conditions(filters, with_videos=False),
        )
    )


def spans_of_actions(filters: SegmentQuery) -> Select[Any]:
    """Selects video, start and end of the segments that pass, out of their index alone."""
    return (
        select(segments.c.video_id, segments.c.start_seconds, segments.c.end_seconds)
        .select_from(segments)
        .join(heads, heads.c.id == segments.c.head_id)
        .where(*_segment_conditions(filters, with_videos=False))
    )


def _joined() -> Any:
    return segments.join(heads, heads.c.id == segments.c.head_id).join(
        videos, videos.c.id == segments.c.video_id
    )


@lru_cache(maxsize=KEPT_STATEMENTS)
def _of_videos(filters: SegmentQuery) -> Select[Any]:
    """The statement of `segments_touching`, which takes longer to be made than to be answered."""
    is_asked = segments.c.video_id.in_(bindparam("video_ids", expanding=True))
    query = _segment_select().where(is_asked, *_segment_conditions(filters))
    return query.order_by(segments.c.start_seconds, segments.c.id)


def _segment_select() -> Select[Any]:
    return select(
        segments.c.id,
        segments.c.video_id,
        videos.c.path,
        segments.c.start_seconds,
        segments.c.end_seconds,
        segments.c.action,
        segments.c.confidence,
        case(
            (heads.c.kind == DRAFT, DRAFT),
            (heads.c.name == segments.c.action, "taught"),
            else_=heads.c.name,
        ).label("head"),
    ).select_from(_joined())


def _segment_conditions(
    filters: SegmentQuery, *, with_videos: bool = True, with_drafts: bool = False
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [heads.c.is_active]
    if with_videos:
        conditions.append(videos.c.status != "staging")
    if filters.actions is not None:
        conditions.append(segments.c.action.in_(filters.actions))
    elif not with_drafts:
        conditions.append(heads.c.kind != DRAFT)
    if filters.min_confidence is None:
        conditions.append(segments.c.confidence >= heads.c.threshold)
    else:
        conditions.append(segments.c.confidence >= filters.min_confidence)
    if filters.min_duration_seconds is not None:
        length = segments.c.end_seconds - segments.c.start_seconds
        conditions.append(length >= filters.min_duration_seconds - 1e-6)
    if of_videos := video_conditions(filters):
        # Without the videos in the statement, naming their table would pair each with every segment.
        inside = segments.c.video_id.in_(select(videos.c.id).where(*of_videos))
        conditions += of_videos if with_videos else [inside]
    if filters.video_id is not None:
        conditions.append(segments.c.video_id == filters.video_id)
    return conditions
