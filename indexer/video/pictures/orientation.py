"""The orientation of stored pictures: how to turn them upright."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Orientation:
    """The turn that makes a stored picture upright: a transpose, then mirrorings."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def from_display_matrix(cls, matrix: bytes) -> Orientation:
        """Reads FFmpeg's 3x3 display matrix (nine native int32), at the nearest right angle."""
        a, b, _, c, d = struct.unpack_from("=5i", matrix)
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, a < 0, d < 0)
        return cls(True, c < 0, b < 0)

    @classmethod
    def from_rotation(cls, degrees: float) -> Orientation:
        """From FFmpeg's counter-clockwise angle, at the nearest right angle."""
        quarters = round(degrees / 90) % 4
        return cls(quarters % 2 == 1, quarters in (2, 3), quarters in (1, 2))

    def apply(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture (H, W, ...) turned upright, contiguous."""
        if self.transpose:
            picture = picture.swapaxes(0, 1)
        if self.flip_x:
            picture = picture[:, ::-1]
        if self.flip_y:
            picture = picture[::-1]
        return np.ascontiguousarray(picture)


def orientation_of(picture: Any) -> Orientation:
    """The orientation of the engine's picture; only its own side data knows."""
    try:
        for side in picture.side_data:
            if side.type.name == "DISPLAYMATRIX":
                return Orientation.from_display_matrix(bytes(side))
    except ValueError:  # PyAV does not know every kind of side data, Exif for one
        return Orientation.from_rotation(picture.rotation)
    return Orientation()
