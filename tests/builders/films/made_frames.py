"""What the encoders' tests share: made frames, and Python in a program of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import encoders
from encoders.types import FrameBatch


def make_batch(count: int, height: int = 90, width: int = 120, seed: int = 0) -> FrameBatch:
    """Smooth coloured blobs: noise would look the same to any network."""
    small = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    frames = [
        np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))
        for frame in small
    ]
    return FrameBatch(np.stack(frames), np.arange(count) / 2.0)


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    root = Path(encoders.__file__).parent.parent
    return subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=120)
