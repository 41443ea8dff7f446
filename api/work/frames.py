"""Frames decoded on request, in programs of their own, and remembered while there is room."""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from cachetools import LRUCache

from api.guarding import roots
from api.work.workers import Workers
from encoders.errors import NotFoundError
from search.file_names import os_path
from search.file_state import FileState
from search.types import Video

# For one frame: a long file without an index is decoded from its start.
LIMIT_SECONDS = 60.0
STALL_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class _Key:
    video_id: int
    path: str
    state: FileState
    time_seconds: float
    size: int


class FrameReader:
    """Decodes single frames; safe to share between threads.

    Args:
        cache_bytes: Memory for JPEGs that were decoded before.
        folders: Below which alone files are read; None for no limit.
    """

    def __init__(self, cache_bytes: int, folders: Sequence[str] | None = None) -> None:
        self._workers = Workers(STALL_SECONDS, reads=folders)
        self._cache: LRUCache[_Key, bytes] = LRUCache(cache_bytes, getsizeof=len)
        self._cache_lock = threading.Lock()

    def jpeg(self, video: Video, time_seconds: float, size: int) -> bytes:
        """Decodes the frame of a video that is shown at a time, as JPEG of short side `size` at most.

        Raises:
            NotFoundError: The file is not there now, or shows nothing at this time.
            DecodeError: It cannot be decoded.
        """
        key = _Key(video.id, video.path, FileState.of(stat_file(video)), time_seconds, size)
        with self._cache_lock:
            found = self._cache.get(key)
        if found is not None:
            return found
        with self._workers.one() as worker:
            found = worker.frame(video.path, time_seconds, size, LIMIT_SECONDS)
        with self._cache_lock, suppress(ValueError):  # it alone is larger than the cache
            self._cache[key] = found
        return found

    def forget(self, video_id: int) -> None:
        """Drops what is remembered of a video."""
        with self._cache_lock:
            for key in [key for key in self._cache if key.video_id == video_id]:
                del self._cache[key]

    def close(self) -> None:
        """Ends the decoding programs."""
        self._workers.close()


def open_file(video: Video) -> io.FileIO:
    """Opens a video's file, which must be there, readable, and where this server gives out files.

    What was opened is what was checked, whatever its path leads to a moment later.

    Raises:
        NotFoundError: It is not; says where its key frames are.
    """
    instead = f"its key frames are still at /v1/videos/{video.id}/key-frames"
    try:
        descriptor = os.open(os_path(video.path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(
            f"the file of video {video.id} is missing: it was indexed from {video.path} and has been "
            f"moved or removed since, or its drive is offline; {instead}"
        ) from None
    except OSError as error:
        raise NotFoundError(f"{video.path} cannot be read now ({error.strerror}); {instead}") from None
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode):
        os.close(descriptor)
        raise NotFoundError(f"{video.path} is not a file any more; {instead}")
    file = io.FileIO(descriptor)  # closes it, whoever asked for it
    try:
        roots.current.get().check_served(video, state, real_path(descriptor, video.path))
    except BaseException:
        file.close()
        raise
    return file


def stat_file(video: Video) -> os.stat_result:
    """Returns the state of a video's file. Raises NotFoundError as `open_file` does."""
    with open_file(video) as file:
        return os.fstat(file.fileno())


def real_path(descriptor: int, path: str) -> str:
    """Finds where an open file lies, its links resolved; by its path where the system does not tell."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return os.path.realpath(os_path(path))
