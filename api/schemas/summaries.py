"""Wire documents of summaries."""

from __future__ import annotations

from pydantic import Field

from api.schemas.schemas import KeyFrameAnswer, StrictAnswer


class SummaryKeyFrameAnswer(KeyFrameAnswer):
    """A stored key frame with its importance: 0.5 is that of the video's average frame."""

    importance: float = Field(ge=0, le=1)


class KeyFramesAnswer(StrictAnswer):
    """Key frames of a video in order of time; `by` is what decided on importance.

    That is "representativeness" (nothing was trained), or the name of a trained importance head.
    """

    video_id: int
    key_frames: list[SummaryKeyFrameAnswer]
    by: str
