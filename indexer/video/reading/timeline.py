"""The one timeline of a film whose clock may restart in its file, by stamps that are mended and mapped."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from indexer.video.containers.formats import may_restart
from indexer.video.containers.joined import part_at
from indexer.video.engine import EngineError
from indexer.video.reading.clock_map import ClockMap, Stretch, remember
from indexer.video.reading.film import UNREADABLE, Film, rescale_stamps
from indexer.video.reading.film_file import FilmFile
from indexer.video.reading.stamp_mender import StampMender, map_clock


class FilmTimeline:
    """The timeline of a film, in ticks of the clock of its first part.

    Attributes:
        tick_seconds: One tick.
        fps: Average frame rate; None where unknown.
        is_joined: Whether the file is several whole ones, each of which is read by itself.
        reads_on_anywhere: Whether it can be read on from any place, without what lies before.
        mender: Of the packets that are read; None where stamps hold as they are.
    """

    def __init__(self, file: FilmFile, film: Film, on_packet: Callable[[], None]) -> None:
        """Makes one for a film that was just opened; `on_packet` is called for each packet that is mapped."""
        self._file = file
        self._on_packet = on_packet
        self.tick_seconds = film.tick_seconds
        self.fps = film.fps
        self._is_discontinuous = film.clock_may_restart
        self.reads_on_anywhere = film.reads_on_anywhere
        self.is_joined = bool(file.parts)
        is_mended = self._is_discontinuous or self.is_joined or may_restart(file.path, film.format_name)
        self.mender = self._new_mender() if is_mended else None

    def _new_mender(self) -> StampMender:
        return StampMender(
            self.tick_seconds,
            fps=self.fps,
            is_discontinuous=self._is_discontinuous,
            is_joined=self.is_joined,
            is_mpeg=self.reads_on_anywhere,
        )

    @property
    def map(self) -> ClockMap | None:
        """The places of stretches and key frames in the file; None where the clock of its format runs on.

        Made by reading all of the file, once for each state of it in this program.
        """
        if self.mender is None:
            return None

        def make() -> ClockMap:
            mender = self._new_mender()
            return map_clock(self._all_packets(mender), mender)

        return remember(self._file.path, self._file.stream_number, make)

    def _all_packets(self, mender: StampMender) -> Iterator[Any]:
        """The packets of the film, from the first of the file, mended."""
        for number in range(max(1, len(self._file.parts))):
            try:
                film = self._file.open_film(number)
            except UNREADABLE:
                continue
            with suppress(EngineError, MemoryError, LookupError), film.container:
                packets = film.packets()
                if number:
                    mender.begin_part(film.begin_byte, film.fps)
                yield from mender.mend(rescale_stamps(self.observe(packets), self.tick_seconds))

    def observe(self, packets: Iterator[Any]) -> Iterator[Any]:
        """The same packets; for each, progress is told."""
        for packet in packets:
            self._on_packet()
            yield packet

    def byte_before(self, stamp_seconds: float) -> int:
        """Where the last key frame at or before a time of the timeline begins, offset and all."""
        known = self.map
        return known.key_before(round(stamp_seconds / self.tick_seconds))[0] if known else 0

    def parts_shown(self, start_seconds: float, end_seconds: float) -> list[tuple[int, float, float]]:
        """The parts of a joined file that a span of its one timeline is of; the whole of any other.

        Returns:
            Of each its number, what is added to its times, and when the next one begins, in seconds.
        """
        known = self.map if self.is_joined else None
        if known is None:
            return [(0, 0.0, math.inf)]
        begins = [-math.inf, *(stretch.begin_ticks * self.tick_seconds for stretch in known.stretches[1:])]
        return [
            (self.part_of(stretch), stretch.shift_ticks * self.tick_seconds, end)
            for stretch, begin, end in zip(known.stretches, begins, [*begins[1:], math.inf], strict=True)
            if begin < end_seconds and end > start_seconds
        ]

    def part_of(self, stretch: Stretch) -> int:
        """The number of the part of a joined file that a stretch is."""
        return part_at(self._file.parts, stretch.first_byte)
