"""Segments of a video as subtitles (WebVTT) for players."""

from __future__ import annotations

import html
from collections.abc import Iterable

from search.documents.exports.text import label
from search.types import Segment


def to_webvtt(segments: Iterable[Segment], *, origin_seconds: float = 0.0) -> str:
    """Writes subtitles (WebVTT) that name the actions of one video while it plays.

    Args:
        segments: Of one video, in any order.
        origin_seconds: The time that a player shows as 0: the video's first presentation time. What
            lies before it is cut off, since a cue cannot have a negative time.

    Raises:
        ValueError: The segments are of several videos.
    """
    ordered = sorted(segments, key=lambda segment: (segment.start_seconds, segment.end_seconds, segment.id))
    if len({segment.video_id for segment in ordered}) > 1:
        raise ValueError("WebVTT describes one video, got segments of several")
    cues = ["WEBVTT\n"]
    for segment in ordered:
        start = max(0, round((segment.start_seconds - origin_seconds) * 1000))
        end = round((segment.end_seconds - origin_seconds) * 1000)
        if end <= 0:
            continue
        # A cue's payload ends at a blank line and must not hold "-->"; one escaped line cannot.
        payload = html.escape(label(segment), quote=False)
        times = f"{_clock(start)} --> {_clock(max(end, start + 1))}"
        cues.append(f"segment-{segment.id}\n{times}\n{payload}\n")
    return "\n".join(cues)


def _clock(milliseconds: int) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{milliseconds:03d}"
