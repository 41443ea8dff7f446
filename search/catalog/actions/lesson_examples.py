"""Lesson examples: what people say shows an action, or does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from encoders.heads.head import FeatureTrack
from search.catalog.actions.spans import Span

Origin = Literal["teach", "spans", "feedback"]


@dataclass(frozen=True, slots=True)
class LessonExample:
    """An example of an action, or of what it is not: a span of a catalogued video, or features of its own.

    Attributes:
        source: Where it is from, to show and to tell examples apart.
        span: [start, end) in seconds, with `video_id`.
        track: For footage that is not in the catalog.
        origin: Given for a lesson; given so by somebody who labelled all of the action in the video, so
            that what is not labelled there is not it; or a correction.
        digest: SHA-256 of the file that the track is from, if that is known.
        id: Of one that is kept.
    """

    is_positive: bool
    source: str
    video_id: int | None = None
    span: Span | None = None
    track: FeatureTrack | None = None
    origin: Origin = "teach"
    digest: str | None = None
    id: int | None = None


def name_span(video_id: int, span: Span) -> str:
    """Names a span as it is called where examples are listed."""
    return f"{span[0]:.3f}-{span[1]:.3f} s of video {video_id}"
