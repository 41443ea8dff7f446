"""Renditions of videos on disk: made once, bounded, gone with their video.

Below the library's folder, `previews/<video id>/<state of the file>/<what was asked for>.mp4`. A file that
changed has another state, so that nothing of the old one is ever served. Several threads and several
servers may use one folder: whole files appear by renaming, and the worst that two who want the same can do
is to make it twice.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from encoders.errors import LibraryError, ReelseekError
from encoders.weights.files import make_private_folder
from indexer.video.making.renditions import Rendition
from search.file_state import FileState

if TYPE_CHECKING:
    from search.library import Library

FOLDER = "previews"
GRACE_SECONDS = 30.0  # what was asked for just now may not be open yet
_ABANDONED_SECONDS = 3600.0
_PART = ".part"


@dataclass(frozen=True, slots=True)
class Preview:
    """A rendition on disk.

    Attributes:
        etag: Of an HTTP answer that holds it.
    """

    path: Path
    etag: str


class PreviewCache:
    """Keeps renditions; safe to share between threads.

    Args:
        library_folder: Holds `previews`.
        most_bytes: What all of them together may take; what was used last stays. What was used within the
            last `grace_seconds` stays in any case.
        grace_seconds: See `most_bytes`.
    """

    def __init__(
        self, library_folder: Path, most_bytes: int, *, grace_seconds: float = GRACE_SECONDS
    ) -> None:
        self.folder = library_folder / FOLDER
        self._most_bytes = most_bytes
        self._grace_seconds = grace_seconds
        self._lock = threading.Lock()
        self._making: dict[Path, threading.Lock] = {}

    def get(
        self,
        video_id: int,
        stat: os.stat_result,
        rendition: Rendition,
        make: Callable[[Path], None],
        is_wanted: Callable[[], None] = lambda: None,
    ) -> Preview:
        """The rendition, made if it is not there.

        Args:
            video_id: Of the video.
            stat: Of its file, now.
            rendition: What is wanted.
            make: Writes it to a path.
            is_wanted: Raises when the video has been removed meanwhile; then nothing is kept.

        Raises:
            LibraryError: The folder cannot be written to.
        """
        state = FileState.of(stat).key
        name = hashlib.sha256(repr(rendition).encode()).hexdigest()[:24]
        path = self.folder / str(video_id) / state / f"{name}.{rendition.kind}"
        preview = Preview(path, f'"{state}-{name}"')
        if _touch(path):
            return preview
        with self._lock:
            making = self._making.setdefault(path, threading.Lock())
        try:
            with making:
                if not _touch(path):
                    self._make(path, make, is_wanted)
                    self._trim(path)
        except OSError as error:
            raise LibraryError(
                f"the preview cannot be written to {self.folder} ({error.strerror or error}): make room "
                "there, or make the folder writable"
            ) from error
        finally:
            with self._lock:
                self._making.pop(path, None)
        return preview

    def _make(self, path: Path, make: Callable[[Path], None], is_wanted: Callable[[], None]) -> None:
        part = path.with_name(f"{uuid.uuid4().hex}{_PART}")
        _begin(part)
        try:
            try:
                make(part)
                os.replace(part, path)
            finally:
                is_wanted()  # says so where the folder went with its video while it was made
        except BaseException as error:
            part.unlink(missing_ok=True)
            if isinstance(error, ReelseekError):
                path.unlink(missing_ok=True)
            with suppress(OSError):
                path.parent.rmdir()
                path.parent.parent.rmdir()
            raise
        for state in _folders(path.parent.parent):
            if state != path.parent:  # of the file as it was before
                shutil.rmtree(state, ignore_errors=True)

    def _trim(self, kept: Path) -> None:
        """Removes what was used least recently until the rest fits."""
        now = time.time()
        found = []
        for path in self.folder.glob("*/*/*"):
            with suppress(FileNotFoundError):
                stat = path.stat()
                if path.suffix == _PART and now - stat.st_mtime > _ABANDONED_SECONDS:
                    path.unlink(missing_ok=True)
                elif path.suffix != _PART:
                    found.append((stat.st_atime, stat.st_size, path))
        total = sum(size for _, size, _ in found)
        for used, size, path in sorted(found):
            if total <= self._most_bytes:
                return
            if path != kept and now - used >= self._grace_seconds:
                path.unlink(missing_ok=True)
                total -= size


def forget_previews(library: Library, video_ids: Iterable[int]) -> None:
    """Removes what was made of videos; to be called after their removal from the catalog."""
    for video_id in video_ids:
        shutil.rmtree(library.folder / FOLDER / str(video_id), ignore_errors=True)


def sweep_previews(library: Library) -> None:
    """Removes what was made of videos, or of states of their files, that the catalog does not know."""
    found = _folders(library.folder / FOLDER)
    if not found:
        return
    with library.read() as catalog:
        states = catalog.file_states()
    known = {str(video_id): state for video_id, state in states.items()}
    for folder in found:
        if folder.name not in known:
            shutil.rmtree(folder, ignore_errors=True)
            continue
        for state in _folders(folder):
            if not known[folder.name].is_named(state.name):
                shutil.rmtree(state, ignore_errors=True)


def _begin(part: Path) -> None:
    """Makes an empty file, so that nobody who tidies up takes its folder for abandoned."""
    make_private_folder(part.parents[2])
    while True:
        part.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # tidied up between the two
            part.touch()
            return


def _touch(path: Path) -> bool:
    """Notes that a file was used now; False where it is not there."""
    try:
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:  # a folder that may only be read is a cache all the same
        return True
    return True


def _folders(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir()]
    except FileNotFoundError:
        return []
