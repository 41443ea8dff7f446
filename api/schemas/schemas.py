"""What requests must look like, and what answers do: the wire documents, typed."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.schemas.problems import MAX_ERRORS
from search.bands import MATCH_PROBABILITY, MAYBE_PROBABILITY, Band
from search.dates import recorded_bound
from search.types import MAX_LIMIT, ClipPart, Filters, Query, QueryPart, SpanPart, TextPart

MAX_PARTS = 32

Id = Annotated[int, Field(ge=1, lt=2**63)]
Seconds = Annotated[float, Field(allow_inf_nan=False)]
Length = Annotated[float, Field(ge=0, allow_inf_nan=False)]
LeastLength = Annotated[Length, Field(description="Only clips that last this long or longer, in seconds.")]
MostLength = Annotated[
    Length,
    Field(
        description="Only clips that last this long or less, in seconds. It is the length of clips: moments "
        "merge neighbouring clips into longer spans."
    ),
]
Weight = Annotated[
    float,
    Field(
        ge=-100,
        le=100,
        allow_inf_nan=False,
        description="How much this part counts; a negative weight pushes away. Not 0.",
    ),
]
PathPrefix = Annotated[
    str,
    Field(
        max_length=4096,
        description="Only this file, or what lies in this folder, by absolute path; with a star at the end "
        "whatever begins so. Spelled in any form of Unicode.",
    ),
]
# How long a name may be is for `normalise_action` to say; this bounds the work until then.
ActionName = Annotated[
    str, Field(min_length=1, max_length=1000, description="What is done, as people say it: running.")
]
Confidence = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Least confidence that it is done. Without it, the threshold of each head counts.",
    ),
]
RecordedAfter = Annotated[
    str,
    Field(
        max_length=64,
        description="Only videos recorded at this moment or later: an ISO 8601 day or date-time. Without an "
        "offset, it is on the clock of where the video was recorded, or in the server's time zone where that "
        "is not known.",
    ),
]
RecordedBefore = Annotated[
    str,
    Field(
        max_length=64, description="Only videos recorded at this moment or earlier; of a day, its end counts."
    ),
]
CaptionWords = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1000,
        description="Words that one caption of a clip must hold, all of them, whatever their case and order.",
    ),
]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT, description="Most hits to return.")]
GroupBy = Annotated[
    Literal["clip", "moment", "video"],
    Field(
        description="moment merges neighbouring clips of one video; video gives one hit a video. Filters "
        "are of the clips, so a merged span may be longer than they say."
    ),
]


class StrictRequest(BaseModel):
    """A body with these fields and no others, each of its own type: "5" and true are no numbers."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _few_unknown_names(cls, value: Any) -> Any:
        """One error instead of very many, of which each costs time."""
        if isinstance(value, dict) and len(value) > len(cls.model_fields) + MAX_ERRORS:
            expected = ", ".join(cls.model_fields)
            raise ValueError(f"{len(value)} fields where at most these are expected: {expected}")
        return value


class QueryPartRequest(StrictRequest):
    """One part of a query: words, or a stored clip, or a span of a catalogued video."""

    text: str | None = Field(default=None, min_length=1, max_length=1000)
    clip_id: Id | None = None
    video_id: Id | None = None
    start_seconds: Seconds | None = None
    end_seconds: Seconds | None = None
    weight: Weight = 1.0

    @model_validator(mode="after")
    def _one_kind(self) -> QueryPartRequest:
        span = (self.video_id, self.start_seconds, self.end_seconds)
        whole_span = all(value is not None for value in span)
        if whole_span != any(value is not None for value in span):
            raise ValueError("a span needs video_id, start_seconds and end_seconds")
        if sum((self.text is not None, self.clip_id is not None, whole_span)) != 1:
            raise ValueError("give exactly one of text, clip_id, or video_id with start and end_seconds")
        return self

    def to_part(self) -> QueryPart:
        """The part as the search engine takes it."""
        if self.text is not None:
            return TextPart(self.text, self.weight)
        if self.clip_id is not None:
            return ClipPart(self.clip_id, self.weight)
        assert self.video_id is not None
        assert self.start_seconds is not None and self.end_seconds is not None
        return SpanPart(self.video_id, self.start_seconds, self.end_seconds, self.weight)


class FiltersRequest(StrictRequest):
    """What every clip must satisfy to be found; all of it.

    Clips are filtered before they are grouped: with `group_by` "moment" the neighbours that pass are shown as
    one span, which may be longer than `max_duration_seconds`.
    """

    path_prefix: PathPrefix | None = None
    min_duration_seconds: LeastLength | None = None
    max_duration_seconds: MostLength | None = None
    video_ids: list[Id] | None = Field(default=None, max_length=10_000, fail_fast=True)
    action: ActionName | None = None
    min_confidence: Confidence | None = None
    recorded_after: RecordedAfter | None = None
    recorded_before: RecordedBefore | None = None
    caption: CaptionWords | None = None

    def to_filters(self) -> Filters:
        """The filters as the search engine takes them."""
        return Filters(
            path_prefix=self.path_prefix,
            min_duration_seconds=self.min_duration_seconds,
            max_duration_seconds=self.max_duration_seconds,
            video_ids=None if self.video_ids is None else tuple(self.video_ids),
            action=self.action,
            min_confidence=self.min_confidence,
            recorded_after=recorded_bound(self.recorded_after, is_end=False),
            recorded_before=recorded_bound(self.recorded_before, is_end=True),
            caption=self.caption,
        )


_FILTERS_EXAMPLE: dict[str, Any] = {
    "path_prefix": "/archive/2024/",
    "min_duration_seconds": 1.5,
    "recorded_after": "2024-05-01",
    "recorded_before": "2024-05-31",
}


class SearchRequest(StrictRequest):
    """What to look for and where."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"query": [{"text": "a cockatoo on a branch"}], "limit": 10},
                {
                    "query": [{"clip_id": 17}, {"text": "at night", "weight": -0.5}],
                    "filters": _FILTERS_EXAMPLE,
                    "group_by": "moment",
                },
                {
                    "query": [{"video_id": 3, "start_seconds": 12.0, "end_seconds": 15.5}],
                    "filters": {"action": "running", "min_confidence": 0.6},
                },
            ]
        },
    )

    query: list[QueryPartRequest] = Field(min_length=1, max_length=MAX_PARTS)
    filters: FiltersRequest = FiltersRequest()
    limit: Limit = 10
    group_by: GroupBy = "clip"

    def to_query(self) -> Query:
        """The query. Raises InvalidQueryError."""
        return Query(tuple(part.to_part() for part in self.query))


class ExampleOptions(StrictRequest):
    """The form field `options` of a search by example, as JSON."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"limit": 10, "group_by": "moment"},
                {
                    "query": [{"text": "in the snow", "weight": 0.5}],
                    "filters": _FILTERS_EXAMPLE,
                },
            ]
        },
    )

    weight: Weight = 1.0
    query: list[QueryPartRequest] = Field(
        default=[], max_length=MAX_PARTS - 1, description="Further parts beside the example."
    )
    filters: FiltersRequest = FiltersRequest()
    limit: Limit = 10
    group_by: GroupBy = "clip"


class MatchesRequest(StrictRequest):
    """What to look for in a video."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"query": [{"text": "a cockatoo on a branch"}]},
                {"query": [{"clip_id": 17}, {"text": "at night", "weight": -0.5}]},
            ]
        },
    )

    query: list[QueryPartRequest] = Field(min_length=1, max_length=MAX_PARTS)

    def to_query(self) -> Query:
        """The query. Raises InvalidQueryError."""
        return Query(tuple(part.to_part() for part in self.query))


class MatchesOptions(StrictRequest):
    """The form field `options` of matches with an example, as JSON."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"query": [{"text": "in the snow", "weight": 0.5}]}]},
    )

    weight: Weight = 1.0
    query: list[QueryPartRequest] = Field(
        default=[], max_length=MAX_PARTS - 1, description="Further parts beside the example."
    )


class IngestRequest(StrictRequest):
    """Which files and folders of the server to index."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"paths": ["/archive/2024"], "prune": False}]}
    )

    paths: list[Annotated[str, Field(min_length=1, max_length=4096)]] = Field(
        min_length=1, max_length=1000, fail_fast=True, description="Absolute paths on the server."
    )
    prune: bool = Field(
        default=False, description="Remove videos whose file has vanished; takes a key of role `admin`."
    )
    patience: float = Field(
        default=1.0,
        ge=0.1,
        le=1e6,
        allow_inf_nan=False,
        description="Of the processor time that a file may usually take, this many times; beyond, it is left "
        "out. Above 1, what was left out for that before is read again.",
    )

    @model_validator(mode="after")
    def _absolute(self) -> IngestRequest:
        for path in self.paths:
            if not path.startswith("/") or "\0" in path:
                raise ValueError(f"a path must be absolute, got {path!r}")
            # The same file under another name would be indexed once more.
            if re.match("//|/proc(/|$)", os.path.abspath(path)):
                raise ValueError(f"a path must be the file's own, not by way of /proc or //, got {path!r}")
        return self


class StrictAnswer(BaseModel):
    """A wire document, field by field."""

    # What the wire documents hold and nothing else: both must change together.
    model_config = ConfigDict(extra="forbid")


class KeyFrameAnswer(StrictAnswer):
    """A stored key frame; `url` gives its JPEG."""

    id: int
    time_seconds: float
    url: str


class MatchAnswer(StrictAnswer):
    """A piece of the example and where it lies in the video."""

    query_start_seconds: float
    query_end_seconds: float
    start_seconds: float
    end_seconds: float
    speed: float = Field(gt=0, description="Seconds of the video per second of the example.")
    mirrored: bool
    reversed: bool = Field(description="Whether the example shows it backwards.")


class ActionTagAnswer(StrictAnswer):
    """An action that a head saw in a hit's span."""

    action: str
    confidence: float = Field(ge=0, le=1)
    head: str = Field(description='As of a segment: "draft" where the lesson could not be checked.')


class HitAnswer(StrictAnswer):
    """A moment that was found, and how probable it is that it shows what was asked for."""

    clip_id: int
    video_id: int
    path: str
    start_seconds: float
    end_seconds: float
    score: float = Field(ge=-1, le=1, description="Cosine with the query; of words, what takes its place.")
    probability: float = Field(ge=0, le=1, description="That it shows what was asked for.")
    band: Band = Field(
        description=f"Of the probability: match from {MATCH_PROBABILITY}, maybe from {MAYBE_PROBABILITY}."
    )
    weak: bool = Field(description="Whether the band is not match.")
    actions: list[ActionTagAnswer]
    key_frames: list[KeyFrameAnswer] = Field(description="The one that fits the query best comes first.")
    match: MatchAnswer | None = Field(
        description="Of a query by one piece of footage and nothing else, its best piece in this video; null "
        "where nothing of it is there."
    )
    matches: list[MatchAnswer] = Field(description="All its pieces in this video, in order of the example.")
    caption: str | None = Field(description="What a captioner said of the clip; null where none has.")


class ConceptAnswer(StrictAnswer):
    """One thing that words name; of 0 kinds where they were only compared with names and definitions."""

    words: str
    meaning: str
    kinds: int = Field(ge=0)


class ReadingAnswer(StrictAnswer):
    """What the encoder understood of the words of one part of the query."""

    text: str
    concepts: list[ConceptAnswer]
    unknown: list[str] = Field(description="Words that it knows nothing of.")
    known_share: float = Field(ge=0, le=1)


class SearchAnswer(StrictAnswer):
    """Hits, best first; `exact` when every allowed clip was compared."""

    hits: list[HitAnswer]
    encoder: str
    exact: bool
    took_ms: float
    understood: list[ReadingAnswer] = Field(
        description="Of each part in words; empty for encoders that take words as a whole."
    )


class MatchesAnswer(StrictAnswer):
    """How well a query fits each stored frame of a video, in order of time."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "video_id": 3,
                    "times_seconds": [0.0, 0.52, 1.04, 1.56],
                    "scores": [0.1812, 0.1904, 0.3127, 0.3311],
                    "usual": 0.2431,
                    "sure": 0.3002,
                }
            ]
        },
    )

    video_id: int
    times_seconds: list[float] = Field(description="Of the stored frames; none of a file that failed.")
    scores: list[float] = Field(description="Of each frame, as a hit has it, -1..1.")
    usual: float = Field(description="Below it a hit of such a score is `unlikely`; 1 where every one is.")
    sure: float = Field(description="From it on a hit of such a score is a `match`; 1 where none is.")


class ClipAnswer(StrictAnswer):
    """A stored clip."""

    clip_id: int
    video_id: int
    path: str
    start_seconds: float
    end_seconds: float
    key_frames: list[KeyFrameAnswer]


class ClipsAnswer(StrictAnswer):
    """A page of clips, `total` of all pages."""

    clips: list[ClipAnswer]
    total: int
    next_cursor: str | None


class VideoAnswer(StrictAnswer):
    """A catalogued file; `error` says why it failed, or what was lost of it where the rest is indexed."""

    id: int
    path: str
    status: Literal["indexed", "failed", "missing"]
    error: str | None
    duration_seconds: float | None
    width: int | None
    height: int | None
    average_fps: float | None
    codec: str | None
    size_bytes: int
    digest: str | None
    clips: int
    recorded_at: str | None = Field(
        description="ISO 8601, as the container says, in the zone where it was recorded if it says that too, "
        "else in UTC; of others when the file was last changed."
    )
    timecode: str | None = Field(
        description="Of the first frame, hh:mm:ss:ff, or hh:mm:ss;ff where frames are dropped; null for none."
    )


class VideosAnswer(StrictAnswer):
    """A page of videos, `total` of all pages."""

    videos: list[VideoAnswer]
    total: int
    next_cursor: str | None


class RemovedAnswer(StrictAnswer):
    """How much was removed."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"videos": 1, "clips": 31, "segments": 4, "examples": 2}]},
    )

    videos: int
    clips: int
    segments: int = Field(description="Of actions, as surely as their heads' thresholds ask for.")
    examples: int = Field(description="Spans of it that actions were, or were to be, taught with.")


class JobAnswer(StrictAnswer):
    """Work in the background, of which one job runs at a time."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "id": "0f6a2c1d9be94d2f8e4c5a7b3d1e6f90",
                    "kind": "ingest",
                    "status": "running",
                    "request": {"paths": ["/archive/2024"], "prune": False, "patience": 1.0},
                    "progress": {
                        "files_done": 12,
                        "files_total": 90,
                        "video_seconds": 3712.4,
                        "wall_seconds": 61.8,
                        "path": "/archive/2024/park.mp4",
                        "stage": None,
                    },
                    "result": None,
                    "error": None,
                    "created_at": "2026-03-01T09:30:00.000Z",
                    "finished_at": None,
                }
            ]
        },
    )

    id: str
    kind: Literal["ingest", "teach"]
    status: Literal["queued", "running", "done", "failed"]
    request: dict[str, Any]
    progress: dict[str, Any] | None = Field(
        description="ingest: files_done, files_total, video_seconds, wall_seconds, path, stage (what is "
        "done while no file is read). "
        "teach: stage, videos_done, videos_total."
    )
    result: dict[str, Any] | None = Field(
        description="As `indexer ingest --json` or `indexer actions teach --json` prints it; null until done."
    )
    error: str | None = Field(description="Why it failed.")
    created_at: str = Field(description="ISO 8601, UTC.")
    finished_at: str | None


class JobsAnswer(StrictAnswer):
    """The last jobs, newest first; `total` of all there ever were."""

    jobs: list[JobAnswer]
    total: int


class StatusAnswer(StrictAnswer):
    """What the library holds, as `indexer status --json`."""

    library: str
    database: str
    videos: dict[str, int]
    clips: int
    encoder: str | None
    sampling: str | None
    index: dict[str, Any]
    confinement: str = Field(description="What keeps decoding programs from files and sockets here.")


class ReadyAnswer(StrictAnswer):
    """Whether searches are answered."""

    ready: bool
    index_loaded: bool
    encoder_loaded: bool
    reason: str | None
