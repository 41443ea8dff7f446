"""Test videos, made by PyAV: real files whose every frame and time is known beforehand.

Each frame carries its number as a row of black and white blocks, so that a test can tell which
frame it was given without trusting the decoder under test.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

BITS = 12
BLOCK = 12
WIDTH, HEIGHT = 192, 144


def scene(seed: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A smooth random colour picture, uint8 (height, width, 3), as unlike others as can be."""
    random = np.random.default_rng(seed)
    coarse = random.integers(30, 226, (6, 8, 3)).astype(np.float32)
    rows = np.linspace(0, 4.999, height)
    columns = np.linspace(0, 6.999, width)
    top, left = rows.astype(int), columns.astype(int)
    down, right = (rows - top)[:, None, None], (columns - left)[None, :, None]
    corners = [coarse[top + i][:, left + j] for i in (0, 1) for j in (0, 1)]
    upper = corners[0] * (1 - right) + corners[1] * right
    lower = corners[2] * (1 - right) + corners[3] * right
    return (upper * (1 - down) + lower * down).astype(np.uint8)


def stamp(picture: np.ndarray, number: int) -> np.ndarray:
    """The picture with its number written into the bottom rows."""
    picture = picture.copy()
    for bit in range(BITS):
        value = 235 if number >> bit & 1 else 20
        picture[-BLOCK:, bit * BLOCK : (bit + 1) * BLOCK] = value
    return picture


def read_stamp(picture: np.ndarray) -> int:
    """The number out of a decoded picture of the size at which it was stamped."""
    centres = [picture[-BLOCK // 2, bit * BLOCK + BLOCK // 2].mean() for bit in range(BITS)]
    return sum(1 << bit for bit, value in enumerate(centres) if value > 128)


def moving(count: int, seed: int = 0, first: int = 0, speed: int = 1) -> list[np.ndarray]:
    """Frames of one shot: a scene that pans, stamped `first`, `first` + 1, ..."""
    base = scene(seed)
    return [stamp(np.roll(base, speed * number, axis=1), first + number) for number in range(count)]


def shots(lengths: Sequence[int]) -> tuple[list[np.ndarray], list[int]]:
    """Frames of several shots, and the numbers of the frames that begin the second and later."""
    frames: list[np.ndarray] = []
    starts: list[int] = []
    for seed, length in enumerate(lengths):
        starts.append(len(frames))
        frames += moving(length, seed=seed, first=len(frames))
    return frames, starts[1:]


def write_video(
    path: Path | str,
    frames: Iterable[np.ndarray],
    *,
    fps: float | Fraction = 25,
    times: Sequence[float] | None = None,
    tick: Fraction | None = None,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    b_frames: int = 0,
    key_every: int = 25,
    codec_options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    container: str | None = None,
    rotation: tuple[float, bool, bool] | None = None,
    pixel_aspect: Fraction | None = None,
    full_range: bool = False,
    sound_seconds: float = 0.0,
) -> Path:
    """Writes one video file.

    Args:
        path: Its name decides the container unless `container` does.
        frames: uint8 (H, W, 3), RGB.
        fps: Constant rate, where `times` is not given.
        times: When each frame is shown, in seconds, ascending.
        tick: Of the encoder's clock, which some containers take over.
        rotation: Degrees counter-clockwise, mirrored horizontally, vertically.
        sound_seconds: Adds silence of this length.
    """
    with av.open(str(path), "w", format=container, options=container_options or {}) as output:
        stream: Any = None
        sound: Any = None
        if tick is None and codec in ("mpeg1video", "mpeg2video"):
            tick = 1 / Fraction(fps)  # these know no other than that of a frame
        tick = tick or Fraction(1, 60000)  # MPEG-4 Part 2 allows no finer one
        for number, frame in enumerate(frames):
            if stream is None:
                stream = output.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = pixel_format
                stream.codec_context.time_base = tick
                stream.codec_context.gop_size = key_every
                stream.codec_context.max_b_frames = b_frames
                quick = {"preset": "ultrafast", "x265-params": "log-level=none"}
                stream.codec_context.options = {
                    **({"preset": quick["preset"]} if codec.startswith("libx26") else {}),
                    **({"x265-params": quick["x265-params"]} if codec == "libx265" else {}),
                    **({"sc_threshold": "0"} if codec == "libx264" else {}),
                    **({"bf": str(b_frames)} if codec == "libx264" else {}),
                    **(codec_options or {}),
                }
                if full_range:
                    stream.codec_context.color_range = 2
                if pixel_aspect is not None:
                    stream.codec_context.sample_aspect_ratio = pixel_aspect
                if rotation is not None:
                    stream.set_display_rotation(rotation[0], rotation[1], rotation[2])
                if sound_seconds:
                    sound = output.add_stream("aac", rate=8000)
            picture = av.VideoFrame.from_ndarray(frame, "rgb24").reformat(
                format=pixel_format, dst_color_range=2 if full_range else 1
            )
            seconds = times[number] if times is not None else number / fps
            picture.pts, picture.time_base = round(seconds / tick), tick
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
        if sound is not None:
            _write_silence(output, sound, sound_seconds)
    return Path(path)


def write_sound(path: Path | str, seconds: float, *, cover: np.ndarray | None = None) -> Path:
    """Writes silence, with a picture as cover art if one is given (MP3)."""
    with av.open(str(path), "w") as output:
        is_mp3 = str(path).endswith(".mp3")
        sound: Any = output.add_stream("libmp3lame" if is_mp3 else "aac", rate=8000)
        art: Any = None
        if cover is not None:
            art = output.add_stream("mjpeg", rate=1)
            art.height, art.width = cover.shape[:2]
            art.pix_fmt = "yuvj420p"
            art.disposition = av.stream.Disposition.attached_pic
            picture = av.VideoFrame.from_ndarray(cover, "rgb24").reformat(format="yuvj420p")
            picture.pts = 0
            output.mux(art.encode(picture))
            output.mux(art.encode(None))
        _write_silence(output, sound, seconds)
    return Path(path)


def _write_silence(output: Any, sound: Any, seconds: float) -> None:
    for start in range(0, round(seconds * 8000), 1024):
        chunk = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        chunk.sample_rate, chunk.pts, chunk.time_base = 8000, start, Fraction(1, 8000)
        output.mux(sound.encode(chunk))
    output.mux(sound.encode(None))


def shift_times(source: Path, target: Path, seconds: float) -> Path:
    """Copies a video's packets with other times; in MP4, times before 0 make an edit list."""
    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(source)) as given, av.open(str(target), "w", options=options) as output:
        stream = given.streams.video[0]
        copied = output.add_stream_from_template(stream)
        for packet in given.demux(stream):
            if packet.dts is None or packet.pts is None:
                continue
            ticks = round(seconds / packet.time_base)
            packet.pts += ticks
            packet.dts += ticks
            packet.stream = copied
            output.mux(packet)
    return target


def letterboxed(frames: Iterable[np.ndarray], bar: int) -> list[np.ndarray]:
    """The frames with black bars of `bar` rows above and below."""
    return [np.pad(frame, ((bar, bar), (0, 0), (0, 0))) for frame in frames]


def write_programmes(
    path: Path | str,
    programmes: Sequence[Sequence[np.ndarray]],
    *,
    fps: float = 25,
    codecs: Sequence[str] = ("libx264",),
    flags: Sequence[int] = (),
    tones_hertz: Sequence[float] = (),
    container_options: dict[str, str] | None = None,
) -> Path:
    """Writes one file with several video streams, each of its own frames, and perhaps a tone beside each.

    Args:
        codecs: One for each stream, or one for all.
        flags: The disposition of each video stream.
        tones_hertz: Of the sound that lies beside each video stream.
    """
    with av.open(str(path), "w", options=container_options or {}) as output:
        streams: list[Any] = []
        for number, frames in enumerate(programmes):
            codec = codecs[number % len(codecs)]
            stream: Any = output.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            if codec == "libx264":
                stream.codec_context.options = {"preset": "ultrafast", "bf": "0"}
            if flags:
                stream.disposition = flags[number]
            streams.append(stream)
        sounds = [output.add_stream("aac", rate=16000) for _ in tones_hertz]
        packets: list[Any] = []
        for stream, frames in zip(streams, programmes, strict=True):
            for number, frame in enumerate(frames):
                picture = av.VideoFrame.from_ndarray(frame, "rgb24").reformat(format=stream.pix_fmt)
                picture.pts, picture.time_base = number, 1 / Fraction(fps).limit_denominator(1001)
                packets += stream.encode(picture)
            packets += stream.encode(None)
        for sound, hertz, frames in zip(sounds, tones_hertz, programmes, strict=False):
            packets += encode_tone(sound, hertz, len(frames) / fps)
        packets = [packet for packet in packets if packet.dts is not None]
        for packet in sorted(packets, key=lambda packet: float(packet.dts * packet.time_base)):
            output.mux(packet)
    return Path(path)


def encode_tone(sound: Any, hertz: float, seconds: float) -> list[Any]:
    """The packets of a sine tone on one channel at 16,000 samples a second."""
    packets = []
    for start in range(0, round(seconds * 16000), 1024):
        wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(start, start + 1024) / 16000)
        chunk = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], "fltp", "mono")
        chunk.sample_rate, chunk.pts, chunk.time_base = 16000, start, Fraction(1, 16000)
        packets += sound.encode(chunk)
    return [*packets, *sound.encode(None)]


def add_pixel_crop(path: Path, left: int, top: int, right: int, bottom: int) -> None:
    """Adds PixelCrop elements (RFC 9559, 5.1.4.1.28.14) to the video of a Matroska file."""
    content = bytearray(path.read_bytes())

    def read_size(at: int) -> tuple[int, int]:
        length = 9 - content[at].bit_length()
        return length, int.from_bytes(content[at : at + length], "big") & ((1 << 7 * length) - 1)

    masters = []
    begin, end = 0, len(content)
    for wanted in (b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae", b"\xe0"):
        while True:
            name_length = 9 - content[begin].bit_length()
            size_length, size = read_size(begin + name_length)
            body = begin + name_length + size_length
            is_open = size == (1 << 7 * size_length) - 1
            if content[begin : begin + name_length] == wanted:
                masters.append((begin + name_length, size_length, size, is_open))
                begin, end = body, end if is_open else body + size
                break
            begin = body + size
    sides = ((b"\x54\xcc", left), (b"\x54\xbb", top), (b"\x54\xdd", right), (b"\x54\xaa", bottom))
    added = b"".join(name + b"\x82" + struct.pack(">H", side) for name, side in sides)
    content[end:end] = added
    for at, length, size, is_open in masters:
        if not is_open:
            content[at : at + length] = (size + len(added) | 1 << 7 * length).to_bytes(length, "big")
    path.write_bytes(content)
