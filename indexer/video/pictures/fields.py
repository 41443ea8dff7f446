"""Detection of interlaced frames, two moments woven into one, from the picture where no flag tells.

An interlaced frame holds the even lines of one moment and the odd lines of another, half a frame later or
earlier. Each half is then nearer in time to one neighbouring frame than to the other, and differs less from
that one's lines, the other way round for the other half (as FFmpeg's idet tells it). In a progressive frame
both halves are equally far from both neighbours, however it moves and however fine its lines are. Only what
moves is compared: a picture that stands still shows no combs, whatever it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from indexer.video.pictures.colours import bits_of, is_planar_yuv

Order = Literal["tff", "bff"]  # which lines were taken first: the top field's (0, 2, ...) or the bottom's

_MOVED = 12  # grey levels of 255 by which a sample differs from that of a neighbouring frame
_LEAST_MOVED = 0.002  # of the samples; below, nothing is said
_LIKELY, _SURE = 1.15, 1.35  # times as far from one neighbour as from the other
_COMBED = 0.75  # roughness of the frame as it is, over that of lines of neighbouring moments
_LEAST_STILL, _TOOTHLESS = 0.1, 0.2  # share that stands still; its share of teeth over that of what moves
_AROUND = np.ones((5, 3), np.uint8)
_COLUMNS = 96
_TOOTH, _LEAST_TEETH = 12, 0.003  # grey levels of a comb's tooth; share of the samples that are teeth
_LEAST_LINES = 16
_MOST = 6  # votes that are remembered


@dataclass(frozen=True, slots=True)
class Vote:
    """The verdict of one frame.

    Attributes:
        order: Of its fields, None for a progressive frame.
        is_sure: Whether it needs no other frame to say the same.
    """

    order: Order | None
    is_sure: bool


def vote(previous: Any, picture: Any, following: Any) -> Vote | None:
    """Returns whether a frame is woven of two fields; None where it has no combs, or too little moves to say.

    Args:
        previous, picture, following: Three successive pictures of the engine, of one size and format.
    """
    found = _combs(picture)
    if found is None:
        return None
    luma, teeth = found
    before, after = _columns(previous), _columns(following)
    change = cv2.max(cv2.absdiff(before, luma), cv2.absdiff(after, luma))[1:-1]
    moved = cv2.threshold(change, _MOVED, 255, cv2.THRESH_BINARY)[1]
    if cv2.countNonZero(moved) < _LEAST_MOVED * moved.size:
        return None
    around = cv2.addWeighted(luma[:-2], 0.5, luma[2:], 0.5, 0)  # of each inner line, those above and below
    own, earlier, later = (_roughness(around, lines, moved) for lines in (luma, before, after))
    # Inner line 0 is line 1 of the picture: the odd lines, those of the bottom field, come first.
    top_first, bottom_first = earlier[0] + later[1], earlier[1] + later[0]
    near, far = min(top_first, bottom_first), max(top_first, bottom_first)
    if far < _LIKELY * near or sum(own) < _COMBED * near:
        return Vote(None, False)
    # Fine lines are there also where nothing moves; combs are not.
    region = cv2.dilate(moved, _AROUND)
    region_count = cv2.countNonZero(region)
    moved_teeth = cv2.countNonZero(cv2.bitwise_and(teeth, region))
    still_count, still_teeth = moved.size - region_count, cv2.countNonZero(teeth) - moved_teeth
    is_combed_by_moving = (
        still_count > _LEAST_STILL * moved.size
        and still_teeth * region_count < _TOOTHLESS * moved_teeth * still_count
    )
    return Vote("tff" if top_first < bottom_first else "bff", is_combed_by_moving or far >= _SURE * near)


class FieldJudge:
    """Decides frame by frame, and remembers what the last ones were."""

    def __init__(self) -> None:
        self._score = 0
        self._order: Order | None = None

    def order_of(self, picture: Any, before: Sequence[Any], after: Sequence[Any]) -> Order | None:
        """The order of the fields where the frame is to be deinterlaced, else None.

        A sure frame is taken at its word, a likely one where frames before it were woven alike. One with
        nothing before it, or nothing after it, is woven as its neighbour is.

        Args:
            picture: The engine's.
            before, after: Those before and after it, the nearest first; as many as are known.
        """
        if before and after:
            heard = vote(before[0], picture, after[0])
        elif _combs(picture) is None:
            return None
        elif len(after) > 1:
            heard = vote(picture, after[0], after[1])
        elif len(before) > 1:
            heard = vote(before[1], before[0], picture)
        else:
            return None
        if heard is None:
            return None
        if heard.order is None:
            self._score = max(-_MOST, self._score - 1)
            return None
        is_alike = heard.order == self._order and self._score >= _MOST // 2
        if heard.is_sure:
            self._score = min(_MOST, max(self._score, 0) + 1)
            self._order = heard.order
        return heard.order if heard.is_sure or is_alike else None


def _is_judged(picture: Any) -> bool:
    known = is_planar_yuv(picture.format) or picture.format.name in ("nv12", "nv21")
    return known and picture.height >= _LEAST_LINES


def _combs(picture: Any) -> tuple[NDArray[np.uint8], Any] | None:
    """Luma and teeth of what may have combs; None where there is too little to judge."""
    if not _is_judged(picture):
        return None
    luma = _columns(picture)
    teeth = _teeth(luma)
    return (luma, teeth) if cv2.countNonZero(teeth) >= _LEAST_TEETH * teeth.size else None


def _teeth(luma: NDArray[np.uint8]) -> Any:
    """255 where a line differs more from the next than from the next but one: combs, or fine lines."""
    excess = cv2.subtract(cv2.absdiff(luma[:-2], luma[1:-1]), cv2.absdiff(luma[:-2], luma[2:]))
    return cv2.threshold(excess, _TOOTH, 255, cv2.THRESH_BINARY)[1]


def _columns(picture: Any) -> NDArray[np.uint8]:
    """All lines of luma at about 100 columns, uint8 (h, w)."""
    plane, bits = picture.planes[0], bits_of(picture)
    dtype = np.dtype(np.uint8 if bits == 8 else np.uint16)
    stride = abs(plane.line_size) // dtype.itemsize
    rows = np.frombuffer(plane, dtype).reshape(plane.height, stride)[:, : plane.width]
    step = max(1, plane.width // _COLUMNS)
    rows = rows[:, step // 2 :: step]
    return np.ascontiguousarray(rows) if bits == 8 else (rows >> (bits - 8)).astype(np.uint8)


def _roughness(around: Any, lines: Any, moved: Any) -> tuple[float, float]:
    """The roughness of a picture where lines lie between their neighbours: odd lines, then even ones.

    Args:
        around: uint8 (h - 2, w), the mean of the lines above and below each inner one.
        lines: uint8 (h, w).
        moved: uint8 (h - 2, w), 255 where to look.
    """
    rough = cv2.bitwise_and(cv2.absdiff(around, lines[1:-1]), moved)
    return cv2.norm(rough[0::2], cv2.NORM_L1), cv2.norm(rough[1::2], cv2.NORM_L1)
