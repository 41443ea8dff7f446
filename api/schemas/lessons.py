"""Requests to teach an action, and to correct what was taught."""

from __future__ import annotations

from pydantic import Field, StrictBool, model_validator

from api.schemas.fields import ActionName, Id, Seconds
from api.schemas.strict import StrictRequest, examples


class ExampleRequest(StrictRequest):
    """A stored clip, or a span of a catalogued video, which shows the action (or does not) throughout."""

    clip_id: Id | None = None
    video_id: Id | None = None
    start_seconds: Seconds | None = None
    end_seconds: Seconds | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> ExampleRequest:
        span = (self.video_id, self.start_seconds, self.end_seconds)
        whole_span = all(value is not None for value in span)
        any_of_span = any(value is not None for value in span)
        if whole_span != any_of_span or (self.clip_id is None) != whole_span:
            raise ValueError("give either clip_id, or video_id with start_seconds and end_seconds")
        return self


class FeedbackRequest(ExampleRequest):
    """A correction: a stored clip, or a span of a catalogued video, shows an action or does not."""

    model_config = examples(
        {"clip_id": 17, "action": "running", "correct": False},
        {
            "video_id": 3,
            "start_seconds": 12.0,
            "end_seconds": 15.5,
            "action": "running",
            "correct": False,
        },
    )

    action: ActionName
    correct: StrictBool = Field(description="true: it shows it; false: it does not.")


class TeachRequest(StrictRequest):
    """Examples to teach an action with. Without any, it is learned anew from those that are kept."""

    model_config = examples(
        {
            "action": "waving",
            "positives": [
                {"video_id": 3, "start_seconds": 12.0, "end_seconds": 15.5},
                {"clip_id": 17},
            ],
            "negatives": [{"video_id": 3, "start_seconds": 20.0, "end_seconds": 24.0}],
            "keep": True,
        }
    )

    action: ActionName
    positives: list[ExampleRequest] = Field(
        default=[], max_length=1000, fail_fast=True, description="What shows it."
    )
    negatives: list[ExampleRequest] = Field(
        default=[], max_length=1000, fail_fast=True, description="What does not."
    )
    keep: StrictBool = Field(
        default=True,
        description="Whether examples of earlier lessons count too; false forgets them, but no correction.",
    )
