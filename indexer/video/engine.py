"""PyAV, and FFmpeg through it: beside `making.encode`, which writes films, all that imports `av`."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, BinaryIO

import av
import av.filter
import av.logging
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from indexer.video.bounds import max_pixels
from indexer.video.containers.formats import allowed_formats, picture_formats

__all__ = ["PictureType", "VideoReformatter"]

av.logging.set_level(None)  # damage is reported by our errors; FFmpeg's own lines are noise
av.logging.set_libav_level(av.logging.PANIC)

EngineError = av.FFmpegError
InvalidDataError = av.InvalidDataError
ArgumentError = av.ArgumentError
NothingYetError = av.BlockingIOError
AudioResampler = av.AudioResampler
TICKS_PER_SECOND: int = av.time_base

CLOCK_MAY_RESTART = 0x0200  # AVFMT_TS_DISCONT
NO_TIMESTAMPS = 0x0080  # AVFMT_NOTIMESTAMPS
_MAKE_UP_TIMES = 0x0001  # AVFMT_FLAG_GENPTS
BY_BYTE_FORMATS = ("mpeg", "mpegts")  # that can be read on from anywhere

_VIDEO_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": allowed_formats(av.formats_available),
    # Of transport streams: one whose programme is announced anew, with other numbers, goes on.
    "merge_pmt_versions": "1",
}
_PICTURE_OPTIONS = {**_VIDEO_OPTIONS, "format_whitelist": picture_formats(av.formats_available)}


def open_video(source: str | BinaryIO, *, format: str | None = None, **options: str) -> Any:
    """Opens a file to read videos from it; options are FFmpeg's.

    Raises:
        EngineError: FFmpeg cannot.
    """
    options = {**_VIDEO_OPTIONS, "max_pixels": str(max_pixels()), **options}
    container: Any = av.open(source, format=format, options=options, metadata_errors="replace")
    if container.format.name in BY_BYTE_FORMATS:
        # FFmpeg would make up times that lack by those of the next part of a joined file, and read all of it.
        container.flags &= ~_MAKE_UP_TIMES
    return container


def open_picture(content: BinaryIO) -> Any:
    """Opens a picture's content, and no file that it names. Raises as `open_video`, and ValueError."""
    options = {**_PICTURE_OPTIONS, "protocol_whitelist": "", "max_pixels": str(max_pixels())}
    return av.open(content, "r", options=options)


def create_file(content: BinaryIO, format: str) -> Any:
    """Opens a file in memory to write a video to it."""
    return av.open(content, "w", format=format)


def make_picture(pixels: NDArray[np.uint8], format: str) -> Any:
    """The engine's picture of pixels (H, W, C)."""
    return av.VideoFrame.from_ndarray(pixels, format)


def make_packet(content: bytes, like: Any) -> Any:
    """The engine's packet of other content, with the stamps of one."""
    made = av.Packet(content)
    made.pts, made.dts, made.time_base = like.pts, like.dts, like.time_base
    return made


def open_decoder(name: str) -> Any:
    """A decoder by FFmpeg's name of it. Raises EngineError or ValueError where FFmpeg has none."""
    return av.codec.CodecContext.create(name, "r")


def make_filter(picture: Any, name: str, arguments: str) -> tuple[Any, Any, Any]:
    """A graph of one filter for such pictures, its entry and its exit; the graph must outlive these."""
    graph: Any = av.filter.Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=picture.width,
        height=picture.height,
        format=picture.format,
        time_base=picture.time_base or Fraction(1, TICKS_PER_SECOND),
    )
    sink = graph.add("buffersink")
    graph.link_nodes(source, graph.add(name, arguments), sink).configure()
    return graph, source, sink


def reason_of(error: BaseException) -> str:
    """FFmpeg's reason for an error, without its number and path."""
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
