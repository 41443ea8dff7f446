"""Animated pictures that FFmpeg reads in part or not at all, read by Pillow instead.

Those are animated WebP, and AVIF sequences whose alpha is a track of its own. GIF, APNG and other AVIF are
FFmpeg's.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.errors import DamagedVideoError, DecodeError, StillPictureError
from indexer.video.containers.refusal import STILL_PICTURE
from indexer.video.engine import create_file, make_picture
from search.file_names import os_path

_HEAD_BYTES = 1 << 16
_ANIMATED = 0x02  # of VP8X's flags
_LEAST_MILLISECONDS, _USUAL_MILLISECONDS = 11, 100  # what is shown for less is shown for 100, as browsers do
_MOST_PIXELS = 1 << 31  # of all frames together: they are kept in memory, as little compressed as losslessly


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame of an animation.

    Attributes:
        rgba: uint8 (H, W, 4).
        start_ms: When it is shown.
        duration_ms: For how long.
    """

    rgba: NDArray[np.uint8]
    start_ms: int
    duration_ms: int


def animation_in(path: str) -> str | None:
    """The format of a readable file that is for Pillow, "webp" or "avif"; None for any other."""
    with open(os_path(path), "rb") as file:
        head = file.read(_HEAD_BYTES)
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X":
        return "webp" if len(head) > 20 and head[20] & _ANIMATED else None
    brands = head[8 : int.from_bytes(head[:4], "big")]
    return "avif" if head[4:8] == b"ftyp" and b"avis" in brands and b"auxv" in head else None


def moments(path: str, most_pixels: int, *, least_frames: int = 2) -> Iterator[Moment]:
    """The frames of an animation, one after the other.

    Args:
        path: Of the file.
        most_pixels: Of one frame.
        least_frames: Fewer are no footage.

    Raises:
        StillPictureError: There are fewer frames.
        DamagedVideoError: It is broken.
        DecodeError: It is larger than what is taken.
    """
    from PIL import Image

    try:
        with Image.open(os_path(path), formats=("WEBP", "AVIF")) as opened:
            width, height = opened.size
            count = int(getattr(opened, "n_frames", 1))
            if width * height > most_pixels or width * height * count > _MOST_PIXELS:
                raise DecodeError(
                    f"an animation of {count} frames of {width} x {height} pixels is more than is taken: "
                    "scale it down or write it as a video"
                )
            if count < least_frames:
                raise StillPictureError(STILL_PICTURE)
            end_ms = 0
            for number in range(count):
                opened.seek(number)
                rgba = np.array(opened.convert("RGBA"))
                lasts = int(opened.info.get("duration") or 0)
                lasts = lasts if lasts >= _LEAST_MILLISECONDS else _USUAL_MILLISECONDS
                yield Moment(rgba, end_ms, lasts)
                end_ms += lasts
    except (OSError, ValueError, EOFError, SyntaxError, Image.DecompressionBombError) as error:
        raise DamagedVideoError(f"the animation is broken ({error}): copy the file again") from None


def as_video(moments: Iterable[Moment]) -> io.BytesIO:
    """The frames of an animation, of one size, as a Matroska file in memory, without loss."""
    file = io.BytesIO()
    tick = Fraction(1, 1000)
    with create_file(file, "matroska") as output:
        stream: Any = None
        for moment in moments:
            if stream is None:
                stream = output.add_stream("ffv1", rate=Fraction(1000, moment.duration_ms))
                stream.height, stream.width = moment.rgba.shape[:2]
                stream.pix_fmt = "bgra"
                stream.codec_context.time_base = tick
            picture = make_picture(moment.rgba, "rgba").reformat(format="bgra")
            picture.pts, picture.time_base, picture.duration = moment.start_ms, tick, moment.duration_ms
            for packet in stream.encode(picture):
                packet.duration = moment.duration_ms
                output.mux(packet)
        if stream is not None:
            output.mux(stream.encode(None))
    file.seek(0)
    return file
