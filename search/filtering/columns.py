"""The visible clips of a catalog as columns in memory, and which of them a filter's parts let through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from search.catalog.actions.spans import LEAST_OVERLAP_SECONDS
from search.catalog.catalog import Catalog

PAIRS_AT_ONCE = 2**20  # of a span and a clip, compared in one go

Ids = NDArray[np.int64]
Seconds = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ClipColumns:
    """Every visible clip of a catalog at one revision; never written into, so that threads share it.

    Attributes:
        ids: int64 (N,), ascending.
        video_ids: int64 (N,).
        starts, ends: float64 (N,), seconds.
    """

    ids: Ids
    video_ids: Ids
    starts: Seconds
    ends: Seconds

    @classmethod
    def read(cls, catalog: Catalog) -> Self:
        """Reads all of them: about a second for a million."""
        return cls._of(np.concatenate(list(catalog.filters.clips())))

    @classmethod
    def _of(cls, rows: NDArray[np.float64]) -> Self:
        """The columns of rows (N, 4), ascending by id; float64 holds every id below 2**53."""
        ids, video_ids = rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64)
        return cls(ids, video_ids, rows[:, 2].copy(), rows[:, 3].copy())

    def caught_up(self, catalog: Catalog, revision: int) -> Self:
        """Takes in what the catalog has shown and hidden since a revision, that of these columns."""
        kept = ~np.isin(self.ids, catalog.removed_since(revision))
        old, new = (self.ids, self.video_ids, self.starts, self.ends), catalog.filters.clips_since(revision)
        one, other = [column[kept] for column in old], self._of(new[np.argsort(new[:, 0])])
        joined = [
            np.concatenate(pair)
            for pair in zip(one, (other.ids, other.video_ids, other.starts, other.ends), strict=True)
        ]
        if len(one[0]) and len(other.ids) and one[0][-1] > other.ids[0]:  # staged early, and published late
            order = np.argsort(joined[0], kind="stable")
            joined = [column[order] for column in joined]
        return type(self)(*joined)

    def __len__(self) -> int:
        return len(self.ids)

    # --- what passes -----------------------------------------------------------------------

    def lasting(self, least: float | None, most: float | None) -> Mask:
        """Selects clips by their own length in seconds, bounds included."""
        passes = np.ones(len(self), np.bool_)
        length = self.ends - self.starts
        # Spans are stored as float64 differences: a microsecond keeps "4 s" from missing 3.9999999 s.
        if least is not None:
            passes &= length >= least - 1e-6
        if most is not None:
            passes &= length <= most + 1e-6
        return passes

    def of_videos(self, video_ids: Ids) -> Mask:
        """Selects the clips of videos."""
        return np.isin(self.video_ids, video_ids)

    def among(self, clip_ids: Ids) -> Mask:
        """Selects clips by id; unknown ones, and one several times, are no harm."""
        passes = np.zeros(len(self), np.bool_)
        places = np.searchsorted(self.ids, clip_ids)
        inside = places < len(self)
        places = places[inside]
        passes[places[self.ids[places] == clip_ids[inside]]] = True
        return passes

    def showing(self, video_ids: Ids, starts: Seconds, ends: Seconds) -> Mask:
        """Selects the clips that one of some spans meets, by the rule of `overlaps_enough`.

        Args:
            video_ids, starts, ends: int64 (S,), float64 (S,) in seconds: the spans.
        """
        in_turn = np.lexsort((starts, video_ids))  # neighbours are looked for where the last one was found
        video_ids, starts, ends = video_ids[in_turn], starts[in_turn], ends[in_turn]
        order, clip_starts, clip_ends = self._by_time
        # In a video, from the first clip that may end behind the span's start to the last one that
        # starts before its end.
        first = np.searchsorted(clip_ends, video_ids + 1j * starts, side="right")
        last = np.searchsorted(clip_starts, video_ids + 1j * ends, side="left")
        passes = np.zeros(len(self), np.bool_)
        for spans, places in _pairs(first, last):
            clips = order[places]
            shared = np.minimum(self.ends[clips], ends[spans]) - np.maximum(self.starts[clips], starts[spans])
            shorter = np.minimum(self.ends[clips] - self.starts[clips], ends[spans] - starts[spans])
            enough = (shared > 0) & ((shared >= LEAST_OVERLAP_SECONDS) | (2 * shared >= shorter))
            passes[clips[enough]] = True
        return passes

    @cached_property
    def _by_time(self) -> tuple[NDArray[np.intp], NDArray[np.complex128], NDArray[np.complex128]]:
        """The clips by video and start: their places, and two ascending keys (video, seconds) to search in.

        Complex numbers compare by their real parts first and their imaginary ones then. The first key has
        where clips start, the second the latest end so far.
        """
        starts = self.video_ids + 1j * self.starts
        order = np.arange(len(self))
        if (starts[1:] < starts[:-1]).any():
            order = np.lexsort((self.starts, self.video_ids))
        ends = self.video_ids[order] + 1j * self.ends[order]
        return order, starts[order], np.maximum.accumulate(ends)


def _pairs(first: NDArray[np.intp], last: NDArray[np.intp]) -> Iterator[tuple[Ids, Ids]]:
    """Yields every pair of a row and a place in its range [first, last), about a million at a time."""
    counts = np.maximum(last - first, 0)
    totals = np.cumsum(counts)
    row = 0
    while row < len(counts):
        done = totals[row] - counts[row]
        until = max(row + 1, int(np.searchsorted(totals, done + PAIRS_AT_ONCE, side="right")))
        some = counts[row:until]
        rows = np.repeat(np.arange(row, until), some)
        offsets = np.arange(len(rows)) - np.repeat(totals[row:until] - some - done, some)
        yield rows, first[rows] + offsets
        row = until
