"""Corrections of what was found: users say that a clip or a span shows an action, or does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from encoders.errors import InvalidQueryError, NotFoundError
from search.actions.naming import KnownActions
from search.catalog.actions.examples import LessonExample, Origin
from search.catalog.actions.spans import Span, subtract_spans

if TYPE_CHECKING:
    from search.catalog.catalog import Catalog
    from search.library import Library

SHOWN = 3


@dataclass(frozen=True, slots=True)
class KeptExamples:
    """How many examples of an action, and of what it is not, are kept; by the name they are kept by."""

    action: str
    positive: int
    negative: int


@dataclass(frozen=True, slots=True)
class Correction(KeptExamples):
    """A correction that is kept for the next lesson.

    Attributes:
        example_id: By which it can be taken back.
        removed: How many contrary ones gave way to it, wholly or in part.
        note: Where it contradicts what was taught, which stays: what that means.
    """

    example_id: int
    removed: int
    note: str | None


def correct_clip(library: Library, clip_id: int, action: str, *, is_positive: bool) -> Correction:
    """Keeps that a stored clip shows an action, or does not.

    What a rejected clip was tagged with goes at once. Another name of a taught action counts for it.

    Raises:
        NotFoundError: There is no such clip.
    """
    with library.write() as catalog:
        name = KnownActions.read(catalog).taught_name(action)
        clip = catalog.clips([clip_id]).get(clip_id)
        if clip is None:
            raise NotFoundError(f"there is no clip {clip_id} in this library")
        span = (clip.start_seconds, clip.end_seconds)
        example = LessonExample(is_positive, f"clip {clip_id}", clip.video_id, span, origin="feedback")
        return keep_correction(catalog, name, example)


def correct_span(
    library: Library, video_id: int, span: Span, action: str, *, is_positive: bool
) -> Correction:
    """Keeps that [start, end) in seconds of a video, a whole segment, say, shows an action, or does not.

    Raises:
        NotFoundError: There is no such video, or nothing of it is indexed.
        InvalidQueryError: The span is empty or lies beyond its video.
    """
    with library.write() as catalog:
        name = KnownActions.read(catalog).taught_name(action)
        example = span_example(catalog, video_id, span, is_positive=is_positive, origin="feedback")
        return keep_correction(catalog, name, example)


def remove_example(library: Library, action: str, example_id: int) -> KeptExamples:
    """Takes an example back, so that the next lesson does without it; counts those that are left.

    Raises:
        NotFoundError: The action has no such example.
    """
    with library.write() as catalog:
        name = KnownActions.read(catalog).taught_name(action)
        catalog.actions.remove_example(name, example_id)
        return _counted(catalog, name)


def last_correction(catalog: Catalog, action: str) -> LessonExample:
    """Finds the latest correction of an action. Raises InvalidQueryError where none is kept."""
    name = KnownActions.read(catalog).taught_name(action)
    corrections = [one for one in catalog.actions.examples(name) if one.origin == "feedback"]
    if not corrections:
        raise InvalidQueryError(f"no correction of {name!r} is kept, so there is none to take back")
    return max(corrections, key=lambda one: one.id or 0)


def _counted(catalog: Catalog, name: str) -> KeptExamples:
    return KeptExamples(name, *catalog.actions.count_examples().get(name, (0, 0)))


def span_example(
    catalog: Catalog,
    video_id: int,
    span: Span,
    *,
    is_positive: bool,
    origin: Origin = "teach",
) -> LessonExample:
    """Makes an example of a span of a catalogued video, as far as the video reaches.

    Args:
        catalog: That holds the video.
        video_id: Of the video.
        span: [start, end) in seconds.
        is_positive: Whether it shows the action.
        origin: What it is given for.

    Raises:
        NotFoundError: There is no such video, or nothing of it is indexed.
        InvalidQueryError: The span is empty or lies beyond its video.
    """
    video = catalog.video(video_id)
    if not span[0] < span[1]:
        raise InvalidQueryError(
            f"a span must end after it starts, got {span[0]:g} to {span[1]:g} s of video {video.id}"
        )
    extent = catalog.extent(video.id)
    if extent is None:
        raise NotFoundError(
            f"nothing of video {video.id} is indexed{f' ({video.error})' if video.error else ''}: there is "
            "nothing to learn from in it"
        )
    start, end = max(span[0], extent[0]), min(span[1], extent[1])
    if start >= end:
        raise InvalidQueryError(
            f"the span of {span[0]:g} to {span[1]:g} s lies beyond video {video.id}, which runs from "
            f"{extent[0]:.3f} to {extent[1]:.3f} s"
        )
    return LessonExample(
        is_positive, name_span(video.id, (start, end)), video.id, (start, end), origin=origin
    )


def name_span(video_id: int, span: Span) -> str:
    """Names a span as it is called where examples are listed."""
    return f"{span[0]:.3f}-{span[1]:.3f} s of video {video_id}"


def keep_correction(catalog: Catalog, name: str, correction: LessonExample) -> Correction:
    """Keeps a correction for the next lesson; what is rejected goes out of the segments at once.

    Earlier corrections give way as far as it reaches, and the same clip where it was an example itself.
    What else was taught stays, see `examples.taught_first`.
    """
    assert correction.video_id is not None and correction.span is not None
    start, end = correction.span
    removed = 0
    taught: list[LessonExample] = []
    for other in catalog.actions.examples(name):
        if other.video_id != correction.video_id or other.span is None or other.id is None:
            continue
        if other.span[0] >= end - 1e-6 or other.span[1] <= start + 1e-6:
            continue
        is_contrary = other.is_positive != correction.is_positive
        if other.origin != "feedback" and not _is_this_clip(other, correction):
            taught += [other] if is_contrary else []
            continue
        removed += is_contrary
        catalog.actions.remove_example(name, other.id)
        for rest in subtract_spans(other.span, [correction.span]):
            source = name_span(correction.video_id, rest)
            catalog.actions.add_example(name, replace(other, span=rest, source=source, id=None))
    example_id = catalog.actions.add_example(name, correction)
    catalog.actions.drop_rejected(correction.video_id)
    positive, negative = catalog.actions.count_examples().get(name, (0, 0))
    return Correction(name, positive, negative, example_id, removed, _note(correction, taught))


def _is_this_clip(example: LessonExample, correction: LessonExample) -> bool:
    """Checks that an example was given as the very clip that is corrected: the same thing said anew."""
    return example.span == correction.span and example.source.startswith(f"{correction.source} of ")


def _note(correction: LessonExample, taught: Sequence[LessonExample]) -> str | None:
    """Says what a correction does not change."""
    if not taught:
        return None
    spans = [f"{one.span[0]:.1f}-{one.span[1]:.1f} s" for one in taught[:SHOWN] if one.span]
    listed = ", ".join(spans) + (", ..." if len(taught) > SHOWN else "")
    at_once = "" if correction.is_positive else "what was found there goes at once; "
    if len(taught) == 1:
        stays = f"an example given at a lesson ({listed} of this video) says the contrary and stays"
    else:
        stays = f"{len(taught)} examples given at a lesson ({listed} of this video) say the contrary and stay"
    return f"{at_once}{stays}: lessons go by them until they are removed"
