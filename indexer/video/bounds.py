"""Bounds on what a file may claim and be: beyond some it is broken or hostile, beyond others not taken."""

from __future__ import annotations

import math
from typing import Any

from encoders.errors import DamagedVideoError, DecodeError
from indexer.video.limits import WorkerLimits
from indexer.video.types import VideoInfo

MAX_DURATION_SECONDS = 100 * 86400.0
MAX_FPS = 1000.0
_MAX_PIXELS = 2**27  # 16K by 8K

_limits: WorkerLimits | None = None


def limit_files(limits: WorkerLimits) -> None:
    """Makes this program refuse larger, longer and faster files from now on; there is no way back."""
    global _limits
    _limits = limits


def max_pixels() -> int:
    """The most pixels of one picture that are decoded."""
    return _MAX_PIXELS if _limits is None else min(_MAX_PIXELS, _limits.max_pixels)


def check_pixels(width: int, height: int) -> None:
    """Refuses pictures of too many pixels.

    Raises:
        DamagedVideoError: No camera makes so many.
        DecodeError: More than this program takes.
    """
    if width * height <= max_pixels():
        return
    if width * height > _MAX_PIXELS:
        raise DamagedVideoError(f"the header claims {width} x {height} pixels: it is broken")
    raise DecodeError(
        f"{width} x {height} pixels are more than the {max_pixels()} that are taken: scale it down"
    )


def check_claims(info: VideoInfo, stream: Any) -> None:
    """Refuses a film by what its file says of it.

    Raises:
        DecodeError: It claims to be larger than what this program takes.
    """
    if (limits := _limits) is None:
        return
    rate = max(float(one or 0) for one in (stream.average_rate, stream.guessed_rate))
    if rate > limits.max_fps:
        raise DecodeError(f"{rate:g} frames a second are claimed: {limits.max_fps:g} at most are taken")
    seconds = info.duration_seconds or 0.0
    if seconds > limits.max_seconds:
        raise DecodeError(
            f"{seconds:.0f} s of footage are longer than the {limits.max_seconds:g} s that are taken: "
            "send a part"
        )
    frames = max(stream.frames or 0, seconds * (info.average_fps or 0.0))
    if frames > limits.max_frames:
        raise DecodeError(
            f"{frames:.0f} frames, more than the {limits.max_frames} that are taken: send a part"
        )


def check_course(frames: int, packets: int, time_seconds: float) -> None:
    """Refuses a film by what has been decoded of it so far, whatever its file says.

    Raises:
        DecodeError: It is larger than what this program takes.
    """
    if (limits := _limits) is None:
        return
    if max(frames, packets // 4) > limits.max_frames:
        raise DecodeError(f"more than the {limits.max_frames} frames that are taken: send a part")
    if math.isfinite(time_seconds) and time_seconds > limits.max_seconds + 1.0:
        raise DecodeError(f"longer than the {limits.max_seconds:g} s of footage that are taken: send a part")


def positive(value: Any, largest: float) -> float | None:
    """Returns a positive finite number up to `largest` as it is, None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) and 0 < number <= largest else None
