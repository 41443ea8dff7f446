"""T frames at a stride out of a video, chosen by presentation time.

The stride counts frames of a grid of constant rate, not of the file: a model that was made for every second
frame of 30 a second sees steps of 1/15 s of a video of any rate, also of one whose rate varies. Each step
shows what is on screen at its time. The grid begins with a frame of the file, and up to a quarter of a step
is allowed for clocks that round, so that 29.97 frames a second come at an even pace.

A video shorter than the clip is shown once, then its last frame is held: looping would add a jump that is
no movement of the scene.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from encoders.errors import DecodeError
from indexer.video.pictures.frame import DecodedFrame
from indexer.video.reading.decode import VideoDecoder
from indexer.video.types import VideoInfo

RAN_OFF_SECONDS = 1.0  # by how much a header may promise more than there is
_TOLERANCE = 0.25  # of a step of the grid
_LONGEST_TOLERANCE_SECONDS = 1 / 120
_STILL_SECONDS = 0.2  # what is on screen for longer has no bearing on the pace
_SEEK_AFTER_SECONDS = 2.0
_SEEK_AFTER_SECONDS_AVI = 60.0  # its times are counted frames, so exact only from the beginning

Pictures = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ClipSampling:
    """The choice of the frames of a clip.

    Attributes:
        frames: T, how many.
        stride: Steps of the grid from one to the next.
        fps: Of the grid.
        size: Short side in pixels that every frame is scaled to, also up.

    Raises:
        ValueError: A value is out of range.
    """

    frames: int = 16
    stride: int = 2
    fps: float = 30.0
    size: int = 128

    def __post_init__(self) -> None:
        if not (1 <= self.frames <= 1024 and 1 <= self.stride <= 1024):
            raise ValueError(f"frames and stride must be from 1 to 1024, got {self.frames} and {self.stride}")
        if not (math.isfinite(self.fps) and 0.01 <= self.fps <= 240):
            raise ValueError(f"fps must be from 0.01 to 240, got {self.fps}")
        if not 16 <= self.size <= 4096:
            raise ValueError(f"size must be from 16 to 4096 pixels, got {self.size}")

    @property
    def length_seconds(self) -> float:
        """From the start of the first frame to the end of the last."""
        return ((self.frames - 1) * self.stride + 1) / self.fps

    def start_in(self, begin_seconds: float, end_seconds: float, fraction: float) -> float:
        """Where a clip starts that lies at a fraction (0..1) of the room there is for it."""
        return begin_seconds + fraction * max(0.0, end_seconds - begin_seconds - self.length_seconds)

    def times(self, start_seconds: float, first_pts_seconds: float) -> NDArray[np.float64]:
        """When each frame is wanted, float64 (T,), given the one on screen at the start."""
        is_still = start_seconds - first_pts_seconds > _STILL_SECONDS
        anchor = start_seconds if is_still else first_pts_seconds
        return np.asarray(anchor + np.arange(self.frames) * (self.stride / self.fps), np.float64)

    @property
    def tolerance_seconds(self) -> float:
        """By how much a frame may come late and still be on screen at a time."""
        return min(_TOLERANCE / self.fps, _LONGEST_TOLERANCE_SECONDS)


class Deadline:
    """Stops a decoder that takes too long over one clip."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self._end = time.monotonic() + limit_seconds

    def __call__(self, _: float) -> None:
        if time.monotonic() > self._end:
            raise DecodeError(f"decoding one clip took longer than {self._limit_seconds:.0f} s")


def bounds(
    path: str, info: VideoInfo, span: tuple[float, float] | None, scan: Callable[[], float]
) -> tuple[float, float]:
    """Where clips may lie: the span within the video, or all of it. `scan` finds an end not declared."""
    begin = info.start_seconds
    end = begin + info.duration_seconds if info.duration_seconds else scan()
    if span is None:
        return begin, end
    if span[0] >= end or span[1] <= begin:
        raise DecodeError(
            f"the span from {span[0]:g} to {span[1]:g} s lies outside the video, which runs from "
            f"{begin:.3f} to {end:.3f} s"
        )
    return max(begin, span[0]), min(end, span[1])


def go_to(decoder: VideoDecoder, start: float, back_seconds: float) -> bool:
    """Goes to a key frame some way before a time; whether that is the beginning of the video."""
    begin = decoder.info.start_seconds
    is_avi = decoder.info.container == "avi"
    target = start - back_seconds
    if target - begin > (_SEEK_AFTER_SECONDS_AVI if is_avi else _SEEK_AFTER_SECONDS):
        decoder.seek(target)
        return False
    if back_seconds:
        decoder.seek(begin)
    return True


def scaled_picture(frame: DecodedFrame, size: int, shape: tuple[int, ...] | None) -> Pictures:
    """The frame with the short side `size`, or of the given shape where the stream changed its size."""
    picture = frame.rgb(size)
    height, width = picture.shape[:2]
    if shape is None:
        scale = size / min(height, width)
        shape = (max(size, round(height * scale)), max(size, round(width * scale)), 3)
    if picture.shape == shape:
        return picture
    resized = cv2.resize(picture, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)
