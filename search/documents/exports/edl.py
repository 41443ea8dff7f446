"""Segments as an edit decision list (CMX 3600) for editors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import PurePath

from search.documents.exports.rates import (
    DEFAULT_FPS,
    NO_ORIGINS,
    frames_of,
    is_uneven,
    nominal_fps,
    rate_of,
    video_of,
)
from search.documents.exports.text import label, one_line
from search.documents.exports.timecodes import (
    HOURS_PER_DAY,
    count_frames,
    drops_frames,
    first_frame,
    spell_timecode,
)
from search.types import Segment, Video

_TELEVISION_SLACK = 0.002  # 29.97 is 30 less one thousandth
_RECORD_START_HOURS = 1  # where timelines customarily begin


def to_edl(
    segments: Iterable[Segment],
    videos: Iterable[Video],
    *,
    name: str = "Reelseek",
    origins: Mapping[int, float] = NO_ORIGINS,
) -> str:
    """Writes an edit decision list (CMX 3600) of the segments in this order, with a locator each.

    The format has one rate, here the whole number next to that of most segments. In files of that rate, or of
    its television form, timecode counts frames, as editors do (29.97 at 30), and in files of other rates
    seconds. A file's own time code is where its source times begin, written as it is there: with a semicolon
    before the frames where it drops frames (SMPTE 12M). The list drops frames where most segments' files do;
    where none do, an hour of timecode at 29.97 lasts 3.6 seconds longer than one of the clock.
    Files whose frames do not come evenly count in the step that all of their frames share, which a comment
    says.
    Reels are named after the video's id; the file's name and path are in comments.

    Args:
        segments: In the order that they shall have on the timeline.
        videos: All that the segments are of.
        name: The list's title.
        origins: Video id -> presentation time in seconds of its first frame, where that is not 0.

    Raises:
        InvalidQueryError: More than a timecode's 24 hours.
        ValueError: A segment's video is not among `videos`.
    """
    rows = list(segments)
    known = {video.id: video for video in videos}
    rates = Counter(nominal_fps(rate_of(video_of(segment, known))) for segment in rows)
    fps = rates.most_common(1)[0][0] if rates else round(DEFAULT_FPS)
    drops = 2 * sum(drops_frames(known[segment.video_id], fps) for segment in rows) > len(rows)
    lines = [f"TITLE: {one_line(name)[:70]}", f"FCM: {'DROP' if drops else 'NON-DROP'} FRAME", ""]
    record = count_frames(f"{_RECORD_START_HOURS:02d}:00:00{';' if drops else ':'}00", fps)
    for number, segment in enumerate(rows, start=1):
        video = known[segment.video_id]
        rate = rate_of(video)
        counted = rate if abs(rate / fps - 1) < _TELEVISION_SLACK else Fraction(fps)
        first, length = frames_of(segment, counted, origins.get(segment.video_id, 0.0))
        source_drops = drops_frames(video, fps)
        first += first_frame(video, fps)
        day = count_frames(f"{HOURS_PER_DAY}:00:00{';' if source_drops else ':'}00", fps)
        # A recording may go on past midnight; a list may not.
        times = [spell_timecode(frame % day, fps, drops=source_drops) for frame in (first, first + length)]
        times += [spell_timecode(frame, fps, drops=drops) for frame in (record, record + length)]
        lines += [
            f"{number:03d}  {_reel(video.id)} V     C        {' '.join(times)}",
            f"* FROM CLIP NAME: {one_line(PurePath(video.path).name)}",
            f"* SOURCE FILE: {one_line(video.path)}",
            f"* LOC: {times[2]} GREEN   {label(segment)}",
            *([f"* VARIABLE FRAME RATE: COUNTED AT {float(rate):g} FPS"] if is_uneven(video) else []),
            "",
        ]
        record += length
    return "\n".join(lines)


def _reel(video_id: int) -> str:
    """Names a reel by the eight characters that there are; different for the first 10 million videos."""
    return f"V{video_id % 10_000_000:07d}"
