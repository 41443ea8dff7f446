"""A few hundred clips that stand for a library, and change by single clips as it grows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE_CLIPS = 512


@dataclass(frozen=True, slots=True)
class Sample:
    """Clips of a library at one revision, and how unrelated queries spread over them.

    Attributes:
        catalog_id, revision: Of which library, and when.
        clips: How many clips the library had then.
        clip_ids: int64 (S,), ascending.
        embeddings: float32 (S, D), of norm 1.
        text_means: float32 (B,), what each background text scores on average; None without a text side, or
            where the encoder's usual spread is known.
        text_deviation: The usual deviation of a text's scores over the clips; None likewise.
        clip_deviation: The same of a clip's scores with the others; None for fewer than two clips.
    """

    catalog_id: str
    revision: int
    clips: int
    clip_ids: NDArray[np.int64]
    embeddings: NDArray[np.float32]
    text_means: NDArray[np.float32] | None = None
    text_deviation: float | None = None
    clip_deviation: float | None = None


def choose_clips(ids: NDArray[np.int64], count: int = SAMPLE_CLIPS) -> NDArray[np.int64]:
    """Chooses the `count` ids with the lowest hashes, ascending: int64 (S,).

    A new clip takes the place of one chosen at most, and rarely: what is measured on them changes slowly.
    """
    if len(ids) > count:
        ids = ids[np.argpartition(_hashes(ids), count)[:count]]
    return np.sort(ids)


def measure_sample(
    catalog_id: str,
    revision: int,
    clips: int,
    clip_ids: NDArray[np.int64],
    embeddings: NDArray[np.float32],
    background: NDArray[np.float32] | None,
) -> Sample:
    """Measures how unrelated queries spread over a sample.

    Args:
        catalog_id, revision, clips, clip_ids, embeddings: As in `Sample`.
        background: float32 (B, D), unit vectors of unrelated texts; None leaves texts unmeasured.
    """
    text_means = text_deviation = clip_deviation = None
    if background is not None and len(embeddings):
        scores = background @ embeddings.T
        text_means = scores.mean(axis=1)
        text_deviation = float(np.sqrt(scores.var(axis=1).mean())) if len(embeddings) > 1 else None
    if len(embeddings) > 1:
        scores = embeddings @ embeddings.T
        others = scores[~np.eye(len(scores), dtype=bool)].reshape(len(scores), -1)
        # Of two clips each has one other: then how pairs differ from pairs cannot be told.
        clip_deviation = float(np.sqrt(others.var(axis=1).mean())) if len(embeddings) > 2 else None
    return Sample(
        catalog_id, revision, clips, clip_ids, embeddings, text_means, text_deviation, clip_deviation
    )


def _hashes(ids: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): neighbouring ids get unrelated numbers."""
    mixed = ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
