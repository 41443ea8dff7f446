"""A video along its time: its shots and segments, and how well a query fits each of its frames."""

from __future__ import annotations

from typing import Annotated

from typing_extensions import TypedDict

from search.documents.about import About, answer
from search.documents.segments import SegmentAnswer


@answer()
class ShotAnswer(TypedDict):
    """A shot, [start_seconds, end_seconds) of its video."""

    start_seconds: float
    end_seconds: float


@answer(
    example={
        "video_id": 3,
        "duration_seconds": 62.4,
        "start_seconds": 0.0,
        "shots": [
            {"start_seconds": 0.0, "end_seconds": 17.36},
            {"start_seconds": 17.36, "end_seconds": 62.4},
        ],
        "segments": [
            {
                "video_id": 3,
                "path": "/archive/2024/park.mp4",
                "start_seconds": 12.0,
                "end_seconds": 15.5,
                "action": "running",
                "confidence": 0.91,
                "head": "taught",
            }
        ],
        "changed": False,
    }
)
class TimelineAnswer(TypedDict):
    """A video along its time; times are those of its frames, which need not begin at 0."""

    video_id: int
    duration_seconds: Annotated[float | None, About("null for a file that could not be read.")]
    start_seconds: Annotated[float, About("When its first clip begins: what a player shows as 0.")]
    shots: Annotated[list[ShotAnswer], About("By time; empty where shots were not looked for.")]
    segments: Annotated[
        list[SegmentAnswer], About("What heads saw, by time, as surely as their thresholds ask for.")
    ]
    changed: Annotated[
        bool,
        About(
            "Whether the file is another now than when it was indexed, by size and time of change: "
            "times may be off; index it again. false where the file is not there."
        ),
    ]


@answer(
    example={
        "video_id": 3,
        "times_seconds": [0.0, 0.52, 1.04, 1.56],
        "scores": [0.1812, 0.1904, 0.3127, 0.3311],
        "usual": 0.2431,
        "sure": 0.3002,
    }
)
class MatchesAnswer(TypedDict):
    """Scores of a video's stored frames for a query, in order of time."""

    video_id: int
    times_seconds: Annotated[list[float], About("Of the stored frames; none of a file that failed.")]
    scores: Annotated[list[float], About("Of each frame, as a hit has it, -1..1.")]
    usual: Annotated[float, About("Below it a hit of such a score is `unlikely`; 1 where every one is.")]
    sure: Annotated[float, About("From it on a hit of such a score is a `match`; 1 where none is.")]
