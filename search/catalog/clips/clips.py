"""Visible clips of the catalog, and their key frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Select, bindparam, func, select

from encoders.errors import NotFoundError
from search.catalog.actions.segments import clips_with_action
from search.catalog.captions import CaptionCatalog, clips_with_words
from search.catalog.clips.filtered import check_video_ids
from search.catalog.statements import split_into_chunks, video_conditions
from search.catalog.tables import clips, key_frames, videos
from search.catalog.videos import VideoCatalog
from search.types import Clip, Filters, KeyFrame, SegmentQuery


class ClipCatalog(VideoCatalog):
    """Reads clips. A clip is visible when it has a revision, that is when its video has been published."""

    def clip_ids(self, filters: Filters, actions: SegmentQuery | None = None) -> NDArray[np.int64]:
        """Returns ids of the visible clips that pass, and show one of the actions: int64 (N,), ascending."""
        query = select(clips.c.id).where(*self._conditions(filters))
        if actions is not None:
            query = query.where(clips.c.id.in_(clips_with_action(actions)))
        found = self._connection.execute(query).scalars()
        ids = np.fromiter(found, np.int64)
        ids.sort()
        return ids

    def count_clips(self, filters: Filters | None = None) -> int:
        """Counts the visible clips that pass."""
        filters = filters or Filters()
        query = select(func.count()).select_from(clips).where(*self._conditions(filters))
        return self._connection.execute(query).scalar_one()

    def list_clips(self, filters: Filters, *, after_id: int = 0, limit: int = 100) -> list[Clip]:
        """Returns visible clips that pass, by id, from just after an id."""
        query = (
            _clip_select()
            .where(*self._conditions(filters), clips.c.id > after_id)
            .order_by(clips.c.id)
            .limit(limit)
        )
        return [Clip(*row) for row in self._connection.execute(query)]

    def _conditions(self, filters: Filters) -> list[ColumnElement[bool]]:
        if filters.caption is not None:
            CaptionCatalog(self._connection).check_any()
        if filters.path_prefix is not None:
            filters = replace(filters, path_prefix=self.catalogued_prefix(filters.path_prefix))
        return _filter_conditions(filters)

    def clips(self, clip_ids: Sequence[int]) -> dict[int, Clip]:
        """Returns visible clips by id; those that do not exist are left out."""
        found: dict[int, Clip] = {}
        for chunk in split_into_chunks(clip_ids):
            rows = self._connection.execute(_CLIPS_BY_ID, {"ids": chunk}).all()
            found.update((row[0], Clip(*row)) for row in rows)
        return found

    def clips_of_video(
        self, video_id: int, start_seconds: float = -math.inf, end_seconds: float = math.inf
    ) -> list[Clip]:
        """Returns a video's visible clips that overlap a span, in order of time."""
        query = (
            _clip_select()
            .where(clips.c.video_id == video_id, clips.c.revision.is_not(None))
            .where(clips.c.start_seconds < end_seconds, clips.c.end_seconds > start_seconds)
            .order_by(clips.c.ordinal)
        )
        return [Clip(*row) for row in self._connection.execute(query)]

    def videos_with_clips(self) -> list[int]:
        """Returns the ids of videos with visible clips, ascending."""
        query = select(clips.c.video_id).where(clips.c.revision.is_not(None)).distinct()
        return sorted(self._connection.execute(query).scalars())

    def extents(self, video_ids: Sequence[int]) -> dict[int, tuple[float, float]]:
        """Returns by video when its first clip begins and its last one ends, in seconds; not without clips.

        A player shows the beginning as 0.
        """
        found: dict[int, tuple[float, float]] = {}
        for chunk in split_into_chunks(video_ids):
            query = (
                select(clips.c.video_id, func.min(clips.c.start_seconds), func.max(clips.c.end_seconds))
                .where(clips.c.video_id.in_(chunk), clips.c.revision.is_not(None))
                .group_by(clips.c.video_id)
            )
            found.update((row[0], (float(row[1]), float(row[2]))) for row in self._connection.execute(query))
        return found

    def extent(self, video_id: int) -> tuple[float, float] | None:
        """Returns when a video's first clip begins and its last one ends, in seconds; None without clips."""
        return self.extents([video_id]).get(video_id)

    def video_revision(self, video_id: int) -> int | None:
        """Returns a number that changes whenever the video's clips are replaced; None when it has none."""
        query = select(func.max(clips.c.revision)).where(clips.c.video_id == video_id)
        return self._connection.execute(query).scalar()

    def key_frames(self, clip_ids: Sequence[int]) -> dict[int, list[KeyFrame]]:
        """Returns key frames by clip, in order of time, without their pictures."""
        found: dict[int, list[KeyFrame]] = {clip_id: [] for clip_id in clip_ids}
        for chunk in split_into_chunks(clip_ids):
            query = (
                select(key_frames.c.id, key_frames.c.clip_id, key_frames.c.time_seconds)
                .where(key_frames.c.clip_id.in_(chunk))
                .order_by(key_frames.c.time_seconds)
            )
            for row in self._connection.execute(query):
                found[row.clip_id].append(KeyFrame(*row))
        return found

    def key_frame_near(self, video_id: int, time_seconds: float) -> KeyFrame | None:
        """Finds the key frame of a video that is nearest to a time; None where it has none."""
        query = (
            select(key_frames.c.id, key_frames.c.clip_id, key_frames.c.time_seconds)
            .join(clips, clips.c.id == key_frames.c.clip_id)
            .where(clips.c.video_id == video_id, clips.c.revision.is_not(None))
            .order_by(func.abs(key_frames.c.time_seconds - time_seconds), key_frames.c.id)
            .limit(1)
        )
        row = self._connection.execute(query).first()
        return None if row is None else KeyFrame(*row)

    def key_frame_jpeg(self, key_frame_id: int) -> bytes:
        """Reads a key frame's picture. Raises NotFoundError."""
        query = (
            select(key_frames.c.jpeg)
            .join(clips, clips.c.id == key_frames.c.clip_id)
            .where(key_frames.c.id == key_frame_id, clips.c.revision.is_not(None))
        )
        jpeg = self._connection.execute(query).scalar()
        if jpeg is None:
            raise NotFoundError(f"there is no key frame {key_frame_id} in this library")
        return bytes(jpeg)


def _filter_conditions(filters: Filters) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [clips.c.revision.is_not(None)]
    length = clips.c.end_seconds - clips.c.start_seconds
    # Spans are stored as float64 differences: a microsecond keeps "4 s" from missing 3.9999999 s.
    if filters.min_duration_seconds is not None:
        conditions.append(length >= filters.min_duration_seconds - 1e-6)
    if filters.max_duration_seconds is not None:
        conditions.append(length <= filters.max_duration_seconds + 1e-6)
    if of_videos := video_conditions(filters):
        # Videos first, by the index on their paths (which leaves staged ones out), then their clips:
        # as a join, SQLite reads every clip of the library.
        passing = select(videos.c.id).where(*of_videos, videos.c.status != "staging")
        conditions.append(clips.c.video_id.in_(passing))
    if filters.video_ids is not None:
        check_video_ids(filters.video_ids)
        conditions.append(clips.c.video_id.in_(filters.video_ids))
    if filters.caption is not None:
        conditions.append(clips.c.id.in_(clips_with_words(filters.caption)))
    return conditions


def _clip_select() -> Select[Any]:
    return select(
        clips.c.id,
        clips.c.video_id,
        videos.c.path,
        clips.c.ordinal,
        clips.c.start_seconds,
        clips.c.end_seconds,
    ).join(videos, videos.c.id == clips.c.video_id)


# Made once: that takes longer than the answer.
_CLIPS_BY_ID = _clip_select().where(
    clips.c.id.in_(bindparam("ids", expanding=True)), clips.c.revision.is_not(None)
)
