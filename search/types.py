"""What is stored and what is asked for: videos, clips, queries, filters, hits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from encoders.errors import InvalidQueryError
from encoders.types import FrameBatch, TextReading
from search.bands import BANDS, Band, band_of
from search.caption_words import caption_words
from search.dates import RecordedBound, is_later
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
        """That of its file when it was indexed."""
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
class ExamplePart:
    """More like this picture or footage, already decoded: one batch per clip of the example."""

    clips: tuple[FrameBatch, ...]
    weight: float = 1.0

    @property
    def is_footage(self) -> bool:
        """Whether it has more than one moment, so that it can be aligned in time."""
        return sum(len(clip) for clip in self.clips) > 1


QueryPart = TextPart | ClipPart | SpanPart | ExamplePart


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


def check_recorded(after: RecordedBound | None, before: RecordedBound | None) -> None:
    """Raises InvalidQueryError where nothing can lie between two bounds on when a video was recorded."""
    if after is not None and before is not None and is_later(after, before):
        raise InvalidQueryError(
            "nothing was recorded both after and before: the first date must not be later than the second"
        )


@dataclass(frozen=True, slots=True)
class Filters:
    """What a clip must satisfy to be found; applied inside the vector search, before hits are grouped.

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
        """Whether every clip passes."""
        return self == Filters()


@dataclass(frozen=True, slots=True)
class Match:
    """A piece of an example and where it lies in a video.

    Attributes:
        query_start_seconds, query_end_seconds: [start, end) of the example.
        speed: Seconds of the video per second of the example, above 0.
        mirrored: Whether the example shows it with left and right exchanged.
        reversed: Whether the example shows it backwards.
        start_seconds, end_seconds: [start, end) of the video.
    """

    query_start_seconds: float
    query_end_seconds: float
    speed: float
    mirrored: bool
    reversed: bool
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class ActionTag:
    """An action that a head saw in a hit, with its confidence 0..1."""

    action: str
    confidence: float
    head: str

    @property
    def is_draft(self) -> bool:
        """Whether the head is of a lesson that could not be checked, or did not hold."""
        return self.head == "draft"


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer.

    Attributes:
        clip_id: The clip, or the best clip of the moment or video.
        start_seconds, end_seconds: The clip's span; the merged span when grouped by moment; when `match`
            is given, that where most of the example lies: of its piece, and of others that meet it.
        score: Cosine with the query, or what takes its place for words (`encoders.words.things`), -1..1.
        probability: That it shows what was asked for, 0..1; see `search/bands.py`.
        key_frames: Of the clips in the span; of a search's hit the one that fits the query best comes first.
        actions: What heads saw in the span, most confident first.
        match: For queries by footage that is in this video, its best piece.
        matches: All of its pieces, in order of the example, wherever in the video they lie.
        caption: What a captioner said of the clip, or of the best one; None where none has.
    """

    clip_id: int
    video_id: int
    path: str
    start_seconds: float
    end_seconds: float
    score: float
    probability: float
    key_frames: tuple[KeyFrame, ...] = ()
    actions: tuple[ActionTag, ...] = ()
    match: Match | None = None
    caption: str | None = None
    matches: tuple[Match, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"a probability must be from 0 to 1, got {self.probability}")

    @property
    def band(self) -> Band:
        """How sure it is: "match", "maybe" or "unlikely"."""
        return band_of(self.probability)

    @property
    def weak(self) -> bool:
        """Whether it is no match."""
        return self.band != "match"


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits, best first, and how they were found.

    Attributes:
        encoder: The encoder's id.
        exact: Whether every allowed clip was compared (no approximation).
        took_ms: Wall time from query to hits, encoding included.
        understood: What the encoder took the query's words for, part by part; none where it takes them as a
            whole.
    """

    hits: tuple[Hit, ...]
    encoder: str
    exact: bool
    took_ms: float
    understood: tuple[TextReading, ...] = ()

    @property
    def best_band(self) -> Band | None:
        """The band of the surest hit; None without hits."""
        bands = {hit.band for hit in self.hits}
        return next((band for band in BANDS if band in bands), None)
