"""Documents about actions: what is known, what was suggested, which examples are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from search.documents.wire import key_frame_document

if TYPE_CHECKING:
    from search.actions.listing import DescribedAction, ListedAction, ListedActions, ShownExample
    from search.actions.suggestions import Suggestions
    from search.types import KeyFrame


def actions_document(listed: ListedActions) -> dict[str, Any]:
    """Writes what is known as `indexer actions list --json` prints it."""
    return {
        "actions": [action_document(one) for one in listed.actions],
        "heads": [
            {"head": head.label, "kind": head.kind, "names": len(head.actions)} for head in listed.heads
        ],
        "untaught": [
            {"action": one.action, "positive": one.positive, "negative": one.negative}
            for one in listed.untaught
        ],
    }


def action_document(one: ListedAction) -> dict[str, Any]:
    """Writes one action of a list."""
    kept = one.examples
    return {
        "action": one.action,
        "head": one.head.label,
        "segments": one.segments,
        "seconds": round(one.seconds, 3),
        "threshold": None if kept is None else one.head.threshold,
        "examples": None if kept is None else {"positive": kept.positive, "negative": kept.negative},
        "report": None if kept is None else dict(one.head.card),
    }


def description_document(described: DescribedAction) -> dict[str, Any]:
    """Writes one action with its examples as `indexer actions show --json` prints it."""
    head = described.head
    return {
        "action": described.action,
        "head": None if head is None else head.label,
        "encoder": None if head is None else head.encoder_id,
        "threshold": None if head is None else head.threshold,
        "report": None if head is None else dict(head.card),
        "segments": described.segments,
        "examples": [_example_document(one) for one in described.examples],
    }


def suggestions_document(found: Suggestions) -> dict[str, Any]:
    """Writes the clips to judge next, with a picture of each."""
    rows = [
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
    ]
    return {"action": found.action, "suggestions": rows}


def _example_document(shown: ShownExample) -> dict[str, Any]:
    example = shown.example
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
