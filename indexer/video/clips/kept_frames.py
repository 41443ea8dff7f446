"""All frames of a short video, or of a span of one, kept at the size that is trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.errors import DamagedVideoError
from indexer.video.clips.array_cache import ArrayCache
from indexer.video.clips.clip_sampling import (
    RAN_OFF_SECONDS,
    ClipSampling,
    Deadline,
    Pictures,
    bounds,
    go_to,
    scaled_picture,
)
from indexer.video.pictures.frame import DecodedFrame
from indexer.video.reading.decode import VideoDecoder

_LARGEST_KEPT_BYTES = 1 << 28  # of one video
_VERSION = 1  # of what is kept


@dataclass(frozen=True, slots=True)
class Region:
    """All frames of a video, or of a span of it, at the size that is wanted.

    Attributes:
        begin_seconds: Of the span, or of the video.
        end_seconds: As the span or the header says.
        reached_seconds: Where the frames really end.
        frames: Records (pts_seconds, picture uint8 (H, W, 3)) in order of time; may be mapped from disk.
    """

    begin_seconds: float
    end_seconds: float
    reached_seconds: float
    frames: NDArray[np.void]


def kept_region(
    path: str,
    size: int,
    span: tuple[float, float] | None,
    cache: ArrayCache,
    cache_key: str,
    threads: int | None,
    deadline: Deadline,
) -> Region | None:
    """The region out of the cache, else decoded and put there; None where it is too large or damaged."""
    key = f"frames {_VERSION} {size} {span} {cache_key} {path}"
    times, frames = cache.get(f"{key} times"), cache.get(key)
    if times is not None and frames is not None and times.shape == (3,) and frames.dtype.names:
        return Region(float(times[0]), float(times[1]), float(times[2]), frames)
    try:
        with VideoDecoder(path, threads=threads, on_progress=deadline) as decoder:
            info = decoder.measured_info()
            if not info.duration_seconds:
                return None
            begin, end = bounds(path, info, span, lambda: math.inf)
            aspect = max(info.width, info.height) / max(1, min(info.width, info.height))
            pictures = (end - begin) * (info.average_fps or 30.0) + 2
            need = int(pictures * 3 * aspect * size**2)
            if need > _LARGEST_KEPT_BYTES or not cache.has_room(need):
                return None
            region = _decoded_region(decoder, begin, end, size, is_whole=span is None)
    except DamagedVideoError:
        return None  # some clips of it may be good: each is judged by itself
    if cache.put(key, region.frames):
        cache.put(
            f"{key} times",
            np.array([region.begin_seconds, region.end_seconds, region.reached_seconds], np.float64),
        )
    return region


def _decoded_region(decoder: VideoDecoder, begin: float, end: float, size: int, *, is_whole: bool) -> Region:
    """The frames on screen from begin to end; the decoder judges the file where that is all of it."""
    pts: list[float] = []
    pictures: list[Pictures] = []
    held: DecodedFrame | None = None
    is_at_start = is_whole or go_to(decoder, begin, 0.0)
    reached, kept_bytes = begin, 0
    for frame in decoder.frames():
        if not is_whole and frame.pts_seconds >= end - decoder.grace_seconds:
            reached = end
            break
        reached = frame.pts_seconds + decoder.shown_seconds(frame)
        if not is_at_start and frame.pts_seconds > begin + decoder.grace_seconds:
            raise DamagedVideoError("the index of the file leads astray")
        is_at_start = True
        if frame.pts_seconds <= begin + decoder.grace_seconds:
            held = frame
            continue
        for shown in (held, frame):
            if shown is not None:
                pts.append(shown.pts_seconds)
                pictures.append(scaled_picture(shown, size, pictures[0].shape if pictures else None))
                kept_bytes += pictures[-1].nbytes
        held = None
        if kept_bytes > 2 * _LARGEST_KEPT_BYTES:
            raise DamagedVideoError("there are more frames than the header promises")
    if held is not None:
        pts.append(held.pts_seconds)
        pictures.append(scaled_picture(held, size, pictures[0].shape if pictures else None))
    if not pts or (not is_whole and decoder.broken_packets * 2 > len(pts)):
        raise DamagedVideoError("no frame, or few, could be decoded where the clip should be")
    record = np.dtype([("pts_seconds", np.float64), ("picture", np.uint8, pictures[0].shape)])
    frames = np.empty(len(pts), record)
    frames["pts_seconds"] = pts
    for number, picture in enumerate(pictures):
        frames["picture"][number] = picture
    return Region(begin, end, reached, frames)


def pick_kept(region: Region, sampling: ClipSampling, fraction: float) -> Pictures:
    """A clip out of a region; the same frames that `read_clip` takes out of a stream."""
    pts = np.asarray(region.frames["pts_seconds"])
    start = sampling.start_in(region.begin_seconds, region.end_seconds, fraction)
    if start + sampling.length_seconds > region.reached_seconds + RAN_OFF_SECONDS:
        start = sampling.start_in(region.begin_seconds, region.reached_seconds, fraction)
    tolerance = sampling.tolerance_seconds
    first = max(0, int(np.searchsorted(pts, start + tolerance, "right")) - 1)
    times = sampling.times(start, float(pts[first]))
    chosen = np.searchsorted(pts, times + tolerance, "right") - 1
    return np.ascontiguousarray(region.frames["picture"][np.maximum(chosen, first)])
