"""Types of what is stored and asked for: videos, clips, segments, queries, filters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from encoders.errors import InvalidQueryError
from encoders.types import FrameBatch
from search.caption_words import caption_words
from search.dates import RecordedBound, check_recorded
from search.file_state import FileState

VideoStatus = Literal["indexed", "failed", "missing"]
GroupBy = Literal["clip", "moment", "video"]
MAX_LIMIT = 10_000
MOST_CAPTION_WORDS = 32


@dataclass(frozen=True, slots=True)
class Video:
    """One catalogued file. Sizes are those shown: after rotation and pixel aspect.

    Attributes:
        recorded_at: When its container says that it was recorded, in seconds since 1970; where that says
            nothing, or nonsense, when the file was last changed.
        ctime_ns: When the file's inode last changed; None where it was indexed before that was kept.
        timecode: Of the first frame, as editors count: "01:00:00;00", above 100 frames per second perhaps
            with three digits of frames; None for a file that has none.
        recorded_offset_seconds: How far the clock was ahead of UTC where it was recorded; None where that
            is not known.
        base_fps: The lowest rate of which all frames' times are whole numbers, as far as the container tells;
            above `average_fps` where frames do not come evenly. None where it does not tell.
    """

    id: int
    path: str
    digest: str | None
    size_bytes: int
    mtime_ns: int
    duration_seconds: float | None
    width: int | None
    height: int | None
    average_fps: float | None
    codec: str | None
    status: VideoStatus
    error: str | None
    sampling: str | None
    clips: int = 0
    recorded_at: float | None = None
    ctime_ns: int | None = None
    timecode: str | None = None
    recorded_offset_seconds: int | None = None
    base_fps: float | None = None

    @property
    def file_state(self) -> FileState:
        """The state of its file when it was indexed."""
        return FileState(self.size_bytes, self.mtime_ns, self.ctime_ns)


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """A stored key frame of a clip; its JPEG is fetched by id."""

    id: int
    clip_id: int
    time_seconds: float


@dataclass(frozen=True, slots=True)
class Clip:
    """A piece [start_seconds, end_seconds) of one shot of one video: what is stored and found."""

    id: int
    video_id: int
    path: str
    ordinal: int
    start_seconds: float
    end_seconds: float

    def __post_init__(self) -> None:
        if not self.start_seconds < self.end_seconds:
            raise ValueError(f"a clip must not be empty, got [{self.start_seconds}, {self.end_seconds})")


@dataclass(frozen=True, slots=True)
class Segment:
    """One localised action, [start_seconds, end_seconds) of one video.

    Attributes:
        confidence: The head's probability that it is this action, 0..1.
        head: Which head said it: "taught", "zero-shot" or, say, "kinetics:mvit_v2_s".
    """

    id: int
    video_id: int
    path: str
    start_seconds: float
    end_seconds: float
    action: str
    confidence: float
    head: str

    def __post_init__(self) -> None:
        if not self.start_seconds < self.end_seconds:
            raise ValueError(f"a segment must not be empty, got [{self.start_seconds}, {self.end_seconds})")
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"a confidence must be from 0 to 1, got {self.confidence}")


@dataclass(frozen=True, slots=True)
class EncodedClip:
    """A clip on its way into the catalog.

    Attributes:
        start_seconds, end_seconds: Its span in the video.
        embedding: float32 (D,), L2 norm 1.
        features: float16 (T, D), one row per sampled frame.
        times_seconds: float64 (T,), presentation times of those frames.
        key_frames: (time in seconds, JPEG bytes), 1 to 3 of them.
    """

    start_seconds: float
    end_seconds: float
    embedding: NDArray[np.float32]
    features: NDArray[np.float16]
    times_seconds: NDArray[np.float64]
    key_frames: tuple[tuple[float, bytes], ...]


@dataclass(frozen=True, slots=True)
class TextPart:
    """Words to look for."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class ClipPart:
    """More like this stored clip."""

    clip_id: int
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class SpanPart:
    """More like this span of a catalogued video."""

    video_id: int
    start_seconds: float
    end_seconds: float
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class QueryExample:
    """More like this picture or footage, already decoded: one batch per clip of the example."""

    clips: tuple[FrameBatch, ...]
    weight: float = 1.0

    @property
    def is_footage(self) -> bool:
        """True where it has more than one moment, so that it can be aligned in time."""
        return sum(len(clip) for clip in self.clips) > 1


QueryPart = TextPart | ClipPart | SpanPart | QueryExample


@dataclass(frozen=True, slots=True)
class Query:
    """Weighted parts that become one vector; a negative weight pushes away.

    Raises:
        InvalidQueryError: No part, no part with a positive weight, or a weight that is zero, not
            finite or beyond +-100.
    """

    parts: tuple[QueryPart, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise InvalidQueryError("the query is empty: give words, an image, a clip or a clip id")
        for part in self.parts:
            if not math.isfinite(part.weight) or part.weight == 0 or abs(part.weight) > 100:
                raise InvalidQueryError(f"a weight must be between -100 and 100 and not 0, got {part.weight}")
            if isinstance(part, TextPart) and any(0xD800 <= ord(c) <= 0xDFFF for c in part.text):
                raise InvalidQueryError("the text of the query is not valid UTF-8")
            if isinstance(part, TextPart) and not part.text.strip():
                raise InvalidQueryError("the text of the query is blank: give at least one word")
        if all(part.weight < 0 for part in self.parts):
            raise InvalidQueryError(
                "the query only says what to avoid: add something to look for (words, image or clip)"
            )


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions on the clips that are found; applied inside the vector search, before hits are grouped.

    Attributes:
        path_prefix: The video's file, or a folder that it lies in; with a star at the end any beginning.
        min_duration_seconds, max_duration_seconds: Bounds on the clip's own length, inclusive.
        video_ids: Only these videos.
        action: What is done in the clip, as people say it; the heads' names for it are looked up.
        min_confidence: 0..1, that it is done; None leaves it to the threshold of each head.
        recorded_after, recorded_before: Bounds on when the video was recorded, inclusive, in seconds since
            1970, or on the clock of where it was; `search/dates.py` reads them out of what people write.
        caption: Words that one caption of the clip must hold, all of them, whatever their case and order.
    """

    path_prefix: str | None = None
    min_duration_seconds: float | None = None
    max_duration_seconds: float | None = None
    video_ids: tuple[int, ...] | None = None
    action: str | None = None
    min_confidence: float | None = None
    recorded_after: RecordedBound | None = None
    recorded_before: RecordedBound | None = None
    caption: str | None = None

    def __post_init__(self) -> None:
        check_recorded(self.recorded_after, self.recorded_before)
        if self.caption is not None:
            count = len(caption_words(self.caption))
            if not 1 <= count <= MOST_CAPTION_WORDS:
                raise InvalidQueryError(
                    f"a filter of captions takes 1 to {MOST_CAPTION_WORDS} words of letters or digits, got "
                    f"{count} in {self.caption[:80]!r}"
                )
        if self.min_confidence is not None:
            if self.action is None:
                raise InvalidQueryError("min_confidence is that of an action: name the action too")
            if not 0 <= self.min_confidence <= 1:
                raise InvalidQueryError(f"min_confidence must be from 0 to 1, got {self.min_confidence}")
        for name in ("min_duration_seconds", "max_duration_seconds"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InvalidQueryError(f"{name} must be 0 or more seconds, got {value}")
        least, most = self.min_duration_seconds, self.max_duration_seconds
        if least is not None and most is not None and least > most:
            raise InvalidQueryError(
                f"no clip lasts both {least:g} s or more and {most:g} s or less: min_duration_seconds must "
                "not be above max_duration_seconds"
            )

    @property
    def is_empty(self) -> bool:
        """True where every clip passes."""
        return self == Filters()

    @property
    def segments(self) -> SegmentQuery:
        """The segments that let clips through: of the action, in the videos that pass."""
        return SegmentQuery(
            actions=None if self.action is None else (self.action,),
            min_confidence=self.min_confidence,
            path_prefix=self.path_prefix,
            recorded_after=self.recorded_after,
            recorded_before=self.recorded_before,
        )


@dataclass(frozen=True, slots=True)
class SegmentQuery:
    """Segments to be found: of which actions, how sure, how long, in which videos.

    Attributes:
        actions: Their names, as people say them or as heads know them; None means all but those of drafts.
        min_confidence: 0..1; None leaves it to the threshold of each head.
        min_duration_seconds: Of the segment, inclusive.
        video_id: Only this video.
        path_prefix, recorded_after, recorded_before: Of the video, as in `Filters`.
    """

    actions: tuple[str, ...] | None = None
    min_confidence: float | None = None
    min_duration_seconds: float | None = None
    path_prefix: str | None = None
    video_id: int | None = None
    recorded_after: RecordedBound | None = None
    recorded_before: RecordedBound | None = None

    def __post_init__(self) -> None:
        if self.min_confidence is not None and not 0 <= self.min_confidence <= 1:
            raise InvalidQueryError(f"min_confidence must be from 0 to 1, got {self.min_confidence}")
        if self.min_duration_seconds is not None and not 0 <= self.min_duration_seconds < math.inf:
            raise InvalidQueryError(
                f"min_duration_seconds must be 0 or more, got {self.min_duration_seconds}"
            )
        check_recorded(self.recorded_after, self.recorded_before)

    @property
    def clips(self) -> Filters:
        """The filter that lets through the clips of the videos in which segments may lie."""
        return Filters(
            path_prefix=self.path_prefix,
            video_ids=None if self.video_id is None else (self.video_id,),
            recorded_after=self.recorded_after,
            recorded_before=self.recorded_before,
        )
