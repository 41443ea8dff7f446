"""The catalog: every SQL statement of Reelseek, over one connection that the caller commits."""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    delete,
    func,
    insert,
    select,
    update,
)

from encoders.errors import InvalidQueryError, LibraryError, NotFoundError
from search.catalog.actions import ActionCatalog, SegmentFilters, clips_with_action
from search.catalog.captions import CaptionCatalog, clips_with_words
from search.catalog.conditions import below_condition, path_key, path_prefix_condition, recorded_conditions
from search.catalog.tables import (
    action_examples,
    checksum,
    clip_vectors,
    clips,
    jobs,
    key_frames,
    library,
    removed_clips,
    videos,
)
from search.catalog.views import ViewCatalog
from search.file_names import catalogued_prefix, stored_path
from search.file_state import FileState
from search.types import Clip, EncodedClip, Filters, KeyFrame, Video

ROWS_PER_STATEMENT = 500


@dataclass(frozen=True, slots=True)
class LibraryRecord:
    """What was decided when the library was made, and how new it is."""

    catalog_id: str
    encoder_spec: str
    encoder_id: str
    pooling: str
    dim: int
    sampling: str
    revision: int


@dataclass(frozen=True, slots=True)
class Job:
    """Work in the background: what was asked, how far it is, what came out.

    Attributes:
        kind: "ingest" or "teach".
        created_at, finished_at: Seconds since 1970, UTC.
    """

    id: str
    kind: str
    status: str
    request: dict[str, Any]
    progress: dict[str, Any] | None
    result: dict[str, Any] | None
    error: str | None
    created_at: float
    finished_at: float | None


class Catalog:
    """Reads and writes the catalog; never commits (see `Database.read` and `Database.write`).

    A clip is visible when it has a revision, that is when its video has been published.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.actions = ActionCatalog(connection)
        self.captions = CaptionCatalog(connection)
        self.views = ViewCatalog(connection)
        # Set by removals: what was deleted is then to be wiped from the engine's files as well.
        self.has_removed = False

    # --- library ---------------------------------------------------------------------------

    def create_library(
        self, *, encoder_spec: str, encoder_id: str, pooling: str, dim: int, sampling: str
    ) -> None:
        """Writes the one library row; the encoder cannot be changed afterwards."""
        self._connection.execute(
            insert(library).values(
                id=1,
                catalog_id=uuid.uuid4().hex,
                encoder_spec=encoder_spec,
                encoder_id=encoder_id,
                pooling=pooling,
                dim=dim,
                sampling=sampling,
                revision=0,
                created_at=time.time(),
            )
        )

    def library_record(self) -> LibraryRecord | None:
        """The library row, or None before the first ingest."""
        # Not the background texts: every search reads this row several times, and they are the most of it.
        wanted = (column for column in library.c if column.name not in ("background", "crc32"))
        row = self._connection.execute(select(*wanted)).first()
        if row is None:
            return None
        return LibraryRecord(
            row.catalog_id,
            row.encoder_spec,
            row.encoder_id,
            row.pooling,
            row.dim,
            row.sampling,
            row.revision,
        )

    def background(self) -> NDArray[np.float32] | None:
        """The stored background texts: float32 (N, D); None for an encoder without words."""
        row = self._connection.execute(select(library.c.background, library.c.dim)).first()
        if row is None or row.background is None:
            return None
        return np.frombuffer(row.background, np.float16).reshape(-1, row.dim).astype(np.float32)

    def set_library(self, *, sampling: str | None = None, background: NDArray | None = None) -> None:
        """Changes the default sampling, or stores the background texts: float (N, D)."""
        values: dict[str, Any] = {}
        if sampling is not None:
            values["sampling"] = sampling
        if background is not None:
            values["background"] = background.astype(np.float16).tobytes()
            values["crc32"] = checksum(values["background"])
        if values:
            self._connection.execute(update(library).values(**values))

    def revision(self) -> int:
        """The revision of the last transaction that showed or hid clips."""
        return self._connection.execute(select(library.c.revision)).scalar_one()

    def _next_revision(self) -> int:
        # Locks the row until commit, so revisions become visible in their own order.
        self._connection.execute(update(library).values(revision=library.c.revision + 1))
        return self.revision()

    # --- videos ----------------------------------------------------------------------------

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
        for chunk in _chunks(ids):
            removed += self._remove_clips(clips.c.video_id.in_(chunk), revision)
            self._connection.execute(delete(videos).where(videos.c.id.in_(chunk)))
        return removed

    def _remove_traces(self, video_ids: Sequence[int]) -> None:
        """Deletes what names videos apart from their own rows: finished jobs, examples out of their files."""
        paths: list[str] = []
        for chunk in _chunks(list(video_ids)):
            paths += self._connection.execute(select(videos.c.path).where(videos.c.id.in_(chunk))).scalars()
        for chunk in _chunks(paths):
            self._connection.execute(delete(action_examples).where(action_examples.c.source.in_(chunk)))
        named = {json.dumps(path)[1:-1] for path in paths} | set(paths)
        rows = self._connection.execute(select(jobs).where(jobs.c.status.in_(("done", "failed"))))
        wanted = [
            row.id
            for row in rows
            if any(name in f"{row.request} {row.progress} {row.result} {row.error}" for name in named)
        ]
        for chunk in _chunks(wanted):
            self._connection.execute(delete(jobs).where(jobs.c.id.in_(chunk)))

    def _remove_clips(self, condition: ColumnElement[bool], revision: int) -> int:
        gone = select(clips.c.id, revision_literal(revision)).where(condition, clips.c.revision.is_not(None))
        self._connection.execute(insert(removed_clips).from_select(["clip_id", "revision"], gone))
        return self._connection.execute(delete(clips).where(condition)).rowcount

    def remove_clips(self, clip_ids: Iterable[int]) -> int:
        """Deletes single clips, published or not, and tells the index; returns how many."""
        ids = sorted(set(clip_ids))
        if not ids:
            return 0
        revision = self._next_revision() if self.library_record() is not None else 0
        return sum(self._remove_clips(clips.c.id.in_(chunk), revision) for chunk in _chunks(ids))

    def video(self, video_id: int) -> Video:
        """One video. Raises NotFoundError."""
        found = self._videos(_video_select().where(videos.c.id == video_id))
        if not found:
            raise NotFoundError(f"there is no video {video_id} in this library")
        return found[0]

    def video_by_path(self, path: str) -> Video | None:
        """The video at exactly this path."""
        found = self._videos(_video_select().where(videos.c.path == path))
        return found[0] if found else None

    def videos_by_digest(self, digest: str) -> list[Video]:
        """Videos whose whole content has this digest."""
        return self._videos(_video_select().where(videos.c.digest == digest))

    def videos_by_state(self, size_bytes: int, mtime_ns: int) -> list[Video]:
        """Videos whose file had this size and modification time."""
        state = (videos.c.size_bytes == size_bytes, videos.c.mtime_ns == mtime_ns)
        return self._videos(_video_select().where(*state))

    def videos_below(self, path: str) -> list[Video]:
        """The video at this path, and those in the folder of that name."""
        return self._videos(_video_select().where(below_condition(stored_path(path))))

    def knows_below(self, prefix: str) -> bool:
        """Whether any video passes a filter by this path. Raises InvalidQueryError where none ever can."""
        wanted = (path_prefix_condition(prefix), videos.c.status != "staging")
        return self._connection.execute(select(videos.c.id).where(*wanted).limit(1)).first() is not None

    def paths(self) -> Iterator[str]:
        """The path of every video, streamed."""
        query = select(videos.c.path).where(videos.c.status != "staging")
        yield from self._connection.execute(query).scalars().yield_per(2000)

    def list_videos(
        self, *, status: str | None = None, after: str | None = None, limit: int = 100
    ) -> list[Video]:
        """Videos in order of path, from just after a path."""
        query = _video_select().order_by(videos.c.path).limit(limit)
        if status is not None:
            query = query.where(videos.c.status == status)
        if after is not None:
            query = query.where(videos.c.path > after)
        return self._videos(query)

    def count_videos(self, status: str | None = None) -> int:
        """How many videos, of one status or of all."""
        query = select(func.count()).select_from(videos).where(videos.c.status != "staging")
        if status is not None:
            query = query.where(videos.c.status == status)
        return self._connection.execute(query).scalar_one()

    def file_states(self) -> dict[int, FileState]:
        """By id the state of every video's file, as it was indexed."""
        query = select(videos.c.id, videos.c.size_bytes, videos.c.mtime_ns, videos.c.ctime_ns).where(
            videos.c.status != "staging"
        )
        return {
            row.id: FileState(row.size_bytes, row.mtime_ns, row.ctime_ns)
            for row in self._connection.execute(query)
        }

    def _videos(self, query: Select[Any]) -> list[Video]:
        rows = self._connection.execute(query.where(videos.c.status != "staging")).all()
        return [Video(**row._mapping) for row in rows]

    # --- clips -----------------------------------------------------------------------------

    def clip_ids(self, filters: Filters, actions: SegmentFilters | None = None) -> NDArray[np.int64]:
        """Ids of the visible clips that pass, and show one of the actions: int64 (N,), ascending."""
        query = select(clips.c.id).where(*self._conditions(filters))
        if actions is not None:
            query = query.where(clips.c.id.in_(clips_with_action(actions)))
        found = self._connection.execute(query).scalars()
        ids = np.fromiter(found, np.int64)
        ids.sort()
        return ids

    def count_clips(self, filters: Filters | None = None) -> int:
        """How many visible clips pass."""
        filters = filters or Filters()
        query = select(func.count()).select_from(clips).where(*self._conditions(filters))
        return self._connection.execute(query).scalar_one()

    def list_clips(self, filters: Filters, *, after_id: int = 0, limit: int = 100) -> list[Clip]:
        """Visible clips that pass, by id, from just after an id."""
        query = (
            _clip_select()
            .where(*self._conditions(filters), clips.c.id > after_id)
            .order_by(clips.c.id)
            .limit(limit)
        )
        return [Clip(**row._mapping) for row in self._connection.execute(query)]

    def _conditions(self, filters: Filters) -> list[ColumnElement[bool]]:
        if filters.caption is not None:
            self.captions.check_any()
        if filters.path_prefix is not None:
            filters = replace(filters, path_prefix=catalogued_prefix(self, filters.path_prefix))
        return _filter_conditions(filters)

    def clips(self, clip_ids: Sequence[int]) -> dict[int, Clip]:
        """Visible clips by id; those that do not exist are left out."""
        found: dict[int, Clip] = {}
        for chunk in _chunks(list(clip_ids)):
            query = _clip_select().where(clips.c.id.in_(chunk), clips.c.revision.is_not(None))
            found.update((row.id, Clip(**row._mapping)) for row in self._connection.execute(query))
        return found

    def clips_of_video(
        self, video_id: int, start_seconds: float = -math.inf, end_seconds: float = math.inf
    ) -> list[Clip]:
        """A video's visible clips that overlap a span, in order of time."""
        query = (
            _clip_select()
            .where(clips.c.video_id == video_id, clips.c.revision.is_not(None))
            .where(clips.c.start_seconds < end_seconds, clips.c.end_seconds > start_seconds)
            .order_by(clips.c.ordinal)
        )
        return [Clip(**row._mapping) for row in self._connection.execute(query)]

    def features(
        self, video_id: int, start_seconds: float, end_seconds: float, dim: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.int64]]:
        """Stored features of the clips of a video that overlap a span.

        Returns:
            features float32 (T, D), times in seconds float64 (T,) ascending, clip ids int64 (T,).
        """
        query = (
            select(clip_vectors.c.clip_id, clip_vectors.c.times, clip_vectors.c.features)
            .join(clips, clips.c.id == clip_vectors.c.clip_id)
            .where(
                clips.c.video_id == video_id,
                clips.c.revision.is_not(None),
                clips.c.start_seconds < end_seconds,
                clips.c.end_seconds > start_seconds,
            )
            .order_by(clips.c.ordinal)
        )
        features, times, ids = [], [], []
        for row in self._connection.execute(query):
            times.append(np.frombuffer(row.times, np.float64))
            features.append(np.frombuffer(row.features, np.float16).reshape(-1, dim))
            ids.append(np.full(len(times[-1]), row.clip_id, np.int64))
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
        """Of each clip its id, features float32 (T, D) and times in seconds (T,); not of damaged ones."""
        for chunk in _chunks(list(clip_ids)):
            query = select(clip_vectors.c.clip_id, clip_vectors.c.times, clip_vectors.c.features).where(
                clip_vectors.c.clip_id.in_(chunk)
            )
            for row in self._connection.execute(query).yield_per(64):
                count = len(row.times) // 8
                if count and len(row.times) == 8 * count and len(row.features) == 2 * count * dim:
                    features = np.frombuffer(row.features, np.float16).reshape(count, dim)
                    yield row.clip_id, features.astype(np.float32), np.frombuffer(row.times, np.float64)

    def embeddings(self, clip_ids: Sequence[int], dim: int) -> NDArray[np.float32]:
        """Stored embeddings: float32 (N, D), in the order asked. Raises NotFoundError."""
        found: dict[int, bytes] = {}
        for chunk in _chunks([int(clip_id) for clip_id in clip_ids]):
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
        """Clips shown after a revision, ascending by id: (ids (N,), embeddings (N, D)) batches."""
        if revision > 0:
            # By the index on revisions first: in order of ids, an engine would read every clip there is.
            query = select(clips.c.id).where(clips.c.revision > revision)
            for chunk in _chunks(sorted(self._connection.execute(query).scalars())):
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
        """Ids of clips that were hidden after a revision: int64 (N,)."""
        query = select(removed_clips.c.clip_id).where(removed_clips.c.revision > revision)
        return np.fromiter(self._connection.execute(query).scalars(), np.int64)

    def key_frames(self, clip_ids: Sequence[int]) -> dict[int, list[KeyFrame]]:
        """Key frames by clip, in order of time, without their pictures."""
        found: dict[int, list[KeyFrame]] = {clip_id: [] for clip_id in clip_ids}
        for chunk in _chunks(list(clip_ids)):
            query = (
                select(key_frames.c.id, key_frames.c.clip_id, key_frames.c.time_seconds)
                .where(key_frames.c.clip_id.in_(chunk))
                .order_by(key_frames.c.time_seconds)
            )
            for row in self._connection.execute(query):
                found[row.clip_id].append(KeyFrame(**row._mapping))
        return found

    def key_frame_near(self, video_id: int, time_seconds: float) -> KeyFrame | None:
        """The key frame of a video that is nearest to a time; None where it has none."""
        query = (
            select(key_frames.c.id, key_frames.c.clip_id, key_frames.c.time_seconds)
            .join(clips, clips.c.id == key_frames.c.clip_id)
            .where(clips.c.video_id == video_id, clips.c.revision.is_not(None))
            .order_by(func.abs(key_frames.c.time_seconds - time_seconds), key_frames.c.id)
            .limit(1)
        )
        row = self._connection.execute(query).first()
        return None if row is None else KeyFrame(**row._mapping)

    def key_frame_jpeg(self, key_frame_id: int) -> bytes:
        """A key frame's picture. Raises NotFoundError."""
        query = (
            select(key_frames.c.jpeg)
            .join(clips, clips.c.id == key_frames.c.clip_id)
            .where(key_frames.c.id == key_frame_id, clips.c.revision.is_not(None))
        )
        jpeg = self._connection.execute(query).scalar()
        if jpeg is None:
            raise NotFoundError(f"there is no key frame {key_frame_id} in this library")
        return bytes(jpeg)

    # --- jobs ------------------------------------------------------------------------------

    def create_job(self, job_id: str, request: dict[str, Any], *, kind: str = "ingest") -> None:
        """Queues a job."""
        stored = json.dumps({**request, "kind": kind})
        self._connection.execute(
            insert(jobs).values(id=job_id, status="queued", request=stored, created_at=time.time())
        )

    def update_job(self, job_id: str, **values: Any) -> None:
        """Sets columns of a job; `progress` and `result` are stored as JSON."""
        for name in ("progress", "result"):
            if name in values:
                values[name] = json.dumps(values[name])
        self._connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values))

    def job(self, job_id: str) -> Job:
        """One job. Raises NotFoundError."""
        row = self._connection.execute(select(jobs).where(jobs.c.id == job_id)).first()
        if row is None:
            raise NotFoundError(f"there is no job {job_id!r}")
        return _job(row)

    def jobs_with_status(self, *statuses: str, limit: int | None = None) -> list[Job]:
        """Jobs of these statuses, oldest first, all or so many."""
        query = select(jobs).where(jobs.c.status.in_(statuses)).order_by(jobs.c.created_at).limit(limit)
        return [_job(row) for row in self._connection.execute(query)]

    def list_jobs(self, limit: int) -> list[Job]:
        """The last jobs, newest first."""
        query = select(jobs).order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(limit)
        return [_job(row) for row in self._connection.execute(query)]

    def count_jobs(self, status: str | None = None) -> int:
        """How many jobs there ever were, or are in a status."""
        query = select(func.count()).select_from(jobs)
        if status is not None:
            query = query.where(jobs.c.status == status)
        return self._connection.execute(query).scalar_one()


def _embeddings_of(rows: Sequence[Any], dim: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    joined = b"".join(row.embedding for row in rows)
    ids = np.fromiter((row.id for row in rows), np.int64, len(rows))
    return ids, np.frombuffer(joined, np.float32).reshape(len(rows), dim)


def _job(row: Row[Any]) -> Job:
    def parsed(value: str | None) -> dict[str, Any] | None:
        return None if value is None else json.loads(value)

    request = json.loads(row.request)
    return Job(
        id=row.id,
        kind=request.pop("kind", "ingest"),
        status=row.status,
        request=request,
        progress=parsed(row.progress),
        result=parsed(row.result),
        error=row.error,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )


def revision_literal(revision: int) -> ColumnElement[int]:
    """A revision as a column of an INSERT ... SELECT."""
    from sqlalchemy import BigInteger, literal

    return literal(revision, BigInteger)


def _filter_conditions(filters: Filters) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [clips.c.revision.is_not(None)]
    length = clips.c.end_seconds - clips.c.start_seconds
    # Spans are stored as float64 differences: a microsecond keeps "4 s" from missing 3.9999999 s.
    if filters.min_duration_seconds is not None:
        conditions.append(length >= filters.min_duration_seconds - 1e-6)
    if filters.max_duration_seconds is not None:
        conditions.append(length <= filters.max_duration_seconds + 1e-6)
    if filters.path_prefix is not None:
        # Videos first, by the index on their paths (which leaves staged ones out), then their clips:
        # as a join, SQLite reads every clip of the library.
        named = select(videos.c.id).where(
            path_prefix_condition(filters.path_prefix), videos.c.status != "staging"
        )
        conditions.append(clips.c.video_id.in_(named))
    if recorded := recorded_conditions(filters.recorded_after, filters.recorded_before):
        named = select(videos.c.id).where(*recorded, videos.c.status != "staging")
        conditions.append(clips.c.video_id.in_(named))
    if filters.video_ids is not None:
        if len(filters.video_ids) > 10_000:
            raise InvalidQueryError(f"a filter may name at most 10000 videos, got {len(filters.video_ids)}")
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


def _video_select() -> Select[Any]:
    count = (
        select(func.count())
        .select_from(clips)
        .where(clips.c.video_id == videos.c.id, clips.c.revision.is_not(None))
        .scalar_subquery()
        .label("clips")
    )
    columns = [column for column in videos.c if column.name not in ("updated_at", "clip_count", "path_key")]
    return select(*columns, count)


def _chunks(values: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(values), ROWS_PER_STATEMENT):
        yield values[start : start + ROWS_PER_STATEMENT]


def open_record(catalog: Catalog) -> LibraryRecord:
    """The library row. Raises LibraryError where there is none yet."""
    record = catalog.library_record()
    if record is None:
        raise LibraryError("this library is empty: run `indexer ingest PATH` first")
    return record
