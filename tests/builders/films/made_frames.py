"""Made frames, as encoders take them."""

from __future__ import annotations

import numpy as np
from PIL import Image

from encoders.types import FrameBatch


def make_batch(count: int = 3, height: int = 90, width: int = 120, seed: int = 0) -> FrameBatch:
    """Smooth coloured blobs: noise would look the same to any network."""
    small = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    frames = [
        np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))
        for frame in small
    ]
    return FrameBatch(np.stack(frames), np.arange(count) / 2.0)
