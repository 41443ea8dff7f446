"""Presentation times out of the timestamps that containers really hold."""

from __future__ import annotations

import math


class FrameClock:
    """Gives each frame of a stream, in the order of the decoder's output, its time in seconds.

    Times do not go back; a frame whose time does is refused rather than moved.

    Attributes:
        step_seconds: What a frame lasts where nothing says so.
        last_seconds: Time of the last accepted frame, -inf before the first.
    """

    def __init__(
        self,
        time_base_seconds: float,
        *,
        fps: float | None,
        offset_seconds: float = 0.0,
        has_only_dts: bool = False,
    ) -> None:
        """Makes a clock.

        Args:
            time_base_seconds: One tick of the timestamps.
            fps: Average frame rate where known.
            offset_seconds: Subtracted from every time.
            has_only_dts: The container stores decoding times only (AVI, ASF); what passes for its
                presentation times is a guess that B-frames make wrong.
        """
        self.step_seconds = 1.0 / (fps or 25.0)
        self.last_seconds = -math.inf
        self._last_step_seconds = self.step_seconds
        self._time_base_seconds = time_base_seconds
        self._offset_seconds = offset_seconds
        self._has_only_dts = has_only_dts
        self._faults = {"pts": 0, "dts": 0}
        self._latest: dict[str, float] = {"pts": -math.inf, "dts": -math.inf}

    @property
    def has_begun(self) -> bool:
        """Returns whether a frame was accepted since the beginning, or since a seek."""
        return self.last_seconds > -math.inf

    @property
    def goes_by_pts(self) -> bool:
        """Returns whether presentation timestamps have ascended so far, and alone tell the times."""
        return not (self._has_only_dts or self._faults["pts"])

    @property
    def offset_seconds(self) -> float:
        """The seconds that are subtracted from times."""
        return self._offset_seconds

    def restart(self) -> None:
        """Forgets the last frame, as after a seek."""
        self.last_seconds = -math.inf
        self._latest = {"pts": -math.inf, "dts": -math.inf}

    def time_of(self, pts: int | None, dts: int | None, lasts_seconds: float = 0.0) -> float | None:
        """The time of the next frame in seconds, that of the last one or later; None where it goes back.

        Args:
            pts: Presentation timestamp in ticks, where there is one.
            dts: Decoding timestamp of the packet that made the decoder give the frame out.
            lasts_seconds: How long the frames about it are shown, 0 where only the last two tell.
        """
        seconds = self._seconds(self._more_credible(pts, dts), lasts_seconds)
        last = self.last_seconds
        if not math.isfinite(seconds) or seconds < last:
            return None
        if seconds > last > -math.inf:
            self._last_step_seconds = seconds - last
        self.last_seconds = seconds
        return seconds

    def _more_credible(self, pts: int | None, dts: int | None) -> int | None:
        """Whichever of the two has gone backwards less often so far."""
        for kind, stamp in (("pts", pts), ("dts", dts)):
            if stamp is not None:
                self._faults[kind] += stamp <= self._latest[kind]
                self._latest[kind] = stamp
        if self._has_only_dts and not self._faults["dts"] and self._latest["dts"] > -math.inf:
            return dts
        is_first = self.last_seconds == -math.inf
        if dts is None and not is_first and self._faults["pts"] > self._faults["dts"]:
            return None  # of the last frames, which no packet drives out
        if pts is None or dts is None:
            return dts if pts is None else pts
        return pts if self._faults["pts"] <= self._faults["dts"] else dts

    def _seconds(self, stamp: int | None, lasts_seconds: float) -> float:
        if stamp is not None:
            return stamp * self._time_base_seconds - self._offset_seconds
        if self.last_seconds == -math.inf:
            return 0.0
        return self.last_seconds + (lasts_seconds or self._last_step_seconds)
