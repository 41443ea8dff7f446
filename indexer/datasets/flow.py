"""Optical flow that was computed once, kept."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from encoders.backbones.optical_flow import FLOW_PRESETS, FlowPreset, optical_flow
from indexer.video.clips.array_cache import ArrayCache

__all__ = ["FLOW_PRESETS", "FlowPreset", "cached_flow", "optical_flow"]

_VERSION = 1  # of what `optical_flow` returns; older entries of a cache are not used


def cached_flow(
    frames: NDArray[np.uint8], cache: ArrayCache | None, preset: FlowPreset = "medium"
) -> NDArray[np.float32]:
    """Computes optical flow, or reads from the cache what was computed once for these very pixels.

    It is kept as float16, whose steps are 1/128 pixel up to 16 pixels; the first answer is rounded the same
    way, so that it does not matter which one comes from the cache.
    """
    if cache is None:
        return optical_flow(frames, preset)
    digest = hashlib.sha256(frames.tobytes()).hexdigest()
    key = f"flow {_VERSION} {preset} {frames.shape} {digest}"
    found = cache.get(key)
    expected = (frames.shape[0] - 1, *frames.shape[1:3], 2)
    if found is not None and found.dtype == np.float16 and found.shape == expected:
        return found.astype(np.float32)
    small = optical_flow(frames, preset).astype(np.float16)
    cache.put(key, small)
    return small.astype(np.float32)
