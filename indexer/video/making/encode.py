"""Frames and sound to MP4 files: beside `indexer.video.engine`, which reads, all that imports `av`.

H.264 in 8-bit 4:2:0 (BT.709, limited range) with AAC, the index in front: what every browser plays.
"""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from typing import Any, Self

import av
import numpy as np
from numpy.typing import NDArray

from encoders.errors import DecodeError
from indexer.video.pictures.frame import DecodedFrame

_TICK = Fraction(1, 90_000)
_SAMPLES = 1024  # of one AAC frame


class Mp4Writer:
    """Writes one file; a context manager. Pictures come in order of time, sound beside them.

    Args:
        path: What to write.
        width, height: Even, in pixels.
        crf: Of x264: 18 is hard to tell from the source, 28 is small.
        preset: Of x264.
        most_bits_per_second: Of the picture; None leaves it to the crf.
        sound_rate: Samples per second; None for a silent file.
    """

    def __init__(
        self,
        path: str,
        width: int,
        height: int,
        *,
        crf: int,
        preset: str,
        most_bits_per_second: int | None = None,
        sound_rate: int | None = None,
    ) -> None:
        self._size = width, height
        self._ends: dict[int, int] = {}
        self._sound_rate, self._sound_at = sound_rate, 0
        self._unsaid = np.zeros((2, 0), np.float32)
        if "libx264" not in av.codecs_available:
            raise DecodeError("FFmpeg was built without x264 here, so no H.264 can be written")
        self._output: Any = av.open(path, "w", format="mp4", options={"movflags": "+faststart"})
        try:
            self._add_streams(crf, preset, most_bits_per_second)
        except BaseException:
            self._output.close()
            raise

    def _add_streams(self, crf: int, preset: str, most_bits_per_second: int | None) -> None:
        self._stream: Any = self._output.add_stream("libx264", rate=30)
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "yuv420p"
        codec = self._stream.codec_context
        codec.time_base = _TICK
        codec.gop_size = 60
        codec.colorspace = codec.color_primaries = codec.color_trc = codec.color_range = 1
        # Without B-frames the first picture is at 0 and the last one ends where it should.
        options = {"crf": str(crf), "preset": preset, "bf": "0"}
        if most_bits_per_second:
            options |= {"maxrate": str(most_bits_per_second), "bufsize": str(most_bits_per_second // 2)}
        codec.options = options
        self._sound: Any = None
        if self._sound_rate:
            self._sound = self._output.add_stream("aac", rate=self._sound_rate)
            self._sound.codec_context.layout = "stereo"
            self._sound.codec_context.bit_rate = 128_000

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            with suppress(av.FFmpegError, OSError, ValueError):
                self._output.close()

    def add_picture(self, frame: DecodedFrame, start_seconds: float, end_seconds: float) -> None:
        """A frame, on screen in [start, end) of the file that is written."""
        width, height = self._size
        turned = frame.geometry.orientation
        stored = (height, width) if turned.transpose else (width, height)
        picture = frame.planar(*stored)
        if turned.transpose or turned.flip_x or turned.flip_y:
            planes = picture.to_ndarray()
            luma, chroma = planes[: stored[1]], planes[stored[1] :].reshape(2, stored[1] // 2, stored[0] // 2)
            upright = [turned.apply(plane).ravel() for plane in (luma, chroma[0], chroma[1])]
            rows = np.concatenate(upright).reshape(height * 3 // 2, width)
            picture = av.VideoFrame.from_ndarray(rows, "yuv420p")
            picture.colorspace = picture.color_range = 1
        picture.pict_type = 0  # what the source was does not bind the encoder
        picture.pts, picture.time_base = round(start_seconds / _TICK), _TICK
        self._ends[picture.pts] = max(1, round(end_seconds / _TICK) - picture.pts)
        self._mux(self._stream.encode(picture))

    def add_sound(self, samples: NDArray[np.float32]) -> None:
        """Sound float32 (2, N), right after what came before."""
        self._unsaid = np.concatenate([self._unsaid, samples], axis=1)
        while self._unsaid.shape[1] >= _SAMPLES:
            self._encode_sound(self._unsaid[:, :_SAMPLES])
            self._unsaid = self._unsaid[:, _SAMPLES:]

    def _encode_sound(self, samples: NDArray[np.float32]) -> None:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", "stereo")
        frame.sample_rate, frame.pts = self._sound_rate or 0, self._sound_at
        frame.time_base = Fraction(1, self._sound_rate or 1)
        self._sound_at += samples.shape[1]
        self._output.mux(self._sound.encode(frame))

    def close(self) -> None:
        """Writes what is left and the index."""
        self._mux(self._stream.encode(None))
        if self._sound is not None:
            if self._unsaid.shape[1]:  # only the last frame may be short
                self._encode_sound(self._unsaid)
            self._output.mux(self._sound.encode(None))
        self._output.close()

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = self._ends.pop(packet.pts, packet.duration)
            self._output.mux(packet)
