"""Timecodes as editors count (SMPTE 12M): frames from midnight, with and without dropped numbers."""

from __future__ import annotations

import re
from fractions import Fraction

from encoders.errors import InvalidQueryError
from search.documents.exports.rates import nominal_fps, rate_of
from search.types import Video

HOURS_PER_DAY = 24


def drops_frames(video: Video, fps: int) -> bool:
    """Tells whether the numbers of a file's frames skip some, so that they keep up with the clock."""
    is_television = fps % 30 == 0 and abs(rate_of(video) - Fraction(fps * 1000, 1001)) < Fraction(1, 1000)
    return is_television and ";" in (video.timecode or "")


def first_frame(video: Video, fps: int) -> int:
    """Returns the number of a file's first frame, counted from midnight at a whole rate."""
    if video.timecode is None:
        return 0
    own = nominal_fps(rate_of(video))
    if len(re.split("[:;]", video.timecode)[-1]) > 2:  # above 100, where not every second one is counted
        own = max(1, round(rate_of(video)))
    if own == fps:
        drops = drops_frames(video, fps)
        return count_frames(video.timecode if drops else video.timecode.replace(";", ":"), fps)
    return round(Fraction(count_frames(video.timecode.replace(";", ":"), own) * fps, own))


def count_frames(timecode: str, fps: int) -> int:
    """Counts frames from midnight; ";" leaves out two numbers (at 30) a minute but in each tenth."""
    hours, minutes, seconds, frames = (int(part) for part in timecode.replace(";", ":").split(":"))
    minutes += 60 * hours
    count = (60 * minutes + seconds) * fps + frames
    return count - (fps // 15) * (minutes - minutes // 10) if ";" in timecode else count


def spell_timecode(frame: int, fps: int, *, drops: bool) -> str:
    if drops:
        left_out = fps // 15  # a minute, but not of every tenth
        tens, rest = divmod(frame, 600 * fps - 9 * left_out)
        frame += 9 * left_out * tens
        if rest >= 60 * fps:  # the first minute of ten is whole
            frame += left_out * ((rest - 60 * fps) // (60 * fps - left_out) + 1)
    seconds, frames = divmod(frame, fps)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= HOURS_PER_DAY:
        raise InvalidQueryError(
            f"an EDL ends at {HOURS_PER_DAY} hours, this one reaches {hours}; ask for fewer segments, or "
            "export OpenTimelineIO instead"
        )
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{';' if drops else ':'}{frames:02d}"
