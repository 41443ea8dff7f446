"""Which examples of an action stand: what gives way to a later correction is kept, and stands without it.

Nothing is deleted or marked: what was said, in which order, decides. So a correction is undone by forgetting
it alone, in any order, and what it had replaced is what it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.catalog.actions import ActionExample

# Two spans meet when they share this much, or half of the shorter: a clip is not "running" for the
# two frames that a segment of its neighbour reaches over.
LEAST_OVERLAP_SECONDS = 0.5
TOUCHING_SECONDS = 1e-6  # spans that share no more are neighbours


def standing(examples: Sequence[ActionExample]) -> list[ActionExample]:
    """What the examples of one action come to, each without what later corrections say of its footage.

    Earlier corrections give way as far as a later one reaches: what is left of one, in several pieces
    perhaps, keeps its id. An example that was given as the very clip that is corrected gives way whole. What
    else was taught stays.

    Args:
        examples: All that are kept, in the order in which they were given.
    """
    found: list[ActionExample] = []
    later: dict[int, list[ActionExample]] = {}  # corrections by video
    for example in reversed(examples):
        if example.video_id is None or example.span is None:
            found.append(example)
            continue
        corrections = later.setdefault(example.video_id, [])
        found += reversed(_left(example, corrections))
        if example.origin == "feedback":
            corrections.append(example)
    return found[::-1]


def gives_way(example: ActionExample, correction: ActionExample) -> bool:
    """Whether an example gives way to a later correction, wholly or in part."""
    if example.video_id != correction.video_id or not meet(example, correction):
        return False
    return example.origin == "feedback" or _is_this_clip(example, correction)


def meet(one: ActionExample, other: ActionExample) -> bool:
    """Whether two spans of one video share anything."""
    assert one.span is not None and other.span is not None
    shared = min(one.span[1], other.span[1]) - max(one.span[0], other.span[0])
    return shared > TOUCHING_SECONDS


def without(whole: tuple[float, float], holes: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """What is left of a span, in order of time; the span itself where no hole meets it."""
    rests, start = [], whole[0]
    for hole_start, hole_end in sorted(holes):
        if hole_start < whole[1] and hole_end > start:
            rests.append((start, hole_start))
            start = hole_end
    rests.append((start, whole[1]))
    if rests == [whole]:
        return rests
    return [one for one in rests if one[1] - one[0] > LEAST_OVERLAP_SECONDS + 1e-6]


def named(video_id: int, span: tuple[float, float]) -> str:
    """What a span is called where examples are listed."""
    return f"{span[0]:.3f}-{span[1]:.3f} s of video {video_id}"


def _left(example: ActionExample, later: Sequence[ActionExample]) -> list[ActionExample]:
    """What is left of an example beside later corrections of its video, in order of time."""
    assert example.video_id is not None and example.span is not None
    over = [one for one in later if gives_way(example, one)]
    if not over:
        return [example]
    if example.origin != "feedback":
        return []
    rests = without(example.span, [one.span for one in over if one.span is not None])
    return [replace(example, span=rest, source=named(example.video_id, rest)) for rest in rests]


def _is_this_clip(example: ActionExample, correction: ActionExample) -> bool:
    """Whether an example was given as the clip that is corrected, so that it is the same thing said anew."""
    return example.span == correction.span and example.source.startswith(f"{correction.source} of ")
