"""HDR copies of pictures, made by the formulas of the standards, as real files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

PQ, HLG = 16, 18
WHITE_NITS = 203.0
# Linear light, from BT.709 to BT.2020: ITU-R BT.2087-0, equation 2.
BT709_TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])


def light_of(picture: np.ndarray) -> np.ndarray:
    """cd/m2 in BT.2020 of an 8-bit BT.709 picture whose white is 203 cd/m2 (BT.1886 display)."""
    return (picture / 255.0) ** 2.4 * WHITE_NITS @ BT709_TO_BT2020.T


def signal_of(nits: np.ndarray, transfer: int) -> np.ndarray:
    """R'G'B' 0..1 for light in cd/m2: ST 2084, or HLG of a 1000 cd/m2 screen (BT.2100)."""
    if transfer == PQ:
        y = np.clip(nits / 10_000, 0, 1) ** (1305 / 8192)
        return ((107 / 128 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32)
    luminance = nits @ np.array([0.2627, 0.6780, 0.0593]) / 1000
    scene = nits / 1000 * np.maximum(luminance, 1e-9)[..., None] ** (1 / 1.2 - 1)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    low, high = np.sqrt(3 * np.minimum(scene, 1 / 12)), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c
    return np.clip(np.where(scene <= 1 / 12, low, high), 0, 1)


def write_signal(
    path: Path,
    signals: Sequence[np.ndarray],
    *,
    transfer: int,
    primaries: int = 9,
    matrix: int = 9,
    fps: int = 10,
    codec: str = "ffv1",
    pixel_format: str = "yuv420p10le",
    color_range: int = 1,
) -> Path:
    """Writes R'G'B' (H, W, 3) 0..1 as video, tagged with the numbers of ITU-T H.273."""
    try:
        with av.open(str(path), "w") as output:
            stream: Any = output.add_stream(codec, rate=fps)
            stream.height, stream.width = signals[0].shape[:2]
            stream.pix_fmt = pixel_format
            context = stream.codec_context
            context.color_trc, context.color_primaries = transfer, primaries
            context.colorspace, context.color_range = matrix, color_range
            if codec == "libsvtav1":
                context.options = {"preset": "8", "crf": "8"}
            for number, signal in enumerate(signals):
                deep = np.rint(signal * 65535).astype(np.uint16)
                picture = av.VideoFrame.from_ndarray(deep, "rgb48le").reformat(
                    format=pixel_format, dst_colorspace=matrix, dst_color_range=color_range
                )
                picture.colorspace, picture.color_range = matrix, color_range
                picture.color_trc, picture.color_primaries = transfer, primaries
                picture.pts, picture.time_base = number, Fraction(1, fps)
                output.mux(stream.encode(picture))
            output.mux(stream.encode(None))
    finally:
        # As root, SVT-AV1 gives the thread that opens it real-time priority, and so all that it starts.
        if hasattr(os, "sched_setscheduler"):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return path
