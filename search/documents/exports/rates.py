"""Frame rates that times are counted in, and segments in frames."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from search.types import Segment, Video

# What editors take a file for that does not say its rate.
DEFAULT_FPS = 25.0
# Two digits of frames are all that a timecode has; above this editors count every second frame.
HIGHEST_TIMECODE_FPS = 60
NO_ORIGINS: Mapping[int, float] = {}
_USUAL_FPS = (24000 / 1001, 24, 25, 30000 / 1001, 30, 48, 50, 60000 / 1001, 60, 100, 120)
_EVEN_SLACK = 0.01
_HIGHEST_BASE_FPS = 240.0  # above, it is the tick of a clock (Matroska's is a millisecond) and no rate


def frames_of(segment: Segment, rate: Fraction, origin_seconds: float) -> tuple[int, int]:
    """Returns first frame and count, at least one; nothing lies before the file's beginning."""
    first = max(0, round((segment.start_seconds - origin_seconds) * rate))
    stop = round((segment.end_seconds - origin_seconds) * rate)
    return first, max(1, stop - first)


def rate_of(video: Video) -> Fraction:
    """Returns the frames per second to count in; those of American television as exact fractions."""
    fps = _mean_fps(video)
    if is_uneven(video):
        assert video.base_fps is not None
        fps = video.base_fps if video.base_fps <= _HIGHEST_BASE_FPS else HIGHEST_TIMECODE_FPS
    television = Fraction(round(fps) * 1000, 1001)
    if television and abs(fps - television) < 1e-4 * fps:
        return television
    return Fraction(fps).limit_denominator(1000) or Fraction(fps)


def _mean_fps(video: Video) -> float:
    fps = video.average_fps
    return DEFAULT_FPS if fps is None or not math.isfinite(fps) or fps <= 0 else fps


def is_uneven(video: Video) -> bool:
    """Tells whether frames come unevenly, so that the mean rate could not name the place of each.

    Not where the mean is a rate that cameras have, nor where the container counts fields, two a frame.
    """
    mean, base = _mean_fps(video), video.base_fps
    if base is None or not math.isfinite(base) or any(abs(mean / fps - 1) < 5e-4 for fps in _USUAL_FPS):
        return False
    return base > mean * (1 + _EVEN_SLACK) and abs(base / (2 * mean) - 1) > _EVEN_SLACK


def nominal_fps(rate: Fraction) -> int:
    """Returns the whole number of frames that a second of timecode has."""
    fps = max(1, round(rate))
    while fps > HIGHEST_TIMECODE_FPS:
        fps = math.ceil(fps / 2)
    return fps


def video_of(segment: Segment, known: Mapping[int, Video]) -> Video:
    try:
        return known[segment.video_id]
    except KeyError:
        raise ValueError(f"video {segment.video_id} is not among those given") from None
