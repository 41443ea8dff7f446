"""Vectors of clips: embeddings, and the features of their frames as tracks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Select, bindparam, select

from encoders.errors import NotFoundError
from encoders.heads.head import FeatureTrack
from search.catalog.statements import Statements, split_into_chunks
from search.catalog.tables import clip_vectors, clips, removed_clips, videos
from search.catalog.tracks import check_stored, shot_window_of, track_of_clips

SAMPLES_PER_PIECE = 20_000  # of a long video, in memory at once

# Made once: that takes longer than the answer.
_FEATURES_BY_ID = select(clip_vectors.c.clip_id, clip_vectors.c.times, clip_vectors.c.features).where(
    clip_vectors.c.clip_id.in_(bindparam("ids", expanding=True))
)


class VectorCatalog(Statements):
    """Reads embeddings and features."""

    def tracks(
        self, video_id: int, dim: int, span: tuple[float, float] | None = None
    ) -> Iterator[FeatureTrack]:
        """Yields a video's features in order of time, in pieces of at most some 20,000 samples.

        Args:
            video_id: Of a published video.
            dim: D.
            span: Only the clips that overlap [start, end) in seconds.

        Raises:
            LibraryError: What is stored of a clip is damaged.
        """
        video = self._connection.execute(
            select(videos.c.sampling, videos.c.path).where(videos.c.id == video_id)
        ).first()
        if video is None:
            return
        shot_window = shot_window_of(video.sampling)
        query = _features_of(video_id, *(span or (-math.inf, math.inf)))
        rows, samples = [], 0
        for row in self._connection.execute(query).yield_per(256):
            check_stored(row, dim, video.path)
            rows.append(row)
            samples += len(row.times) // 8
            if samples >= SAMPLES_PER_PIECE:
                yield track_of_clips(rows, dim, shot_window)
                rows, samples = [], 0
        if rows:
            yield track_of_clips(rows, dim, shot_window)

    def features(
        self, video_id: int, start_seconds: float, end_seconds: float, dim: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.int64]]:
        """Reads stored features of the clips of a video that overlap a span.

        Returns:
            features float32 (T, D), times in seconds float64 (T,) ascending, clip ids int64 (T,).
        """
        query = _features_of(video_id, start_seconds, end_seconds)
        features, times, ids = [], [], []
        for row in self._connection.execute(query):
            times.append(np.frombuffer(row.times, np.float64))
            features.append(np.frombuffer(row.features, np.float16).reshape(-1, dim))
            ids.append(np.full(len(times[-1]), row.id, np.int64))
        if not times:
            return np.zeros((0, dim), np.float32), np.zeros(0), np.zeros(0, np.int64)
        return (
            np.concatenate(features).astype(np.float32),
            np.concatenate(times),
            np.concatenate(ids),
        )

    def features_of_clips(
        self, clip_ids: Sequence[int], dim: int
    ) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.float64]]]:
        """Yields by clip its id, features float32 (T, D) and times in seconds (T,), without damaged ones."""
        for chunk in split_into_chunks(clip_ids):
            for row in self._connection.execute(_FEATURES_BY_ID, {"ids": chunk}).yield_per(64):
                count = len(row.times) // 8
                if count and len(row.times) == 8 * count and len(row.features) == 2 * count * dim:
                    features = np.frombuffer(row.features, np.float16).reshape(count, dim)
                    yield row.clip_id, features.astype(np.float32), np.frombuffer(row.times, np.float64)

    def embeddings(self, clip_ids: Sequence[int], dim: int) -> NDArray[np.float32]:
        """Reads stored embeddings: float32 (N, D), in the order asked. Raises NotFoundError."""
        found: dict[int, bytes] = {}
        for chunk in split_into_chunks([int(clip_id) for clip_id in clip_ids]):
            query = (
                select(clip_vectors.c.clip_id, clip_vectors.c.embedding)
                .join(clips, clips.c.id == clip_vectors.c.clip_id)
                .where(clip_vectors.c.clip_id.in_(chunk), clips.c.revision.is_not(None))
            )
            found.update((row.clip_id, row.embedding) for row in self._connection.execute(query))
        missing = [int(clip_id) for clip_id in clip_ids if int(clip_id) not in found]
        if missing:
            raise NotFoundError(f"there is no clip {missing[0]} in this library")
        return np.stack([np.frombuffer(found[int(clip_id)], np.float32) for clip_id in clip_ids])

    def embeddings_since(
        self, revision: int, dim: int, batch_size: int = 4096
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yields clips shown after a revision, ascending by id: (ids (N,), embeddings (N, D)) batches."""
        if revision > 0:
            # By the index on revisions first: in order of ids, an engine would read every clip there is.
            query = select(clips.c.id).where(clips.c.revision > revision)
            for chunk in split_into_chunks(sorted(self._connection.execute(query).scalars())):
                part = select(clip_vectors.c.clip_id.label("id"), clip_vectors.c.embedding)
                part = part.where(clip_vectors.c.clip_id.in_(chunk)).order_by(clip_vectors.c.clip_id)
                yield _embeddings_of(self._connection.execute(part).all(), dim)
            return
        last_id = 0
        while True:
            batch = (
                select(clips.c.id, clip_vectors.c.embedding)
                .join(clip_vectors, clips.c.id == clip_vectors.c.clip_id)
                .where(clips.c.revision > revision, clips.c.id > last_id)
                .order_by(clips.c.id)
                .limit(batch_size)
            )
            rows = self._connection.execute(batch).all()
            if not rows:
                return
            last_id = rows[-1].id
            yield _embeddings_of(rows, dim)

    def removed_since(self, revision: int) -> NDArray[np.int64]:
        """Returns ids of clips that were hidden after a revision: int64 (N,)."""
        query = select(removed_clips.c.clip_id).where(removed_clips.c.revision > revision)
        return np.fromiter(self._connection.execute(query).scalars(), np.int64)


def _features_of(video_id: int, start_seconds: float, end_seconds: float) -> Select[Any]:
    """Selects times and features of a video's visible clips that overlap a span, in order of time."""
    return (
        select(
            clips.c.id,
            clips.c.start_seconds,
            clips.c.end_seconds,
            clip_vectors.c.times,
            clip_vectors.c.features,
        )
        .join(clip_vectors, clip_vectors.c.clip_id == clips.c.id)
        .where(clips.c.video_id == video_id, clips.c.revision.is_not(None))
        .where(clips.c.start_seconds < end_seconds, clips.c.end_seconds > start_seconds)
        .order_by(clips.c.ordinal)
    )


def _embeddings_of(rows: Sequence[Any], dim: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    joined = b"".join(row.embedding for row in rows)
    ids = np.fromiter((row.id for row in rows), np.int64, len(rows))
    return ids, np.frombuffer(joined, np.float32).reshape(len(rows), dim)
