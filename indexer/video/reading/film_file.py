"""A file with a film in it: one whole file, or several that were joined end to end and are read in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from encoders.errors import DamagedVideoError
from indexer.video.bounds import max_pixels
from indexer.video.containers.joined import Part, find_parts, next_opening, part_at
from indexer.video.containers.refusal import check_readable, refusal
from indexer.video.engine import EngineError, InvalidDataError, open_video, reason_of
from indexer.video.pictures.animations import animation_in, as_video, moments
from indexer.video.reading.clock_map import remember
from indexer.video.reading.film import UNREADABLE, Film, declared_seconds, read_packets, whole_seconds
from indexer.video.reading.film_stream import find_film
from search.file_names import os_path

_TAIL_BYTES = 10_000  # behind the film's last picture; where there are more, it is asked what they are
_PARTS_NAMED = 5  # of those of which the same is to be said


class FilmFile:
    """A file, or the files that it was joined from.

    Attributes:
        path: Of the file.
        parts: The files that it was joined from, from the first one with a film on; none where it is one.
    """

    def __init__(self, path: str) -> None:
        check_readable(path)
        self.path = path
        self.parts: tuple[Part, ...] = ()
        self._left_out: list[str] = []  # a sentence for each other film
        self._parts_left_out = PartsLeftOut()
        self._streams: dict[int, int] = {}  # the number of the film's stream in each part

    @property
    def stream_number(self) -> int:
        """The number of the film's stream in the file, or in the first of its parts, once that was opened."""
        return self._streams[0]

    def open_first(self) -> Film:
        """Opens the film in the file, or in the first of several joined ones that holds one.

        Raises:
            NotAVideoError: No video in the file.
            DecodeError: It cannot be read.
        """
        try:
            container = self._open_whole()
            if container is None:
                return self._open_first_part()
        except MemoryError:
            raise DamagedVideoError("the header asks for absurd amounts of memory") from None
        except (EngineError, UnicodeError, ValueError) as error:
            raise refusal(self.path, reason_of(error)) from None
        return self._film_of(container, 0)

    def _open_whole(self) -> Any:
        """The container of the file; None where several were joined."""
        try:
            container = self.open_part(0)
        except InvalidDataError:
            # Of a plain MP4 with one in fragments joined on, FFmpeg opens each, but not the whole.
            self.parts = find_parts(self.path, "mov")
            if not self.parts:
                raise
            return None
        self.parts = remember(self.path, "parts", partial(find_parts, self.path, container.format.name))
        if not self.parts:
            return container
        container.close()
        return None

    def _open_first_part(self) -> Film:
        errors: list[BaseException] = []
        while self.parts:
            try:
                return self.open_film(0)
            except UNREADABLE as error:
                errors.append(error)
            self.parts = self.parts[1:]  # the others count from the first one with a film
            self._parts_left_out.passed_over += 1
        raise errors[0]

    def open_film(self, number: int) -> Film:
        """Opens the film in the file (0), or in one of several that were joined."""
        return self._film_of(self.open_part(number), number)

    def _film_of(self, container: Any, number: int) -> Film:
        try:
            stream = self.film_stream(container, number)
        except BaseException:
            container.close()
            raise
        return Film(container, stream, number, self.parts[number].begin if self.parts else 0)

    def mark_unreadable(self, number: int) -> None:
        """Counts one of several joined files as left out."""
        self._parts_left_out.unread.add(number)

    def open_part(self, number: int) -> Any:
        """The engine's container for one of several joined files, or for the file where it is one.

        Of an animation that FFmpeg cannot read, it is for the video that it was made into.
        """
        if self.parts:
            part = self.parts[number]
            url = f"subfile,,start,{part.begin},end,{part.end},,:{os_path(self.path)}"
            return open_video(url, protocol_whitelist="file,subfile")
        if animation_in(self.path) is not None:
            return open_video(as_video(moments(self.path, max_pixels())))
        return open_video(os_path(self.path))

    def film_stream(self, container: Any, number: int) -> Any:
        """The stream of the film in the file, or in one of several joined ones, that `open_part` opened.

        Raises:
            DecodeError: There is none, or of an unknown codec.
        """
        if number not in self._streams:
            peek = partial(self._first_packets, number)
            whole = whole_seconds(container) or 0.0
            self._streams[number], others = find_film(container, whole, declared_seconds, peek)
            if number == 0:
                self._left_out = others
            elif others:
                self._parts_left_out.rich.add(number)
        return container.streams[self._streams[number]]

    def _first_packets(self, number: int, indices: list[int]) -> Iterator[tuple[int, float | None]]:
        """The packets of streams, each with the number of its stream and its time."""
        with self.open_part(number) as container:
            for packet in read_packets(container, [container.streams[index] for index in indices]):
                if packet is not None and packet.size and packet.stream_index in indices:
                    stamp = packet.dts if packet.pts is None else packet.pts
                    yield packet.stream_index, None if stamp is None else float(stamp * packet.time_base)

    def describe_left_out(self) -> list[str]:
        """Sentences for what is not read of the file, as far as that is known."""
        return [*self._left_out, *self._parts_left_out.describe(len(self.parts))]

    def describe_tail(self, film: Film, last_byte: int) -> list[str]:
        """A sentence where another film lies behind the one that was read to its end.

        Args:
            film: That was read, of the last part.
            last_byte: Where it ends.
        """
        size = self.parts[-1].end if self.parts else film.container.size
        if not (last_byte and size):
            return []
        if not film.reads_on_anywhere:
            return self._describe_joined_on(film, last_byte, size)
        if size - last_byte < _TAIL_BYTES:
            return []
        known = {stream.id for stream in film.container.streams}
        name, path = film.format_name, os_path(self.path)
        try:
            with open_video(path, format=name, skip_initial_bytes=str(last_byte)) as rest:
                others = [stream for stream in rest.streams.video if stream.id not in known]
        except (EngineError, MemoryError, ValueError):  # nothing but what fills it up
            return []
        if not others:
            return []
        return [
            f"the last {1 - last_byte / size:.0%} of the file hold pictures of another film, "
            "perhaps those of another programme, and are not indexed: write them to a file of their own"
        ]

    def _describe_joined_on(self, film: Film, last_byte: int, size: int) -> list[str]:
        byte = next_opening(self.path, film.format_name, last_byte)
        if byte is None or part_at(self.parts, byte) in self._parts_left_out.unread:
            return []  # there is none, or it is a part that was named
        return [
            f"the last {1 - byte / size:.0%} of the file are another file that was joined on, which FFmpeg "
            "does not read, and are not indexed: join them with ffmpeg -f concat"
        ]


@dataclass(slots=True)
class PartsLeftOut:
    """The parts of a joined file that are not read.

    Attributes:
        passed_over: How many parts lie before the first one with a film, from which the others count.
        unread: The numbers of later ones that hold none, or cannot be read.
        rich: The numbers of later ones that hold other films, too.
    """

    passed_over: int = 0
    unread: set[int] = field(default_factory=set)
    rich: set[int] = field(default_factory=set)

    def describe(self, count: int) -> list[str]:
        """Sentences for people, who count all parts from 1 on: one of each kind, however many there are.

        Args:
            count: How many parts there are from the first one with a film on.
        """
        total = self.passed_over + count
        first = self.passed_over + 1
        unread = [*range(1, first), *(first + number for number in sorted(self.unread))]
        rich = [first + number for number in sorted(self.rich)]
        what = ("cannot be read and is not indexed", "cannot be read and are not indexed")
        more = ("holds another film, which is not indexed", "hold other films, which are not indexed")
        return [*_sentence(unread, total, *what), *_sentence(rich, total, *more)]


def _sentence(numbers: Sequence[int], total: int, one: str, several: str) -> list[str]:
    if not numbers:
        return []
    named = ", ".join(map(str, numbers[:_PARTS_NAMED]))
    if len(numbers) == 1:
        return [f"joined part {named} of {total} {one}"]
    others = f" and {len(numbers) - _PARTS_NAMED} more" if len(numbers) > _PARTS_NAMED else ""
    return [f"joined parts {named}{others} of {total} {several}"]
