"""Footage for a lesson: what examples stand for in the catalog, and what to tell them from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from encoders.heads import ActionSpan, FeatureTrack
from search.action_catalog import ActionExample
from search.types import Filters

if TYPE_CHECKING:
    from encoders.lesson import Example
    from encoders.span_lesson import LabelledVideo
    from search.catalog import Catalog

BACKGROUND_CLIPS = 300
LABELLED_SPANS = 200  # of either side, that a head on windows is taught with
Footage = dict[int, list[tuple[float, float]]]  # by video id, spans in seconds


def gather_examples(
    catalog: Catalog, examples: Sequence[ActionExample], dim: int
) -> tuple[list[Example], list[Example]]:
    """Examples of the action, and of what it is not, with their features.

    Of labelled spans no more than `LABELLED_SPANS` of either side, from all over: every two examples are
    compared with each other.
    """
    from encoders.lesson import Example

    sides: tuple[list[Example], list[Example]] = ([], [])
    for example in _fewer(examples):
        track = example.track
        if track is None:
            assert example.video_id is not None and example.span is not None
            track = _span_track(catalog, example.video_id, example.span, dim)
        if track is not None and len(track):
            source = example.source if example.video_id is None else f"video {example.video_id}"
            sides[0 if example.is_positive else 1].append(Example(track, source))
    return sides


def _fewer(examples: Sequence[ActionExample]) -> list[ActionExample]:
    left_out: set[int] = set()
    for is_positive in (True, False):
        labelled = [
            number
            for number, example in enumerate(examples)
            if example.origin == "spans" and example.is_positive == is_positive
        ]
        left_out.update(np.random.default_rng(0).permutation(labelled)[LABELLED_SPANS:].tolist())
    return [example for number, example in enumerate(examples) if number not in left_out]


def gather_labelled(
    catalog: Catalog, action: str, examples: Sequence[ActionExample], dim: int
) -> list[LabelledVideo]:
    """The videos that are labelled throughout, whole; none where they are too few to learn borders from.

    A clip of the action counts as a span where none was labelled: it has no borders of its own.
    """
    from encoders.span_lesson import MIN_VIDEOS, LabelledVideo

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


def gather_background(catalog: Catalog, examples: Sequence[ActionExample], dim: int) -> list[Example]:
    """Clips from all over the library, but for those that are examples."""
    from encoders.lesson import Example

    spans = footage_of(examples)
    chosen = np.random.default_rng(0).permutation(catalog.clip_ids(Filters()))[:BACKGROUND_CLIPS]
    background = []
    # Example files that are in the library as well are no background either.
    files = {example.source for example in examples if example.video_id is None}
    for clip in catalog.clips(np.sort(chosen).tolist()).values():
        span = (clip.start_seconds, clip.end_seconds)
        if clip.path in files or meets(clip.video_id, span, spans):
            continue
        track = _span_track(catalog, clip.video_id, span, dim)
        if track is not None and len(track):
            background.append(Example(track, f"video {clip.video_id}"))
    return background


def each_once(examples: Sequence[ActionExample]) -> list[ActionExample]:
    """The examples as `ActionCatalog.add_example` keeps them: of the same footage, the last."""
    kept: list[ActionExample] = []
    spans: Footage = {}
    sources: set[str] = set()
    for example in reversed(examples):
        is_known = example.span is None and example.source in sources
        if not is_known and not meets(example.video_id, example.span, spans):
            kept.append(example)
            sources.add(example.source)
            if example.video_id is not None and example.span:
                spans.setdefault(example.video_id, []).append(example.span)
    return kept[::-1]


def _span_track(catalog: Catalog, video_id: int, span: tuple[float, float], dim: int) -> FeatureTrack | None:
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
