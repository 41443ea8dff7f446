"""A film, opened: its stream in a whole file, or in one of several that were joined, and its packets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from encoders.errors import DecodeError
from indexer.video.bounds import MAX_DURATION_SECONDS, MAX_FPS, positive
from indexer.video.containers.formats import is_ogg_header
from indexer.video.engine import BY_BYTE_FORMATS, CLOCK_MAY_RESTART, TICKS_PER_SECOND, EngineError

UNREADABLE = (EngineError, MemoryError, LookupError, DecodeError)  # of a part without a film
_MAX_ERRORS_IN_A_ROW = 64
_SAME_TICK = 1e-9


class Film:
    """The film in a file, or in one of several that were joined, opened.

    Attributes:
        container: The engine's.
        stream: Of the film, in the container.
        number: Of the file among several that were joined, from 0.
        begin_byte: Where that file begins.
    """

    __slots__ = ("begin_byte", "container", "number", "stream")

    def __init__(self, container: Any, stream: Any, number: int, begin_byte: int) -> None:
        self.container = container
        self.stream = stream
        self.number = number
        self.begin_byte = begin_byte

    @property
    def format_name(self) -> str:
        """FFmpeg's name of the container's format."""
        return str(self.container.format.name)

    @property
    def reads_on_anywhere(self) -> bool:
        """Returns whether the file can be read on from any place in it, without what lies before."""
        return self.format_name in BY_BYTE_FORMATS

    @property
    def clock_may_restart(self) -> bool:
        """Returns whether the clock of this format may begin anywhere, and anew within a file."""
        return bool(self.container.format.flags & CLOCK_MAY_RESTART)

    @property
    def start_seconds(self) -> float:
        """The seconds to subtract from times in the file: its start where its clock may begin anywhere."""
        return (self.container.start_time or 0) / TICKS_PER_SECOND if self.clock_may_restart else 0.0

    @property
    def tick_seconds(self) -> float:
        """One tick of the stream's clock."""
        return float(self.stream.time_base or 0) or 1.0 / TICKS_PER_SECOND

    @property
    def fps(self) -> float | None:
        """Average frame rate; None where unknown."""
        rates = (self.stream.average_rate, self.stream.guessed_rate, self.stream.base_rate)
        # Of a few frames of raw DV the mean is made of rounding: the next best is then the rate.
        return next((fps for rate in rates if (fps := positive(rate, MAX_FPS))), None)

    def packets(self, on_error: Callable[[], None] = lambda: None, codec: Any = None) -> Iterator[Any]:
        """Packets of the film as `read_packets`, without the headers that stand between joined parts of Ogg.

        Args:
            on_error: Called for each error of reading.
            codec: Set up by those headers.
        """
        packets = read_packets(self.container, [self.stream], on_error)
        if self.format_name != "ogg":
            return packets

        def is_footage(packet: Any) -> bool:
            if packet is None or not packet.size or not is_ogg_header(bytes(packet)):
                return True
            if codec is not None and is_set_up_on_the_way(codec):
                with suppress(EngineError):  # of a comment it knows nothing
                    codec.decode(packet)
            return False

        return filter(is_footage, packets)

    def close(self) -> None:
        """Closes the file; idempotent."""
        self.container.close()


def read_packets(
    container: Any, streams: list[Any], on_error: Callable[[], None] = lambda: None
) -> Iterator[Any]:
    """Packets of streams, past read errors, closed by the empty one that flushes, or by None."""
    errors = 0
    while True:
        try:
            for packet in container.demux(streams):
                errors = 0
                yield packet
                if packet.size == 0 and packet.dts is None:
                    return
            return
        except EngineError:
            errors += 1
            on_error()
            if errors > _MAX_ERRORS_IN_A_ROW:
                yield None
                return


def is_set_up_on_the_way(codec: Any) -> bool:
    """Returns whether headers between joined parts set a codec up, which several threads do not take."""
    return bool(codec.codec.canonical_name == "theora")


def rescale_stamps(packets: Iterator[Any], tick_seconds: float) -> Iterator[Any]:
    """Packets with their stamps in other ticks."""
    for packet in packets:
        if packet is not None and packet.size:
            ratio = float(packet.time_base) / tick_seconds
            if abs(ratio - 1.0) > _SAME_TICK:
                packet.pts = None if packet.pts is None else round(packet.pts * ratio)
                packet.dts = None if packet.dts is None else round(packet.dts * ratio)
                packet.duration = round((packet.duration or 0) * ratio)
        yield packet


def declared_seconds(stream: Any) -> float | None:
    """The length that the file declares of a stream; None where it does not."""
    if stream.container.format.name.startswith("matroska"):
        # There a tag does, or nothing: FFmpeg's value is then that of the whole file.
        return positive(tag_seconds(stream.metadata.get("DURATION", "")), MAX_DURATION_SECONDS)
    return positive((stream.duration or 0) * float(stream.time_base or 0), MAX_DURATION_SECONDS)


def whole_seconds(container: Any) -> float | None:
    """The length that FFmpeg knows of a whole file; None where it does not."""
    return positive((container.duration or 0) / TICKS_PER_SECOND, MAX_DURATION_SECONDS)


def tag_seconds(clock: str) -> float:
    """Matroska's DURATION tag, e.g. "00:01:02.500000000", as seconds (0 where it is none)."""
    seconds = 0.0
    try:
        for part in clock.split(":"):
            seconds = seconds * 60 + float(part)
    except ValueError:
        return 0.0
    return seconds
