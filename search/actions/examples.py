"""Lesson examples given together: the same footage told apart from other, without looking at features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from encoders.errors import InvalidQueryError
from search.catalog.actions.lesson_examples import LessonExample
from search.catalog.actions.spans import Span, subtract_spans

SHOWN_BOTH = 5
SpansOfVideos = dict[int, list[Span]]  # by video id


def check_sides(action: str, examples: Sequence[LessonExample]) -> None:
    """Raises InvalidQueryError where the same is given both as an action and as what it is not."""
    against: set[object] = set()
    for example in examples:
        if not example.is_positive:
            against.update(_identities(example))
    both = [one.source for one in examples if one.is_positive and not against.isdisjoint(_identities(one))]
    if both:
        shown = ", ".join(both[:SHOWN_BOTH]) + (", ..." if len(both) > SHOWN_BOTH else "")
        raise InvalidQueryError(f"given both as {action!r} and as what it is not: {shown}")


def drop_repeated(examples: Sequence[LessonExample]) -> list[LessonExample]:
    """Returns the examples as the catalog keeps them: of the same footage, the last."""
    kept: list[LessonExample] = []
    spans: SpansOfVideos = {}
    known: set[object] = set()
    for example in reversed(examples):
        names = _identities(example) if example.span is None else []
        if known.isdisjoint(names) and not shares_footage(example.video_id, example.span, spans):
            kept.append(example)
            known.update(names)
            if example.video_id is not None and example.span:
                spans.setdefault(example.video_id, []).append(example.span)
    return kept[::-1]


def select_kept(
    kept: Sequence[LessonExample], new: Sequence[LessonExample], *, replace_examples: bool
) -> list[LessonExample]:
    """Returns the examples of earlier lessons that count beside new ones, and corrections."""
    spans = group_spans(new)
    sources = {example.source for example in new}
    digests = {example.digest for example in new} - {None}
    return [
        example
        for example in kept
        if (example.origin == "feedback" or not replace_examples)
        and example.source not in sources
        and example.digest not in digests
        and not shares_footage(example.video_id, example.span, spans)
    ]


def cut_corrections(examples: Sequence[LessonExample]) -> list[LessonExample]:
    """Returns the examples with corrections cut down to footage about which nothing was taught."""
    taught = group_spans([one for one in examples if one.origin != "feedback"])
    found: list[LessonExample] = []
    for example in examples:
        if example.origin != "feedback" or example.span is None or example.video_id is None:
            found.append(example)
            continue
        rests = subtract_spans(example.span, taught.get(example.video_id, []))
        found += [example if rest == example.span else replace(example, span=rest) for rest in rests]
    return found


def group_spans(examples: Sequence[LessonExample]) -> SpansOfVideos:
    """Returns the spans of catalogued videos that examples are of, by video."""
    found: SpansOfVideos = {}
    for example in examples:
        if example.video_id is not None and example.span:
            found.setdefault(example.video_id, []).append(example.span)
    return found


def shares_footage(video_id: int | None, span: Span | None, others: SpansOfVideos) -> bool:
    """Checks that a span shares footage with others."""
    if video_id is None or span is None:
        return False
    return any(span[0] < end - 1e-6 and span[1] > start + 1e-6 for start, end in others.get(video_id, ()))


def _identities(example: LessonExample) -> list[object]:
    """Returns what tells an example from others: its content, its place, or where it is from."""
    if example.video_id is not None:
        return [(example.video_id, example.span)]
    return [example.source] + ([] if example.digest is None else [("digest", example.digest)])
