"""Requests that look for something: queries, filters, options beside an uploaded example."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from api.schemas.fields import (
    ActionName,
    CaptionWords,
    Confidence,
    GroupBy,
    Id,
    LeastLength,
    Limit,
    MostLength,
    PathPrefix,
    RecordedAfter,
    RecordedBefore,
    Seconds,
    Weight,
)
from api.schemas.strict import StrictRequest, examples
from search.dates import recorded_bound
from search.types import ClipPart, Filters, Query, QueryExample, QueryPart, SpanPart, TextPart

MAX_PARTS = 32


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
        """Returns the part as the search engine takes it."""
        if self.text is not None:
            return TextPart(self.text, self.weight)
        if self.clip_id is not None:
            return ClipPart(self.clip_id, self.weight)
        assert self.video_id is not None
        assert self.start_seconds is not None and self.end_seconds is not None
        return SpanPart(self.video_id, self.start_seconds, self.end_seconds, self.weight)


class FiltersRequest(StrictRequest):
    """Conditions that a clip must meet to be found, all of them.

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
        """Returns the filters as the search engine takes them."""
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


class MatchesRequest(StrictRequest):
    """A query to compare with the frames of a video."""

    model_config = examples(
        {"query": [{"text": "a cockatoo on a branch"}]},
        {"query": [{"clip_id": 17}, {"text": "at night", "weight": -0.5}]},
    )

    query: list[QueryPartRequest] = Field(min_length=1, max_length=MAX_PARTS)

    def to_query(self) -> Query:
        """Returns the query. Raises InvalidQueryError."""
        return Query(tuple(part.to_part() for part in self.query))


class SearchRequest(MatchesRequest):
    """A search: a query, and where to look."""

    model_config = examples(
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
    )

    filters: FiltersRequest = FiltersRequest()
    limit: Limit = 10
    group_by: GroupBy = "clip"


class MatchesOptions(StrictRequest):
    """The form field `options` of matches with an example, as JSON."""

    model_config = examples({"query": [{"text": "in the snow", "weight": 0.5}]})

    weight: Weight = 1.0
    query: list[QueryPartRequest] = Field(
        default=[], max_length=MAX_PARTS - 1, description="Further parts beside the example."
    )

    def to_query(self, example: QueryExample) -> Query:
        """Returns the query with an example as its first part. Raises InvalidQueryError."""
        return Query((example, *(part.to_part() for part in self.query)))


class ExampleOptions(MatchesOptions):
    """The form field `options` of a search by example, as JSON."""

    model_config = examples(
        {"limit": 10, "group_by": "moment"},
        {"query": [{"text": "in the snow", "weight": 0.5}], "filters": _FILTERS_EXAMPLE},
    )

    filters: FiltersRequest = FiltersRequest()
    limit: Limit = 10
    group_by: GroupBy = "clip"
