"""Excerpts of footage changed as people change them: cropped, dimmed, mirrored, captioned, ..."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

Picture = np.ndarray


def unchanged(picture: Picture) -> Picture:
    return picture


def cropped(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    return picture[height // 10 : -height // 10, width // 10 : -width // 10]


def dimmed(picture: Picture) -> Picture:
    return (picture * 0.55).astype(np.uint8)


def mirrored(picture: Picture) -> Picture:
    return picture[:, ::-1]


def captioned(picture: Picture) -> Picture:
    picture = picture.copy()
    height, width = picture.shape[:2]
    top, left = int(height * 0.78), int(width * 0.05)
    cv2.rectangle(picture, (left, top), (width - left, int(height * 0.94)), (20, 20, 20), -1)
    cv2.putText(
        picture,
        "BREAKING: as it happened",
        (left + 5, int(height * 0.89)),
        cv2.FONT_HERSHEY_SIMPLEX,
        height / 400,
        (255, 255, 255),
        max(1, height // 200),
    )
    return picture


def letterboxed(picture: Picture) -> Picture:
    bar = picture.shape[0] // 6
    return cv2.copyMakeBorder(picture, bar, bar, 0, 0, cv2.BORDER_CONSTANT, value=(0, 0, 0))


def reencoded(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    return cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)


# name -> (what happens to each picture, speed, encoder quality: higher is worse)
CHANGES: dict[str, tuple[Callable[[Picture], Picture], float, int]] = {
    "unchanged": (unchanged, 1.0, 20),
    "cropped": (cropped, 1.0, 20),
    "dimmed": (dimmed, 1.0, 20),
    "mirrored": (mirrored, 1.0, 20),
    "captioned": (captioned, 1.0, 20),
    "letterboxed": (letterboxed, 1.0, 20),
    "sped up": (unchanged, 1.25, 20),
    "re-encoded": (reencoded, 1.0, 38),
}


def write_excerpt(source: Path, target: Path, start: float, end: float, change: str) -> None:
    """Writes [start, end) seconds of a file, changed, as H.264."""
    edit, speed, quality = CHANGES[change]
    with av.open(str(source)) as opened, av.open(str(target), "w") as output:
        video = opened.streams.video[0]
        rate = Fraction(video.average_rate).limit_denominator(1001)
        stream, first, last = None, None, start - 1e-9
        for frame in opened.decode(video):
            if frame.time is None or not last < frame.time < end:
                continue  # (some AVI files give the same time twice)
            last = frame.time
            picture = np.ascontiguousarray(edit(frame.to_ndarray(format="rgb24")))
            height, width = (side // 2 * 2 for side in picture.shape[:2])
            if stream is None:
                stream = output.add_stream("libx264", rate=rate, options={"crf": str(quality)})
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                stream.codec_context.time_base = Fraction(1, 90000)
            made = av.VideoFrame.from_ndarray(picture[:height, :width], format="rgb24")
            if first is None:
                first = frame.time
            made.pts = round((frame.time - first) / speed * 90000)
            made.time_base = Fraction(1, 90000)
            output.mux(stream.encode(made))
        output.mux(stream.encode())


def write_photograph_film(photograph: Picture, target: Path, seconds: float = 8.0, fps: int = 25) -> None:
    """Films a photograph: the camera wanders over it, never the same way back.

    It does not close in: an excerpt that is cropped shows what the camera sees later when it does,
    so that its time would be ambiguous.

    Args:
        photograph: uint8 (H, W, 3), RGB.
        target: The H.264 file to write, 426 x 240.
        seconds: Its length.
        fps: Its rate.
    """
    height, width = photograph.shape[:2]
    with av.open(str(target), "w") as output:
        stream = output.add_stream("libx264", rate=fps, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 426, 240, "yuv420p"
        count = round(seconds * fps)
        for number in range(count):
            at = number / count
            piece_width = 0.75 * min(width, height * 426 / 240)
            piece_height = piece_width * 240 / 426
            x = (width - piece_width) * (0.5 + 0.5 * np.sin(2.2 * np.pi * at - 1.2))
            y = (height - piece_height) * (0.5 + 0.5 * np.sin(1.3 * np.pi * at + 0.4))
            scale = 426 / piece_width
            window = np.array([[scale, 0, -x * scale], [0, scale, -y * scale]], np.float32)
            picture = cv2.warpAffine(photograph, window, (426, 240), flags=cv2.INTER_AREA)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode())
