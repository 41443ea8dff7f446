"""Arrays kept on disk, in a folder of a bounded size that several programs share.

Each array is a `.npy` file, so that reading maps it into memory: only the pages that are looked at are read,
and programs that read the same array share them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SUFFIX = ".npy"
_RECOUNT_AFTER = 64  # arrays written, since others write as well


class ArrayCache:
    """A folder of arrays. Picklable; what is lost in it costs time, never correctness.

    When the folder is full, arrays that nobody has used since this cache was opened make room, oldest first.
    Those in use stay: training reads all of its clips in turn, and throwing out the one that was used longest
    ago would throw out each just before it is wanted again.
    """

    def __init__(self, folder: str | os.PathLike[str], limit_bytes: int) -> None:
        """Makes the folder.

        Args:
            folder: Of this cache alone.
            limit_bytes: Of all its files together.

        Raises:
            OSError: The folder cannot be made.
        """
        self._folder = Path(folder)
        self._limit_bytes = limit_bytes
        self._opened_ns = time.time_ns()
        self._held_bytes: int | None = None
        self._written = 0
        self._folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: str) -> NDArray[Any] | None:
        """The array that was put under the key, mapped and read-only, or None."""
        path = self._path(key)
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError):
            with contextlib.suppress(OSError):
                path.unlink()  # written only in part before the machine went down
            return None
        with contextlib.suppress(OSError):
            _mark_used(path)
        return array

    def put(self, key: str, array: NDArray[Any]) -> bool:
        """Keeps an array if there is room, or room can be made; whether it did.

        A reader sees all of it or nothing. A disk that is full is no error.
        """
        need = array.nbytes + 128
        if not self.has_room(need):
            return False
        path = self._path(key)
        try:
            path.parent.mkdir(exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    np.save(file, array, allow_pickle=False)
                _mark_used(temporary)
                os.replace(temporary, path)
            except BaseException:
                os.unlink(temporary)
                raise
        except OSError:
            return False
        self._held_bytes = (self._held_bytes or 0) + need
        self._written += 1
        return True

    def has_room(self, need_bytes: int) -> bool:
        """Returns whether so many bytes fit; makes room by what this run has not used."""
        if need_bytes > self._limit_bytes:
            return False
        if self._held_bytes is None or self._written >= _RECOUNT_AFTER:
            self._held_bytes, self._written = sum(size for _, size, _ in self._files()), 0
        if self._held_bytes + need_bytes <= self._limit_bytes:
            return True
        files = sorted(self._files())
        held = sum(size for _, size, _ in files)
        for used_ns, size, path in files:
            if held + need_bytes <= self._limit_bytes or used_ns >= self._opened_ns:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)
            held -= size
        self._held_bytes = held
        return held + need_bytes <= self._limit_bytes

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
        return self._folder / name[:2] / (name + _SUFFIX)

    def _files(self) -> Iterator[tuple[int, int, str]]:
        """When each file was last used, its size and its path."""
        for folder, _, names in os.walk(self._folder):
            for name in names:
                if name.endswith((_SUFFIX, ".part")):
                    path = os.path.join(folder, name)
                    with contextlib.suppress(OSError):
                        status = os.stat(path)
                        yield status.st_mtime_ns, status.st_size, path


def _mark_used(path: str | Path) -> None:
    now = time.time_ns()  # the file system's own clock runs some milliseconds behind
    os.utime(path, ns=(now, now))
