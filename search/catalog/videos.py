"""Videos of the catalog: found by id, path, content, or the name of a file or folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Select, func, select

from encoders.errors import NotFoundError
from search.catalog.statements import Statements, below_condition, path_prefix_condition
from search.catalog.tables import clips, videos
from search.file_names import is_same_file, os_path, stored_path
from search.file_state import FileState
from search.types import Video


class VideoCatalog(Statements):
    """Reads videos."""

    def video(self, video_id: int) -> Video:
        """Reads one video. Raises NotFoundError."""
        found = self._videos(_video_select().where(videos.c.id == video_id))
        if not found:
            raise NotFoundError(f"there is no video {video_id} in this library")
        return found[0]

    def video_by_path(self, path: str) -> Video | None:
        """Finds the video at exactly this path."""
        found = self._videos(_video_select().where(videos.c.path == path))
        return found[0] if found else None

    def videos_by_digest(self, digest: str) -> list[Video]:
        """Finds videos whose whole content has this digest."""
        return self._videos(_video_select().where(videos.c.digest == digest))

    def videos_by_state(self, size_bytes: int, mtime_ns: int) -> list[Video]:
        """Finds videos whose file had this size and modification time."""
        state = (videos.c.size_bytes == size_bytes, videos.c.mtime_ns == mtime_ns)
        return self._videos(_video_select().where(*state))

    def videos_below(self, path: str) -> list[Video]:
        """Finds the video at this path, and those in the folder of that name."""
        return self._videos(_video_select().where(below_condition(stored_path(path))))

    def knows_below(self, prefix: str) -> bool:
        """Checks that a video passes a filter by this path. Raises InvalidQueryError where none ever can."""
        wanted = (path_prefix_condition(prefix), videos.c.status != "staging")
        return self._connection.execute(select(videos.c.id).where(*wanted).limit(1)).first() is not None

    def videos_named(self, path: str) -> list[Video]:
        """Finds the video of this name, or those in the folder, also by another name of the same file.

        Another spelling of Unicode, a link of either kind. The disk is asked only where the catalog knows
        none of that name.

        Args:
            path: Absolute.
        """
        found = self.videos_below(path)
        if found:
            return found
        real = os.path.realpath(os_path(path))
        try:
            state = os.stat(real)
        except (OSError, ValueError):
            return []
        if stat.S_ISDIR(state.st_mode):
            folder = real.rstrip("/") + "/"
            return self.videos_below(real) or [
                video
                for video in self.videos_below("/")
                if os.path.realpath(os_path(video.path)).startswith(folder)
            ]
        return self._videos_of_file(real, state)

    def catalogued_prefix(self, prefix: str) -> str:
        """Returns a filter's path, or the name by which the catalog knows the file or folder it leads to.

        Links of either kind are followed where the catalog knows none of the name that was given, at the
        cost of a few look-ups; only for a file that has several hard links is every video looked at. A star
        at the end, for any beginning, stays.

        Raises:
            InvalidQueryError: The prefix cannot be a path on any system.
        """
        if self.knows_below(prefix) or not prefix.startswith("/"):
            return prefix
        beginning = ""
        path = prefix
        if prefix.endswith("*"):
            path, beginning = prefix.rsplit("/", 1)
            beginning = f"/{beginning}"
        try:
            real = os.path.realpath(os_path(path))
            state = os.stat(real)
        except (OSError, ValueError):
            return prefix
        name = stored_path(real) + beginning
        if name != prefix and self.knows_below(name):
            return name
        if stat.S_ISREG(state.st_mode) and state.st_nlink > 1 and not beginning:
            return next((video.path for video in self._videos_of_file(real, state)), prefix)
        return prefix

    def _videos_of_file(self, real: str, state: os.stat_result) -> list[Video]:
        return [
            video
            for video in self.videos_by_state(state.st_size, state.st_mtime_ns)
            if is_same_file(stored_path(real), video.path)
        ]

    def paths(self) -> Iterator[str]:
        """Yields the path of every video."""
        query = select(videos.c.path).where(videos.c.status != "staging")
        yield from self._connection.execute(query).scalars().yield_per(2000)

    def list_videos(
        self, *, status: str | None = None, after: str | None = None, limit: int = 100
    ) -> list[Video]:
        """Returns videos in order of path, from just after a path."""
        query = _video_select().order_by(videos.c.path).limit(limit)
        if status is not None:
            query = query.where(videos.c.status == status)
        if after is not None:
            query = query.where(videos.c.path > after)
        return self._videos(query)

    def count_videos(self, status: str | None = None) -> int:
        """Counts videos, of one status or all."""
        query = select(func.count()).select_from(videos).where(videos.c.status != "staging")
        if status is not None:
            query = query.where(videos.c.status == status)
        return self._connection.execute(query).scalar_one()

    def file_states(self) -> dict[int, FileState]:
        """Returns by id the state of every video's file, as it was indexed."""
        query = select(videos.c.id, videos.c.size_bytes, videos.c.mtime_ns, videos.c.ctime_ns).where(
            videos.c.status != "staging"
        )
        return {
            row.id: FileState(row.size_bytes, row.mtime_ns, row.ctime_ns)
            for row in self._connection.execute(query)
        }

    def count_by_sampling(self) -> dict[str, int]:
        """Counts indexed videos by the sampling, as it is stored, that they were indexed with."""
        query = (
            select(videos.c.sampling, func.count())
            .where(videos.c.status == "indexed", videos.c.sampling.is_not(None))
            .group_by(videos.c.sampling)
        )
        return {row[0]: row[1] for row in self._connection.execute(query)}

    def _videos(self, query: Select[Any]) -> list[Video]:
        rows = self._connection.execute(query.where(videos.c.status != "staging")).all()
        return [Video(**row._mapping) for row in rows]


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
