"""Picture files: still images, and the first frame of animations."""

from __future__ import annotations

import io
from typing import Any

from encoders.errors import DecodeError, NotAVideoError
from indexer.video.bounds import check_pixels, max_pixels
from indexer.video.containers.refusal import check_readable
from indexer.video.engine import ArgumentError, EngineError, VideoReformatter, make_picture, open_picture
from indexer.video.pictures.animations import animation_in, moments
from indexer.video.pictures.colours import over_black
from indexer.video.pictures.frame import DecodedFrame, PictureGeometry
from indexer.video.pictures.orientation import orientation_of
from search.file_names import os_path

_MAX_BYTES = 2**28
_HEAD_BYTES = 1 << 16
_DEPENDENT = 0x80000  # AV_DISPOSITION_DEPENDENT
_MATTES = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")


def decode_picture(path: str) -> DecodedFrame:
    """The picture in a file: a still image, or the first frame of an animation.

    Raises:
        NotAVideoError: Not a picture in any format that FFmpeg reads.
        DecodeError: It cannot be read.
    """
    check_readable(path)
    if animation_in(path) is not None:
        first = next(moments(path, max_pixels(), least_frames=1))
        return _frame(make_picture(first.rgba, "rgba"))
    try:
        # By content alone: a name such as "%d.png" would make FFmpeg look for other files.
        with (
            open(os_path(path), "rb") as file,
            io.BytesIO(file.read(_MAX_BYTES)) as content,
            open_picture(content) as opened,
        ):
            codec = opened.streams.video[0].codec_context
            check_pixels(codec.width, codec.height)
            codec.options = {"max_pixels": str(max_pixels())}  # where only decoding tells the size
            return _frame(*_first_picture(opened, content.getvalue()[:_HEAD_BYTES]))
    except (EngineError, IndexError, StopIteration, MemoryError, ValueError):
        raise NotAVideoError("this is no picture in any format that is known here") from None


def _frame(stored: Any, seen: Any = None) -> DecodedFrame:
    geometry = PictureGeometry(1.0, orientation_of(stored), VideoReformatter, {})
    return DecodedFrame(0.0, None, True, stored if seen is None else seen, geometry)


def _first_picture(opened: Any, head: bytes) -> tuple[Any, Any]:
    try:
        return _decode_first(opened, head)
    except ArgumentError:  # a codec's own word for more pixels than it may decode
        raise DecodeError(
            f"the picture is broken, or has more than the {max_pixels()} pixels that are taken: scale it down"
        ) from None


def _decode_first(opened: Any, head: bytes) -> tuple[Any, Any]:
    """Decodes the picture in a file, as stored and as seen: AVIF and HEIC keep alpha beside it.

    Args:
        opened: The engine's container.
        head: The file's beginning.

    Raises:
        DecodeError: It is put together from tiles.
    """
    streams = opened.streams.video
    if int(streams[0].disposition) & _DEPENDENT:
        raise DecodeError(
            "this HEIC picture is made of tiles, which are not put together here: save it as JPEG"
        )
    if len(streams) < 2 or not any(name in head for name in _MATTES):
        only = next(opened.decode(video=0))
        return only, only
    found: dict[int, Any] = {}
    for packet in opened.demux(streams):
        for picture in packet.decode():
            found.setdefault(packet.stream.index, picture)  # of one that flushes, its number is not set
    first = found[streams[0].index]
    mattes = [found[stream.index] for stream in streams[1:] if stream.index in found]
    for matte in mattes:
        is_alike = (matte.width, matte.height) == (first.width, first.height)
        if is_alike and matte.format.name.startswith("gray"):
            return first, over_black(first, matte, VideoReformatter())
    return first, first
