"""Scaling and cropping frames for an encoder."""

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


def resize_and_crop(frame: NDArray[np.uint8], short_side: int, crop: int) -> NDArray[np.uint8]:
    """Scales to a short side with antialiased bicubic filtering, then cuts out the centre.

    The sizes round as torchvision's `Resize` and `CenterCrop` do, which the weights of most image
    models were evaluated with. A frame of that short side already is cropped only.

    Args:
        frame: uint8 (H, W, 3), RGB.
        short_side: Pixels, at least `crop`.
        crop: Side of the centre square in pixels.

    Returns:
        uint8 (crop, crop, 3).
    """
    frame = limit_aspect(frame)
    height, width = frame.shape[:2]
    if min(height, width) != short_side:
        shorter = min(height, width)
        size = (int(short_side * width / shorter), int(short_side * height / shorter))
        frame = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC))
        height, width = frame.shape[:2]
    top, left = round((height - crop) / 2), round((width - crop) / 2)
    return frame[top : top + crop, left : left + crop]
