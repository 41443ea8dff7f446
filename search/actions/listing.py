"""Lists of the actions that a library knows: which are taught, how often found, from which examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from encoders.budget import check_budget
from encoders.errors import UnknownActionError
from search.actions.naming import KnownActions
from search.catalog.actions.heads import DRAFT, HeadRecord
from search.documents.actions import (
    ActionAnswer,
    ActionDescriptionAnswer,
    ActionExampleAnswer,
    ActionsAnswer,
)
from search.documents.hits import key_frame_url

if TYPE_CHECKING:
    from search.catalog.catalog import Catalog
    from search.library import Library

ORDER = {"taught": 0, DRAFT: 1}  # of heads by their labels, before those that know many names


def list_actions(library: Library) -> ActionsAnswer:
    """Lists what is known, action by action, and what was corrected by names that are not taught yet.

    Of a head that knows many names only those are listed that were found.
    """
    with library.read() as catalog:
        known = KnownActions.read(catalog)
        counts, kept = catalog.actions.counts(), catalog.actions.count_examples()
    rows = [
        _describe(head, name, *found, kept.get(name, (0, 0)))
        for head in known.heads
        for name in head.actions
        if (found := counts.get((head.id, name), (0, 0.0)))[0] or head.is_taught
    ]
    rows.sort(key=lambda row: (ORDER.get(row["head"], 2), -row["segments"], row["action"]))
    taught = {head.name for head in known.heads if head.is_taught}
    return {
        "actions": rows,
        "heads": [
            {"head": head.label, "kind": head.kind, "names": len(head.actions)}
            for head in known.heads
            if not head.is_taught
        ],
        "untaught": [
            {"action": name, "positive": positive, "negative": negative}
            for name, (positive, negative) in sorted(kept.items())
            if name not in taught
        ],
    }


def describe_action(library: Library, action: str, *, with_untaught: bool = False) -> ActionDescriptionAnswer:
    """Describes one head with its examples, found also by another name of the action.

    Args:
        library: To look in.
        action: Its name.
        with_untaught: Also a name that is not taught yet, of which examples are kept.

    Raises:
        UnknownActionError: It is not known.
    """
    with library.read() as catalog:
        known = KnownActions.read(catalog)
        try:
            head = known.find_head_meant(action)
        except UnknownActionError:
            name = known.find_taught_name(action)
            examples = _describe_examples(catalog, name) if with_untaught else []
            if not examples:
                raise
            return {
                "action": name, "head": None, "encoder": None, "threshold": None, "report": None,
                "segments": 0, "examples": examples,
            }  # fmt: skip
        report: Any = dict(head.card)
        return {
            "action": head.name,
            "head": head.label,
            "encoder": head.encoder_id,
            "threshold": head.threshold,
            "report": report,
            "segments": _count_found(catalog, head),
            "examples": _describe_examples(catalog, head.name) if head.is_taught else [],
        }


def count_found(library: Library, action: str) -> int:
    """Counts the segments of a taught action, or of a whole head, that reach its threshold.

    Raises:
        UnknownActionError: It is not known by exactly this name.
    """
    with library.read() as catalog:
        return _count_found(catalog, KnownActions.read(catalog).find_head(action))


def _count_found(catalog: Catalog, head: HeadRecord) -> int:
    counts = catalog.actions.counts()
    return sum(counts.get((head.id, name), (0, 0.0))[0] for name in head.actions)


def _describe(
    head: HeadRecord, name: str, segments: int, seconds: float, examples: tuple[int, int]
) -> ActionAnswer:
    taught, report = head.is_taught, dict[str, Any](head.card)
    return {
        "action": name,
        "head": head.label,
        "segments": segments,
        "seconds": round(seconds, 3),
        "threshold": head.threshold if taught else None,
        "examples": {"positive": examples[0], "negative": examples[1]} if taught else None,
        "report": report if taught else None,  # type: ignore[typeddict-item]
    }


def _describe_examples(catalog: Catalog, name: str) -> list[ActionExampleAnswer]:
    """Describes what is kept of an action, in the order given, with a picture of the middle of each span."""
    rows: list[ActionExampleAnswer] = []
    for example in catalog.actions.examples(name):
        check_budget()
        assert example.id is not None
        start, end = example.span or (None, None)
        frame = None
        if example.video_id is not None and example.span is not None:
            frame = catalog.key_frame_near(example.video_id, sum(example.span) / 2)
        rows.append(
            {
                "id": example.id,
                "source": example.source,
                "positive": example.is_positive,
                "origin": example.origin,
                "video_id": example.video_id,
                "start_seconds": start,
                "end_seconds": end,
                "key_frame_url": None if frame is None else key_frame_url(frame),
            }
        )
    return rows
