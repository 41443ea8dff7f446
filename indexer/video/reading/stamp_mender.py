"""One timeline for a file whose clock restarts: stamps are mended as packets come.

Files that were joined end to end, DVD and camcorder files, and recordings that were interrupted begin to
count anew somewhere inside. A stamp then occurs twice, and says nothing about a place. Here a file is a row
of *stretches* in each of which the clock runs on, one after the other without a gap: the first frame of a
stretch is shown one frame's time after the last of the one before. The rule for where a stretch ends is
FFmpeg's own, in demuxing order (`ts_discontinuity_detect` of its command-line program): a decoding time that
goes back by more than 0.1 s, or leaps by more than 10 s. Of joined files that are read one by one
(`indexer.video.containers.joined`) each is a stretch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from indexer.video.reading.clock_map import ClockMap, Stretch
from indexer.video.reading.pack_stamps import with_own_stamps

_STEP_BACK_SECONDS = 0.1
_STEP_BACK_UNSURE_SECONDS = 1.0  # where decoding times are derived, or the format does not let clocks restart
_LEAP_SECONDS = 10.0
_REORDERED_FRAMES = 20  # by which presentation may differ from decoding, at most (16 in H.264)
_LEAD_PACKETS = 4
_NO_MORE = object()
_WRAP_TICKS = 1 << 33


class StampMender:
    """Puts the stamps of a stream's packets, as they come out of the file, on one timeline.

    Attributes:
        stretches: Found so far.
    """

    def __init__(
        self,
        time_base_seconds: float,
        *,
        fps: float | None,
        is_discontinuous: bool,
        is_joined: bool = False,
        is_mpeg: bool = False,
    ) -> None:
        """Makes one for a stream.

        Args:
            time_base_seconds: One tick of the stamps.
            fps: Average frame rate where known.
            is_discontinuous: The container's clock may restart (AVFMT_TS_DISCONT). Elsewhere only what
                goes back clearly, and goes on from there, is a restart and not a broken stamp.
            is_joined: The packets are those of several files: the clock restarts where one of these begins,
                and nowhere else.
            is_mpeg: The clock begins at 0 after 2**33 ticks and yet runs on (ISO/IEC 13818-1, 2.4.3.7), and
                pictures may lie several in a pack.
        """
        self._is_mpeg = is_mpeg
        self._step_ticks = max(1, round(1.0 / (fps or 25.0) / time_base_seconds))
        self._second_ticks = max(1, round(1.0 / time_base_seconds))
        self._is_discontinuous = is_discontinuous
        self._is_joined = is_joined
        self.start_anew()

    def start_anew(self) -> None:
        """The next packet is the first one of the file."""
        self.stretches = [Stretch(0, 0, 0)]
        self._held: list[Any] = []  # from a packet on whose picture may be shown after those that follow
        self._end: int | None = None  # of all that have a time
        self._whole_end = 0  # up to which no picture is still to come,
        self._since = 0  # and how long all are shown that came since;
        self._lacks_times = False  # whether there are such among these as have no time
        self._begins: list[int] = []  # when each stretch but the first does
        self._known: ClockMap | None = None
        self._number = 0
        self._part_byte: int | None = None  # where the part lies of which no packet came yet
        self._last: int | None = None
        self._follows = True  # that one packet ago
        self._gap = self._step_ticks

    def go_on_at(self, known: ClockMap, byte: int) -> None:
        """The next packet is the one that lies at a place of a file that is mapped."""
        self.start_anew()
        self._known, self._number = known, known.stretch_at(byte)

    def begin_part(self, byte: int, fps: float | None) -> None:
        """The next packet is the first one of a file within the file, which lies at this place."""
        self._part_byte = byte
        if fps is not None:
            self._step_ticks = max(1, round(self._second_ticks / fps))
        self._gap = self._step_ticks  # of two frames of it, which may be too far apart to tell
        if self._known is not None:
            self._number = self._known.stretch_at(byte)

    def is_leading(self, ticks: int) -> bool:
        """Returns whether a time is just before a stretch: of a picture that needs some that were cut off."""
        return any(0 <= begin - ticks < self._second_ticks for begin in self._begins)

    @property
    def end_ticks(self) -> int | None:
        """When the last frame goes, as far as packets have come; None before the first.

        Where the last ones have no time of their own, by how long each is shown.
        """
        if self._lacks_times and self._end is not None:
            return max(self._end, self._whole_end + self._since)
        return self._end

    def mend(self, packets: Iterable[Any]) -> Iterator[Any]:
        """The same packets with their stamps mended; those that are None or empty pass as they are."""
        source = iter(packets)
        if self._is_mpeg:
            source = with_own_stamps(source, self._step_ticks)
        ahead: deque[Any] = deque()
        while True:
            packet: Any = ahead.popleft() if ahead else next(source, _NO_MORE)
            if packet is _NO_MORE:
                yield from self._release(None)
                return
            stamp = _stamp(packet)
            if stamp is not None:
                if self._known is not None:
                    yield from self._look_up(self._known, packet)
                elif turns := self._turns(stamp):
                    shift = self.stretches[-1].shift_ticks - turns * _WRAP_TICKS
                    self._add_stretch(packet, shift, stamp + shift)
                elif self._seems_restarted(packet, stamp):
                    is_sure = self._is_discontinuous or self._is_joined
                    if not is_sure:
                        ahead.append(next(source, _NO_MORE))
                    if is_sure or self._goes_on(stamp, _stamp(ahead[0])):
                        yield from self._release(None)
                        if not packet.is_keyframe:
                            ahead.extend(islice(source, max(0, _REORDERED_FRAMES - len(ahead))))
                        self._begin_stretch(packet, self._first_shown(packet, stamp, ahead))
                self._shift(packet, stamp)
            elif packet is not None and packet.size:
                self._follows = False
            yield from self._timed(packet)

    def _timed(self, packet: Any) -> list[Any]:
        """The packets that are ready now that one came: of each it is known when it is shown.

        In MPEG, pictures that others need are shown when the next such one is decoded, and all others at
        once; of several in a pack only the first is stamped.
        """
        is_picture = packet is not None and packet.size > 0
        ready: list[Any] = []
        if self._held and not (is_picture and packet.dts in (None, packet.pts)):
            ready = self._release(packet.dts if is_picture else None)
        if is_picture and packet.pts is None and packet.dts is not None:
            self._held = [packet]
        elif self._held:
            self._held.append(packet)
        else:
            self._note_end(packet)
            ready.append(packet)
        return ready

    def _release(self, next_ticks: int | None) -> list[Any]:
        """The packets that were held back for the first of them, shown at a time, or after all the others."""
        held, self._held = self._held, []
        if held and next_ticks is None:
            last = max((packet for packet in held if packet.dts is not None), key=lambda packet: packet.dts)
            next_ticks = last.dts + (last.duration or self._step_ticks)
        for packet in held:
            packet.pts = next_ticks if packet is held[0] else packet.pts
            self._note_end(packet)
        return held

    def _look_up(self, known: ClockMap, packet: Any) -> list[Any]:
        """Finds by a packet's place in the file which stretch it is of; returns what was held back before."""
        before = self._number
        if packet.pos is not None and not self._is_joined:
            self._number = max(before, known.stretch_at(packet.pos))
        self.stretches = list(known.stretches[: self._number + 1])
        return self._release(None) if self._number > before else []

    def _seems_restarted(self, packet: Any, stamp: int) -> bool:
        if self._is_joined:
            return self._part_byte is not None
        if self._last is None:
            return False
        if not self._is_discontinuous or packet.dts is None:
            least = max(_STEP_BACK_UNSURE_SECONDS * self._second_ticks, _REORDERED_FRAMES * self._step_ticks)
        else:
            least = _STEP_BACK_SECONDS * self._second_ticks
        ahead = stamp - self._last
        return ahead < -least or (self._is_discontinuous and ahead > _LEAP_SECONDS * self._second_ticks)

    def _goes_on(self, stamp: int, following: int | None) -> bool:
        """Returns whether what comes next agrees with a stamp rather than with those before it."""
        assert self._last is not None
        return following is not None and abs(following - stamp) < (self._last - following)

    def _turns(self, stamp: int) -> int:
        """Counts turns of the clock before a stamp, where it ran on: 0, 1, or -1 where it goes back again."""
        if self._last is None or not self._is_mpeg:
            return 0
        turns, ahead = -1 if stamp < self._last else 1, stamp - self._last
        rest = ahead - turns * _WRAP_TICKS
        is_near = -_STEP_BACK_SECONDS * self._second_ticks <= rest <= self._second_ticks
        return turns if is_near else 0

    def _first_shown(self, packet: Any, stamp: int, following: Iterable[Any]) -> int:
        """When the first picture of a stretch is shown.

        That is the first packet's if it is a key frame: what is shown before needs some that were cut off.
        """
        first = stamp if packet.pts is None or not self._is_credible(packet.pts, stamp) else packet.pts
        if packet.is_keyframe:
            return first
        for later in following:
            decoded = _stamp(later)
            if decoded is None:
                continue
            if decoded < stamp or later.is_keyframe:
                break
            if later.pts is not None and self._is_credible(later.pts, decoded):
                first = min(first, later.pts)
        return first

    def _begin_stretch(self, packet: Any, first: int) -> None:
        end = self.end_ticks or 0
        self._add_stretch(packet, end - first, end)
        self._begins.append(end)
        self._end = self._whole_end = end
        self._since, self._lacks_times = 0, False
        self._last = None

    def _add_stretch(self, packet: Any, shift: int, begin: int) -> None:
        place = self.stretches[-1].first_byte if packet.pos is None else packet.pos
        if self._part_byte is not None:
            place, self._part_byte = self._part_byte, None
        self.stretches.append(Stretch(place, shift, begin))

    def _is_credible(self, pts: int, dts: int) -> bool:
        """Returns whether a picture may be shown at a time, given when it is decoded."""
        return abs(pts - dts) <= max(_LEAP_SECONDS * self._second_ticks, _REORDERED_FRAMES * self._step_ticks)

    def _shift(self, packet: Any, stamp: int) -> None:
        if self._last is not None and self._follows and 0 < stamp - self._last < self._second_ticks:
            self._gap = stamp - self._last
        self._last, self._follows = stamp, True
        shift = self.stretches[-1].shift_ticks
        pts, dts = packet.pts, packet.dts
        if pts is not None and not self._is_credible(pts, stamp):
            pts = packet.pts = dts  # a broken one, that would drag the time of all after it along
        if shift:
            packet.pts = None if pts is None else pts + shift
            packet.dts = None if dts is None else dts + shift

    def _note_end(self, packet: Any) -> None:
        if packet is None or not packet.size:
            return
        declared = packet.duration or 0
        lasts = declared if 0 < declared < self._second_ticks else self._step_ticks
        shown = packet.pts
        end = None if shown is None else shown + self._frame_ticks(declared)
        if end is None or shown is None:
            self._lacks_times = True
        elif packet.is_keyframe or (not self._lacks_times and end > (self._end or 0)):
            # When one that is shown later comes, those shown before the latest so far have all come.
            self._whole_end = shown if self._end is None else min(shown, self.end_ticks or 0)
            self._since, self._lacks_times = 0, False
        self._since += lasts
        if end is not None:
            self._end = end if self._end is None else max(self._end, end)

    def _frame_ticks(self, declared: int) -> int:
        """The ticks that a frame is shown: by the rate of the stream unless the last two say otherwise."""
        if abs(self._gap - self._step_ticks) <= max(2, self._step_ticks // 4):
            return self._step_ticks
        return declared if 0 < declared < self._second_ticks else self._gap


def map_clock(packets: Iterable[Any], mender: StampMender) -> ClockMap:
    """The map of a file, by all packets of its film as they were mended, from the first on."""
    keys: list[tuple[int, int, int]] = []
    recent = deque([0], maxlen=_LEAD_PACKETS)
    for packet in packets:
        if packet is None or not packet.size or packet.pos is None:
            continue
        stamp = packet.dts if packet.pts is None else packet.pts
        if packet.is_keyframe and stamp is not None:
            keys.append((stamp, packet.pos, recent[0]))
        recent.append(packet.pos)
    ticks, places, leads = np.array(keys, np.int64).reshape(-1, 3).T
    return ClockMap(tuple(mender.stretches), ticks, places, leads, mender.end_ticks or 0)


def _stamp(packet: Any) -> int | None:
    """When a packet is decoded; None where it has no stamp or is no packet."""
    if packet is None or packet is _NO_MORE or not packet.size:
        return None
    return packet.pts if packet.dts is None else packet.dts
