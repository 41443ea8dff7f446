"""The pictures of a film as its codec gives them out, one part of a joined file after another."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from encoders.errors import StillPictureError
from indexer.video.bounds import check_course
from indexer.video.containers.formats import is_picture_format
from indexer.video.containers.joined import part_at
from indexer.video.containers.refusal import STILL_PICTURE
from indexer.video.engine import NO_TIMESTAMPS, EngineError
from indexer.video.packets.thinning import Thinning
from indexer.video.pictures.filters import Deinterlacer
from indexer.video.pictures.frame import Fields, PictureGeometry
from indexer.video.reading.clock import FrameClock
from indexer.video.reading.codec import KEEPING_ASPECT, FilmCodec, Skip, is_made_up, sane_aspect
from indexer.video.reading.film import UNREADABLE, Film, rescale_stamps
from indexer.video.reading.film_file import FilmFile
from indexer.video.reading.stamp_mender import StampMender
from indexer.video.reading.tally import Tally
from indexer.video.reading.timeline import FilmTimeline

_FAR_TICKS = 1 << 62
_TELLING_FRAMES = 16


class PictureStream:
    """Reads, decodes and seeks.

    Attributes:
        film: That is read now, of several that were joined.
        codec: Of that.
        first: The first picture of the film.
        geometry: Of the picture that came out last.
        skip: The frames that are left out.
        last_byte: Where what was read ends in the file.
    """

    def __init__(
        self,
        file: FilmFile,
        film: Film,
        timeline: FilmTimeline,
        clock: FrameClock,
        tally: Tally,
        *,
        threads: int | None,
        on_packet: Callable[[], None],
    ) -> None:
        """Decodes the first picture.

        Args:
            file, film: Just opened.
            timeline, clock: Of the film.
            tally: Counts what is read.
            threads: Of the codec.
            on_packet: Called for each packet that was decoded.

        Raises:
            DecodeError: Nothing can be decoded, or it is a still picture.
        """
        self.film = film
        self.codec = FilmCodec(film, file.path, threads)
        self.skip: Skip = "none"
        self.last_byte = 0
        self._file = file
        self._timeline = timeline
        self._clock = clock
        self._tally = tally
        self._threads = threads
        self._on_packet = on_packet
        self._first_byte = 0  # what lies before is read past
        self._is_in_doubt = False  # when frames are decoded passes for when they are shown
        self._deinterlacer = Deinterlacer()
        self._head: deque[Any] = deque()  # decoded ahead
        self._turns: deque[tuple[Any, PictureGeometry]] = deque()  # of parts whose pictures came out
        self._thinning: Thinning | None = None
        self._source = self._decoded()
        self._read_first()

    def _read_first(self) -> None:
        self.first: Any = next(self._source, None)
        if self.first is None:
            raise self._tally.nothing_decoded()
        self._head.append(self.first)
        self._has_kinds = not is_made_up(self.first)
        if self._is_in_doubt and self.codec.reorders:
            # Frames are reordered, and their times are not, or there was no need to: the next ones tell.
            self._head.extend(itertools.islice(self._source, _TELLING_FRAMES))
            for picture in self._head:
                self._clock.time_of(picture.pts, picture.dts)
            self._clock.restart()
        brand = self.film.container.metadata.get("major_brand", "")
        if is_picture_format(self.film.format_name, brand):
            second = next(self._source, None)
            if second is None:
                raise StillPictureError(STILL_PICTURE)
            self._head.append(second)
        self._aspect = self.codec.aspect
        self._has_own_aspect = self.film.format_name.startswith(KEEPING_ASPECT)
        self.geometry = self.codec.read_geometry(self.first)

    def close(self) -> None:
        """Closes the file; idempotent."""
        self._head = deque()
        self._source = iter(())
        self.film.close()

    # What comes out

    def pictures(self, skip: Skip, apart_seconds: float) -> Iterator[tuple[Any, Fields, PictureGeometry]]:
        """Each picture with what lies around it and its geometry; arguments as for `VideoDecoder.frames`."""
        self.skip = skip
        self.codec.skip_frames(skip)
        tick_seconds = self._timeline.tick_seconds
        self._thinning = Thinning(apart_seconds / tick_seconds + 1) if skip == "nonref" else None
        before: tuple[Any, ...] = ()
        latest: Fields | None = None
        for picture in self._next_pictures():
            if skip == "nonkey":  # those beside it are no neighbours in time
                fields = Fields((), None, self._deinterlacer)
            else:
                fields = latest = Fields(before, partial(self._peek, self._source), self._deinterlacer)
            yield picture, fields, self._geometry_now(picture)
            if latest is not None:
                latest.settle()
            before = (picture, *before[:1])

    def _next_pictures(self) -> Iterator[Any]:
        source = self._source
        while True:
            if not self._head:
                self._head.extend(itertools.islice(source, 1))
            if not self._head or source is not self._source:
                return
            yield self._head.popleft()

    def _peek(self, source: Iterator[Any], count: int) -> list[Any]:
        """The pictures whose turn is next, as many as there are; none where seeking went elsewhere."""
        if source is not self._source:
            return []
        self._head.extend(itertools.islice(source, max(0, count - len(self._head))))
        return list(itertools.islice(self._head, count))

    def _geometry_now(self, picture: Any) -> PictureGeometry:
        """The geometry of what the codec gave out just now: the pixel aspect may change on the way."""
        if self._turns and picture is self._turns[0][0]:
            self.geometry = self._turns.popleft()[1]
        aspect = self.codec.aspect
        if aspect == self._aspect:
            return self.geometry
        self._aspect = aspect
        if not self._has_own_aspect:
            self.geometry = replace(self.geometry, pixel_aspect=sane_aspect(aspect))
        return self.geometry

    # Decoding

    def _decoded(self, check: Callable[[Iterator[Any]], Iterator[Any]] = iter) -> Iterator[Any]:
        """The engine's frames in the order in which the codec gives them out; the first part's, checked."""
        yield from self._note_geometry(check(self._decoded_part()))
        while self._go_to_next_part():
            yield from self._note_geometry(self._decoded_part())

    def _note_geometry(self, pictures: Iterator[Any]) -> Iterator[Any]:
        """The same; of several joined files each has a geometry of its own, from its first picture on."""
        for first in itertools.islice(pictures, 1 if self._file.parts else 0):
            self._turns.append((first, self.codec.read_geometry(first)))
            yield first
        yield from pictures

    def _go_to_next_part(self) -> bool:
        """Goes on in the next of several joined files; False where there is none."""
        for number in range(self.film.number + 1, len(self._file.parts)):
            try:
                self._open(number)
            except UNREADABLE:
                self._file.mark_unreadable(number)
                continue
            if self._timeline.mender is not None:
                self._timeline.mender.begin_part(self.film.begin_byte, self.film.fps)
            return True
        return False

    def _decoded_part(self) -> Iterator[Any]:
        tally, codec, film = self._tally, self.codec, self.film
        for packet in self._packets():
            if packet is not None and packet.size:
                tally.packets_read += 1
                if tally.packets_read == 1:
                    self._is_in_doubt = self._timeline.mender is None and packet.pts == packet.dts
                self.last_byte = (
                    film.begin_byte + packet.pos if packet.pos else self.last_byte
                ) + packet.size
                self._note_skipped(packet)
                if codec.takes_key_frames_alone and not packet.is_keyframe:
                    continue
                packet = self._thinned(packet)
                if packet is None:
                    tally.packets_left_out += 1
                    self._on_packet()
                    continue
            try:
                pictures = codec.decode(packet)
            except EOFError:
                return
            except (EngineError, MemoryError):
                tally.broken_packets += 1
                pictures = []
            self._on_packet()
            tally.frames_decoded += len(pictures)
            check_course(tally.frames_decoded, tally.packets_read, self._clock.last_seconds)
            yield from codec.crop(pictures)

    def _note_skipped(self, packet: Any) -> None:
        """Keeps the end of the video known where frames are skipped on purpose."""
        stamp = packet.pts if packet.pts is not None else packet.dts
        if self.skip != "none" and stamp is not None:
            tick_seconds = self._timeline.tick_seconds
            end = stamp * tick_seconds
            end += (packet.duration or 0) * tick_seconds or self._clock.step_seconds
            self._tally.end_seconds = max(self._tally.end_seconds, end - self._clock.offset_seconds)

    def _thinned(self, packet: Any) -> Any:
        """The packet without a picture that is left out and no other needs; None where nothing is left."""
        thinning = self._thinning
        if thinning is None or not self._clock.goes_by_pts:
            return packet
        if packet.pts is None:  # it may be part of the picture before
            self._thinning = None
            return packet
        needed = self.codec.needed_of(packet)
        if needed is packet:
            thinning.keep(packet.pts)
            return packet
        step = self._clock.step_seconds / self._timeline.tick_seconds
        return needed if thinning.leaves_out(packet.pts, packet.duration or step) else packet

    def _packets(self) -> Iterator[Any]:
        """Packets of the film from where it is read, past read errors, with stamps on one timeline."""
        packets = self.film.packets(self._tally.note_unread, self.codec.context)
        if self.film.number:
            packets = rescale_stamps(packets, self._timeline.tick_seconds)
        if self._timeline.mender is not None:
            packets = self._timeline.mender.mend(packets)
        first_byte, self._first_byte = self._first_byte, 0
        if not first_byte:
            return packets

        def is_before(packet: Any) -> bool:
            if packet is None or not packet.size:
                return False
            is_stamped = packet.pts is not None or packet.dts is not None
            return not (packet.is_keyframe and is_stamped) or (packet.pos or 0) < first_byte

        return itertools.dropwhile(is_before, self._timeline.observe(packets))

    # Seeking

    def seek(self, ticks: int, *, is_start: bool) -> None:
        """Goes to the key frame at or before a time of the timeline; `is_start` to the very first frame."""
        self._head.clear()
        self._turns.clear()
        target = -_FAR_TICKS if is_start else ticks
        mender = self._timeline.mender
        if mender is not None and self._file.parts:
            self._seek_in_parts(mender, target)
        elif mender is not None:
            self._seek_by_map(mender, target)
        elif (
            is_start  # which an index of decoding times may not have
            # times are counted frames, from the first one on
            or self.film.container.format.flags & NO_TIMESTAMPS
            or is_picture_format(self.film.format_name)
        ):
            self._open(0)
        else:
            self._seek_by_stamp(target)
        self.codec.flush()
        self._source = self._decoded(self._really_there)

    def _really_there(self, pictures: Iterator[Any]) -> Iterator[Any]:
        """Pictures without those that a codec makes up where the index errs in calling one a key frame.

        They have no kind, and what follows is put on top of them up to the next key frame.
        """
        first = next(pictures, None)
        if first is None:
            return
        if self._has_kinds and is_made_up(first):
            pictures = itertools.dropwhile(lambda picture: not picture.key_frame, pictures)
        else:
            yield first
        yield from pictures

    def _open(self, number: int) -> None:
        """Goes to the first packet of the file, or of one of several joined ones, whatever its index says."""
        film = self._file.open_film(number)
        self.film.close()
        self.film = film
        self.codec = FilmCodec(film, self._file.path, self._threads)
        self.codec.skip_frames(self.skip)

    def _seek_by_stamp(self, target: int) -> None:
        try:
            self.film.container.seek(target, stream=self.film.stream, backward=True)
        except (EngineError, OverflowError):  # it has no index, or not of this place
            self._open(self.film.number)

    def _seek_by_map(self, mender: StampMender, target: int) -> None:
        """Seeks by place, since a stamp may occur several times in the file, or not where it belongs."""
        known = self._timeline.map
        assert known is not None
        self._first_byte, lead = known.key_before(target)
        if self.film.reads_on_anywhere:
            try:
                self.film.container.seek(lead, backward=True, unsupported_byte_offset=True)
                mender.go_on_at(known, lead)
                return
            except EngineError:
                pass
        self._open(0)
        mender.start_anew()

    def _seek_in_parts(self, mender: StampMender, target: int) -> None:
        known = self._timeline.map
        assert known is not None
        stretch = known.stretch_shown(target)
        self._open(part_at(self._file.parts, stretch.first_byte))
        mender.go_on_at(known, stretch.first_byte)
        if target > stretch.begin_ticks:
            seconds = (target - stretch.shift_ticks) * self._timeline.tick_seconds
            self._seek_by_stamp(math.floor(seconds / float(self.film.stream.time_base)))
