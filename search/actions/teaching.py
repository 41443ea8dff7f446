"""Lessons in a library: examples gathered once, an action learned, both kept, and the library tagged.

The command line hands new examples over with the lesson; a server keeps them first (`keep_examples`), and its
job learns from all that is kept. A correction is followed by a lesson without new examples. All are `teach`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from encoders.errors import ReelseekError, TeachingError
from search.actions.examples import check_sides, drop_repeated, select_kept
from search.actions.gathering import MOST_OF_A_SIDE, LessonMaterial, gather_material
from search.actions.naming import normalise_new_name, read_known_actions
from search.actions.tagging import Tagger
from search.catalog.actions.lesson_examples import LessonExample

if TYPE_CHECKING:
    from encoders.heads.localisation import Localiser
    from encoders.heads.taught import TaughtHead
    from encoders.words.concepts import Concepts
    from search.catalog.catalog import Catalog
    from search.library import Library


def teach(
    library: Library,
    action: str,
    examples: Sequence[LessonExample] = (),
    *,
    replace_examples: bool = False,
    on_progress: Callable[[str], None] = lambda _: None,
    on_tagged: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Learns an action from examples, those kept from before and corrections included; re-tags.

    Any number is a lesson; one that could not be checked, or did not hold when it was, is a draft.
    Where enough videos are labelled throughout, a head that learns borders is tried as well, and kept
    if it is the better one: see `encoders/lessons/spans.py`.

    Until it is done the library answers as before; stopped midway, nothing has changed but the
    examples.

    Args:
        library: To be tagged.
        action: Its name.
        examples: New ones.
        replace_examples: Forget those that were given at earlier lessons (not corrections).
        on_progress: Told what is being done.
        on_tagged: Told how many of how many videos are tagged.

    Returns:
        The head's card: the lesson's report, and under "localiser" how the two heads compare, None
        where too few videos are labelled.

    Raises:
        TeachingError: There is no example, or nothing to tell it from; nothing was changed.
        InvalidQueryError: The name is no name, or something is given as it and as what it is not.
    """
    name = normalise_new_name(action)
    check_sides(name, examples)
    record = library.record()
    with library.read() as catalog:
        kept = select_kept(catalog.actions.examples(name), examples, replace_examples=replace_examples)
        material = gather_material(catalog, name, [*kept, *drop_repeated(examples)], record.dim)
    head, card = _learn(library, name, material, record.encoder_id, on_progress)
    tagger = Tagger(library)
    with library.write() as catalog:
        keep_examples(catalog, name, examples, replace_examples=replace_examples)
        head_id = tagger.add(catalog, head, name, card, is_draft=card["is_draft"])
    on_progress("tagging the library")
    tagger.tag_and_activate(head_id, on_tagged)
    return card


def keep_examples(
    catalog: Catalog, action: str, examples: Sequence[LessonExample], *, replace_examples: bool = False
) -> str:
    """Keeps examples of an action for its next lesson; returns the name that they are kept by.

    Args:
        catalog: Of a write transaction.
        action: Its name.
        examples: New ones; they take the place of those of the same footage.
        replace_examples: Forget those that were given at earlier lessons (not corrections).

    Raises:
        InvalidQueryError: The name is no name, or something is given as it and as what it is not.
    """
    name = normalise_new_name(action)
    check_sides(name, examples)
    if replace_examples:
        catalog.actions.remove_examples(name, origin="teach")
        catalog.actions.remove_examples(name, origin="spans")
    for example in drop_repeated(examples):
        catalog.actions.add_example(name, example)
    return name


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
    if not read_known_actions(library).is_learned_again(action):
        return None
    try:
        return teach(library, action, on_tagged=on_tagged)
    except TeachingError:
        return None


def _learn(
    library: Library,
    name: str,
    material: LessonMaterial,
    encoder_id: str,
    on_progress: Callable[[str], None],
) -> tuple[TaughtHead | Localiser, dict[str, Any]]:
    """Learns a head on windows, and one of borders where it can; returns the better one and its card."""
    from encoders.lessons.lesson import teach as learn
    from encoders.lessons.spans import learn_borders

    sides = (material.positives, material.negatives, material.background)
    concepts, vector = _evidence(library, name)
    head, report = learn(
        name, *sides, encoder_id=encoder_id, concepts=concepts, name=vector, on_progress=on_progress
    )
    localiser, comparison = learn_borders(
        name,
        material.labelled,
        *sides,
        encoder_id=encoder_id,
        concepts=concepts,
        name=vector,
        on_progress=on_progress,
    )
    if localiser is not None:  # it was judged by videos of its own
        report = replace(report, is_draft=False, reason="")
    given, used = material.given_positives, len(material.positives)
    if report.is_draft and used < min(given, MOST_OF_A_SIDE):
        said = f"of {given} examples {used} are no copies of others and hold a frame"
        report = replace(report, reason=f"{said}; {report.reason}")
    card = _rounded(asdict(report))
    card["localiser"] = None if comparison is None else _rounded(asdict(comparison))
    return localiser or head, card


def _evidence(library: Library, name: str) -> tuple[Concepts | None, NDArray[np.float32] | None]:
    """Returns what the encoder adds to examples: sets of what it recognises, and the vector of the name.

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


def _rounded(report: dict[str, Any]) -> dict[str, Any]:
    return {key: round(v, 4) if isinstance(v, float) else v for key, v in report.items()}
