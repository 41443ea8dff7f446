"""Corrections of what is said of an action: of a clip, or of a span; beside what it was taught with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from encoders.errors import InvalidQueryError, NotFoundError
from search.catalog.actions import ActionExample, Origin
from search.catalog.giving_way import gives_way, meet, named, without

if TYPE_CHECKING:
    from search.catalog.catalog import Catalog

SHOWN = 3


def span_example(
    catalog: Catalog,
    video_id: int,
    span: tuple[float, float],
    *,
    is_positive: bool,
    origin: Origin = "teach",
) -> ActionExample:
    """A span of a catalogued video as an example, as far as the video reaches.

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
    extent = catalog.actions.extent(video.id)
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
    return ActionExample(is_positive, named(video.id, (start, end)), video.id, (start, end), origin=origin)


def clip_example(catalog: Catalog, clip_id: int, *, is_positive: bool) -> ActionExample:
    """A stored clip as a correction. Raises NotFoundError."""
    clip = catalog.clips([clip_id]).get(clip_id)
    if clip is None:
        raise NotFoundError(f"there is no clip {clip_id} in this library")
    span = (clip.start_seconds, clip.end_seconds)
    return ActionExample(is_positive, f"clip {clip_id}", clip.video_id, span, origin="feedback")


def keep_correction(catalog: Catalog, name: str, correction: ActionExample) -> dict[str, Any]:
    """Keeps a correction for the next lesson; what is rejected goes out of the segments at once.

    What it contradicts stays kept: `giving_way.standing` knows what stands beside it.

    Returns:
        "example_id" of the correction; how many contrary ones were "removed", wholly or in part, until it is
        taken back; and a "note" where it contradicts what was taught and stays, else None.
    """
    assert correction.video_id is not None and correction.span is not None
    contrary = [
        other
        for other in catalog.actions.examples(name)
        if other.video_id == correction.video_id
        and other.is_positive != correction.is_positive
        and meet(other, correction)
    ]
    giving_way = {other.id for other in contrary if gives_way(other, correction)}
    example_id = catalog.actions.add_example(name, correction)
    catalog.actions.drop_rejected(correction.video_id)
    note = _note(correction, [other for other in contrary if other.id not in giving_way])
    return {"example_id": example_id, "removed": len(giving_way), "note": note}


def _note(correction: ActionExample, taught: Sequence[ActionExample]) -> str | None:
    """What a correction does not change."""
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


def settled(examples: Sequence[ActionExample]) -> list[ActionExample]:
    """The examples as a lesson takes them: corrections only where nothing was taught about the footage."""
    taught = [one for one in examples if one.origin != "feedback" and one.span is not None]
    found: list[ActionExample] = []
    for example in examples:
        if example.origin != "feedback" or example.span is None:
            found.append(example)
            continue
        holes = [one.span for one in taught if one.video_id == example.video_id and one.span is not None]
        rests = without(example.span, holes)
        found += [example if rest == example.span else replace(example, span=rest) for rest in rests]
    return found
