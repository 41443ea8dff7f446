"""Examples that are kept of an action: to look at, to take back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from encoders.budget import check_budget
from encoders.heads.action_names import normalise_action
from search.actions.gathering import check_sides, each_once
from search.catalog.actions import ActionExample
from search.documents.wire import key_frame_document

if TYPE_CHECKING:
    from search.catalog.catalog import Catalog
    from search.library import Library


def keep_examples(
    library: Library, action: str, examples: Sequence[ActionExample], *, replace_examples: bool = False
) -> str:
    """Keeps examples of an action for its next lesson; returns the name that they are kept by.

    Args:
        library: With a record.
        action: Its name.
        examples: New ones; they take the place of those of the same footage.
        replace_examples: Forget those that were given before (not corrections).

    Raises:
        InvalidQueryError: The name is no name, or something is given as it and as what it is not.
    """
    name = normalise_action(action)
    library.actions.check_free(name)
    check_sides(name, examples)
    with library.write() as catalog:
        if replace_examples:
            catalog.actions.remove_examples(name, origin="teach")
            catalog.actions.remove_examples(name, origin="spans")
        for example in each_once(examples):
            catalog.actions.add_example(name, example)
    return name


def describe_examples(catalog: Catalog, name: str) -> list[dict[str, Any]]:
    """What is kept of an action, in the order given; `key_frame_url` shows the middle of a span."""
    return [_described(catalog, example) for example in catalog.actions.examples(name)]


def _described(catalog: Catalog, example: ActionExample) -> dict[str, Any]:
    check_budget()
    frame = None
    if example.video_id is not None and example.span is not None:
        frame = catalog.key_frame_near(example.video_id, sum(example.span) / 2)
    return {
        "id": example.id,
        "source": example.source,
        "positive": example.is_positive,
        "origin": example.origin,
        "video_id": example.video_id,
        "start_seconds": example.span[0] if example.span else None,
        "end_seconds": example.span[1] if example.span else None,
        "key_frame_url": None if frame is None else key_frame_document(frame)["url"],
    }


def describe_untaught(library: Library, action: str) -> dict[str, Any] | None:
    """As `Actions.describe`, of a name that is not taught yet; None where nothing is kept of it either."""
    name = library.actions.name_taught(action)
    with library.read() as catalog:
        examples = describe_examples(catalog, name)
    if not examples:
        return None
    unknown = dict.fromkeys(("head", "encoder", "threshold", "report"))
    return {"action": name, **unknown, "segments": 0, "examples": examples}


def remove_example(library: Library, action: str, example_id: int) -> dict[str, Any]:
    """Takes an example back; the next lesson does without it, and with what had given way to it.

    Returns:
        The action, and what is kept of it.

    Raises:
        NotFoundError: The action has no such example.
    """
    name = library.actions.name_taught(action)
    with library.write() as catalog:
        catalog.actions.remove_example(name, example_id)
        positive, negative = catalog.actions.count_examples_of(name)
    return {"action": name, "positive": positive, "negative": negative}
