"""Filters that the engine puts pictures through on their way: cropping and deinterlacing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from indexer.video.containers.crop import Edges
from indexer.video.engine import EngineError, NothingYetError, make_filter
from indexer.video.pictures.fields import FieldJudge

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
        # An odd number of lines less on top would make its first field the second.
        top = edges.top - edges.top % 2 if picture.interlaced_frame else edges.top
        key = (*_key(picture), top)
        if key != self._key:
            arguments = f"w={width}:h={height}:x={edges.left}:y={top}:exact=1"
            self._graph, self._source, self._sink = make_filter(picture, "crop", arguments)
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
        except EngineError:  # better with combs than not at all
            self._key = ()
            return picture

    def _deinterlaced(self, picture: Any, previous: Any, following: Any, order: str) -> Any:
        key = (*_key(picture), order)
        goes_on = key == self._key and self._latest[0] is previous and self._latest[1] is picture
        if not (goes_on and following is not None):
            arguments = f"mode=send_frame:parity={order}:deint=all"
            self._graph, self._source, self._sink = make_filter(picture, "bwdif", arguments)
            for one in (previous, picture):
                if one is not None:
                    self._source.push(one)
        self._source.push(following)  # nothing ends the stream, and makes the last one come out
        self._key, self._latest = (key, (picture, following)) if following is not None else ((), (None, None))
        # The filter holds one back: what comes out last is the one before the last that went in.
        made: Any = None
        with suppress(NothingYetError, EOFError):
            while True:
                made = self._sink.pull()
        return picture if made is None else made


def _key(picture: Any) -> tuple[Any, ...]:
    return picture.width, picture.height, picture.format.name


def _those_like(picture: Any, neighbours: Sequence[Any]) -> list[Any]:
    """The neighbours up to the first of another size or format."""
    return list(itertools.takewhile(lambda one: _key(one) == _key(picture), neighbours))
