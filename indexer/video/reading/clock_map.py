"""The map of a file whose clock restarts: which stamp in which stretch of it is which time.

A *stretch* is a part of a file in which its clock runs on; `indexer.video.reading.stamp_mender` tells where
one ends.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from search.file_names import os_path
from search.file_state import FileState

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a file in which its clock runs on.

    Attributes:
        first_byte: Where its first packet lies in the file, or where the part does that it is.
        shift_ticks: What is added to its stamps to have them on the file's one timeline.
        begin_ticks: When its first frame is shown, on that timeline.
    """

    first_byte: int
    shift_ticks: int
    begin_ticks: int


@dataclass(frozen=True, slots=True)
class ClockMap:
    """The stretches and the key frames of a file.

    Attributes:
        stretches: In the order of the file, at least one.
        key_ticks: When each key frame is shown, on the one timeline, int64 (K,).
        key_bytes: Where the packet of each begins, int64 (K,).
        lead_bytes: From where to read so that its packet comes out whole and with its own stamps, int64 (K,):
            where packs and pictures do not begin together, the first picture read takes those of another.
        end_ticks: When the last frame goes.
    """

    stretches: tuple[Stretch, ...]
    key_ticks: NDArray[np.int64]
    key_bytes: NDArray[np.int64]
    lead_bytes: NDArray[np.int64]
    end_ticks: int

    def key_before(self, ticks: int) -> tuple[int, int]:
        """Where the last key frame at or before a time begins, and from where to read; 0 before the first."""
        earlier = np.flatnonzero(self.key_ticks <= ticks)
        if not len(earlier):
            return 0, 0
        return int(self.key_bytes[earlier[-1]]), int(self.lead_bytes[earlier[-1]])

    def stretch_at(self, byte: int) -> int:
        """The number of the stretch that a place in the file belongs to."""
        return max(0, sum(stretch.first_byte <= byte for stretch in self.stretches) - 1)

    def stretch_shown(self, ticks: int) -> Stretch:
        """The stretch of the frame that is shown at a time; the first before the first."""
        earlier = [stretch for stretch in self.stretches if stretch.begin_ticks <= ticks]
        return earlier[-1] if earlier else self.stretches[0]


_maps: LRUCache[tuple[object, ...], Any] = LRUCache(256)
_maps_lock = threading.Lock()


def remember(path: str, what: object, make: Callable[[], _T]) -> _T:
    """Something for which all of a file in this state has to be read, made once in this program."""
    state = os.stat(os_path(path))
    key = (os.path.abspath(path), what, FileState.of(state), state.st_ino)
    with _maps_lock:
        if key in _maps:
            found: _T = _maps[key]
            return found
    made = make()
    with _maps_lock:
        _maps[key] = made
    return made
