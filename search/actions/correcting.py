"""Corrections of what was found: users say that a clip or a span shows an action, or does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoders.errors import InvalidQueryError, NotFoundError
from search.actions.naming import KnownActions
from search.catalog.actions.giving_way import gives_way, share_seconds
from search.catalog.actions.lesson_examples import LessonExample, Origin, name_span
from search.catalog.actions.spans import Span

if TYPE_CHECKING:
    from search.catalog.catalog import Catalog
    from search.library import Library

SHOWN = 3


@dataclass(frozen=True, slots=True)
class KeptExamples:
    """Counts of examples of an action, and of what it is not, that stand under a name."""

    action: str
    positive: int
    negative: int


@dataclass(frozen=True, slots=True)
class Correction(KeptExamples):
    """A correction that is kept for the next lesson.

    Attributes:
        example_id: By which it can be taken back.
        removed: How many contrary ones give way to it, wholly or in part, until it is taken back.
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
        name = KnownActions.read(catalog).find_taught_name(action)
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
        name = KnownActions.read(catalog).find_taught_name(action)
        example = make_span_example(catalog, video_id, span, is_positive=is_positive, origin="feedback")
        return keep_correction(catalog, name, example)


def remove_example(library: Library, action: str, example_id: int) -> KeptExamples:
    """Takes an example back, so that the next lesson does without it; counts those that stand then.

    What had given way to it stands again.

    Raises:
        NotFoundError: The action has no such example.
    """
    with library.write() as catalog:
        name = KnownActions.read(catalog).find_taught_name(action)
        catalog.actions.remove_example(name, example_id)
        return KeptExamples(name, *catalog.actions.count_examples_of(name))


def find_last_correction(catalog: Catalog, action: str) -> LessonExample:
    """Finds the latest correction of an action. Raises InvalidQueryError where none is kept."""
    name = KnownActions.read(catalog).find_taught_name(action)
    corrections = [one for one in catalog.actions.examples(name) if one.origin == "feedback"]
    if not corrections:
        raise InvalidQueryError(f"no correction of {name!r} is kept, so there is none to take back")
    return max(corrections, key=lambda one: one.id or 0)


def make_span_example(
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


def keep_correction(catalog: Catalog, name: str, correction: LessonExample) -> Correction:
    """Keeps a correction for the next lesson; what is rejected goes out of the segments at once.

    What it contradicts stays kept: `giving_way` knows what stands beside it.
    """
    assert correction.video_id is not None
    contrary = [
        other
        for other in catalog.actions.examples(name)
        if other.is_positive != correction.is_positive and share_seconds(other, correction)
    ]
    giving = {other.id for other in contrary if gives_way(other, correction)}
    catalog.actions.hold_videos()
    example_id = catalog.actions.add_example(name, correction)
    catalog.actions.drop_rejected(correction.video_id)
    note = _note(correction, [other for other in contrary if other.id not in giving])
    return Correction(name, *catalog.actions.count_examples_of(name), example_id, len(giving), note)


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
