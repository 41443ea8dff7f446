"""A query's picture or footage, from any file that FFmpeg reads, to frames for the encoder."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from encoders.budget import check_budget
from encoders.errors import DecodeError, NotAVideoError, StillPictureError
from encoders.types import FrameBatch
from indexer.video.limits import WorkerLimits
from indexer.video.programs.worker import DecodeWorker
from indexer.video.types import SampledClip, stored_sampling
from search.types import QueryExample

# Frames of an example are denser than the library's, which places it in time more finely; a long
# one is thinned so that encoding it takes seconds, not minutes, and of a short one more is taken: two frames
# say little of how fast it is.
MAX_EXAMPLE_FRAMES = 160
MAX_EXAMPLE_BYTES = 160 * 256 * 1024 * 3  # of all its frames: of strips that are very long, fewer are kept
LEAST_EXAMPLE_FRAMES = 24
MOST_DENSE_FPS = 12.0
DENSITY = 2.0
LIMIT_SECONDS = 120.0
STALL_SECONDS = 15.0
UPLOAD_LIMITS = WorkerLimits()
UPLOAD_THREADS = 2  # each holds frames of its own


def read_example(
    path: str,
    sampling_json: str,
    frame_size: int,
    weight: float = 1.0,
    *,
    limits: WorkerLimits | None = UPLOAD_LIMITS,
    limit_seconds: float = LIMIT_SECONDS,
) -> QueryExample:
    """Decodes an example in a program of its own.

    Args:
        path: A picture or a video.
        sampling_json: The library's sampling, so that the example is cut as its clips are.
        frame_size: The short side that the encoder wants, in pixels.
        weight: Of the part in its query.
        limits: What the program is held to; None for a file of one's own.
        limit_seconds: How long all of it may take.

    Raises:
        NotAVideoError: Neither a picture nor a video.
        DecodeError: It is broken, or is larger, longer or slower to decode than it may be.
    """
    stored = stored_sampling(sampling_json).without_actions()
    sampling = replace(stored, sampling="exact", frame_size=frame_size)
    threads = None if limits is None else UPLOAD_THREADS
    deadline = time.monotonic() + limit_seconds
    with DecodeWorker(
        stall_seconds=min(STALL_SECONDS, limit_seconds),
        threads=threads,
        limits=limits,
        reads=None if limits is None else (path,),
    ) as worker:
        try:
            info = worker.probe(path)
        except NotAVideoError as not_a_video:
            try:
                picture = worker.picture(path, frame_size)
            except NotAVideoError:
                if isinstance(not_a_video, StillPictureError):
                    raise DecodeError(
                        "the example is a picture that cannot be read: it is cut short or broken"
                    ) from None
                raise not_a_video from None
            return QueryExample((FrameBatch(picture[None], np.zeros(1)),), weight)
        fps = sampling.fps * DENSITY
        if info.duration_seconds:
            fps = max(fps, min(LEAST_EXAMPLE_FRAMES / info.duration_seconds, MOST_DENSE_FPS))
            fps = max(min(fps, MAX_EXAMPLE_FRAMES / info.duration_seconds), 0.01)
        sampling = sampling.changed(fps=fps, clip_seconds=max(sampling.clip_seconds, 1 / fps))
        kept = _Thinned()
        for item in worker.decode(path, sampling, max(1.0, deadline - time.monotonic())):
            check_budget()
            if isinstance(item, SampledClip):
                kept.add(item.frames)
    if not kept.clips:
        raise NotAVideoError("no frame could be decoded from the example")
    return QueryExample(tuple(kept.clips), weight)


class _Thinned:
    """Clips as they come, evenly thinned whenever they are too many to be encoded in seconds.

    A file with a cut at every second has a clip for each, and one that lies about its length any number.
    """

    def __init__(self) -> None:
        self.clips: list[FrameBatch] = []
        self._stride = 1
        self._seen = 0

    def add(self, clip: FrameBatch) -> None:
        taken = self._every(clip, self._stride, self._seen)
        self._seen += len(clip)
        if taken is not None:
            self.clips.append(taken)
        while len(self.clips) > 1 and self._is_too_much():
            self._stride *= 2
            first, kept = 0, []
            for one in self.clips:
                rest = self._every(one, 2, first)
                first += len(one)
                if rest is not None:
                    kept.append(rest)
            self.clips = kept

    def _is_too_much(self) -> bool:
        frames = sum(map(len, self.clips))
        return frames > MAX_EXAMPLE_FRAMES or sum(one.frames.nbytes for one in self.clips) > MAX_EXAMPLE_BYTES

    @staticmethod
    def _every(clip: FrameBatch, stride: int, first: int) -> FrameBatch | None:
        """Takes frames of a clip whose number, counted from `first`, is a multiple of `stride`."""
        places = slice(-first % stride, None, stride)
        # A copy, so that the frames which are left out are let go.
        frames = clip.frames[places] if stride == 1 else clip.frames[places].copy()
        return FrameBatch(frames, clip.pts_seconds[places]) if len(frames) else None
