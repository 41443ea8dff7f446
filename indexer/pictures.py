"""What the engine does to pictures on their way: cropping, deinterlacing, alpha that travels beside them.

Beside `indexer.decode` and `indexer.encode` the only module that imports `av`.
"""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from typing import Any

import av
import av.filter

from indexer.container_crop import Edges
from indexer.fields import FieldJudge

_ALPHA_CODECS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own decoders leave the alpha out
_LEAST_SIDE = 16


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
        key = _key(picture)
        if key != self._key:
            arguments = f"w={width}:h={height}:x={edges.left}:y={edges.top}"
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

    def __call__(self, picture: Any, previous: Any, following: Any) -> Any:
        """The picture, deinterlaced where it is flagged or found to be interlaced.

        Args:
            picture: The engine's.
            previous, following: Those right before and after it; None where there are none.
        """
        previous, following = (_if_like(one, picture) for one in (previous, following))
        order: str | None = None
        if picture.interlaced_frame:
            order = "auto"
        elif previous is not None and following is not None:
            order = self._judge.order_of(previous, picture, following)
        if order is None or min(picture.width, picture.height) < _LEAST_SIDE:
            return picture
        try:
            return self._deinterlaced(picture, previous, following, order)
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


def _key(picture: Any) -> tuple[Any, ...]:
    return picture.width, picture.height, picture.format.name


def _if_like(neighbour: Any, picture: Any) -> Any:
    return neighbour if neighbour is not None and _key(neighbour) == _key(picture) else None


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
