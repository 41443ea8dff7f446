"""Scaling frames for an encoder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Beyond this aspect ratio a strip is cut from the middle before it is scaled: a damaged header can
# claim 2 x 100000 pixels, which scaled to a short side of 256 would not fit into memory.
ASPECT_LIMIT = 16


def limit_aspect(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cuts the middle out of a frame that is more than 16 times as long as it is short.

    Args:
        frame: uint8 (H, W, 3).

    Returns:
        A view of the frame, or the frame itself.
    """
    height, width = frame.shape[:2]
    limit = ASPECT_LIMIT * min(height, width)
    top, left = max(0, (height - limit) // 2), max(0, (width - limit) // 2)
    return frame[top : top + limit, left : left + limit]


def squash(frame: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Scales a whole frame to a square with antialiased bicubic filtering, whatever its shape.

    Args:
        frame: uint8 (H, W, 3), RGB.
        side: Of the square, pixels.

    Returns:
        uint8 (side, side, 3).
    """
    frame = limit_aspect(frame)
    if frame.shape[:2] == (side, side):
        return frame
    return np.asarray(Image.fromarray(frame).resize((side, side), Image.Resampling.BICUBIC))
