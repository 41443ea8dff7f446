"""From an example to aligned hits: which videos it may be from, and which spans of them it shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from encoders import Encoder, encode_together
from encoders.budget import check_budget
from encoders.types import FrameBatch
from search.alignment.alignment import (
    SECOND_STANDARD,
    USUAL_STANDARD,
    Alignment,
    Standard,
    Stretch,
    align,
)
from search.calibration.probabilities import Level
from search.catalog.actions.spans import overlaps_enough
from search.catalog.catalog import Catalog
from search.hits import Hit, Match
from search.index.vector_index import VectorIndex
from search.types import Clip, Filters, Segment

# How many videos an example is laid over frame by frame, and how many clips may lead to them.
ALIGNED_VIDEOS = 20
MOST_ALIGNED_VIDEOS = 40
LEADS_PER_CLIP = 50
# On both sides of a clip that was found, room for the whole example at the highest speed, and a little.
ROOM = 4.0
ROOM_SECONDS = 4.0
# Of a film, read and laid at once: some 100 MB of features. A piece that crosses the border of two such
# stretches is found as two.
MOST_STRETCH_SECONDS = 3600.0
FLAT_LEVELS = 4.0  # deviation of a picture's brightness, of 255, below which it shows nothing
LEAST_BACKGROUND_VIDEOS = 5
# Pieces of an example that are as near to each other in the video are one span of it.
NEAR_SECONDS = 1.0
READING_COST = 0.005  # of its worth, for an example that is mirrored or cut out
# Of spans that were laid over a film frame by frame so many were the same footage at least (docs/answers.md).
ALIGNED_PROBABILITY = 0.9


@dataclass(frozen=True, slots=True)
class EncodedExample:
    """An example's frames, as they are or mirrored, or what is shown within them.

    Attributes:
        features: float32 (n, D).
        times_seconds: float64 (n,).
        is_flat: bool (n,), whether a frame is of one colour, or nearly.
        embeddings: float32 (C, D), of its clips, without those that are flat from beginning to end.
        mirrored: Left and right exchanged.
    """

    features: NDArray[np.float32]
    times_seconds: NDArray[np.float64]
    is_flat: NDArray[np.bool_]
    embeddings: NDArray[np.float32]
    mirrored: bool

    @property
    def step_seconds(self) -> float:
        """From a frame to the next, as a rule; 0 where there is one alone."""
        return float(np.median(np.diff(self.times_seconds))) if len(self.times_seconds) > 1 else 0.0

    @property
    def span(self) -> tuple[float, float]:
        """The seconds that its frames stand for."""
        times, step = self.times_seconds, self.step_seconds
        # A first frame may come earlier than half a step after the beginning, which is 0.
        return max(float(times[0]) - step / 2, 0.0), float(times[-1]) + step / 2

    @property
    def stretch(self) -> Stretch:
        """Its frames in time."""
        return Stretch(self.features, self.times_seconds, self.span, self.is_flat)


def encode_clips(encoder: Encoder, clips: tuple[FrameBatch, ...], *, mirrored: bool) -> EncodedExample:
    """Encodes the clips of an example, as they are or mirrored."""
    flat = [_is_flat(clip) for clip in clips]
    if mirrored:
        clips = tuple(FrameBatch(clip.frames[:, :, ::-1], clip.pts_seconds) for clip in clips)
    features = encode_together(encoder, clips)
    # What shows nothing leads to whatever else shows nothing, unless there is nothing else.
    leading = [number for number, one in enumerate(flat) if not one.all()] or range(len(clips))
    embeddings = []
    for number in leading:
        shown = features[number][~flat[number]] if not flat[number].all() else features[number]
        embeddings.append(encoder.pool(shown))
    return EncodedExample(
        np.concatenate(features),
        np.concatenate([clip.pts_seconds for clip in clips]),
        np.concatenate(flat),
        np.stack(embeddings),
        mirrored,
    )


def _is_flat(clip: FrameBatch) -> NDArray[np.bool_]:
    """bool (T,), whether each frame is of one colour, or nearly."""
    return np.array([frame[::2, ::2].std(axis=(0, 1)).max() < FLAT_LEVELS for frame in clip.frames])


def find_leads(
    index: VectorIndex,
    catalog: Catalog,
    examples: Sequence[EncodedExample],
    allowed: NDArray[np.int64] | None,
) -> list[list[Clip]]:
    """Clips that the clips of an example lead to, by video, the likeliest videos first.

    Each clip of the example has its say: what one of them is nearest to comes before what another is
    second nearest to, however many videos the first of them resembles.
    """
    vectors = np.concatenate([example.embeddings for example in examples])
    scores, ids = index.search(vectors, LEADS_PER_CLIP, allowed)
    known = catalog.clips(np.unique(ids).tolist())
    ranks: dict[int, tuple[int, float]] = {}
    leads: dict[int, dict[int, Clip]] = {}
    for row_ids, row_scores in zip(ids.tolist(), scores.tolist(), strict=True):
        videos: list[int] = []
        for clip_id, score in zip(row_ids, row_scores, strict=True):
            clip = known.get(clip_id)
            if clip is None:
                continue
            if clip.video_id not in videos:
                videos.append(clip.video_id)
                rank = (len(videos), -score)
                ranks[clip.video_id] = min(ranks.get(clip.video_id, rank), rank)
            leads.setdefault(clip.video_id, {})[clip.id] = clip
    count = min(max(ALIGNED_VIDEOS, len(vectors)), MOST_ALIGNED_VIDEOS)
    return [list(leads[video_id].values()) for video_id in sorted(ranks, key=ranks.__getitem__)[:count]]


def match_videos(
    catalog: Catalog,
    examples: Sequence[EncodedExample],
    leads: Sequence[Sequence[Clip]],
    sample_ids: Sequence[int],
    level: Level,
    pool: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> list[Hit]:
    """One hit for each video that shows a part of the example; the most and likest first.

    Args:
        catalog: To read features from.
        examples: The example as it is, mirrored, and so on.
        leads: Clips by video, as `find_leads` gives them.
        sample_ids: Some clips of the library, which show what unrelated frames score.
        level: What scores are worth.
        pool: Features to an embedding.
    """
    dim = examples[0].features.shape[1]
    usual = _usual_scores(catalog, examples, sample_ids, dim)
    found: list[tuple[float, Hit]] = []
    for standard in (USUAL_STANDARD, SECOND_STANDARD):
        for clips in leads:
            check_budget()
            pieces = _pieces_of_video(catalog, examples, usual, clips, dim, standard)
            if pieces:
                hit = _hit(catalog, clips[0], pieces, dim, level, pool)
                found.append((sum(one.worth for one in pieces), hit))
        if found:
            break
    return [hit for _, hit in sorted(found, key=lambda entry: -entry[0])]


def _usual_scores(
    catalog: Catalog, examples: Sequence[EncodedExample], sample_ids: Sequence[int], dim: int
) -> list[NDArray[np.float32] | None]:
    """For each example, what its frames (n,) score with the middle one of the library's videos.

    None where there are too few videos to say what is usual.
    """
    known = catalog.clips(sample_ids)
    ids = sorted(known)
    videos, owners = np.unique([known[clip_id].video_id for clip_id in ids], return_inverse=True)
    if len(videos) < LEAST_BACKGROUND_VIDEOS:
        return [None] * len(examples)
    means = np.zeros((len(videos), dim), np.float32)
    np.add.at(means, owners, catalog.embeddings(ids, dim))
    means /= np.bincount(owners)[:, None]
    return [np.median(example.features @ means.T, axis=1) for example in examples]


@dataclass(frozen=True, slots=True)
class _Piece:
    """What was found of an example, mirrored or not."""

    piece: Alignment
    example: EncodedExample

    @property
    def worth(self) -> float:
        """The seconds that it covers, weighted by how well they fit."""
        return self.piece.query_seconds * self.piece.excess


def _pieces_of_video(
    catalog: Catalog,
    examples: Sequence[EncodedExample],
    usual: Sequence[NDArray[np.float32] | None],
    clips: Sequence[Clip],
    dim: int,
    standard: Standard,
) -> list[_Piece]:
    """The pieces of an example in the stretches of a video around some clips, in order of the example."""
    found: list[_Piece] = []
    length = max(example.span[1] - example.span[0] for example in examples)
    for start, end in _stretches(clips, ROOM * length + ROOM_SECONDS):
        features, times, ids = catalog.features(clips[0].video_id, start, end, dim)
        if not len(times):
            continue  # it went away meanwhile
        ends = catalog.clips([int(ids[0]), int(ids[-1])])
        if len(ends) < len({int(ids[0]), int(ids[-1])}):
            continue
        span = (ends[int(ids[0])].start_seconds, ends[int(ids[-1])].end_seconds)
        stretch = Stretch(features, times, span)
        for example, level in zip(examples, usual, strict=True):
            check_budget()
            found += [_Piece(piece, example) for piece in align(example.stretch, stretch, level, standard)]
    # As it is, mirrored or cut out, whichever explains most of it; of the others, what that leaves over. What
    # looks the same both ways is as it is: noise alone would tell which.
    worth = {id(example): 0.0 for example in examples}
    for one in found:
        worth[id(one.example)] += one.worth * (1.0 if one.example is examples[0] else 1 - READING_COST)
    kept: list[_Piece] = []
    for one in sorted(found, key=lambda one: (-worth[id(one.example)], -one.worth)):
        if not any(_overlap_in_example(one.piece, other.piece) for other in kept):
            kept.append(one)
    return sorted(kept, key=lambda one: one.piece.query_start_seconds)


def _stretches(clips: Sequence[Clip], room_seconds: float) -> list[tuple[float, float]]:
    """Clips with room on both sides, as spans that do not overlap, none longer than may be read at once."""
    stretches: list[tuple[float, float]] = []
    for clip in sorted(clips, key=lambda one: one.start_seconds):
        start, end = max(clip.start_seconds - room_seconds, 0.0), clip.end_seconds + room_seconds
        if stretches and start <= stretches[-1][1]:
            stretches[-1] = (stretches[-1][0], max(end, stretches[-1][1]))
        else:
            stretches.append((start, end))
    return [part for start, end in stretches for part in _in_parts(start, end)]


def _in_parts(start: float, end: float) -> list[tuple[float, float]]:
    """A span in equal parts that are short enough."""
    count = max(1, math.ceil((end - start) / MOST_STRETCH_SECONDS))
    return list(pairwise(np.linspace(start, end, count + 1).tolist()))


def _overlap_in_example(one: Alignment, other: Alignment) -> bool:
    shared = min(one.query_end_seconds, other.query_end_seconds) - max(
        one.query_start_seconds, other.query_start_seconds
    )
    return shared > 0.2 * min(one.query_seconds, other.query_seconds)


def _hit(
    catalog: Catalog,
    lead: Clip,
    pieces: Sequence[_Piece],
    dim: int,
    level: Level,
    pool: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> Hit:
    """The hit of a video: its span is where most of the example lies, `matches` are all pieces."""
    main = max(_neighbourhoods(pieces), key=lambda group: sum(one.piece.query_seconds for one in group))
    best = max(main, key=lambda one: one.worth)
    start = min(one.piece.start_seconds for one in main)
    end = max(one.piece.end_seconds for one in main)
    best_start, best_end = best.piece.start_seconds, best.piece.end_seconds
    features, times, _ = catalog.features(lead.video_id, best_start, best_end, dim)
    # Pooled like clips, so that the score stands on the same scale as theirs.
    shown = _inside(times, best_start, best_end)
    asked = _inside(best.example.times_seconds, best.piece.query_start_seconds, best.piece.query_end_seconds)
    score = float(pool(features[shown]) @ pool(best.example.features[asked]))
    score = max(-1.0, min(1.0, score))
    spanned = catalog.clips_of_video(lead.video_id, start, end)
    middle = min(spanned, key=lambda clip: abs(clip.start_seconds + clip.end_seconds - start - end))
    frames = catalog.key_frames([clip.id for clip in spanned])
    return Hit(
        clip_id=middle.id,
        video_id=lead.video_id,
        path=lead.path,
        start_seconds=start,
        end_seconds=end,
        score=score,
        probability=max(level.probability(score), ALIGNED_PROBABILITY),
        key_frames=tuple(frame for clip in spanned for frame in frames[clip.id]),
        match=_match(best),
        matches=tuple(_match(one) for one in pieces),
    )


def _inside(times: NDArray[np.float64], start: float, end: float) -> NDArray[np.bool_]:
    """Which times lie in a span; the one nearest to its middle always."""
    inside = (times >= start) & (times <= end)
    inside[np.argmin(np.abs(times - (start + end) / 2))] = True
    return inside


def _neighbourhoods(pieces: Sequence[_Piece]) -> list[list[_Piece]]:
    """Pieces that meet or nearly meet in the video, together."""
    groups: list[list[_Piece]] = []
    reached = 0.0
    for one in sorted(pieces, key=lambda one: one.piece.start_seconds):
        near = max(NEAR_SECONDS, one.example.step_seconds * one.piece.speed)  # no closer can be told
        if groups and one.piece.start_seconds <= reached + near:
            groups[-1].append(one)
            reached = max(reached, one.piece.end_seconds)
        else:
            groups.append([one])
            reached = one.piece.end_seconds
    return groups


def _match(one: _Piece) -> Match:
    piece = one.piece
    return Match(
        piece.query_start_seconds,
        piece.query_end_seconds,
        piece.speed,
        one.example.mirrored,
        piece.reversed,
        piece.start_seconds,
        piece.end_seconds,
    )


def passes(hit: Hit, allowed: NDArray[np.int64] | None, filters: Filters, letting_in: list[Segment]) -> bool:
    """True where an aligned hit itself is what the filters want, and in a clip that passes them."""
    if allowed is None:
        return True
    length = hit.end_seconds - hit.start_seconds
    if length < (filters.min_duration_seconds or 0) - 1e-6:
        return False
    if filters.max_duration_seconds is not None and length > filters.max_duration_seconds + 1e-6:
        return False
    if filters.action is not None and not any(
        overlaps_enough(hit.start_seconds, hit.end_seconds, segment) for segment in letting_in
    ):
        return False
    return bool(np.isin(hit.clip_id, allowed))


def merged(matched: Sequence[Hit], hits: Sequence[Hit], *, one_per_video: bool) -> list[Hit]:
    """Aligned hits before the clips that they leave over: they are the footage, the others resemble it."""
    rest = [
        hit
        for hit in hits
        if not any(
            _overlap(hit, other) or (one_per_video and hit.video_id == other.video_id) for other in matched
        )
    ]
    # Both come in their order, which is kept among the strong and among the weak.
    return sorted([*matched, *rest], key=lambda hit: hit.weak)


def _overlap(one: Hit, other: Hit) -> bool:
    return (
        one.video_id == other.video_id
        and one.start_seconds < other.end_seconds
        and one.end_seconds > other.start_seconds
    )
