"""Segments: stretches of videos in which an action is seen, and a video along its time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from typing_extensions import TypedDict

from search.documents.about import About, answer
from search.types import Segment

FoundBy = Literal["exact", "synonym", "words", "zero-shot"]


@answer()
class SegmentAnswer(TypedDict):
    """A stretch of a video, [start_seconds, end_seconds), in which an action is seen."""

    video_id: int
    path: str
    start_seconds: float
    end_seconds: float
    action: str
    confidence: Annotated[float, About("The head's probability that it is this action.", ge=0, le=1)]
    head: Annotated[str, About('Who says so: "taught", "draft", "zero-shot", or a backbone.')]


def segment_document(segment: Segment) -> SegmentAnswer:
    """Describes a localised action."""
    return {
        "video_id": segment.video_id,
        "path": segment.path,
        "start_seconds": round(segment.start_seconds, 6),
        "end_seconds": round(segment.end_seconds, 6),
        "action": segment.action,
        "confidence": round(segment.confidence, 6),
        "head": segment.head,
    }


@answer()
class FoundAnswer(TypedDict):
    """Segments of an action, as `indexer find --json` prints them."""

    segments: list[SegmentAnswer]
    total: int
    action: str
    names: list[str]
    how: FoundBy


@answer(
    example={
        "segments": [
            {
                "video_id": 3,
                "path": "/archive/2024/park.mp4",
                "start_seconds": 12.0,
                "end_seconds": 15.5,
                "action": "jogging",
                "confidence": 0.91,
                "head": "kinetics:mvit_v2_s",
            }
        ],
        "total": 1,
        "action": "running",
        "names": ["jogging", "running on treadmill"],
        "how": "synonym",
        "next_cursor": None,
    }
)
class SegmentsAnswer(FoundAnswer):
    """A page of segments by path and time, `total` of all pages.

    `names` is what heads call the action that was asked for, and `how` says why they were taken for
    it; "zero-shot" is a name that no head knows, looked for by its words.
    """

    next_cursor: str | None


@answer()
class VideoSegmentsAnswer(TypedDict):
    """All segments of one video, by time."""

    video_id: int
    segments: list[SegmentAnswer]
    total: int


def video_segments_document(video_id: int, segments: Iterable[Segment]) -> VideoSegmentsAnswer:
    """Describes all segments of one video, by time."""
    found = [segment_document(segment) for segment in segments]
    return {"video_id": video_id, "segments": found, "total": len(found)}
