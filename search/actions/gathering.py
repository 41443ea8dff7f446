"""Footage for a lesson: the features of examples, and of what to tell them from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoders.heads.head import ActionSpan, FeatureTrack
from search.actions.examples import SpansOfVideos, cut_corrections, group_spans, shares_footage
from search.catalog.actions.lesson_examples import LessonExample
from search.types import Filters

if TYPE_CHECKING:
    from encoders.lessons.lesson import Footage
    from encoders.lessons.spans import LabelledVideo
    from search.catalog.catalog import Catalog

BACKGROUND_CLIPS = 300
MOST_OF_A_SIDE = 200  # examples, that a head on windows is taught with
SAME_SECONDS = 1e-3
SAME_FEATURES = 0.01  # of their norm: the same frame, encoded in another batch


@dataclass(frozen=True, slots=True)
class LessonMaterial:
    """Footage that a lesson learns from, with its features.

    Attributes:
        positives, negatives: Examples of the action, and of what it is not; each footage once.
        background: Clips from all over the library, presumably not the action.
        labelled: Videos in which all of the action is labelled; none where they are too few.
        given_positives: How many examples of the action were given.
    """

    positives: list[Footage]
    negatives: list[Footage]
    background: list[Footage]
    labelled: list[LabelledVideo]
    given_positives: int


def gather_material(
    catalog: Catalog, action: str, examples: Sequence[LessonExample], dim: int
) -> LessonMaterial:
    """Reads the features of all that a lesson learns from.

    Args:
        catalog: Of the library.
        action: Its name.
        examples: All that count.
        dim: D.
    """
    positives, negatives = gather_examples(catalog, examples, dim)
    return LessonMaterial(
        positives,
        negatives,
        gather_background(catalog, examples, dim, [*positives, *negatives]),
        gather_labelled(catalog, action, examples, dim),
        sum(example.is_positive for example in examples),
    )


def gather_examples(
    catalog: Catalog, examples: Sequence[LessonExample], dim: int
) -> tuple[list[Footage], list[Footage]]:
    """Reads the features of examples of the action, and of what it is not.

    No more than `MOST_OF_A_SIDE` of either side: every two examples are compared with each other. Of the same
    footage, in copies of a file, one. Of corrections, what nothing was taught about.
    """
    from encoders.lessons.lesson import Footage

    sides: tuple[list[Footage], list[Footage]] = ([], [])
    for example in _fewer(cut_corrections(examples)):
        track = example.track
        if track is None:
            assert example.video_id is not None and example.span is not None
            track = read_span_track(catalog, example.video_id, example.span, dim)
        side = sides[0 if example.is_positive else 1]
        if track is not None and len(track) and not _is_among(track, (one.track for one in side)):
            source = example.source if example.video_id is None else f"video {example.video_id}"
            side.append(Footage(track, source, is_file=example.video_id is None))
    return sides


def _is_among(track: FeatureTrack, others: Iterable[FeatureTrack]) -> bool:
    """Checks that others hold the same footage at the same times: it is in copies of one file."""
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


def _fewer(examples: Sequence[LessonExample]) -> list[LessonExample]:
    """Returns at most `MOST_OF_A_SIDE` of either side: the last corrections, then others from all over."""
    left_out: set[int] = set()
    for is_positive in (True, False):
        side = [number for number, example in enumerate(examples) if example.is_positive == is_positive]
        corrections = [number for number in side if examples[number].origin == "feedback"]
        others = [number for number in side if examples[number].origin != "feedback"]
        ranked = [*reversed(corrections), *np.random.default_rng(0).permutation(others).tolist()]
        left_out.update(ranked[MOST_OF_A_SIDE:])
    return [example for number, example in enumerate(examples) if number not in left_out]


def gather_labelled(
    catalog: Catalog, action: str, examples: Sequence[LessonExample], dim: int
) -> list[LabelledVideo]:
    """Reads the videos that are labelled throughout; none where they are too few to learn borders from.

    A clip of the action counts as a span where none was labelled: it has no borders of its own.
    """
    from encoders.lessons.spans import MIN_VIDEOS, LabelledVideo

    labelled = [example.video_id for example in examples if example.origin == "spans"]
    spans: SpansOfVideos = {video_id: [] for video_id in labelled if video_id is not None}
    if len(spans) < MIN_VIDEOS:
        return []
    shown = [example for example in examples if example.is_positive]
    for example in sorted(shown, key=lambda one: one.origin != "spans"):
        if (
            example.video_id in spans
            and example.span
            and not shares_footage(example.video_id, example.span, spans)
        ):
            spans[example.video_id].append(example.span)
    return [
        LabelledVideo(
            f"video {video_id}",
            tuple(catalog.tracks(video_id, dim)),
            tuple(ActionSpan(action, start, end, 1.0) for start, end in sorted(found)),
        )
        for video_id, found in spans.items()
    ]


def gather_background(
    catalog: Catalog, examples: Sequence[LessonExample], dim: int, known: Sequence[Footage] = ()
) -> list[Footage]:
    """Reads clips from all over the library, but for those that are examples.

    Args:
        catalog: Of the library.
        examples: What is no background, nor any copy of it.
        dim: D.
        known: The same, with their features.
    """
    from encoders.lessons.lesson import Footage

    spans = group_spans(examples)
    chosen = np.random.default_rng(0).permutation(catalog.clip_ids(Filters()))[:BACKGROUND_CLIPS]
    background = []
    # Files of examples that are in the library as well are no background either.
    files = {example.source for example in examples if example.video_id is None}
    digests = {example.digest for example in examples if example.digest is not None}
    copies = {video.id for digest in digests for video in catalog.videos_by_digest(digest)}
    for clip in catalog.clips(np.sort(chosen).tolist()).values():
        span = (clip.start_seconds, clip.end_seconds)
        if clip.path in files or clip.video_id in copies or shares_footage(clip.video_id, span, spans):
            continue
        track = read_span_track(catalog, clip.video_id, span, dim)
        if track is not None and len(track) and not _is_among(track, (one.track for one in known)):
            background.append(Footage(track, f"video {clip.video_id}"))
    return background


def read_span_track(
    catalog: Catalog, video_id: int, span: tuple[float, float], dim: int
) -> FeatureTrack | None:
    """Reads the samples of a span; at least the nearest one, where there is any clip."""
    for track in catalog.tracks(video_id, dim, span):
        part = track.part(*span)
        if len(part):
            return part
        nearest = int(np.argmin(np.abs(track.times_seconds - (span[0] + span[1]) / 2)))
        return track.between(nearest, nearest + 1)
    return None
