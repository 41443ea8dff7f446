"""Questions about a video file that a few of its frames answer."""

from __future__ import annotations

import math
from collections.abc import Callable

from encoders.errors import NotFoundError
from indexer.video.pictures.frame import DecodedFrame
from indexer.video.reading.decode import VideoDecoder
from indexer.video.types import VideoInfo


def probe(path: str) -> VideoInfo:
    """Describes the video in a file; one frame is decoded to make sure that it is one.

    Raises:
        NotAVideoError: No video in the file.
        DamagedVideoError: Nothing of it can be decoded.
        DecodeError: It cannot be read.
    """
    with VideoDecoder(path) as decoder:
        return decoder.measured_info()


def frame_at(
    path: str, time_seconds: float, *, on_progress: Callable[[float], None] | None = None
) -> DecodedFrame:
    """The frame that is shown at a time.

    Args:
        path: A video file.
        time_seconds: Presentation time, as in `DecodedFrame.pts_seconds`, or as that is written down. The end
            of the video is a time of its last frame.
        on_progress: As for `VideoDecoder`.

    Raises:
        NotFoundError: The time is before the first frame or after the last.
        DecodeError: As `probe`.
    """
    if not math.isfinite(time_seconds):
        raise NotFoundError(f"a frame's time must be a finite number, got {time_seconds}")
    with VideoDecoder(path, on_progress=on_progress) as decoder:
        start, grace = decoder.info.start_seconds, decoder.grace_seconds
        # The index of a damaged file may lead past the wanted frame: then start further back. Shortly before
        # is far enough for the last frame of a film: what is around it tells whether it has combs.
        for back_seconds in (0.0, 0.5, 10.0, math.inf):
            decoder.seek(max(start, time_seconds - back_seconds))
            shown: DecodedFrame | None = None
            end = -math.inf
            for frame in decoder.frames():
                if frame.pts_seconds > time_seconds + grace:
                    end = math.inf
                    break
                shown, end = frame, frame.pts_seconds + decoder.shown_seconds(frame)
            if shown is not None and time_seconds <= end + grace:
                if back_seconds or shown.fields is None or shown.fields.are_known:
                    return shown
                continue
            if time_seconds + grace < start or -math.inf < end < math.inf:
                break
        ends = f" to {end:.3f}" if math.isfinite(end) else ""
        raise NotFoundError(
            f"there is no frame at {time_seconds:.3f} s: the video runs from {start:.3f}{ends} s"
        )
