"""Thinning: which pictures that no other needs are left out, so that those left are never far apart."""

from __future__ import annotations

from bisect import bisect_right, insort

_REMEMBERED = 64  # more than are reordered


class Thinning:
    """Decides packet by packet, in the order of decoding.

    Args:
        apart_ticks: The longest that may lie between two pictures that are left, where one in between was
            left out.
    """

    def __init__(self, apart_ticks: float) -> None:
        self._apart_ticks = apart_ticks
        self._kept: list[int] = []

    def keep(self, pts: int) -> None:
        """Notes a picture that is decoded."""
        insort(self._kept, pts)
        del self._kept[:-_REMEMBERED]

    def leaves_out(self, pts: int, lasts_ticks: float) -> bool:
        """Returns whether to leave out a picture that no other needs; notes it where not.

        Args:
            pts: When it is shown.
            lasts_ticks: For how long.
        """
        place = bisect_right(self._kept, pts)
        if place:
            following = min([pts + lasts_ticks, *self._kept[place : place + 1]])
            if following - self._kept[place - 1] <= self._apart_ticks:
                return True
        self.keep(pts)
        return False
