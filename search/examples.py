"""Footage for a lesson: what examples stand for in the catalog, and what to tell them from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from encoders.heads import FeatureTrack
from search.action_catalog import ActionExample
from search.types import Filters

if TYPE_CHECKING:
    from encoders.lesson import Example
    from search.catalog import Catalog

BACKGROUND_CLIPS = 300


def gather_examples(
    catalog: Catalog, examples: Sequence[ActionExample], dim: int
) -> tuple[list[Example], list[Example]]:
    """Examples of the action, and of what it is not, with their features."""
    from encoders.lesson import Example

    sides: tuple[list[Example], list[Example]] = ([], [])
    for example in examples:
        track = example.track
        if track is None:
            assert example.video_id is not None and example.span is not None
            track = _span_track(catalog, example.video_id, example.span, dim)
        if track is not None and len(track):
            source = example.source if example.video_id is None else f"video {example.video_id}"
            sides[0 if example.is_positive else 1].append(Example(track, source))
    return sides


def gather_background(catalog: Catalog, examples: Sequence[ActionExample], dim: int) -> list[Example]:
    """Clips from all over the library, but for those that are examples."""
    from encoders.lesson import Example

    spans = [(e.video_id, *e.span) for e in examples if e.video_id is not None and e.span]
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
    for example in reversed(examples):
        spans = [(one.video_id, *one.span) for one in kept if one.video_id is not None and one.span]
        is_known = example.span is None and any(one.source == example.source for one in kept)
        if not is_known and not meets(example.video_id, example.span, spans):
            kept.append(example)
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


def meets(
    video_id: int | None,
    span: tuple[float, float] | None,
    others: Iterable[tuple[int, float, float]],
) -> bool:
    return span is not None and any(
        video_id == other and span[0] < end - 1e-6 and span[1] > start + 1e-6 for other, start, end in others
    )
