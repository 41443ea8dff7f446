"""A query's picture or footage, from any file that FFmpeg reads, to frames for the encoder."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from encoders.errors import DecodeError, NotAVideoError, StillPictureError
from encoders.types import FrameBatch
from indexer.limits import WorkerLimits
from indexer.types import SampledClip, stored_sampling
from indexer.worker import DecodeWorker
from search.types import ExamplePart

# Frames of an example are denser than the library's, which places it in time more finely; a long
# one is thinned so that encoding it takes seconds, not minutes, and of a short one more is taken: two frames
# say little of how fast it is.
MAX_EXAMPLE_FRAMES = 160
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
) -> ExamplePart:
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
    sampling = replace(stored, sampling="uniform", frame_size=frame_size)
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
            return ExamplePart((FrameBatch(picture[None], np.zeros(1)),), weight)
        fps = sampling.fps * DENSITY
        if info.duration_seconds:
            fps = max(fps, min(LEAST_EXAMPLE_FRAMES / info.duration_seconds, MOST_DENSE_FPS))
            fps = max(min(fps, MAX_EXAMPLE_FRAMES / info.duration_seconds), 0.01)
        sampling = sampling.changed(fps=fps, clip_seconds=max(sampling.clip_seconds, 1 / fps))
        clips = [
            item.frames
            for item in worker.decode(path, sampling, max(1.0, deadline - time.monotonic()))
            if isinstance(item, SampledClip)
        ]
    if not clips:
        raise NotAVideoError("no frame could be decoded from the example")
    return ExamplePart(tuple(clips), weight)
