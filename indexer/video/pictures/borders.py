"""Black bars around the picture, where they hold still over a whole clip."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from indexer.video.pictures.frame import Crop, DecodedFrame

_BLACK_MEAN = 20.0  # of 255
_BLACK_PEAK = 44.0  # compression rings into the bars, more so next to the picture
_DARK_CLIP_MEAN = 32.0  # a clip this dark all over has no telling edge
_SMALLEST = 0.012  # of the side: less is a blanking line, not a bar
_LARGEST_UNPROVEN = 0.4  # sum of both sides; more needs bars that match and end sharply


class BorderFinder:
    """Collects the luma of a clip's frames; then says what is black in all of them."""

    def __init__(self) -> None:
        self._rows: list[NDArray[np.float32]] | None = None
        self._columns: list[NDArray[np.float32]] | None = None

    def add(self, frame: DecodedFrame) -> None:
        """Takes one frame of the clip, in its compact form."""
        luma = frame.luma()
        black, scale = (0.0, 1.0) if frame.is_full_range else (16.0, 255.0 / 219.0)
        profiles = [
            [(np.asarray(p, np.float32) - black) * scale for p in (luma.mean(axis), luma.max(axis))]
            for axis in (1, 0)
        ]
        if self._rows is None or self._columns is None or len(self._rows[0]) != len(luma):
            self._rows, self._columns = profiles
            return
        for kept, new in zip(self._rows + self._columns, profiles[0] + profiles[1], strict=True):
            if kept.shape == new.shape:
                np.maximum(kept, new, out=kept)

    def crop(self) -> Crop | None:
        """The edges to cut off every frame of the clip, None where there are no bars."""
        if self._rows is None or self._columns is None:
            return None
        if float(self._rows[0].max()) < _DARK_CLIP_MEAN:
            return None
        top, bottom = _bars(*self._rows)
        left, right = _bars(*self._columns)
        crop = Crop(left, top, right, bottom)
        return crop or None


def _bars(means: NDArray[np.float32], peaks: NDArray[np.float32]) -> tuple[float, float]:
    """Fractions of one axis that are black at its start and its end."""
    length = len(means)
    lit = np.flatnonzero((means > _BLACK_MEAN) | (peaks > _BLACK_PEAK))
    if len(lit) == 0:
        return 0.0, 0.0
    first, last = int(lit[0]), length - 1 - int(lit[-1])
    # One more line: chroma and scaling smear the edge of the picture over it.
    sides = [float(bar + 1) / length if bar / length >= _SMALLEST else 0.0 for bar in (first, last)]
    if sum(sides) > _LARGEST_UNPROVEN:
        matched = abs(first - last) <= max(2, 0.02 * length)
        inside = means[first : length - last]
        sharp = min(inside[:3].max(), inside[-3:].max()) > 2 * _BLACK_MEAN
        if not (matched and sharp) or sum(sides) > 0.8:
            return 0.0, 0.0
    return sides[0], sides[1]
