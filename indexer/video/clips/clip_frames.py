"""One clip out of a video file: out of frames that were kept, or decoded for it alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np

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
from indexer.video.clips.kept_frames import kept_region, pick_kept
from indexer.video.pictures.frame import DecodedFrame
from indexer.video.reading.decode import VideoDecoder

_LIMIT_SECONDS = 120.0  # for one clip


def read_clip(
    path: str,
    sampling: ClipSampling,
    fraction: float,
    *,
    span_seconds: tuple[float, float] | None = None,
    cache: ArrayCache | None = None,
    cache_key: str = "",
    threads: int | None = None,
) -> Pictures:
    """Decodes one clip.

    With a cache, all frames of the video or span are kept at the wanted size, so that the next clip of it, at
    whatever place, decodes nothing. What is returned does not depend on the cache.

    Args:
        path: A video file.
        sampling: Which frames.
        fraction: Where, 0 (as early as can be) to 1 (as late).
        span_seconds: Presentation times that the clip must lie within; None for the whole file.
        cache: Where to keep frames.
        cache_key: What tells this content of the file from another.
        threads: As for `VideoDecoder`.

    Returns:
        uint8 (T, H, W, 3), RGB, upright, min(H, W) == sampling.size.

    Raises:
        DecodeError: It cannot be read, what was wanted of it is damaged, or it takes too long.
    """
    deadline = Deadline(_LIMIT_SECONDS)
    if cache is not None:
        region = kept_region(path, sampling.size, span_seconds, cache, cache_key, threads, deadline)
        if region is not None:
            return pick_kept(region, sampling, fraction)
    return _streamed_clip(path, sampling, fraction, span_seconds, threads, deadline)


def _streamed_clip(
    path: str,
    sampling: ClipSampling,
    fraction: float,
    span: tuple[float, float] | None,
    threads: int | None,
    deadline: Deadline,
) -> Pictures:
    def scan() -> float:
        """Decodes all of the file: where it ends; DamagedVideoError where it is not what it promised."""
        end = -math.inf
        with VideoDecoder(path, threads=threads, on_progress=deadline) as decoder:
            for frame in decoder.frames():
                end = frame.pts_seconds + decoder.shown_seconds(frame)
        return end

    with VideoDecoder(path, threads=threads, on_progress=deadline) as decoder:
        begin, end = bounds(path, decoder.measured_info(), span, scan)
        start = sampling.start_in(begin, end, fraction)
        last = math.inf if span is None else end
        pictures, reached, is_torn = _pick_at(decoder, sampling, start, last)
        ran_off = start + sampling.length_seconds > reached + RAN_OFF_SECONDS
        if is_torn or (ran_off and reached < end - RAN_OFF_SECONDS):
            scan()
    if not ran_off or reached >= end - RAN_OFF_SECONDS:
        return pictures
    # The picture ends before its sound does, which is where the header says that the file ends.
    with VideoDecoder(path, threads=threads, on_progress=deadline) as decoder:
        return _pick_at(decoder, sampling, sampling.start_in(begin, min(end, reached), fraction), last)[0]


def _pick_at(
    decoder: VideoDecoder, sampling: ClipSampling, start: float, end: float
) -> tuple[Pictures, float, bool]:
    """A clip out of the frames before `end`, where these ended (inf: they go on), whether many were torn."""
    last = end - decoder.grace_seconds
    # The index of a damaged file may lead past the wanted frame: then start further back.
    for back_seconds in (0.0, 10.0, math.inf):
        is_at_start = go_to(decoder, start, back_seconds)
        broken = decoder.broken_packets
        frames = itertools.takewhile(lambda frame: frame.pts_seconds < last, decoder.frames())
        found = _pick(decoder, frames, sampling, start, is_at_start)
        if found is not None:
            pictures, reached, seen = found
            return pictures, reached, (decoder.broken_packets - broken) * 2 > seen
        if is_at_start:
            break
    raise DamagedVideoError("no frame could be decoded where the clip should be")


def _pick(
    decoder: VideoDecoder,
    frames: Iterable[DecodedFrame],
    sampling: ClipSampling,
    start: float,
    is_at_start: bool,
) -> tuple[Pictures, float, int] | None:
    """Takes the frames that are on screen at the wanted times; None where the stream begins too late."""
    picked: list[Pictures] = []
    wanted: list[float] | None = None
    tolerance = sampling.tolerance_seconds
    last: DecodedFrame | None = None
    seen = 0

    def take(until_seconds: float) -> None:
        """The last frame, for each wanted time before the next one comes."""
        assert last is not None and wanted is not None
        count = sum(time + tolerance < until_seconds for time in wanted[len(picked) :])
        if count:
            picked.extend([scaled_picture(last, sampling.size, picked[0].shape if picked else None)] * count)

    for frame in frames:
        seen += 1
        if last is None and not is_at_start and frame.pts_seconds > start + tolerance:
            return None
        if last is not None:
            if wanted is None and frame.pts_seconds > start + tolerance:
                wanted = sampling.times(start, last.pts_seconds).tolist()
            if wanted is not None:
                take(frame.pts_seconds)
                if len(picked) == sampling.frames:
                    return np.stack(picked), math.inf, seen
        last = frame
    if last is None:
        return None
    if wanted is None:
        wanted = sampling.times(start, last.pts_seconds).tolist()
    take(math.inf)
    return np.stack(picked), last.pts_seconds + decoder.shown_seconds(last), seen
