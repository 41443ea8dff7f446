"""Examples that stand: what gives way to a later correction is kept, and stands again without it.

Nothing is deleted or marked: what was said, in which order, decides. So a correction is undone by forgetting
it alone, in any order, and what it had replaced is what it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from search.catalog.actions.lesson_examples import LessonExample, name_span
from search.catalog.actions.spans import subtract_spans

TOUCHING_SECONDS = 1e-6  # spans that share no more are neighbours


def select_standing(examples: Sequence[LessonExample]) -> list[LessonExample]:
    """Returns the examples of one action, each without what later corrections say of its footage.

    Earlier corrections give way as far as a later one reaches: what is left of one, in several pieces
    perhaps, keeps its id. An example that was given as the very clip that is corrected gives way whole. What
    else was taught stays.

    Args:
        examples: All that are kept, in the order in which they were given.
    """
    found: list[LessonExample] = []
    later: dict[int, list[LessonExample]] = {}  # corrections by video
    for example in reversed(examples):
        if example.video_id is None or example.span is None:
            found.append(example)
            continue
        corrections = later.setdefault(example.video_id, [])
        found += reversed(_rests(example, corrections))
        if example.origin == "feedback":
            corrections.append(example)
    return found[::-1]


def gives_way(example: LessonExample, correction: LessonExample) -> bool:
    """Checks that an example gives way to a later correction, wholly or in part."""
    return share_seconds(example, correction) and (
        example.origin == "feedback" or _is_this_clip(example, correction)
    )


def share_seconds(one: LessonExample, other: LessonExample) -> bool:
    """Checks that two examples are spans of one video that share anything."""
    if one.video_id != other.video_id or one.span is None or other.span is None:
        return False
    return min(one.span[1], other.span[1]) - max(one.span[0], other.span[0]) > TOUCHING_SECONDS


def _rests(example: LessonExample, later: Sequence[LessonExample]) -> list[LessonExample]:
    """Returns what is left of an example beside later corrections of its video, in order of time."""
    assert example.video_id is not None and example.span is not None
    over = [one for one in later if gives_way(example, one)]
    if not over:
        return [example]
    if example.origin != "feedback":
        return []
    rests = subtract_spans(example.span, [one.span for one in over if one.span is not None])
    return [replace(example, span=rest, source=name_span(example.video_id, rest)) for rest in rests]


def _is_this_clip(example: LessonExample, correction: LessonExample) -> bool:
    """Checks that an example was given as the very clip that is corrected: the same thing said anew."""
    return example.span == correction.span and example.source.startswith(f"{correction.source} of ")
