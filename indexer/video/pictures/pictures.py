"""What the engine does to pictures on their way: cropping, deinterlacing, alpha beside them, animations.

Beside `indexer.video.reading.decode` and `indexer.video.making.encode` the only module that imports `av`.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av
import av.filter
from av.video.reformatter import VideoReformatter

from encoders.errors import DecodeError
from indexer.video.pictures.animations import Moment
from indexer.video.pictures.colours import over_black
from indexer.video.pictures.container_crop import Edges
from indexer.video.pictures.fields import FieldJudge

_ALPHA_CODECS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own decoders leave the alpha out
_LEAST_SIDE = 16
_MATTES = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")


class Cropper:
    """Cuts the edges off every picture, without copying.

    Args:
        edges: What the container says is not to be shown, in stored pixels.
    """

    def __init__(self, edges: Edges) -> None:
        self._edges = edges
        self._key: tuple[Any, ...] = ()
        self._source: Any = None
        self._sink: Any = None

    def __call__(self, picture: Any) -> Any:
        """The picture without its edges; as it is where they would leave nothing."""
        edges = self._edges
        width = picture.width - edges.left - edges.right
        height = picture.height - edges.top - edges.bottom
        if width < 1 or height < 1:
            return picture
        # An odd number of lines less on top would make its first field the second.
        top = edges.top - edges.top % 2 if picture.interlaced_frame else edges.top
        key = (*_key(picture), top)
        if key != self._key:
            arguments = f"w={width}:h={height}:x={edges.left}:y={top}:exact=1"
            self._graph, self._source, self._sink = _graph(picture, "crop", arguments)
            self._key = key
        self._source.push(picture)
        return self._sink.pull()


class Deinterlacer:
    """Makes one picture out of the first of a frame's two fields and what moves around it.

    By FFmpeg's bwdif (BBC R&D's weave and interpolation after W3FDIF and yadif). One frame in, one out: the
    number of frames and their times stay. Frames in a row cost one pass each, others two or three.
    """

    def __init__(self) -> None:
        self._judge = FieldJudge()
        self._key: tuple[Any, ...] = ()
        self._latest: tuple[Any, Any] = (None, None)
        self._source: Any = None
        self._sink: Any = None

    def __call__(self, picture: Any, before: Sequence[Any], after: Sequence[Any]) -> Any:
        """The picture, deinterlaced where it is flagged or found to be interlaced.

        Args:
            picture: The engine's.
            before, after: Those before and after it, the nearest first; as many as are known.
        """
        before, after = (_those_like(picture, some) for some in (before, after))
        order = "auto" if picture.interlaced_frame else self._judge.order_of(picture, before, after)
        if order is None or min(picture.width, picture.height) < _LEAST_SIDE:
            return picture
        # What stands still is the same on either side, and keeps its lines.
        sides = [*before[:1], *after[:1]] or [None]
        try:
            return self._deinterlaced(picture, sides[0], sides[-1], order)
        except av.FFmpegError:  # better with combs than not at all
            self._key = ()
            return picture

    def _deinterlaced(self, picture: Any, previous: Any, following: Any, order: str) -> Any:
        key = (*_key(picture), order)
        goes_on = key == self._key and self._latest[0] is previous and self._latest[1] is picture
        if not (goes_on and following is not None):
            arguments = f"mode=send_frame:parity={order}:deint=all"
            self._graph, self._source, self._sink = _graph(picture, "bwdif", arguments)
            for one in (previous, picture):
                if one is not None:
                    self._source.push(one)
        self._source.push(following)  # nothing ends the stream, and makes the last one come out
        self._key, self._latest = (key, (picture, following)) if following is not None else ((), (None, None))
        # The filter holds one back: what comes out last is the one before the last that went in.
        made: Any = None
        with suppress(av.BlockingIOError, EOFError):
            while True:
                made = self._sink.pull()
        return picture if made is None else made


def alpha_codec(stream: Any) -> Any:
    """A decoder of both the picture and the alpha that WebM keeps beside it; None where there is none."""
    context = stream.codec_context
    tags = {name.lower(): value for name, value in stream.metadata.items()}
    name = _ALPHA_CODECS.get(context.codec.canonical_name)
    if name is None or tags.get("alpha_mode") != "1":
        return None
    try:
        made: Any = av.codec.CodecContext.create(name, "r")
    except (av.FFmpegError, ValueError):  # FFmpeg was built without libvpx
        return None
    made.extradata = context.extradata
    return made


def still_picture(opened: Any, head: bytes) -> tuple[Any, Any]:
    """The picture in a file as it was decoded, and as seen: AVIF and HEIC keep alpha beside it.

    Args:
        opened: The engine's container.
        head: The file's beginning.

    Raises:
        DecodeError: It is put together from tiles.
    """
    streams = opened.streams.video
    if streams[0].disposition & av.stream.Disposition.dependent:
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


def as_video(moments: Iterable[Moment], on_progress: Callable[[], None] = lambda: None) -> io.BytesIO:
    """An animation as a Matroska file in memory, without loss: what reads videos reads it, too.

    Args:
        moments: Of one size.
        on_progress: Called for each.
    """
    file = io.BytesIO()
    tick = Fraction(1, 1000)
    with av.open(file, "w", format="matroska") as output:
        stream: Any = None
        for moment in moments:
            if stream is None:
                stream = output.add_stream("ffv1", rate=Fraction(1000, moment.duration_ms))
                stream.height, stream.width = moment.rgba.shape[:2]
                stream.pix_fmt = "bgra"
                stream.codec_context.time_base = tick
            picture = av.VideoFrame.from_ndarray(moment.rgba, "rgba").reformat(format="bgra")
            picture.pts, picture.time_base, picture.duration = moment.start_ms, tick, moment.duration_ms
            for packet in stream.encode(picture):
                packet.duration = moment.duration_ms
                output.mux(packet)
            on_progress()
        if stream is not None:
            output.mux(stream.encode(None))
    file.seek(0)
    return file


def _key(picture: Any) -> tuple[Any, ...]:
    return picture.width, picture.height, picture.format.name


def _those_like(picture: Any, neighbours: Sequence[Any]) -> list[Any]:
    """The neighbours up to the first of another size or format."""
    return list(itertools.takewhile(lambda one: _key(one) == _key(picture), neighbours))


def _graph(picture: Any, name: str, arguments: str) -> tuple[Any, Any, Any]:
    """A graph of one filter with its entry and its exit; the graph must outlive them."""
    graph: Any = av.filter.Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=picture.width,
        height=picture.height,
        format=picture.format,
        time_base=picture.time_base or Fraction(1, av.time_base),
    )
    sink = graph.add("buffersink")
    graph.link_nodes(source, graph.add(name, arguments), sink).configure()
    return graph, source, sink
