"""Examples that are kept before a lesson is given: one by one, until they are enough for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from encoders.action_names import normalise_action
from search.action_catalog import ActionExample
from search.examples import check_sides, cut_into, each_once, gather_examples

if TYPE_CHECKING:
    from search.library import Library

LEAST_EXAMPLES = 2  # however long: of a single one, nothing says what its likes have in common


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


def lacking(library: Library, name: str) -> int:
    """How many examples of an action are wanting for a lesson that may cut long ones up; 0 for none."""
    from encoders.lesson import MIN_EXAMPLES

    dim = library.record().dim
    with library.read() as catalog:
        positives, _ = gather_examples(catalog, catalog.actions.examples(name), dim)
    if len(positives) < LEAST_EXAMPLES:
        return LEAST_EXAMPLES - len(positives)
    return max(0, MIN_EXAMPLES - len(cut_into(positives, MIN_EXAMPLES)))
