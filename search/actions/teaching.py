"""Lessons in a library: footage gathered, an action learned, the library tagged; and learned again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from encoders.errors import ReelseekError, TeachingError
from search.actions.gathering import (
    MOST_OF_A_SIDE,
    each_once,
    footage_of,
    gather_background,
    gather_examples,
    gather_labelled,
    meets,
)
from search.catalog.actions import DRAFT, ActionExample

if TYPE_CHECKING:
    from encoders.words.concepts import Concepts
    from search.actions.tagging import Tagger
    from search.catalog.actions import HeadRecord
    from search.catalog.catalog import Catalog
    from search.library import Library

LEARNED_AGAIN_KINDS = ("taught", DRAFT)  # borders take too long to be learned at every answer


def teach(
    library: Library,
    tagger: Tagger,
    name: str,
    examples: Sequence[ActionExample],
    *,
    replace_examples: bool,
    on_progress: Callable[[str], None],
    on_tagged: Callable[[int, int], None],
) -> dict[str, Any]:
    """As `Actions.teach`, of a name as it is kept."""
    from encoders.lessons.lesson import teach as learn
    from encoders.lessons.spans import learn_borders

    record = library.record()
    with library.read() as catalog:
        kept = _kept(catalog, name, examples, replace_examples=replace_examples)
        examples = each_once(examples)
        whole = [*kept, *examples]
        positives, negatives = gather_examples(catalog, whole, record.dim)
        background = gather_background(catalog, whole, record.dim, [*positives, *negatives])
        labelled = gather_labelled(catalog, name, whole, record.dim)
    concepts, vector = _evidence(library, name)
    footage, encoder_id = (positives, negatives, background), record.encoder_id
    head, report = learn(
        name, *footage, encoder_id=encoder_id, concepts=concepts, name=vector, on_progress=on_progress
    )
    localiser, comparison = learn_borders(
        name,
        labelled,
        *footage,
        encoder_id=encoder_id,
        concepts=concepts,
        name=vector,
        on_progress=on_progress,
    )
    if localiser is not None:  # it was judged by videos of its own
        report = replace(report, is_draft=False, reason="")
    given = sum(example.is_positive for example in whole)
    if report.is_draft and len(positives) < min(given, MOST_OF_A_SIDE):
        said = f"of {given} examples {len(positives)} are no copies of others and hold a frame"
        report = replace(report, reason=f"{said}; {report.reason}")
    card = _rounded(asdict(report))
    card["localiser"] = None if comparison is None else _rounded(asdict(comparison))
    with library.write() as catalog:
        if replace_examples:
            catalog.actions.remove_examples(name, origin="teach")
            catalog.actions.remove_examples(name, origin="spans")
        for example in examples:
            catalog.actions.add_example(name, example)
        head_id = tagger.add(catalog, localiser or head, name, card, is_draft=report.is_draft)
    on_progress("tagging the library")
    tagger.tag_and_activate(head_id, on_tagged)
    return card


def _kept(
    catalog: Catalog, name: str, examples: Sequence[ActionExample], *, replace_examples: bool
) -> list[ActionExample]:
    """Examples of earlier lessons that count beside new ones, and corrections."""
    kept = catalog.actions.examples(name)
    if replace_examples:
        kept = [example for example in kept if example.origin == "feedback"]
    spans = footage_of(examples)
    new = {example.source for example in examples}
    content = {example.digest for example in examples} - {None}
    return [
        e for e in kept if not (e.source in new or e.digest in content or meets(e.video_id, e.span, spans))
    ]


def _evidence(library: Library, name: str) -> tuple[Concepts | None, NDArray[np.float32] | None]:
    """What the encoder adds to examples: sets of what it recognises, and what it makes of the name.

    A name of which it only guesses what it is like says nothing.
    """
    try:
        encoder = library.encoder()
        concepts = encoder.concepts()
        if not encoder.has_text:
            return concepts, None
        reading = encoder.read_text(name)
        is_known = reading is None or any(concept.kinds for concept in reading.concepts)
        return concepts, encoder.encode_text([name]).vectors[0] if is_known else None
    except ReelseekError:
        return None, None  # lessons need stored features alone


def is_learned_again(head: HeadRecord) -> bool:
    """Whether a correction is learned from at once: not by a head from elsewhere, whose examples are not
    here, nor by one that learned borders.
    """
    return head.kind in LEARNED_AGAIN_KINDS and not head.card.get("imported")


def learn_again(
    library: Library,
    action: str,
    on_tagged: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any] | None:
    """Teaches an action anew from what is kept of it, after a correction.

    Returns:
        The lesson's card; None where the head stays as it is: it is from elsewhere or learned borders, the
        action is not taught, or no example of it is left.
    """
    with library.read() as catalog:
        heads = [head for head in catalog.actions.heads() if head.name == action]
    if not any(map(is_learned_again, heads)):
        return None
    try:
        return library.actions.teach(action, (), on_tagged=on_tagged)
    except TeachingError:
        return None


def _rounded(report: dict[str, Any]) -> dict[str, Any]:
    return {key: round(v, 4) if isinstance(v, float) else v for key, v in report.items()}
