"""Footage for a lesson: what examples stand for in the catalog, and what to tell them from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from encoders.errors import InvalidQueryError
from encoders.heads.head import ActionSpan, FeatureTrack
from search.actions.corrections import settled
from search.catalog.actions import ActionExample
from search.types import Filters

if TYPE_CHECKING:
    from encoders.lessons.lesson import Example
    from encoders.lessons.spans import LabelledVideo
    from search.catalog.catalog import Catalog

BACKGROUND_CLIPS = 300
MOST_OF_A_SIDE = 200  # examples, that a head on windows is taught with
SAME_SECONDS = 1e-3
SAME_FEATURES = 0.01  # of their norm: the same frame, encoded in another batch
SHOWN_BOTH = 5
Footage = dict[int, list[tuple[float, float]]]  # by video id, spans in seconds


def gather_examples(
    catalog: Catalog, examples: Sequence[ActionExample], dim: int
) -> tuple[list[Example], list[Example]]:
    """Examples of the action, and of what it is not, with their features.

    No more than `MOST_OF_A_SIDE` of either side: every two examples are compared with each other. Of the same
    footage, in copies of a file, one. Of corrections, what nothing was taught about.
    """
    from encoders.lessons.lesson import Example

    sides: tuple[list[Example], list[Example]] = ([], [])
    for example in _fewer(settled(examples)):
        track = example.track
        if track is None:
            assert example.video_id is not None and example.span is not None
            track = span_track(catalog, example.video_id, example.span, dim)
        side = sides[0 if example.is_positive else 1]
        if track is not None and len(track) and not _is_among(track, (one.track for one in side)):
            source = example.source if example.video_id is None else f"video {example.video_id}"
            side.append(Example(track, source, is_file=example.video_id is None))
    return sides


def _is_among(track: FeatureTrack, others: Iterable[FeatureTrack]) -> bool:
    """Whether others hold the same footage at the same times: it is in copies of one file."""
    features, count = track.features.astype(np.float32), len(track)
    allowed = SAME_FEATURES * np.linalg.norm(features, axis=1)
    for other in others:
        first = int(np.searchsorted(other.times_seconds, track.times_seconds[0] - SAME_SECONDS))
        place = slice(first, first + count)
        if len(other.times_seconds[place]) < count or other.features.shape[1] != features.shape[1]:
            continue
        if np.abs(other.times_seconds[place] - track.times_seconds).max() > SAME_SECONDS:
            continue
        apart = np.linalg.norm(other.features[place].astype(np.float32) - features, axis=1)
        if (apart <= allowed).all():
            return True
    return False


def check_sides(action: str, examples: Sequence[ActionExample]) -> None:
    """Raises InvalidQueryError where the same is given both as an action and as what it is not."""
    against: dict[object, ActionExample] = {}
    for example in examples:
        if not example.is_positive:
            against.update(dict.fromkeys(_identities(example), example))
    both = [
        one.source for one in examples if one.is_positive and any(key in against for key in _identities(one))
    ]
    if both:
        shown = ", ".join(both[:SHOWN_BOTH]) + (", ..." if len(both) > SHOWN_BOTH else "")
        raise InvalidQueryError(f"given both as {action!r} and as what it is not: {shown}")


def _identities(example: ActionExample) -> list[object]:
    """What tells an example from others: its content, its place, or where it is from."""
    if example.video_id is not None:
        return [(example.video_id, example.span)]
    return [example.source] + ([] if example.digest is None else [("digest", example.digest)])


def _fewer(examples: Sequence[ActionExample]) -> list[ActionExample]:
    """No more than `MOST_OF_A_SIDE` of either side: the last corrections, then others from all over."""
    left_out: set[int] = set()
    for is_positive in (True, False):
        side = [number for number, example in enumerate(examples) if example.is_positive == is_positive]
        corrections = [number for number in side if examples[number].origin == "feedback"]
        others = [number for number in side if examples[number].origin != "feedback"]
        ranked = [*reversed(corrections), *np.random.default_rng(0).permutation(others).tolist()]
        left_out.update(ranked[MOST_OF_A_SIDE:])
    return [example for number, example in enumerate(examples) if number not in left_out]


def gather_labelled(
    catalog: Catalog, action: str, examples: Sequence[ActionExample], dim: int
) -> list[LabelledVideo]:
    """The videos that are labelled throughout, whole; none where they are too few to learn borders from.

    A clip of the action counts as a span where none was labelled: it has no borders of its own.
    """
    from encoders.lessons.spans import MIN_VIDEOS, LabelledVideo

    labelled = [example.video_id for example in examples if example.origin == "spans"]
    spans: Footage = {video_id: [] for video_id in labelled if video_id is not None}
    if len(spans) < MIN_VIDEOS:
        return []
    shown = [example for example in examples if example.is_positive]
    for example in sorted(shown, key=lambda one: one.origin != "spans"):
        if example.video_id in spans and example.span and not meets(example.video_id, example.span, spans):
            spans[example.video_id].append(example.span)
    return [
        LabelledVideo(
            f"video {video_id}",
            tuple(catalog.actions.tracks(video_id, dim)),
            tuple(ActionSpan(action, start, end, 1.0) for start, end in sorted(found)),
        )
        for video_id, found in spans.items()
    ]


def gather_background(
    catalog: Catalog, examples: Sequence[ActionExample], dim: int, known: Sequence[Example] = ()
) -> list[Example]:
    """Clips from all over the library, but for those that are examples.

    Args:
        catalog: Of the library.
        examples: What is no background, nor any copy of it.
        dim: D.
        known: The same, with their features.
    """
    from encoders.lessons.lesson import Example

    spans = footage_of(examples)
    chosen = np.random.default_rng(0).permutation(catalog.clip_ids(Filters()))[:BACKGROUND_CLIPS]
    background = []
    # Example files that are in the library as well are no background either.
    files = {example.source for example in examples if example.video_id is None}
    digests = {example.digest for example in examples if example.digest is not None}
    copies = {video.id for digest in digests for video in catalog.videos_by_digest(digest)}
    for clip in catalog.clips(np.sort(chosen).tolist()).values():
        span = (clip.start_seconds, clip.end_seconds)
        if clip.path in files or clip.video_id in copies or meets(clip.video_id, span, spans):
            continue
        track = span_track(catalog, clip.video_id, span, dim)
        if track is not None and len(track) and not _is_among(track, (one.track for one in known)):
            background.append(Example(track, f"video {clip.video_id}"))
    return background


def each_once(examples: Sequence[ActionExample]) -> list[ActionExample]:
    """The examples as `ActionCatalog.add_example` keeps them: of the same footage, the last."""
    kept: list[ActionExample] = []
    spans: Footage = {}
    known: set[object] = set()
    for example in reversed(examples):
        named = _identities(example) if example.span is None else []
        is_known = any(name in known for name in named)
        if not is_known and not meets(example.video_id, example.span, spans):
            kept.append(example)
            known.update(named)
            if example.video_id is not None and example.span:
                spans.setdefault(example.video_id, []).append(example.span)
    return kept[::-1]


def span_track(catalog: Catalog, video_id: int, span: tuple[float, float], dim: int) -> FeatureTrack | None:
    """The samples of a span; at least the nearest one, where there is any clip."""
    for track in catalog.actions.tracks(video_id, dim, span):
        part = track.part(*span)
        if len(part):
            return part
        nearest = int(np.argmin(np.abs(track.times_seconds - (span[0] + span[1]) / 2)))
        return track.between(nearest, nearest + 1)
    return None


def footage_of(examples: Sequence[ActionExample]) -> Footage:
    """The spans of catalogued videos that examples are of."""
    footage: Footage = {}
    for example in examples:
        if example.video_id is not None and example.span:
            footage.setdefault(example.video_id, []).append(example.span)
    return footage


def meets(video_id: int | None, span: tuple[float, float] | None, others: Footage) -> bool:
    """Whether a span shares footage with others."""
    if video_id is None or span is None:
        return False
    return any(span[0] < end - 1e-6 and span[1] > start + 1e-6 for start, end in others.get(video_id, ()))
