"""Lists of the actions that a library knows: which are taught, how often found, from which examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoders.budget import check_budget
from encoders.errors import UnknownActionError
from search.actions.correcting import KeptExamples
from search.actions.naming import KnownActions
from search.catalog.actions.heads import DRAFT, HeadRecord
from search.catalog.actions.lesson_examples import LessonExample
from search.types import KeyFrame

if TYPE_CHECKING:
    from search.catalog.catalog import Catalog
    from search.library import Library


@dataclass(frozen=True, slots=True)
class ListedAction:
    """An action with what one head found of it.

    Attributes:
        segments, seconds: How many segments reach the threshold, and how long they are in all.
        examples: How many are kept of it, and of what it is not; for a taught one only.
    """

    action: str
    head: HeadRecord
    segments: int
    seconds: float
    examples: KeptExamples | None


@dataclass(frozen=True, slots=True)
class ListedActions:
    """All that is known.

    Attributes:
        actions: Those that were taught or found, taught ones first, then those found most often.
        heads: Heads that know many names.
        untaught: What was corrected by names that are not taught yet, by name.
    """

    actions: tuple[ListedAction, ...]
    heads: tuple[HeadRecord, ...]
    untaught: tuple[KeptExamples, ...]

    def taught(self, name: str) -> ListedAction:
        """Finds a taught action by its exact name."""
        return next(row for row in self.actions if row.action == name and row.head.is_taught)


@dataclass(frozen=True, slots=True)
class ShownExample:
    """A kept example, with the key frame nearest to the middle of its span, where it is in the catalog."""

    example: LessonExample
    key_frame: KeyFrame | None


@dataclass(frozen=True, slots=True)
class DescribedAction:
    """One action, or one head that knows several; without a head where it is not taught yet."""

    action: str
    head: HeadRecord | None
    segments: int
    examples: tuple[ShownExample, ...]


def list_actions(library: Library) -> ListedActions:
    """Lists what is known, action by action.

    Of a head that knows many names only those are listed that were found.
    """
    with library.read() as catalog:
        return _listed(catalog, KnownActions.read(catalog))


def describe_action(library: Library, action: str, *, with_untaught: bool = False) -> DescribedAction:
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
            head = known.head_meant(action)
        except UnknownActionError:
            name = known.taught_name(action)
            examples = _shown_examples(catalog, name) if with_untaught else ()
            if not examples:
                raise
            return DescribedAction(name, None, 0, examples)
        found = [row for row in _listed(catalog, known).actions if row.head.label == head.label]
        if not head.is_taught:
            return DescribedAction(head.name, head, sum(row.segments for row in found), ())
        count = sum(row.segments for row in found if row.action == head.name)
        return DescribedAction(head.name, head, count, _shown_examples(catalog, head.name))


def _listed(catalog: Catalog, known: KnownActions) -> ListedActions:
    counts = catalog.actions.counts()
    kept = {
        name: KeptExamples(name, *numbers)
        for name, numbers in sorted(catalog.actions.count_examples().items())
    }
    rows = []
    for head in known.heads:
        for name in head.actions:
            segments, seconds = counts.get((head.id, name), (0, 0.0))
            if head.is_taught or segments:
                examples = kept.get(name, KeptExamples(name, 0, 0)) if head.is_taught else None
                rows.append(ListedAction(name, head, segments, seconds, examples))
    order = {"taught": 0, DRAFT: 1}
    rows.sort(key=lambda row: (order.get(row.head.label, 2), -row.segments, row.action))
    taught = {head.name for head in known.heads if head.is_taught}
    return ListedActions(
        tuple(rows),
        tuple(head for head in known.heads if not head.is_taught),
        tuple(one for name, one in kept.items() if name not in taught),
    )


def _shown_examples(catalog: Catalog, name: str) -> tuple[ShownExample, ...]:
    shown = []
    for example in catalog.actions.examples(name):
        check_budget()
        frame = None
        if example.video_id is not None and example.span is not None:
            frame = catalog.key_frame_near(example.video_id, sum(example.span) / 2)
        shown.append(ShownExample(example, frame))
    return tuple(shown)
