"""The account of a film that is read: what came, what was lost, and whether that is still the film."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from encoders.errors import DamagedVideoError, DecodeError
from indexer.video.bounds import MAX_DURATION_SECONDS
from indexer.video.containers.formats import declares_duration
from indexer.video.types import VideoInfo


@dataclass(slots=True)
class Tally:
    """Counts what has been read so far.

    Attributes:
        packets_read: Packets, broken ones too.
        packets_left_out: Of these, packets that were left out on purpose, with a picture that no other needs.
        broken_packets: Packets that could not be decoded, or only with holes.
        frames_decoded: Pictures that the codec gave out.
        frames_covered: Frames that another of the same time took the place of.
        frames_dropped: Frames with a time before that of another that came earlier.
        frames_delivered: Frames that were handed on.
        first_seconds: The earliest time of a frame.
        end_seconds: When the last frame goes.
    """

    packets_read: int = 0
    packets_left_out: int = 0
    broken_packets: int = 0
    frames_decoded: int = 0
    frames_covered: int = 0
    frames_dropped: int = 0
    frames_delivered: int = 0
    first_seconds: float = math.inf
    end_seconds: float = -math.inf

    @property
    def packets_tried(self) -> int:
        """The packets that were to be decoded."""
        return self.packets_read - self.packets_left_out

    def note_unread(self) -> None:
        """Counts a packet that could not be read."""
        self.broken_packets += 1
        self.packets_read += 1

    def note_frame(self, start_seconds: float, end_seconds: float) -> None:
        """Notes when a frame is shown.

        Raises:
            DamagedVideoError: The times go on for longer than any recording, wherever they begin.
        """
        self.first_seconds = min(self.first_seconds, start_seconds)
        length = end_seconds - self.first_seconds
        if length > MAX_DURATION_SECONDS:
            raise DamagedVideoError(
                f"damaged: the times of its frames span {length / 86400:.0f} days or more, and more than "
                f"{MAX_DURATION_SECONDS / 86400:.0f} are not believed; write it anew at its real rate with "
                "ffmpeg -r RATE -i"
            )
        self.end_seconds = max(self.end_seconds, end_seconds)

    def describe_losses(self, *, are_all_decoded: bool) -> list[str]:
        """A sentence for people where anything was lost; `are_all_decoded` as for `check_end`."""
        lost = []
        if self.broken_packets:
            lost.append(f"{self.broken_packets} of {self.packets_tried} packets are broken")
        if self.frames_dropped and are_all_decoded:
            lost.append(f"{self.frames_dropped} frames have times that do not ascend")
        return [f"damaged: {' and '.join(lost)}; what could be read is indexed"] if lost else []

    def nothing_decoded(self) -> DecodeError:
        """The error for a film of which no frame could be decoded."""
        if self.packets_read == 0:
            return DamagedVideoError(
                "no frame could be decoded: the header names a video stream, but the file ends "
                "before its first frame; copy the file again"
            )
        return DamagedVideoError(
            f"no frame could be decoded ({self.broken_packets} of {self.packets_tried} packets "
            "are broken): copy the file again or repair it"
        )

    def check_end(self, info: VideoInfo, is_outlasted: Callable[[], bool], *, are_all_decoded: bool) -> None:
        """Checks at the end that what was decoded is the video that the file promised.

        Args:
            info: What it promised.
            is_outlasted: Tells whether sound goes on after the picture.
            are_all_decoded: No frame was skipped on purpose that others need.

        Raises:
            DamagedVideoError: Too much was broken, or the file is truncated.
        """
        if self.frames_delivered == 0:
            raise self.nothing_decoded()
        if self.broken_packets * 2 > self.packets_tried:
            raise DamagedVideoError(
                f"damaged: {self.broken_packets} of {self.packets_tried} packets are broken; "
                "copy the file again or repair it"
            )
        unshown = self.frames_dropped + self.frames_covered
        if unshown > self.frames_delivered and are_all_decoded:
            raise DamagedVideoError(
                f"damaged: {unshown} of {unshown + self.frames_delivered} frames have "
                "times that do not ascend; write the file anew with ffmpeg -fflags +genpts"
            )
        declared = info.duration_seconds
        if declared is None or not declares_duration(info.container):
            return
        got = max(self.end_seconds, self.end_seconds - info.start_seconds)
        missing = declared - got
        if missing > 1.0 and missing > 0.1 * declared and not is_outlasted():
            raise DamagedVideoError(
                f"truncated: {max(got, 0.0):.1f} s of {declared:.1f} s could be decoded; copy the "
                "file again or repair it"
            )
