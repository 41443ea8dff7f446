"""Actions: what is known of them, what they were learned from, examples, corrections, suggestions."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from typing_extensions import TypedDict

from search.documents.about import About, answer


@answer()
class FeedbackAnswer(TypedDict):
    """Counts of examples of an action that are kept for its next lesson, this one included."""

    action: str
    positive: int
    negative: int


@answer()
class LeftAnswer(FeedbackAnswer):
    """Counts of examples after a change, and the lesson that learns from it."""

    lesson: Annotated[
        str | None,
        About(
            "The job that learns from it, under /v1/jobs; null where that waits for a lesson: the "
            "action is not taught, was taught elsewhere, or its borders were learned."
        ),
    ]


@answer()
class CorrectionAnswer(LeftAnswer):
    """Counts of examples after a correction, and what gives way to it."""

    example_id: Annotated[int, About("Of the correction, by which it can be taken back.")]
    removed: Annotated[
        int, About("How many contrary ones give way to it, wholly or in part, until it is taken back.")
    ]
    note: Annotated[str | None, About("Where it contradicts what was taught, which stays: what that means.")]


@answer()
class LocaliserAnswer(TypedDict):
    """A comparison of a head that learned borders too, from labelled videos, with the one that did not."""

    videos: Annotated[int, About("Videos that are labelled throughout.")]
    held_out_map: Annotated[float | None, About("mAP at overlap 0.5 on videos held out.")]
    grouping_held_out_map: Annotated[float | None, About("The same, of the head without borders.")]
    kept: Annotated[bool, About("Whether the head with borders is the one in use.")]


@answer()
class LessonAnswer(TypedDict):
    """The report of a lesson: its examples, and how well the head did on those that were held out."""

    positives: int
    negatives: int
    background: Annotated[int, About("Pieces of other footage taken as not the action.")]
    set_aside: Annotated[int, About("Pieces of it that looked too much like the action for that.")]
    precision: Annotated[
        float | None, About("By held-out examples, every video once; null where nothing could be held out.")
    ]
    recall: float | None
    average_precision: float | None
    calibration_error: Annotated[float | None, About("Expected calibration error.")]
    mix: Annotated[str, About("What the head goes by: kinds of things, appearance, movement, its name.")]
    by_source: Annotated[bool, About("Whether whole files were held out; if not, the figures flatter.")]
    seconds: float
    videos: NotRequired[
        Annotated[int, About("Videos, or scenes, that the examples of the action are from.", default=0)]
    ]
    precision_low: NotRequired[
        Annotated[float | None, About("95 % interval, of as many videos.", default=None)]
    ]
    precision_high: NotRequired[Annotated[float | None, About(default=None)]]
    recall_low: NotRequired[Annotated[float | None, About(default=None)]]
    recall_high: NotRequired[Annotated[float | None, About(default=None)]]
    is_draft: NotRequired[
        Annotated[bool, About("Whether it could not be checked, or did not hold.", default=False)]
    ]
    reason: NotRequired[Annotated[str, About("Why it is a draft.", default="")]]
    localiser: NotRequired[
        Annotated[
            LocaliserAnswer | None,
            About("Of lessons from labelled spans; null where too few videos are labelled.", default=None),
        ]
    ]


@answer()
class ImportedLessonAnswer(LessonAnswer):
    """The report of a lesson that was given elsewhere."""

    imported: bool


@answer()
class ImportedAnswer(TypedDict):
    """The mark of an action that was taught elsewhere, by a lesson that is not known."""

    imported: bool


@answer()
class NamesAnswer(TypedDict):
    """The report of a head that knows actions by their names alone."""

    wanted: list[str]
    clips: Annotated[int, About("How many clips the library had when the head was set up.")]


@answer()
class NothingAnswer(TypedDict):
    """The report of a backbone: empty, as nothing was measured here."""


@answer()
class ExampleCountsAnswer(TypedDict):
    """Counts of examples that are kept of an action, and of what it is not."""

    positive: int
    negative: int


@answer()
class ActionAnswer(TypedDict):
    """An action that a head knows: how often it was found, and what the head learned from."""

    action: str
    head: str
    segments: int
    seconds: Annotated[float, About("Length of all its segments together.")]
    threshold: Annotated[float | None, About("The confidence from which a segment counts.")]
    examples: ExampleCountsAnswer | None
    report: LessonAnswer | ImportedLessonAnswer | ImportedAnswer | None


@answer()
class HeadAnswer(TypedDict):
    """A head that knows several actions."""

    head: str
    kind: Annotated[str, About('"zero-shot", "kinetics" (a backbone), or the kind of a plug-in.')]
    names: int


@answer()
class ActionsAnswer(TypedDict):
    """All actions that are known. Of a head that knows many names, only those that were found."""

    actions: list[ActionAnswer]
    heads: list[HeadAnswer]
    untaught: Annotated[list[FeedbackAnswer], About("What was corrected by names that are not taught yet.")]


@answer()
class ActionExampleAnswer(TypedDict):
    """An example that stands of an action; a span only where the footage is in the library."""

    id: Annotated[int, About("One for all pieces that a later correction has left of it.")]
    source: str
    positive: bool
    origin: Literal["teach", "spans", "feedback"]
    video_id: int | None
    start_seconds: float | None
    end_seconds: float | None
    key_frame_url: Annotated[str | None, About("The key frame nearest to the middle of its span.")]


@answer()
class SuggestionAnswer(TypedDict):
    """A clip that is worth judging, [start_seconds, end_seconds) of its video."""

    clip_id: int
    video_id: int
    path: str
    start_seconds: float
    end_seconds: float
    confidence: Annotated[float, About("How sure the head is that it shows the action.", ge=0, le=1)]
    key_frame_url: str | None


@answer()
class SuggestionsAnswer(TypedDict):
    """Clips that nobody has judged yet, the most useful first."""

    action: str
    suggestions: list[SuggestionAnswer]


@answer(example={"action": "waving", "examples": 7})
class ForgottenAnswer(TypedDict):
    """The action that was forgotten (or the head that knows several), and how many examples with it."""

    action: str
    examples: int


@answer(
    example={
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
)
class ActionDescriptionAnswer(TypedDict):
    """One head with its examples; of an action that is not taught yet, its examples alone."""

    action: str
    head: Annotated[str | None, About("null while it is not taught.")]
    encoder: str | None
    threshold: float | None
    report: LessonAnswer | ImportedLessonAnswer | ImportedAnswer | NamesAnswer | NothingAnswer | None
    segments: int
    examples: list[ActionExampleAnswer]
