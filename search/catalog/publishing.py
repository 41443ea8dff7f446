"""Videos staged, published, marked and removed; a video becomes visible in one transaction, or not at all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sqlalchemy import BigInteger, ColumnElement, Connection, and_, delete, insert, literal, select, update

from search.catalog.record import RecordCatalog
from search.catalog.statements import path_key, split_into_chunks
from search.catalog.tables import (
    action_examples,
    clip_vectors,
    clips,
    jobs,
    key_frames,
    removed_clips,
    videos,
)
from search.types import EncodedClip

FILTERED_BY = frozenset(("path", "recorded_at", "recorded_offset_seconds"))  # of a video's columns


class PublishingCatalog(RecordCatalog):
    """Writes videos and their clips."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        # Set by removals: what was deleted is then to be wiped from the engine's files as well.
        self.has_removed = False

    def stage_video(self, path: str, size_bytes: int, mtime_ns: int, ctime_ns: int | None = None) -> int:
        """Starts a video that nobody sees until `publish_video`; returns its staging id."""
        return self._insert_video(
            path=path, size_bytes=size_bytes, mtime_ns=mtime_ns, ctime_ns=ctime_ns, status="staging"
        )

    def _insert_video(self, **values: Any) -> int:
        values.setdefault("recorded_at", values["mtime_ns"] / 1e9)
        values["path_key"] = path_key(values["path"])
        result = self._connection.execute(insert(videos).values(updated_at=time.time(), **values))
        return int(result.inserted_primary_key[0])  # type: ignore[index]

    def add_clips(self, video_id: int, first_ordinal: int, batch: Sequence[EncodedClip]) -> None:
        """Adds clips of a staged video, in order of time."""
        if not batch:
            return
        rows = [
            {
                "video_id": video_id,
                "ordinal": first_ordinal + offset,
                "start_seconds": clip.start_seconds,
                "end_seconds": clip.end_seconds,
            }
            for offset, clip in enumerate(batch)
        ]
        ids = (
            self._connection.execute(insert(clips).returning(clips.c.id, sort_by_parameter_order=True), rows)
            .scalars()
            .all()
        )
        self._connection.execute(
            insert(clip_vectors),
            [
                {
                    "clip_id": clip_id,
                    "embedding": np.asarray(clip.embedding, np.float32).tobytes(),
                    "times": np.asarray(clip.times_seconds, np.float64).tobytes(),
                    "features": np.asarray(clip.features, np.float16).tobytes(),
                }
                for clip_id, clip in zip(ids, batch, strict=True)
            ],
        )
        frames = [
            {"clip_id": clip_id, "time_seconds": seconds, "jpeg": jpeg}
            for clip_id, clip in zip(ids, batch, strict=True)
            for seconds, jpeg in clip.key_frames
        ]
        if frames:
            self._connection.execute(insert(key_frames), frames)

    def publish_video(self, staging_id: int, **values: Any) -> int:
        """Shows a staged video's clips, in place of those that its path had before.

        Args:
            staging_id: From `stage_video`.
            **values: Columns of `videos` to set (digest, duration_seconds, width, ...). Without
                `recorded_at`, or with None, the file's modification time stands for it. An `error` says
                what was lost of a file that could be read all the same.

        Returns:
            The video's id: the old one where the path was known already.
        """
        revision = self._next_revision()
        staged = self._connection.execute(select(videos).where(videos.c.id == staging_id)).one()
        if values.get("recorded_at") is None:
            values["recorded_at"] = staged.mtime_ns / 1e9
        old = self._connection.execute(
            select(videos.c.id).where(videos.c.path == staged.path, videos.c.status != "staging")
        ).scalar()
        video_id = staging_id if old is None else old
        if old is not None:
            self._remove_clips(clips.c.video_id == old, revision)
        clip_count = self._connection.execute(
            update(clips).where(clips.c.video_id == staging_id).values(video_id=video_id, revision=revision)
        ).rowcount
        self._count(clip_count)
        if old is not None:
            self._connection.execute(delete(videos).where(videos.c.id == staging_id))
        self._connection.execute(
            update(videos)
            .where(videos.c.id == video_id)
            .values(
                size_bytes=staged.size_bytes,
                mtime_ns=staged.mtime_ns,
                ctime_ns=staged.ctime_ns,
                status="indexed",
                updated_at=time.time(),
                clip_count=clip_count,
                **{"error": None, **values},
            )
        )
        return video_id

    def record_failure(self, path: str, size_bytes: int, mtime_ns: int, reason: str) -> None:
        """Marks a path as failed; clips of an earlier, good version of it stay."""
        known = self._connection.execute(
            update(videos)
            .where(videos.c.path == path, videos.c.status != "staging")
            .values(status="failed", error=reason, updated_at=time.time())
        ).rowcount
        if not known:
            self._insert_video(
                path=path,
                size_bytes=size_bytes,
                mtime_ns=mtime_ns,
                status="failed",
                error=reason,
            )

    def update_video(self, video_id: int, **values: Any) -> None:
        """Sets columns of a video (path after a move, mtime after a touch, status)."""
        if "path" in values:
            values["path_key"] = path_key(values["path"])
        if FILTERED_BY.intersection(values):
            self.change_filters()
        self._connection.execute(
            update(videos).where(videos.c.id == video_id).values(updated_at=time.time(), **values)
        )

    def discard_staged(self, video_id: int | None = None) -> None:
        """Drops what interrupted ingests left behind: one staged video, or all of them."""
        condition = videos.c.status == "staging"
        if video_id is not None:
            condition = and_(condition, videos.c.id == video_id)
        self._connection.execute(delete(videos).where(condition))

    def remove_videos(self, video_ids: Iterable[int]) -> int:
        """Deletes videos with everything that was derived from them; returns how many clips."""
        ids = list(video_ids)
        if not ids:
            return 0
        self.has_removed = True
        self._remove_traces(ids)
        revision = self._next_revision()
        removed = 0
        for chunk in split_into_chunks(ids):
            removed += self._remove_clips(clips.c.video_id.in_(chunk), revision)
            self._connection.execute(delete(videos).where(videos.c.id.in_(chunk)))
        return removed

    def _remove_traces(self, video_ids: Sequence[int]) -> None:
        """Deletes what names videos apart from their own rows: finished jobs, examples out of their files."""
        paths: list[str] = []
        for chunk in split_into_chunks(video_ids):
            paths += self._connection.execute(select(videos.c.path).where(videos.c.id.in_(chunk))).scalars()
        for sources in split_into_chunks(paths):
            self._connection.execute(delete(action_examples).where(action_examples.c.source.in_(sources)))
        named = {json.dumps(path)[1:-1] for path in paths} | set(paths)
        rows = self._connection.execute(select(jobs).where(jobs.c.status.in_(("done", "failed"))))
        wanted = [
            row.id
            for row in rows
            if any(name in f"{row.request} {row.progress} {row.result} {row.error}" for name in named)
        ]
        for job_ids in split_into_chunks(wanted):
            self._connection.execute(delete(jobs).where(jobs.c.id.in_(job_ids)))

    def _remove_clips(self, condition: ColumnElement[bool], revision: int) -> int:
        gone = select(clips.c.id, literal(revision, BigInteger)).where(
            condition, clips.c.revision.is_not(None)
        )
        noted = insert(removed_clips).from_select(["clip_id", "revision"], gone)
        noting = noted.execution_options(preserve_rowcount=True)  # SQLAlchemy forgets it of an insert
        self._count(-self._connection.execute(noting).rowcount)
        return self._connection.execute(delete(clips).where(condition)).rowcount

    def remove_clips(self, clip_ids: Iterable[int]) -> int:
        """Deletes single clips, published or not, and tells the index; returns how many."""
        ids = sorted(set(clip_ids))
        if not ids:
            return 0
        revision = self._next_revision() if self.library_record() is not None else 0
        return sum(self._remove_clips(clips.c.id.in_(chunk), revision) for chunk in split_into_chunks(ids))
