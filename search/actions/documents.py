"""Documents of actions: what is known, what was found, which examples are kept, which clips to judge."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from search.documents.actions import (
    ActionAnswer,
    ActionDescriptionAnswer,
    ActionExampleAnswer,
    ActionsAnswer,
    SuggestionsAnswer,
)
from search.documents.hits import key_frame_document
from search.documents.segments import FoundAnswer, segment_document
from search.types import Segment

if TYPE_CHECKING:
    from search.actions.finding import FoundSegments
    from search.actions.listing import DescribedAction, ListedAction, ListedActions, ShownExample
    from search.actions.suggestions import Suggestions
    from search.types import KeyFrame


def found_document(found: FoundSegments, segments: Iterable[Segment], total: int) -> FoundAnswer:
    """Describes every segment of an action, or a page of them."""
    return {
        "segments": [segment_document(segment) for segment in segments],
        "total": total,
        "action": found.action,
        "names": list(found.names),
        "how": found.how,
    }


def actions_document(listed: ListedActions) -> ActionsAnswer:
    """Describes all that is known."""
    return {
        "actions": [_action_document(one) for one in listed.actions],
        "heads": [
            {"head": head.label, "kind": head.kind, "names": len(head.actions)} for head in listed.heads
        ],
        "untaught": [
            {"action": one.action, "positive": one.positive, "negative": one.negative}
            for one in listed.untaught
        ],
    }


def description_document(described: DescribedAction) -> ActionDescriptionAnswer:
    """Describes one action with its examples."""
    head = described.head
    report: Any = None if head is None else dict(head.card)
    return {
        "action": described.action,
        "head": None if head is None else head.label,
        "encoder": None if head is None else head.encoder_id,
        "threshold": None if head is None else head.threshold,
        "report": report,
        "segments": described.segments,
        "examples": [_example_document(one) for one in described.examples],
    }


def suggestions_document(found: Suggestions) -> SuggestionsAnswer:
    """Describes the clips to judge next, with a picture of each."""
    return {
        "action": found.action,
        "suggestions": [
            {
                "clip_id": one.clip.id,
                "video_id": one.clip.video_id,
                "path": one.clip.path,
                "start_seconds": one.clip.start_seconds,
                "end_seconds": one.clip.end_seconds,
                "confidence": round(one.confidence, 4),
                "key_frame_url": _url(one.key_frame),
            }
            for one in found.clips
        ],
    }


def _action_document(one: ListedAction) -> ActionAnswer:
    kept = one.examples
    report: Any = None if kept is None else dict(one.head.card)
    return {
        "action": one.action,
        "head": one.head.label,
        "segments": one.segments,
        "seconds": round(one.seconds, 3),
        "threshold": None if kept is None else one.head.threshold,
        "examples": None if kept is None else {"positive": kept.positive, "negative": kept.negative},
        "report": report,
    }


def _example_document(shown: ShownExample) -> ActionExampleAnswer:
    example = shown.example
    assert example.id is not None
    start, end = example.span or (None, None)
    return {
        "id": example.id,
        "source": example.source,
        "positive": example.is_positive,
        "origin": example.origin,
        "video_id": example.video_id,
        "start_seconds": start,
        "end_seconds": end,
        "key_frame_url": _url(shown.key_frame),
    }


def _url(frame: KeyFrame | None) -> str | None:
    return None if frame is None else key_frame_document(frame)["url"]
