"""Video files to frames: with `making.encode` and `pictures.pictures` all that imports `av` (PyAV).

A decoder streams the frames of one file in presentation order, in one pass, however damaged the
file is: broken packets are skipped and counted, and what that means for the file is said once, by
an error at the end.
"""

from __future__ import annotations

import io
import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Literal, Self

import av
import av.logging
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter

from encoders.errors import (
    DamagedVideoError,
    DecodeError,
    NotAVideoError,
    NotFoundError,
    StillPictureError,
)
from indexer.video.containers import (
    STILL_PICTURE,
    allowed_formats,
    check_readable,
    declares_duration,
    is_ogg_header,
    is_picture_format,
    may_restart,
    next_opening,
    picture_formats,
    refusal,
)
from indexer.video.limits import WorkerLimits
from indexer.video.pictures.animations import animation_in, moments
from indexer.video.pictures.container_crop import read_crop
from indexer.video.pictures.frame import DecodedFrame, Fields, Orientation, PictureGeometry
from indexer.video.pictures.pictures import Cropper, Deinterlacer, alpha_codec, as_video, still_picture
from indexer.video.reading.clock import FrameClock
from indexer.video.reading.clock_map import ClockMap, StampMender, map_clock, remembered
from indexer.video.reading.film_stream import find_film
from indexer.video.reading.parts import Part, PartsLeftOut, find_parts, part_at, parts_shown, rescaled
from indexer.video.reading.recorded import first_timecode, recorded_moment
from indexer.video.types import VideoInfo
from search.file_names import os_path

av.logging.set_level(None)  # damage is reported by our errors; FFmpeg's own lines are noise
av.logging.set_libav_level(av.logging.PANIC)

__all__ = ["Skip", "VideoDecoder", "VideoInfo", "frame_at", "probe"]

Skip = Literal["none", "nonref", "nonkey"]

_OPEN_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": allowed_formats(av.formats_available),
    # Of transport streams: one whose programme is announced anew, with other numbers, goes on.
    "merge_pmt_versions": "1",
}
_MAX_PICTURE_BYTES = 2**28
_HEAD_BYTES = 1 << 16
_MAX_PIXELS = 2**27  # 16K by 8K; a header that claims more is broken or hostile
_MAX_DURATION_SECONDS = 100 * 86400.0  # beyond, times are broken or hostile
_MAX_FPS = 1000.0
_TS_DISCONTINUOUS = 0x0200  # AVFMT_TS_DISCONT
_NO_TIMESTAMPS = 0x0080  # AVFMT_NOTIMESTAMPS
_MAKE_UP_TIMES = 0x0001  # AVFMT_FLAG_GENPTS
_BY_BYTE_FORMATS = ("mpeg", "mpegts")  # that can be read on from anywhere
_TAIL_BYTES = 10_000  # behind the film's last picture; where there are more, it is asked what they are
_ROUNDING_SECONDS = 1e-6  # of a time that was written down
_MAX_DEMUX_ERRORS_IN_A_ROW = 64
_UNREADABLE = (av.FFmpegError, MemoryError, LookupError, DecodeError)  # of a part without a film
_FAR_TICKS = 1 << 62
_UNTOLD_AVI_FRAMES = 1 << 30  # of one that was written to a pipe
_TELLING_FRAMES = 16
_DECODING_TIMES_ALONE = ("avi", "asf", "asf_o")
# Containers whose header has a word on the shape of pixels; elsewhere the codec's holds, and may change.
_KEEPING_ASPECT = ("mov", "matroska", "mxf", "asf", "avi", "gxf", "nut", "dv")


# Of this program, which reads strangers' files and no others; None where it reads one's own.
_limits: WorkerLimits | None = None


def hold_to(limits: WorkerLimits) -> None:
    """Refuses from now on files that are larger, longer or faster; there is no way back."""
    global _limits
    _limits = limits


def _max_pixels() -> int:
    return _MAX_PIXELS if _limits is None else min(_MAX_PIXELS, _limits.max_pixels)


def open_options() -> dict[str, str]:
    """FFmpeg's, for a file that is opened to be read."""
    # Opening decodes some frames already, to learn of the format: a size that is claimed counts there, too.
    return {**_OPEN_OPTIONS, "max_pixels": str(_max_pixels())}


def probe(path: str) -> VideoInfo:
    """What the file says about its video; one frame is decoded to make sure that it is one.

    Raises:
        NotAVideoError: No video in the file.
        DamagedVideoError: Nothing of it can be decoded.
        DecodeError: It cannot be read.
    """
    with VideoDecoder(path) as decoder:
        return decoder.measured_info()


def frame_at(
    path: str, time_seconds: float, *, on_progress: Callable[[float], None] | None = None
) -> DecodedFrame:
    """The frame that is shown at a time.

    Args:
        path: A video file.
        time_seconds: Presentation time, as in `DecodedFrame.pts_seconds`, or as that is written down. The end
            of the video is a time of its last frame.
        on_progress: As for `VideoDecoder`.

    Raises:
        NotFoundError: The time is before the first frame or after the last.
        DecodeError: As `probe`.
    """
    if not math.isfinite(time_seconds):
        raise NotFoundError(f"a frame's time must be a finite number, got {time_seconds}")
    with VideoDecoder(path, on_progress=on_progress) as decoder:
        start, grace = decoder.info.start_seconds, decoder.grace_seconds
        # The index of a damaged file may lead past the wanted frame: then start further back. Shortly before
        # is far enough for the last frame of a film: what is around it tells whether it has combs.
        for back_seconds in (0.0, 0.5, 10.0, math.inf):
            decoder.seek(max(start, time_seconds - back_seconds))
            shown: DecodedFrame | None = None
            end = -math.inf
            for frame in decoder.frames():
                if frame.pts_seconds > time_seconds + grace:
                    end = math.inf
                    break
                shown, end = frame, frame.pts_seconds + decoder.shown_seconds(frame)
            if shown is not None and time_seconds <= end + grace:
                if back_seconds or shown.fields is None or shown.fields.are_known:
                    return shown
                continue
            if time_seconds + grace < start or -math.inf < end < math.inf:
                break
        ends = f" to {end:.3f}" if math.isfinite(end) else ""
        raise NotFoundError(
            f"there is no frame at {time_seconds:.3f} s: the video runs from {start:.3f}{ends} s"
        )


def decode_picture(path: str) -> DecodedFrame:
    """The picture in a file: a still image, or the first frame of an animation.

    Raises:
        NotAVideoError: Not a picture in any format that FFmpeg reads.
        DecodeError: It cannot be read.
    """
    check_readable(path)
    if animation_in(path) is not None:
        return _first_moment(path)
    formats = picture_formats(av.formats_available)
    options = {**open_options(), "format_whitelist": formats, "protocol_whitelist": ""}
    try:
        # By content alone: a name such as "%d.png" would make FFmpeg look for other files.
        with (
            open(os_path(path), "rb") as file,
            io.BytesIO(file.read(_MAX_PICTURE_BYTES)) as content,
            av.open(content, "r", options=options) as opened,
        ):
            codec = opened.streams.video[0].codec_context
            _check_pixels(codec.width, codec.height)
            codec.options = {"max_pixels": str(_max_pixels())}  # where only decoding tells the size
            first, shown = _first_picture(opened, content.getvalue()[:_HEAD_BYTES])
    except (av.FFmpegError, IndexError, StopIteration, MemoryError, ValueError):
        raise NotAVideoError("this is no picture in any format that is known here") from None
    geometry = PictureGeometry(1.0, _orientation(first), VideoReformatter, {})
    return DecodedFrame(0.0, None, True, shown, geometry)


def _first_moment(path: str) -> DecodedFrame:
    first = next(moments(path, _max_pixels(), least_frames=1))
    picture = av.VideoFrame.from_ndarray(first.rgba, "rgba")
    return DecodedFrame(0.0, None, True, picture, PictureGeometry(1.0, Orientation(), VideoReformatter, {}))


def _first_picture(opened: Any, head: bytes) -> tuple[Any, Any]:
    try:
        return still_picture(opened, head)
    except av.ArgumentError:  # a codec's own word for more pixels than it may decode
        raise DecodeError(
            f"the picture is broken, or has more than the {_max_pixels()} pixels that are taken: scale "
            "it down"
        ) from None


def _orientation(picture: Any) -> Orientation:
    """What turns a picture upright; only its own side data knows."""
    try:
        for side in picture.side_data:
            if side.type.name == "DISPLAYMATRIX":
                return Orientation.from_display_matrix(bytes(side))
    except ValueError:  # PyAV does not know every kind of side data, Exif for one
        return Orientation.from_rotation(picture.rotation)
    return Orientation()


class VideoDecoder:
    """Streams the frames of one file. A context manager; `frames` can be run through once.

    Attributes:
        info: What the file says about its video.
        path: Of the file.
        left_out: A sentence for each other film that the file holds.
        broken_packets: How many packets could not be decoded, or only with holes, so far.
        dropped_frames: How many frames had a time before that of another that came earlier, so far.
    """

    def __init__(
        self,
        path: str,
        *,
        threads: int | None = None,
        on_progress: Callable[[float], None] | None = None,
    ) -> None:
        """Opens the file and decodes its first frame.

        Args:
            path: A video file.
            threads: Of the codec; None lets FFmpeg choose by the cores it sees.
            on_progress: Called for every packet with the time of the last frame in seconds, also
                while nothing can be decoded.

        Raises:
            NotAVideoError: No video in the file.
            DamagedVideoError: Nothing of it can be decoded.
            DecodeError: It cannot be read.
        """
        check_readable(path)
        self.path = path
        self.left_out: list[str] = []
        self.broken_packets = 0
        self.dropped_frames = 0
        self._packets_read = 0
        self._frames_decoded = 0
        self._frames_covered = 0  # by another of the same time
        self._on_progress = on_progress
        self._checks_end = True
        self._skip: Skip = "none"
        self._mender: StampMender | None = None
        self._is_in_doubt = False  # when frames are decoded passes for when they are shown
        self._first_byte = 0  # what lies before is read past
        self._last_byte = 0
        self._parts: tuple[Part, ...] = ()  # where several files were joined:
        self._part = 0  # the one that is read,
        self._parts_left_out = PartsLeftOut()  # what is not,
        self._films: dict[int, int] = {}  # and the number of the film's stream in each
        try:
            try:
                self._container: Any = _open(path)
            except av.InvalidDataError:
                # Of a plain MP4 with one in fragments joined on, FFmpeg opens each, but not the whole.
                self._parts = find_parts(path, "mov")
                if not self._parts:
                    raise
            else:
                name = self._container.format.name
                self._parts = remembered(path, "parts", partial(find_parts, path, name))
                if self._parts:
                    self._container.close()
            if self._parts:
                self._container, self._stream = self._open_first_film()
        except MemoryError:
            raise DamagedVideoError("the header asks for absurd amounts of memory") from None
        except (av.FFmpegError, UnicodeError, ValueError) as error:
            raise refusal(path, _plain(error)) from None
        try:
            if not self._parts:
                self._stream = self.film_in(self._container, 0)
            self._set_up(threads)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; idempotent."""
        self._head: deque[Any] = deque()
        self._source: Iterator[Any] = iter(())
        self._container.close()

    def frames(self, skip: Skip = "none") -> Iterator[DecodedFrame]:
        """The frames in presentation order; times strictly ascend: of several at one time, the last is shown.

        Args:
            skip: "nonref" leaves out frames that no other needs (faster), "nonkey" all but key
                frames (much faster).

        Raises:
            DamagedVideoError: At the end: too much was broken, or the file is truncated.
        """
        self._skip = skip
        self._codec.skip_frame = {"none": "DEFAULT", "nonref": "NONREF", "nonkey": "NONKEY"}[skip]
        delivered = 0
        held: DecodedFrame | None = None  # until it is known to be shown at all
        for picture, fields, geometry in self._in_context():
            frame = self._timed(picture, fields, geometry)
            if frame is None:
                # A picture before the first key frame of what was joined on is not missed.
                is_leading = self._mender is not None and self._mender.is_leading(picture.pts or 0)
                self.dropped_frames += not is_leading
            elif skip != "nonkey" or frame.is_key:
                if held is not None and held.pts_seconds < frame.pts_seconds:
                    delivered += 1
                    yield held
                elif held is not None:
                    self._frames_covered += 1
                held = frame
        if held is not None:
            delivered += 1
            yield held
        if self._checks_end:
            self._check_end(delivered)

    def seek(self, time_seconds: float) -> None:
        """Goes to the key frame at or before a time; `frames` then starts there."""
        target = round((time_seconds + self._clock.offset_seconds) / self._time_base_seconds)
        self._checks_end = False  # what came before is not seen, so nothing can be concluded
        self._head.clear()
        self._turns.clear()
        self._clock.restart()
        is_start = time_seconds <= self.info.start_seconds
        if self._mender is not None and self._parts:
            self._seek_in_parts(self._mender, -_FAR_TICKS if is_start else target)
        elif self._mender is not None:
            self._seek_by_map(self._mender, -_FAR_TICKS if is_start else target)
        elif (
            is_start  # which an index of decoding times may not have
            or self._container.format.flags
            & _NO_TIMESTAMPS  # times are counted frames, from the first one on
            or is_picture_format(self._container.format.name)
        ):
            self._reopen()
        else:
            self._seek_by_stamp(target)
        if self._alpha_codec is not None:
            self._alpha_codec.flush_buffers()  # the container knows only its own
        self._source = self._decoded(self._really_there)

    def _really_there(self, pictures: Iterator[Any]) -> Iterator[Any]:
        """Without those that a codec makes up where the index calls a picture a key frame that is none.

        They have no kind, and what follows is put on top of them up to the next key frame.
        """
        first = next(pictures, None)
        if first is None:
            return
        if self._has_kinds and first.pict_type == PictureType.NONE:
            pictures = itertools.dropwhile(lambda picture: not picture.key_frame, pictures)
        else:
            yield first
        yield from pictures

    def _seek_by_stamp(self, target: int) -> None:
        try:
            self._container.seek(target, stream=self._stream, backward=True)
        except (av.FFmpegError, OverflowError):  # it has no index, or not of this place
            self._reopen()

    def _seek_by_map(self, mender: StampMender, target: int) -> None:
        """By place, since a stamp may occur several times in the file, or not where it belongs."""
        known = self.clock_map
        assert known is not None
        self._first_byte, lead = known.key_before(target)
        if self.reads_on_anywhere:
            try:
                self._container.seek(lead, backward=True, unsupported_byte_offset=True)
                mender.go_on_at(known, lead)
                return
            except av.FFmpegError:
                pass
        self._reopen()
        mender.start_anew()

    @property
    def reads_on_anywhere(self) -> bool:
        """Whether the file can be read on from any place in it, without what lies before."""
        return self._container.format.name in _BY_BYTE_FORMATS

    def _seek_in_parts(self, mender: StampMender, target: int) -> None:
        known = self.clock_map
        assert known is not None
        stretch = known.stretch_shown(target)
        self._part = part_at(self._parts, stretch.first_byte)
        self._reopen()
        mender.go_on_at(known, stretch.first_byte)
        if target > stretch.begin_ticks:
            seconds = (target - stretch.shift_ticks) * self._time_base_seconds
            self._seek_by_stamp(math.floor(seconds / float(self._stream.time_base)))

    def _go_to_next_part(self) -> bool:
        """Goes on in the next of several joined files; False where there is none."""
        while self._part + 1 < len(self._parts):
            self._part += 1
            try:
                self._reopen()
            except _UNREADABLE:
                self._parts_left_out.unread.add(self._part)
                continue
            if self._mender is not None:
                self._mender.begin_part(self._parts[self._part].begin, _stream_fps(self._stream))
            return True
        return False

    def parts_shown(self, start_seconds: float, end_seconds: float) -> list[tuple[int, float, float]]:
        """The parts of a joined file that a span of its one timeline is of; the whole of any other.

        Returns:
            Of each its number, what is added to its times, and when the next one begins, in seconds.
        """
        known = self.clock_map
        if known is None or not self._parts:
            return [(0, 0.0, math.inf)]
        return parts_shown(self._parts, known, self._time_base_seconds, (start_seconds, end_seconds))

    @property
    def is_joined(self) -> bool:
        """Whether the file is several whole ones, each of which is read by itself."""
        return bool(self._parts)

    def open_part(self, number: int) -> Any:
        """The engine's container for one of several joined files, or for the file where it is one."""
        return _open(self.path, self._parts[number]) if self._parts else _open(self.path)

    def film_in(self, container: Any, number: int) -> Any:
        """The film in the file, or in one of several that were joined, that `open_part` opened.

        Raises:
            DecodeError: There is none, or of an unknown codec.
        """
        if number not in self._films:
            whole = _sane((container.duration or 0) / av.time_base, _MAX_DURATION_SECONDS) or 0.0
            peek = partial(self._first_packets, number)
            self._films[number], others = find_film(container, whole, self._own_seconds, peek)
            if number == 0:
                self.left_out = others
            elif others:
                self._parts_left_out.rich.add(number)
        return container.streams[self._films[number]]

    def _open_first_film(self) -> tuple[Any, Any]:
        """Opens the first of several joined files that holds a film, which the others then count from."""
        errors: list[BaseException] = []
        while self._parts:
            try:
                return self._open_film(0)
            except _UNREADABLE as error:
                errors.append(error)
            self._parts = self._parts[1:]
            self._parts_left_out.passed_over += 1
        raise errors[0]

    def _open_film(self, number: int) -> tuple[Any, Any]:
        """Opens the file, or one of several that were joined; returns the film beside the container."""
        container = self.open_part(number)
        try:
            return container, self.film_in(container, number)
        except BaseException:
            container.close()
            raise

    def byte_before(self, stamp_seconds: float) -> int:
        """Where the last key frame at or before a time of the file's one timeline begins, offset and all."""
        known = self.clock_map
        return known.key_before(round(stamp_seconds / self._time_base_seconds))[0] if known else 0

    def _reopen(self) -> None:
        """Goes back to the first packet of the file, whatever its index says."""
        skipped = self._codec.skip_frame
        container, self._stream = self._open_film(self._part)
        self._container.close()
        self._container = container
        self._set_up_codec()
        self._codec.skip_frame = skipped

    @property
    def clock_map(self) -> ClockMap | None:
        """Where what is in the file, on one timeline; None where the clock of its format runs on.

        Made by reading all of the file, once for each state of it in this program.
        """
        mender = self._mender
        if mender is None:
            return None

        def make() -> ClockMap:
            mender = self._new_mender()
            return map_clock(self._all_packets(mender), mender)

        return remembered(self.path, self._films[0], make)

    def _all_packets(self, mender: StampMender) -> Iterator[Any]:
        """Those of the film, from the first of the file, mended."""
        for number in range(max(1, len(self._parts))):
            try:
                container, film = self._open_film(number)
            except _UNREADABLE:
                continue
            with suppress(av.FFmpegError, MemoryError, LookupError), container:
                packets = self._footage(_read_packets(container, [film], lambda: None))
                if number:
                    mender.begin_part(self._parts[number].begin, _stream_fps(film))
                yield from mender.mend(rescaled(self._observed(packets), self._time_base_seconds))

    def _observed(self, packets: Iterator[Any]) -> Iterator[Any]:
        for packet in packets:
            if self._on_progress is not None:
                self._on_progress(max(self._clock.last_seconds, 0.0))
            yield packet

    def _new_mender(self) -> StampMender:
        is_discontinuous = bool(self._container.format.flags & _TS_DISCONTINUOUS)
        return StampMender(
            self._time_base_seconds,
            fps=self._average_fps,
            is_discontinuous=is_discontinuous,
            is_joined=self.is_joined,
            is_mpeg=self.reads_on_anywhere,
        )

    def measured_info(self) -> VideoInfo:
        """`info`, with the duration that is really there in formats whose header cannot know it."""
        known = self.clock_map
        if known is None:
            return self.info
        end = known.end_ticks * self._time_base_seconds - self._clock.offset_seconds
        length = _sane(end - self.info.start_seconds, _MAX_DURATION_SECONDS)
        return replace(self.info, duration_seconds=length or self.info.duration_seconds)

    @property
    def grace_seconds(self) -> float:
        """By how much a time may lie before that of a frame and still be of it: times are written down.

        Half a tick of the stream's clock, where one is much shorter than a frame is shown, and what is
        lost by writing a time in microseconds in any case.
        """
        tick = self._time_base_seconds
        return max(_ROUNDING_SECONDS, tick / 2 if tick <= self._clock.step_seconds / 4 else 0.0)

    @property
    def film(self) -> Any:
        """The engine's stream that is decoded."""
        return self._stream

    @property
    def offset_seconds(self) -> float:
        """What is subtracted from the times in the file."""
        return self._clock.offset_seconds

    def shown_seconds(self, frame: DecodedFrame) -> float:
        """How long a frame is shown when no other follows."""
        return frame.duration_seconds or self._clock.step_seconds

    # Opening

    def _own_seconds(self, stream: Any) -> float | None:
        """What the file declares of a stream."""
        if stream.container.format.name.startswith("matroska"):
            # There a tag does, or nothing: FFmpeg's value is then that of the whole file.
            return _sane(_clock_seconds(stream.metadata.get("DURATION", "")), _MAX_DURATION_SECONDS)
        return _sane((stream.duration or 0) * float(stream.time_base or 0), _MAX_DURATION_SECONDS)

    def _first_packets(self, number: int, indices: list[int]) -> Iterator[tuple[int, float | None]]:
        """The packets of streams, each with the number of its stream and its time."""
        with self.open_part(number) as container:
            streams = [container.streams[index] for index in indices]
            for packet in _read_packets(container, streams, lambda: None):
                if packet is not None and packet.size and packet.stream_index in indices:
                    stamp = packet.dts if packet.pts is None else packet.pts
                    yield packet.stream_index, None if stamp is None else float(stamp * packet.time_base)

    def _set_up(self, threads: int | None) -> None:
        stream, container = self._stream, self._container
        self._threads = threads
        self._set_up_codec()
        self._deinterlacer = Deinterlacer()
        self._time_base_seconds = float(stream.time_base or 0) or 1.0 / av.time_base
        self._average_fps = _stream_fps(stream)
        self._clock = FrameClock(
            self._time_base_seconds,
            fps=self._average_fps,
            offset_seconds=starts_at(container),
            has_only_dts=container.format.name in _DECODING_TIMES_ALONE,
        )
        if (
            container.format.flags & _TS_DISCONTINUOUS
            or may_restart(self.path, container.format.name)
            or self._parts
        ):
            self._mender = self._new_mender()
        self._first_seconds = math.inf
        self._end_seconds = -math.inf
        self._head = deque()
        self._turns: deque[tuple[Any, PictureGeometry]] = deque()  # of parts whose pictures came out
        self._source = self._decoded()
        self._geometry = self._describe_first()

    def _set_up_codec(self) -> None:
        number = self._container.streams.video.index(self._stream)
        begin = self._parts[self._part].begin if self._parts else 0
        edges = read_crop(self.path, self._container.format.name, number, begin)
        self._cropper = Cropper(edges) if edges else None
        self._codec = self._stream.codec_context
        _check_pixels(self._codec.width, self._codec.height)
        self._alpha_codec = alpha_codec(self._stream)
        self._codec = self._alpha_codec or self._codec
        self._codec.options = {"max_pixels": str(_max_pixels())}  # they may change on the way
        self._codec.thread_type = "NONE" if _is_set_up_on_the_way(self._codec) else "AUTO"
        if self._threads is not None:
            self._codec.thread_count = self._threads

    def _describe_first(self) -> PictureGeometry:
        """Decodes until the first frame, which alone knows the display matrix."""
        first = next(self._source, None)
        if first is None:
            raise self._nothing_decoded()
        self._head.append(first)
        self._has_kinds = first.pict_type != PictureType.NONE
        if self._is_in_doubt and getattr(self._codec, "has_b_frames", False):
            # Frames are reordered, and their times are not, or there was no need to: the next ones tell.
            self._head.extend(itertools.islice(self._source, _TELLING_FRAMES))
            for picture in self._head:
                self._clock.time_of(picture.pts, picture.dts)
            self._clock.restart()
        brand = self._container.metadata.get("major_brand", "")
        if is_picture_format(self._container.format.name, brand):
            second = next(self._source, None)
            if second is None:
                raise StillPictureError(STILL_PICTURE)
            self._head.append(second)
        self._codec_aspect = float(self._codec.sample_aspect_ratio or 0.0)
        self._has_own_aspect = self._container.format.name.startswith(_KEEPING_ASPECT)
        geometry = self._describe(first)
        width, height = geometry.display_size(first.width, first.height)
        animation = animation_in(self.path)
        dated = (self._container.metadata, self._stream.metadata)
        recorded_at, offset_seconds = recorded_moment(dated, time.time())
        self.info = VideoInfo(
            duration_seconds=self._declared_seconds(),
            width=width,
            height=height,
            average_fps=self._average_fps,
            codec=animation or self._codec.codec.canonical_name,
            container=animation or self._container.format.name,
            start_seconds=self._clock.time_of(first.pts, first.dts) or 0.0,
            recorded_at=recorded_at,
            recorded_offset_seconds=offset_seconds,
            base_fps=_sane(self._stream.base_rate, _MAX_FPS),
            timecode=first_timecode(
                one.metadata for one in (self._stream, *self._container.streams, self._container)
            ),
        )
        self._clock.restart()
        if _limits is not None:
            _check_claims(self.info, self._stream, _limits)
        return geometry

    def _describe(self, first: Any) -> PictureGeometry:
        """The geometry of a film, given the first picture of it."""
        aspect = self._stream.sample_aspect_ratio or self._codec.sample_aspect_ratio
        return PictureGeometry(_sane_aspect(float(aspect or 1.0)), _orientation(first), VideoReformatter, {})

    def _declared_seconds(self) -> float | None:
        """The duration of the video stream, else the file's; None where its writer never came back to say."""
        if self._container.format.name == "avi" and (self._stream.frames or 0) >= _UNTOLD_AVI_FRAMES:
            return None
        whole = _sane((self._container.duration or 0) / av.time_base, _MAX_DURATION_SECONDS)
        return self._own_seconds(self._stream) or whole

    # Reading

    def _packets(self) -> Iterator[Any]:
        """Packets of the stream from where it is read, past read errors, with stamps on one timeline."""
        packets = self._footage(
            _read_packets(self._container, [self._stream], self._note_unread), self._codec
        )
        if self._part:
            packets = rescaled(packets, self._time_base_seconds)
        if self._mender is not None:
            packets = self._mender.mend(packets)
        first_byte, self._first_byte = self._first_byte, 0
        if not first_byte:
            return packets

        def is_before(packet: Any) -> bool:
            if packet is None or not packet.size:
                return False
            is_stamped = packet.pts is not None or packet.dts is not None
            return not (packet.is_keyframe and is_stamped) or (packet.pos or 0) < first_byte

        return itertools.dropwhile(is_before, self._observed(packets))

    def _footage(self, packets: Iterator[Any], codec: Any = None) -> Iterator[Any]:
        """The packets without the headers that stand between joined parts; a codec is set up by those."""
        if self._container.format.name != "ogg":
            return packets

        def is_footage(packet: Any) -> bool:
            if packet is None or not packet.size or not is_ogg_header(bytes(packet)):
                return True
            if codec is not None and _is_set_up_on_the_way(codec):
                with suppress(av.FFmpegError):  # of a comment it knows nothing
                    codec.decode(packet)
            return False

        return filter(is_footage, packets)

    def _note_unread(self) -> None:
        self.broken_packets += 1
        self._packets_read += 1

    def _decoded(self, check: Callable[[Iterator[Any]], Iterator[Any]] = iter) -> Iterator[Any]:
        """The engine's frames in the order in which the codec gives them out; the first part's, checked."""
        yield from self._described(check(self._decoded_part()))
        while self._go_to_next_part():
            yield from self._described(self._decoded_part())

    def _described(self, pictures: Iterator[Any]) -> Iterator[Any]:
        """The same; of several joined files each has a geometry of its own, from its first picture on."""
        for first in itertools.islice(pictures, 1 if self._parts else 0):
            self._turns.append((first, self._describe(first)))
            yield first
        yield from pictures

    def _decoded_part(self) -> Iterator[Any]:
        for packet in self._packets():
            if packet is not None and packet.size:
                self._packets_read += 1
                if self._packets_read == 1:
                    self._is_in_doubt = self._mender is None and packet.pts == packet.dts
                begin = self._parts[self._part].begin if self._parts else 0
                self._last_byte = (begin + packet.pos if packet.pos else self._last_byte) + packet.size
                self._note_skipped(packet)
                if self._alpha_codec is not None and self._skip == "nonkey" and not packet.is_keyframe:
                    continue  # libvpx leaves nothing out by itself
            try:
                pictures = self._codec.decode(packet)
            except EOFError:
                return
            except (av.FFmpegError, MemoryError):
                self.broken_packets += 1
                pictures = []
            if self._on_progress is not None:
                self._on_progress(max(self._clock.last_seconds, 0.0))
            self._frames_decoded += len(pictures)
            if _limits is not None:
                _check_course(self._frames_decoded, self._clock.last_seconds, self._packets_read, _limits)
            yield from pictures if self._cropper is None else map(self._cropper, pictures)

    def _pictures(self) -> Iterator[Any]:
        source = self._source
        while True:
            if not self._head:
                self._head.extend(itertools.islice(source, 1))
            if not self._head or source is not self._source:
                return
            yield self._head.popleft()

    def _note_skipped(self, packet: Any) -> None:
        """Keeps the end of the video known where frames are skipped on purpose."""
        stamp = packet.pts if packet.pts is not None else packet.dts
        if self._skip != "none" and stamp is not None:
            end = stamp * self._time_base_seconds
            end += (packet.duration or 0) * self._time_base_seconds or self._clock.step_seconds
            self._end_seconds = max(self._end_seconds, end - self._clock.offset_seconds)

    def _in_context(self) -> Iterator[tuple[Any, Fields, PictureGeometry]]:
        """Each picture with what lies around it and its geometry."""
        before: tuple[Any, ...] = ()
        latest: Fields | None = None
        for picture in self._pictures():
            if self._skip == "nonkey":  # those beside it are no neighbours in time
                fields = Fields((), None, self._deinterlacer)
            else:
                fields = latest = Fields(before, partial(self._peek, self._source), self._deinterlacer)
            yield picture, fields, self._geometry_now(picture)
            if latest is not None:
                latest.settle()
            before = (picture, *before[:1])

    def _peek(self, source: Iterator[Any], count: int) -> list[Any]:
        """The pictures whose turn is next, as many as there are; none where seeking went elsewhere."""
        if source is not self._source:
            return []
        self._head.extend(itertools.islice(source, max(0, count - len(self._head))))
        return list(itertools.islice(self._head, count))

    def _geometry_now(self, picture: Any) -> PictureGeometry:
        """Of what the codec gave out just now: the pixel aspect may change on the way."""
        if self._turns and picture is self._turns[0][0]:
            self._geometry = self._turns.popleft()[1]
        aspect = float(self._codec.sample_aspect_ratio or 0.0)
        if aspect == self._codec_aspect:
            return self._geometry
        self._codec_aspect = aspect
        if not self._has_own_aspect:
            self._geometry = replace(self._geometry, pixel_aspect=_sane_aspect(aspect))
        return self._geometry

    def _timed(self, picture: Any, fields: Fields, geometry: PictureGeometry) -> DecodedFrame | None:
        """The frame with its time, or None where that goes back."""
        duration = (picture.duration or 0) * self._time_base_seconds
        duration = duration if 0 < duration < _MAX_DURATION_SECONDS else 0.0
        dts, lasts = picture.dts, 0.0
        if self.reads_on_anywhere and picture.pts is None and self._clock.last_seconds > -math.inf:
            # One of several in a pack. (Elsewhere, a duration may be a tick of the clock and no more.)
            dts, lasts = None, duration or self._clock.step_seconds
        pts = self._clock.time_of(picture.pts, dts, lasts)
        if pts is None:
            return None
        end = pts + (duration or self._clock.step_seconds)
        self._check_length(pts, end)
        self._end_seconds = max(self._end_seconds, end)
        if picture.is_corrupt:
            self.broken_packets += 1
        is_key = bool(picture.key_frame) or (self._alpha_codec is not None and self._skip == "nonkey")
        return DecodedFrame(pts, duration or None, is_key, picture, geometry, fields)

    # Judging

    @property
    def seconds_read(self) -> float:
        """How long the video is, as far as it has been read."""
        return max(0.0, self._end_seconds - self.info.start_seconds)

    @property
    def end_seconds(self) -> float:
        """When the video ends, as far as it has been read."""
        return self._end_seconds

    @property
    def damage(self) -> str | None:
        """What was lost of what has been read, or left out, in words; None where nothing was."""
        lost = []
        if self.broken_packets:
            lost.append(f"{self.broken_packets} of {self._packets_read} packets are broken")
        if self.dropped_frames and self._skip == "none":
            lost.append(f"{self.dropped_frames} frames have times that do not ascend")
        damaged = f"damaged: {' and '.join(lost)}; what could be read is indexed"
        notes = [*self.left_out, *self._parts_left_out.named(len(self._parts)), *self._left_behind()]
        return "; ".join([*([damaged] if lost else []), *notes]) or None

    def _left_behind(self) -> list[str]:
        """Says so where another film lies behind this one; known once the file was read to its end."""
        size = self._parts[-1].end if self._parts else self._container.size
        if not (self._checks_end and self._last_byte and size):
            return []
        if not self.reads_on_anywhere:
            return self._joined_on(size)
        if size - self._last_byte < _TAIL_BYTES:
            return []
        known = {stream.id for stream in self._container.streams}
        options = {**open_options(), "skip_initial_bytes": str(self._last_byte)}
        try:
            with av.open(os_path(self.path), format=self._container.format.name, options=options) as rest:
                others = [stream for stream in rest.streams.video if stream.id not in known]
        except (av.FFmpegError, MemoryError, ValueError):  # nothing but what fills it up
            return []
        if not others:
            return []
        return [
            f"the last {1 - self._last_byte / size:.0%} of the file hold pictures of another film, "
            "perhaps those of another programme, and are not indexed: write them to a file of their own"
        ]

    def _joined_on(self, size: int) -> list[str]:
        byte = next_opening(self.path, self._container.format.name, self._last_byte)
        if byte is None or part_at(self._parts, byte) in self._parts_left_out.unread:
            return []  # there is none, or it is a part that was named
        return [
            f"the last {1 - byte / size:.0%} of the file are another file that was joined on, which FFmpeg "
            "does not read, and are not indexed: join them with ffmpeg -f concat"
        ]

    def _check_length(self, start_seconds: float, end_seconds: float) -> None:
        """Refuses times that go on for longer than any recording, wherever they begin."""
        self._first_seconds = min(self._first_seconds, start_seconds)
        length = end_seconds - self._first_seconds
        if length > _MAX_DURATION_SECONDS:
            raise DamagedVideoError(
                f"damaged: the times of its frames span {length / 86400:.0f} days or more, and more than "
                f"{_MAX_DURATION_SECONDS / 86400:.0f} are not believed; write it anew at its real rate with "
                "ffmpeg -r RATE -i"
            )

    def _nothing_decoded(self) -> DecodeError:
        if self._packets_read == 0:
            return DamagedVideoError(
                "no frame could be decoded: the header names a video stream, but the file ends "
                "before its first frame; copy the file again"
            )
        return DamagedVideoError(
            f"no frame could be decoded ({self.broken_packets} of {self._packets_read} packets "
            "are broken): copy the file again or repair it"
        )

    def _check_end(self, delivered: int) -> None:
        """Says at the end whether what was decoded is the video that the file promised."""
        if delivered == 0:
            raise self._nothing_decoded()
        if self.broken_packets * 2 > self._packets_read:
            raise DamagedVideoError(
                f"damaged: {self.broken_packets} of {self._packets_read} packets are broken; "
                "copy the file again or repair it"
            )
        unshown = self.dropped_frames + self._frames_covered
        if unshown > delivered and self._skip == "none":
            raise DamagedVideoError(
                f"damaged: {unshown} of {unshown + delivered} frames have "
                "times that do not ascend; write the file anew with ffmpeg -fflags +genpts"
            )
        declared = self.info.duration_seconds
        if declared is None or not declares_duration(self.info.container):
            return
        got = max(self._end_seconds, self._end_seconds - self.info.start_seconds)
        missing = declared - got
        if missing > 1.0 and missing > 0.1 * declared and not self._is_outlasted():
            raise DamagedVideoError(
                f"truncated: {max(got, 0.0):.1f} s of {declared:.1f} s could be decoded; copy the "
                "file again or repair it"
            )

    def _is_outlasted(self) -> bool:
        """Whether sound goes on after the picture, up to the duration of the whole file.

        Matroska need not declare the length of each stream, and a film may end in sound alone.
        """
        stream, container = self._stream, self._container
        if self._own_seconds(stream) or not container.streams.audio:
            return False
        declared = self.info.duration_seconds or 0.0
        try:
            container.seek(round(max(0.0, declared - 1.0) * av.time_base), backward=True)
            return any(
                packet.pts is not None and float(packet.pts * packet.time_base) > declared - 2.0
                for packet in container.demux(container.streams.audio[0])
            )
        except av.FFmpegError:
            return False


def _open(path: str, part: Part | None = None) -> Any:
    """The engine's container for a file; of an animation that it cannot read, for what that was made into."""
    if part is not None:
        url = f"subfile,,start,{part.begin},end,{part.end},,:{os_path(path)}"
        options = {**open_options(), "protocol_whitelist": "file,subfile"}
        return av.open(url, options=options, metadata_errors="replace")
    made = None if animation_in(path) is None else as_video(moments(path, _max_pixels()))
    container = av.open(made or os_path(path), options=open_options(), metadata_errors="replace")
    if container.format.name in _BY_BYTE_FORMATS:
        # FFmpeg would make up times that lack by those of the next part of a joined file, and read all of it.
        container.flags &= ~_MAKE_UP_TIMES
    return container


def _read_packets(container: Any, streams: list[Any], on_error: Callable[[], None]) -> Iterator[Any]:
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
        except av.FFmpegError:
            errors += 1
            on_error()
            if errors > _MAX_DEMUX_ERRORS_IN_A_ROW:
                yield None
                return


def _is_set_up_on_the_way(codec: Any) -> bool:
    """Whether headers between joined parts count: several threads do not take them, one gives nothing out."""
    return bool(codec.codec.canonical_name == "theora")


def starts_at(container: Any) -> float:
    """What is subtracted from the times in a file: its start where its clock may begin anywhere."""
    is_discontinuous = bool(container.format.flags & _TS_DISCONTINUOUS)
    return (container.start_time or 0) / av.time_base if is_discontinuous else 0.0


def _check_pixels(width: int, height: int) -> None:
    if width * height <= _max_pixels():
        return
    if width * height > _MAX_PIXELS:
        raise DamagedVideoError(f"the header claims {width} x {height} pixels: it is broken")
    raise DecodeError(
        f"{width} x {height} pixels are more than the {_max_pixels()} that are taken: scale it down"
    )


def _check_claims(info: VideoInfo, stream: Any, limits: WorkerLimits) -> None:
    """Refuses by what the file says of itself."""
    rate = max(float(one or 0) for one in (stream.average_rate, stream.guessed_rate))
    if rate > limits.max_fps:
        raise DecodeError(f"{rate:g} frames a second are claimed: {limits.max_fps:g} at most are taken")
    seconds = info.duration_seconds or 0.0
    if seconds > limits.max_seconds:
        raise DecodeError(
            f"{seconds:.0f} s of footage are longer than the {limits.max_seconds:g} s that are taken: "
            "send a part"
        )
    frames = max(stream.frames or 0, seconds * (info.average_fps or 0.0))
    if frames > limits.max_frames:
        raise DecodeError(
            f"{frames:.0f} frames, more than the {limits.max_frames} that are taken: send a part"
        )


def _check_course(frames: int, time_seconds: float, packets: int, limits: WorkerLimits) -> None:
    """Refuses by what is really there, as it comes."""
    if max(frames, packets // 4) > limits.max_frames:
        raise DecodeError(f"more than the {limits.max_frames} frames that are taken: send a part")
    if math.isfinite(time_seconds) and time_seconds > limits.max_seconds + 1.0:
        raise DecodeError(f"longer than the {limits.max_seconds:g} s of footage that are taken: send a part")


def _stream_fps(stream: Any) -> float | None:
    rates = (stream.average_rate, stream.guessed_rate, stream.base_rate)
    # Of a few frames of raw DV the mean is made of rounding: the next best is then the rate.
    return next((fps for rate in rates if (fps := _sane(rate, _MAX_FPS))), None)


def _plain(error: BaseException) -> str:
    """FFmpeg's reason without its number and path."""
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


def _sane(value: Any, largest: float) -> float | None:
    """A positive finite number up to `largest`, else None."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) and 0 < number <= largest else None


def _sane_aspect(aspect: float) -> float:
    return aspect if 0.1 <= aspect <= 10.0 else 1.0


def _clock_seconds(clock: str) -> float:
    """Matroska's DURATION tag, e.g. "00:01:02.500000000", as seconds (0 where it is none)."""
    seconds = 0.0
    try:
        for part in clock.split(":"):
            seconds = seconds * 60 + float(part)
    except ValueError:
        return 0.0
    return seconds
