"""Which frames are two moments woven into one: told from the picture where no flag tells it.

An interlaced frame holds the even lines of one moment and the odd lines of another, half a frame later or
earlier. Each half is then nearer in time to one neighbouring frame than to the other, and differs less from
that one's lines, the other way round for the other half (as FFmpeg's idet tells it). In a progressive frame
both halves are equally far from both neighbours, however it moves and however fine its lines are. Only what
moves is compared: a picture that stands still shows no combs, whatever it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from indexer.colours import bits_of, is_planar_yuv

Order = Literal["tff", "bff"]  # which lines were taken first: the top field's (0, 2, ...) or the bottom's

_MOVED = 12  # grey levels of 255 by which a sample differs from that of a neighbouring frame
_LEAST_MOVED = 0.002  # of the samples; below, nothing is said
_LIKELY, _SURE = 1.12, 1.35  # times as far from one neighbour as from the other
_COMBED = 0.75  # roughness of the frame as it is, over that of lines of neighbouring moments
_COLUMNS = 160
_LEAST_LINES = 16
_MOST = 6  # votes that are remembered


@dataclass(frozen=True, slots=True)
class Vote:
    """What one frame says.

    Attributes:
        order: Of its fields, None for a progressive frame.
        is_sure: Whether it needs no other frame to say the same.
    """

    order: Order | None
    is_sure: bool


def vote(previous: Any, picture: Any, following: Any) -> Vote | None:
    """Whether a frame is woven of two fields; None where too little moves to say.

    Args:
        previous, picture, following: Three successive pictures of the engine, of one size and format.
    """
    if not _is_judged(picture):
        return None
    before, now, after = (_columns(one) for one in (previous, picture, following))
    moved = (cv2.absdiff(before, now) > _MOVED) | (cv2.absdiff(after, now) > _MOVED)
    moved = moved[1:-1]
    if moved.mean() < _LEAST_MOVED:
        return None
    around = now[:-2] + now[2:]  # of each inner line, the lines above and below
    own = _sums(around, now, moved).sum()
    earlier, later = _sums(around, before, moved), _sums(around, after, moved)
    # Inner line 0 is line 1 of the picture: the odd lines, those of the bottom field, come first.
    top_first = earlier[0::2].sum() + later[1::2].sum()
    bottom_first = earlier[1::2].sum() + later[0::2].sum()
    near, far = min(top_first, bottom_first), max(top_first, bottom_first)
    if far < _LIKELY * near or own < _COMBED * near:
        return Vote(None, False)
    return Vote("tff" if top_first < bottom_first else "bff", bool(far >= _SURE * near))


class FieldJudge:
    """Decides frame by frame, and remembers what the last ones were."""

    def __init__(self) -> None:
        self._score = 0
        self._order: Order | None = None

    def order_of(self, previous: Any, picture: Any, following: Any) -> Order | None:
        """The order of the fields where the frame is to be deinterlaced, else None.

        A sure frame is taken at its word; a likely one, or one in which little moves, where frames
        before it were interlaced.
        """
        heard = vote(previous, picture, following)
        if heard is None:
            return self._order if self._score >= _MOST // 2 else None
        if heard.order is None:
            self._score = max(-_MOST, self._score - 1)
            return None
        was = self._score
        self._score = min(_MOST, max(self._score, -2) + 1)
        self._order = heard.order
        return heard.order if heard.is_sure or was >= 2 else None


def _is_judged(picture: Any) -> bool:
    known = is_planar_yuv(picture.format) or picture.format.name in ("nv12", "nv21")
    return known and picture.height >= _LEAST_LINES


def _columns(picture: Any) -> NDArray[np.int16]:
    """All lines of luma at about 160 columns, int16 (h, w), 0..255."""
    plane, bits = picture.planes[0], bits_of(picture)
    dtype = np.dtype(np.uint8 if bits == 8 else np.uint16)
    stride = abs(plane.line_size) // dtype.itemsize
    rows = np.frombuffer(plane, dtype).reshape(plane.height, stride)[:, : plane.width]
    step = max(1, plane.width // _COLUMNS)
    rows = rows[:, step // 2 :: step]
    return (rows if bits == 8 else rows >> (bits - 8)).astype(np.int16)


def _sums(
    around: NDArray[np.int16], lines: NDArray[np.int16], moved: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Of each inner line, how rough the picture is when it lies between its neighbours, float64 (h - 2,)."""
    rough = cv2.absdiff(around, 2 * lines[1:-1])
    return np.asarray((rough * moved).sum(axis=1, dtype=np.float64))
