"""Optical flow between the frames of a clip: Dense Inverse Search (Kroeger et al. 2016, arXiv:1603.03590).

OpenCV's "medium" preset, on frames as small as those that networks are trained on: on textures that are
moved by known amounts it is off by 0.01 to 0.06 pixels and takes 2 ms a pair at 128 x 171 on one core. Its
"fast" preset looks at a quarter of the resolution only and is off by 0.2 pixels, for 0.4 ms, and on frames
far wider than high it crashes the program (OpenCV 5.0): it is not offered. "fine" is medium at the full
resolution: off by 0.02, for 8 ms. Moves beyond about a tenth of the short side are not found.
"""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

FlowPreset = Literal["medium", "fine"]
FLOW_PRESETS: tuple[FlowPreset, ...] = ("medium", "fine")

_SMALLEST_SIDE = 16  # a patch is 8 pixels on the half-size picture


def optical_flow(frames: NDArray[np.uint8], preset: FlowPreset = "medium") -> NDArray[np.float32]:
    """The displacement of each pixel of a frame to the next.

    Args:
        frames: uint8 (T, H, W, 3), RGB, T >= 2, H and W at least 16.
        preset: Accuracy against time.

    Returns:
        float32 (T-1, H, W, 2), pixels along x (right) and y (down) from frame t to frame t+1; what shows at
        (x, y) of frame t shows at (x + dx, y + dy) of frame t+1. Not clipped.

    Raises:
        ValueError: A shape, dtype or preset is not as stated.
    """
    shape = frames.shape
    if frames.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or shape[0] < 2:
        raise ValueError(f"frames must be uint8 (T, H, W, 3) with T >= 2, got {frames.dtype} {shape}")
    if min(shape[1:3]) < _SMALLEST_SIDE:
        raise ValueError(f"frames must be at least {_SMALLEST_SIDE} pixels a side for flow, got {shape}")
    search = _search(preset)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in np.ascontiguousarray(frames)]
    flow = np.zeros((shape[0] - 1, shape[1], shape[2], 2), np.float32)
    for number in range(shape[0] - 1):
        if np.array_equal(grey[number], grey[number + 1]):
            continue  # a frame that is held does not move
        flow[number] = search.calc(grey[number], grey[number + 1], None)
    return flow


def _search(preset: str) -> Any:
    if preset not in FLOW_PRESETS:
        raise ValueError(f"the flow preset must be one of {', '.join(FLOW_PRESETS)}, got {preset!r}")
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    if preset == "fine":
        search.setFinestScale(0)
    return search
