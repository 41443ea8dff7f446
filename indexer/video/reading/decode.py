"""Video files to frames, in presentation order and in one pass, however damaged the file is.

Broken packets are skipped and counted, and what that means for the file is said once, by an error at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Self

from indexer.video.bounds import MAX_DURATION_SECONDS, positive
from indexer.video.pictures.frame import DecodedFrame, Fields, PictureGeometry
from indexer.video.reading.clock import FrameClock
from indexer.video.reading.codec import Skip
from indexer.video.reading.description import describe, is_outlasted
from indexer.video.reading.film_file import FilmFile
from indexer.video.reading.picture_stream import PictureStream
from indexer.video.reading.tally import Tally
from indexer.video.reading.timeline import FilmTimeline
from indexer.video.types import VideoInfo

_DECODING_TIMES_ALONE = ("avi", "asf", "asf_o")
_ROUNDING_SECONDS = 1e-6  # of a time that was written down


class VideoDecoder:
    """Streams the frames of one file. A context manager; `frames` can be run through once.

    Attributes:
        path: Of the file.
        info: The file's description of its video.
        file: The file, or the files that it was joined from.
        timeline: Of its film.
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
        self.path = path
        self._tally = Tally()
        self._checks_end = True
        self.file = FilmFile(path)
        film = self.file.open_first()
        try:
            self._clock = FrameClock(
                film.tick_seconds,
                fps=film.fps,
                offset_seconds=film.start_seconds,
                has_only_dts=film.format_name in _DECODING_TIMES_ALONE,
            )
            # None of these refers back to this object: all memory is free once it is left.
            on_packet = partial(_tell_progress, self._clock, on_progress)
            self.timeline = FilmTimeline(self.file, film, on_packet)
            self._stream = PictureStream(
                self.file,
                film,
                self.timeline,
                self._clock,
                self._tally,
                threads=threads,
                on_packet=on_packet,
            )
            first = self._stream.first
            begin = self._clock.time_of(first.pts, first.dts) or 0.0
            self._clock.restart()
            self.info = describe(path, self._stream, begin, self.timeline.fps)
        except BaseException:
            film.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; idempotent."""
        self._stream.close()

    def frames(self, skip: Skip = "none", *, apart_seconds: float = 0.0) -> Iterator[DecodedFrame]:
        """The frames in presentation order; times strictly ascend: of several at one time, the last is shown.

        Args:
            skip: "nonref" leaves out frames that no other needs (faster; of H.264, HEVC and AV1, and where
                presentation times ascend), "nonkey" all but key frames (much faster).
            apart_seconds: With "nonref", the longest that may lie between two frames where one in between
                was left out.

        Raises:
            DamagedVideoError: At the end: too much was broken, or the file is truncated.
        """
        tally, mender = self._tally, self.timeline.mender
        tally.frames_delivered = 0
        held: DecodedFrame | None = None  # until it is known to be shown at all
        for picture, fields, geometry in self._stream.pictures(skip, apart_seconds):
            frame = self._timed(picture, fields, geometry)
            if frame is None:
                # A picture before the first key frame of what was joined on is not missed.
                tally.frames_dropped += mender is None or not mender.is_leading(picture.pts or 0)
            elif skip != "nonkey" or frame.is_key:
                if held is not None and held.pts_seconds < frame.pts_seconds:
                    tally.frames_delivered += 1
                    yield held
                elif held is not None:
                    tally.frames_covered += 1
                held = frame
        if held is not None:
            tally.frames_delivered += 1
            yield held
        if self._checks_end:
            tally.check_end(self.info, self._is_outlasted, are_all_decoded=skip != "nonkey")

    def _is_outlasted(self) -> bool:
        return is_outlasted(self._stream.film, self.info.duration_seconds or 0.0)

    def _timed(self, picture: Any, fields: Fields, geometry: PictureGeometry) -> DecodedFrame | None:
        """The frame with its time, or None where that goes back."""
        stream, clock = self._stream, self._clock
        duration = (picture.duration or 0) * self.timeline.tick_seconds
        duration = duration if 0 < duration < MAX_DURATION_SECONDS else 0.0
        dts, lasts = picture.dts, 0.0
        if picture.pts is None and clock.has_begun and stream.film.reads_on_anywhere:
            # One of several in a pack. (Elsewhere, a duration may be a tick of the clock and no more.)
            dts, lasts = None, duration or clock.step_seconds
        pts = clock.time_of(picture.pts, dts, lasts)
        if pts is None:
            return None
        self._tally.note_frame(pts, pts + (duration or clock.step_seconds))
        if picture.is_corrupt:
            self._tally.broken_packets += 1
        is_key = bool(picture.key_frame) or stream.codec.takes_key_frames_alone
        return DecodedFrame(pts, duration or None, is_key, picture, geometry, fields)

    def seek(self, time_seconds: float) -> None:
        """Goes to the key frame at or before a time; `frames` then starts there."""
        target = round((time_seconds + self._clock.offset_seconds) / self.timeline.tick_seconds)
        self._checks_end = False  # what came before is not seen, so nothing can be concluded
        self._clock.restart()
        self._stream.seek(target, is_start=time_seconds <= self.info.start_seconds)

    # Times

    @property
    def grace_seconds(self) -> float:
        """By how much a time may lie before that of a frame and still be of it: times are written down.

        Half a tick of the stream's clock, where one is much shorter than a frame is shown, and what is
        lost by writing a time in microseconds in any case.
        """
        tick = self.timeline.tick_seconds
        return max(_ROUNDING_SECONDS, tick / 2 if tick <= self._clock.step_seconds / 4 else 0.0)

    @property
    def offset_seconds(self) -> float:
        """The seconds that are subtracted from the times in the file."""
        return self._clock.offset_seconds

    def shown_seconds(self, frame: DecodedFrame) -> float:
        """The time that a frame is shown when no other follows."""
        return frame.duration_seconds or self._clock.step_seconds

    def measured_info(self) -> VideoInfo:
        """`info`, with the duration that is really there in formats whose header cannot know it."""
        known = self.timeline.map
        if known is None:
            return self.info
        end = known.end_ticks * self.timeline.tick_seconds - self._clock.offset_seconds
        length = positive(end - self.info.start_seconds, MAX_DURATION_SECONDS)
        return replace(self.info, duration_seconds=length or self.info.duration_seconds)

    # What was read

    @property
    def broken_packets(self) -> int:
        """The number of packets that could not be decoded, or only with holes, so far."""
        return self._tally.broken_packets

    @property
    def seconds_read(self) -> float:
        """The length of the video, as far as it has been read."""
        return max(0.0, self._tally.end_seconds - self.info.start_seconds)

    @property
    def end_seconds(self) -> float:
        """When the video ends, as far as it has been read."""
        return self._tally.end_seconds

    @property
    def damage(self) -> str | None:
        """A sentence for all that was lost of what has been read, or left out; None where nothing was."""
        notes = self._tally.describe_losses(are_all_decoded=self._stream.skip != "nonkey")
        notes += self.file.describe_left_out()
        if self._checks_end:
            notes += self.file.describe_tail(self._stream.film, self._stream.last_byte)
        return "; ".join(notes) or None


def _tell_progress(clock: FrameClock, on_progress: Callable[[float], None] | None) -> None:
    if on_progress is not None:
        on_progress(max(clock.last_seconds, 0.0))
