"""Segments as a timeline (OpenTimelineIO) for editors."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any

from search.documents.exports.rates import NO_ORIGINS, frames_of, is_uneven, rate_of, video_of
from search.documents.exports.text import one_line
from search.documents.exports.timecodes import first_frame
from search.file_names import os_path
from search.types import Segment, Video


def to_otio(
    segments: Iterable[Segment],
    videos: Iterable[Video],
    *,
    name: str = "Reelseek",
    origins: Mapping[int, float] = NO_ORIGINS,
) -> Iterator[str]:
    """Writes a timeline (OpenTimelineIO, JSON) on which the segments follow one another, with a marker each.

    Times are whole frames at the file's own mean rate, from its own time code on, by which editors find their
    place in a file; 29.97 and its like are the exact fractions. A file without a time code begins at 0, one
    without a known rate counts as 25 frames per second. Where frames do not come evenly, times are counted in
    the step that all of them share (60 per second where that is finer than any camera's), and the markers say
    so.

    Args:
        segments: In the order that they shall have on the timeline.
        videos: All that the segments are of.
        name: Of the timeline.
        origins: Video id -> presentation time in seconds of its first frame, where that is not 0.

    Raises:
        ValueError: A segment's video is not among `videos`.
    """
    known = {video.id: video for video in videos}
    track = json.dumps({"OTIO_SCHEMA": "Track.1", "name": "Actions", "kind": "Video", "metadata": {}})
    stack = json.dumps({"OTIO_SCHEMA": "Stack.1", "name": "tracks", "metadata": {}})
    timeline = json.dumps({"OTIO_SCHEMA": "Timeline.1", "name": one_line(name), "metadata": {}})
    # The innermost list is left open, to be filled while it is written.
    yield f'{timeline[:-1]}, "tracks": {stack[:-1]}, "children": [{track[:-1]}, "children": ['
    separator = "\n"
    for segment in segments:
        clip = _otio_clip(segment, video_of(segment, known), origins.get(segment.video_id, 0.0))
        yield separator + json.dumps(clip)
        separator = ",\n"
    yield "\n]}]}}\n"


def _otio_clip(segment: Segment, video: Video, origin_seconds: float) -> dict[str, Any]:
    rate = rate_of(video)
    first, length = frames_of(segment, rate, origin_seconds)
    available = max(first + length, round((video.duration_seconds or 0.0) * rate))
    start = first_frame(video, max(1, round(rate)))
    span = _otio_range(start + first, length, rate)
    metadata = {
        "reelseek": {
            "segment_id": segment.id,
            "video_id": segment.video_id,
            "action": one_line(segment.action),
            "confidence": round(segment.confidence, 6),
            "head": one_line(segment.head),
            "start_seconds": round(segment.start_seconds, 6),
            "end_seconds": round(segment.end_seconds, 6),
            **({"variable_frame_rate_counted_at": float(rate)} if is_uneven(video) else {}),
        }
    }
    return {
        "OTIO_SCHEMA": "Clip.1",  # older editors read it too
        "name": one_line(PurePath(video.path).name),
        "metadata": {},
        "source_range": span,
        "media_reference": {
            "OTIO_SCHEMA": "ExternalReference.1",
            "name": one_line(PurePath(video.path).name),
            "metadata": {},
            "target_url": _file_url(video.path),
            "available_range": _otio_range(start, available, rate),
        },
        "markers": [
            {
                "OTIO_SCHEMA": "Marker.2",
                "name": one_line(segment.action),
                "color": "GREEN",
                "marked_range": span,
                "metadata": metadata,
            }
        ],
        "effects": [],
    }


@functools.lru_cache(maxsize=1024)
def _file_url(path: str) -> str:
    return Path(os_path(path)).absolute().as_uri()


def _otio_range(first: int, length: int, rate: Fraction) -> dict[str, Any]:
    start, duration = (
        {"OTIO_SCHEMA": "RationalTime.1", "value": float(frames), "rate": float(rate)}
        for frames in (first, length)
    )
    return {"OTIO_SCHEMA": "TimeRange.1", "start_time": start, "duration": duration}
