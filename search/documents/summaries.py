"""Summaries: key frames with their importance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from typing_extensions import TypedDict

from search.documents.about import About, answer
from search.documents.hits import KeyFrameAnswer, key_frame_document
from search.types import KeyFrame


@answer()
class SummaryKeyFrameAnswer(KeyFrameAnswer):
    """A stored key frame with its importance: 0.5 is that of the video's average frame."""

    importance: Annotated[float, About(ge=0, le=1)]


def summary_frame_document(frame: KeyFrame, importance: float) -> SummaryKeyFrameAnswer:
    """Describes a key frame with its importance, 0..1."""
    return {**key_frame_document(frame), "importance": round(importance, 6)}


@answer()
class KeyFramesAnswer(TypedDict):
    """Key frames of a video in order of time; `by` is what decided on importance.

    That is "representativeness" (nothing was trained), or the name of a trained importance head.
    """

    video_id: int
    key_frames: list[SummaryKeyFrameAnswer]
    by: str


def key_frames_document(video_id: int, frames: Iterable[tuple[KeyFrame, float]], by: str) -> KeyFramesAnswer:
    """Describes key frames of a video with their importance; `by` is what decided on it."""
    found = [summary_frame_document(frame, importance) for frame, importance in frames]
    return {"video_id": video_id, "key_frames": found, "by": by}


class ChosenKeyFrame(SummaryKeyFrameAnswer):
    """A key frame of a summary, with the piece of the video that stands for it in a summary in motion."""

    start_seconds: float
    end_seconds: float


class SummaryDocument(TypedDict):
    """A summary, as `indexer summarize --json` prints it."""

    video_id: int
    path: str
    duration_seconds: float
    shown_seconds: float
    by: str
    key_frames: list[ChosenKeyFrame]
    notes: list[str]
    written: list[str]
