"""Requests and answers about actions: segments, what is known, corrections."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, StrictBool, model_validator

from api.schemas.schemas import ActionName, Id, Seconds, StrictAnswer, StrictRequest


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
    """Whether a stored clip, or a span of a catalogued video, shows an action."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"clip_id": 17, "action": "running", "correct": False},
                {
                    "video_id": 3,
                    "start_seconds": 12.0,
                    "end_seconds": 15.5,
                    "action": "running",
                    "correct": False,
                },
            ]
        },
    )

    action: ActionName
    correct: StrictBool = Field(description="true: it shows it; false: it does not.")


class TeachRequest(StrictRequest):
    """What to teach an action with. Without any example, it is learned anew from those that are kept."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "action": "waving",
                    "positives": [
                        {"video_id": 3, "start_seconds": 12.0, "end_seconds": 15.5},
                        {"clip_id": 17},
                    ],
                    "negatives": [{"video_id": 3, "start_seconds": 20.0, "end_seconds": 24.0}],
                    "keep": True,
                }
            ]
        },
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


class FeedbackAnswer(StrictAnswer):
    """How many examples of the action are kept for its next lesson, this one included."""

    action: str
    positive: int
    negative: int


class LeftAnswer(FeedbackAnswer):
    """What is kept after a change, and the lesson that learns from it."""

    lesson: str | None = Field(
        description="The job that learns from it, under /v1/jobs; null where that waits for a lesson: the "
        "action is not taught, was taught elsewhere, or its borders were learned."
    )


class CorrectionAnswer(LeftAnswer):
    """What is kept after a correction."""

    example_id: int = Field(description="Of the correction, by which it can be taken back.")
    removed: int = Field(
        description="How many contrary ones give way to it, wholly or in part, until it is taken back."
    )
    note: str | None = Field(
        description="Where it contradicts what was taught, which stays: what that means."
    )


class SegmentAnswer(StrictAnswer):
    """A stretch of a video, [start_seconds, end_seconds), in which an action is seen."""

    video_id: int
    path: str
    start_seconds: float
    end_seconds: float
    action: str
    confidence: float = Field(ge=0, le=1, description="The head's probability that it is this action.")
    head: str = Field(description='Who says so: "taught", "draft", "zero-shot", or a backbone.')


class SegmentsAnswer(StrictAnswer):
    """A page of segments by path and time, `total` of all pages.

    `names` is what heads call the action that was asked for, and `how` says why they were taken for
    it; "zero-shot" is a name that no head knows, looked for by its words.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
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
            ]
        },
    )

    segments: list[SegmentAnswer]
    total: int
    action: str
    names: list[str]
    how: Literal["exact", "synonym", "words", "zero-shot"]
    next_cursor: str | None


class VideoSegmentsAnswer(StrictAnswer):
    """All segments of one video, by time."""

    video_id: int
    segments: list[SegmentAnswer]
    total: int


class ShotAnswer(StrictAnswer):
    """A shot, [start_seconds, end_seconds) of its video."""

    start_seconds: float
    end_seconds: float


class TimelineAnswer(StrictAnswer):
    """A video along its time; times are those of its frames, which need not begin at 0."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
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
            ]
        },
    )

    video_id: int
    duration_seconds: float | None = Field(description="null for a file that could not be read.")
    start_seconds: float = Field(description="When its first clip begins: what a player shows as 0.")
    shots: list[ShotAnswer] = Field(description="By time; empty where shots were not looked for.")
    segments: list[SegmentAnswer] = Field(
        description="What heads saw, by time, as surely as their thresholds ask for."
    )
    changed: bool = Field(
        description="Whether the file is another now than when it was indexed, by size and time of change: "
        "times may be off; index it again. false where the file is not there."
    )


class LocaliserAnswer(StrictAnswer):
    """How a head that learned the borders too, from labelled videos, compares with the one that did not."""

    videos: int = Field(description="Videos that are labelled throughout.")
    held_out_map: float | None = Field(description="mAP at overlap 0.5 on videos held out.")
    grouping_held_out_map: float | None = Field(description="The same, of the head without borders.")
    kept: bool = Field(description="Whether the head with borders is the one in use.")


class LessonAnswer(StrictAnswer):
    """What an action was learned from, and how well the head did on examples that were held out."""

    positives: int
    negatives: int
    background: int = Field(description="Pieces of other footage taken as not the action.")
    set_aside: int = Field(description="Pieces of it that looked too much like the action for that.")
    precision: float | None = Field(
        description="By held-out examples, every video once; null where nothing could be held out."
    )
    recall: float | None
    average_precision: float | None
    calibration_error: float | None = Field(description="Expected calibration error.")
    mix: str = Field(description="What the head goes by: kinds of things, appearance, movement, its name.")
    by_source: bool = Field(description="Whether whole files were held out; if not, the figures flatter.")
    seconds: float
    videos: int = Field(0, description="Videos, or scenes, that the examples of the action are from.")
    precision_low: float | None = Field(None, description="95 % interval, of as many videos.")
    precision_high: float | None = None
    recall_low: float | None = None
    recall_high: float | None = None
    is_draft: bool = Field(False, description="Whether it could not be checked, or did not hold.")
    reason: str = Field("", description="Why it is a draft.")
    localiser: LocaliserAnswer | None = Field(
        None, description="Of lessons from labelled spans; null where too few videos are labelled."
    )


class ImportedLessonAnswer(LessonAnswer):
    """Of an action that was taught elsewhere: its lesson there."""

    imported: bool


class ImportedAnswer(StrictAnswer):
    """Of an action that was taught elsewhere, by a lesson that is not known."""

    imported: bool


class NamesAnswer(StrictAnswer):
    """Of a head that knows actions by their names alone."""

    wanted: list[str]
    clips: int = Field(description="How many clips the library had when the head was set up.")


class NothingAnswer(StrictAnswer):
    """Of a backbone, about which nothing was measured here."""


class ExampleCountsAnswer(StrictAnswer):
    """How many examples of an action are kept, and of what it is not."""

    positive: int
    negative: int


class ActionAnswer(StrictAnswer):
    """An action that a head knows: how often it was found, and what the head learned from."""

    action: str
    head: str
    segments: int
    seconds: float = Field(description="Length of all its segments together.")
    threshold: float | None = Field(description="The confidence from which a segment counts.")
    examples: ExampleCountsAnswer | None
    report: LessonAnswer | ImportedLessonAnswer | ImportedAnswer | None


class HeadAnswer(StrictAnswer):
    """A head that knows several actions."""

    head: str
    kind: Literal["zero-shot", "kinetics"]
    names: int


class ActionsAnswer(StrictAnswer):
    """What is known here. Of a head that knows many names, only those that were found."""

    actions: list[ActionAnswer]
    heads: list[HeadAnswer]
    untaught: list[FeedbackAnswer] = Field(description="What was corrected by names that are not taught yet.")


class ActionExampleAnswer(StrictAnswer):
    """An example that stands of an action; a span only where the footage is in the library."""

    id: int = Field(description="One for all pieces that a later correction has left of it.")
    source: str
    positive: bool
    origin: Literal["teach", "spans", "feedback"]
    video_id: int | None
    start_seconds: float | None
    end_seconds: float | None
    key_frame_url: str | None = Field(description="The key frame nearest to the middle of its span.")


class SuggestionAnswer(StrictAnswer):
    """A clip that is worth judging, [start_seconds, end_seconds) of its video."""

    clip_id: int
    video_id: int
    path: str
    start_seconds: float
    end_seconds: float
    confidence: float = Field(ge=0, le=1, description="How sure the head is that it shows the action.")
    key_frame_url: str | None


class SuggestionsAnswer(StrictAnswer):
    """Clips that nobody has judged yet, the most useful first."""

    action: str
    suggestions: list[SuggestionAnswer]


class ForgottenAnswer(StrictAnswer):
    """What was forgotten: an action (or a head that knows several), and how many examples with it."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"action": "waving", "examples": 7}]}
    )

    action: str
    examples: int


class ActionDescriptionAnswer(StrictAnswer):
    """One head with its examples; of an action that is not taught yet, its examples alone."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "action": "waving",
                    "head": None,
                    "encoder": None,
                    "threshold": None,
                    "report": None,
                    "segments": 0,
                    "examples": [
                        {
                            "id": 4,
                            "source": "12.000-15.500 s of video 3",
                            "positive": True,
                            "origin": "teach",
                            "video_id": 3,
                            "start_seconds": 12.0,
                            "end_seconds": 15.5,
                            "key_frame_url": "/v1/key-frames/57",
                        }
                    ],
                }
            ]
        },
    )

    action: str
    head: str | None = Field(description="null while it is not taught.")
    encoder: str | None
    threshold: float | None
    report: LessonAnswer | ImportedLessonAnswer | ImportedAnswer | NamesAnswer | NothingAnswer | None
    segments: int
    examples: list[ActionExampleAnswer]
