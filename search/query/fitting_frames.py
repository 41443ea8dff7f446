"""Puts first the key frame of a hit that shows best what was asked for: a hit is shown by that picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoders.types import normalise
from search.hits import Hit
from search.types import KeyFrame

if TYPE_CHECKING:
    from search.catalog.catalog import Catalog

CLIPS_AT_ONCE = 64
MOST_CLIPS = 1000  # whose features are read for one answer, some 20 MB with 512 numbers a frame


def order_key_frames(
    catalog: Catalog,
    hits: Sequence[Hit],
    score: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    dim: int,
) -> list[Hit]:
    """Sorts the key frames of hits by how well they fit the query, the best first.

    A key frame fits as well as the stored feature next to it in time. Those outside of the hit's span, of
    clips that it only touches, come last; where a hit has but one, or lies behind the first MOST_CLIPS clips,
    the order of time stays.

    Args:
        catalog: Where the features are.
        hits: Best first, key frames in order of time.
        score: How well embeddings fit what was asked for, float32 (N, D) -> float32 (N,), as that of
            `AskedFor`.
        dim: D.
    """
    asked = [hit for hit in hits if len(hit.key_frames) > 1]
    clip_ids = list(dict.fromkeys(frame.clip_id for hit in asked for frame in hit.key_frames))
    scored: dict[int, tuple[NDArray[np.float64], NDArray[np.float32]]] = {}
    reading = catalog.features_of_clips(clip_ids[:MOST_CLIPS], dim)
    while few := list(islice(reading, CLIPS_AT_ONCE)):  # one product for all of them
        scores = score(normalise(np.concatenate([features for _, features, _ in few])))
        borders = np.cumsum([len(times) for _, _, times in few])[:-1]
        for (clip_id, _, times), own in zip(few, np.split(scores, borders), strict=True):
            scored[clip_id] = times, own

    def fit(frame: KeyFrame) -> float:
        times, scores = scored[frame.clip_id]
        return float(scores[np.argmin(np.abs(times - frame.time_seconds))])

    def rank(hit: Hit, frame: KeyFrame) -> tuple[bool, float]:
        return not hit.start_seconds <= frame.time_seconds <= hit.end_seconds, -fit(frame)

    return [
        replace(hit, key_frames=tuple(sorted(hit.key_frames, key=lambda frame: rank(hit, frame))))
        if len(hit.key_frames) > 1 and all(frame.clip_id in scored for frame in hit.key_frames)
        else hit
        for hit in hits
    ]
