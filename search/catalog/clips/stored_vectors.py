"""Stored vectors of clips, read as they lie there and checked without the footage."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Double, LargeBinary, cast, func, select, true

from encoders.embedding.encoder import Pool
from search.catalog.tables import checksum, clip_vectors, clips

ROWS_PER_FETCH = 16
BYTES_PER_BATCH = 16 * 2**20
IDS_PER_STATEMENT = 500
SAMPLE_PARTS = 10_000
SAMPLE_STEP = 6181  # near 10,000 over the golden ratio
NORM_TOLERANCE = 1e-3  # features are kept in 16 bits
TIME_TOLERANCE_SECONDS = 1e-3
# An embedding was pooled from features of 32 bits, of which those that are kept are rounded by 2**-12 of
# each number: its numbers may differ by that, more where frames cancel out or attention shifts a little.
POOLED_TOLERANCE = 2.0**-7
POOLED_LEAST = 2.0**-14

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StoredClip:
    """One clip whose parts have the right lengths: embedding float32 (D,), features float16 (T, D).

    Attributes:
        is_changed: Whether they are not, bit for bit, what was stored; False where no checksum tells.
    """

    id: int
    start_seconds: float
    end_seconds: float
    embedding: Vectors
    times: NDArray[np.float64]
    features: NDArray[np.float16]
    is_changed: bool


def agreed_dim(connection: Connection, recorded: int) -> int:
    """Finds D as most clips with fitting vectors, times and features have it; else what is recorded."""
    sizes = [func.length(clip_vectors.c[name]) for name in ("embedding", "times", "features")]
    query = (
        select(*sizes, func.count())
        .join(clips, clips.c.id == clip_vectors.c.clip_id)
        .where(clips.c.revision.is_not(None))
        .group_by(*sizes)
    )
    votes: Counter[int] = Counter()
    total = 0
    for row in connection.execute(query):
        embedding, times, features, number = (row[place] or 0 for place in range(4))
        total += number
        if embedding and times and features * 16 == times * embedding and embedding % 4 == 0:
            votes[embedding // 4] += number
    dim, most = max(votes.items(), key=lambda item: item[1], default=(recorded, 0))
    return dim if 2 * most > total else recorded


def stored_clips(
    connection: Connection, dim: int, *conditions: ColumnElement[bool]
) -> Iterator[tuple[list[StoredClip], list[int]]]:
    """Yields visible clips, some megabytes at a time: those of right lengths, and ids of the others."""
    parts = [
        cast(clip_vectors.c[name], LargeBinary).label(name) for name in ("embedding", "times", "features")
    ]
    span = [cast(clips.c[name], Double).label(name) for name in ("start_seconds", "end_seconds")]
    query = (
        select(clips.c.id, clip_vectors.c.crc32, *span, *parts)
        .outerjoin(clip_vectors, clip_vectors.c.clip_id == clips.c.id)
        .where(clips.c.revision.is_not(None), *conditions)
        .order_by(clips.c.id)
        .execution_options(yield_per=ROWS_PER_FETCH)
    )
    good: list[StoredClip] = []
    bad: list[int] = []
    size = 0
    for row in connection.execute(query):
        clip = _read(row, dim)
        if clip is None:
            bad.append(row.id)
            continue
        good.append(clip)
        size += clip.features.nbytes
        if size >= BYTES_PER_BATCH:
            yield good, bad
            good, bad, size = [], [], 0
    yield good, bad


def sample_condition(share: float) -> ColumnElement[bool]:
    """Selects a share of all clips, above 0 to 1: spread evenly, and others each time."""
    if share >= 1:
        return true()
    start = secrets.randbelow(SAMPLE_PARTS)
    # Multiplied by what has no divisor in common, neighbouring ids fall far apart (Knuth 1998, section 6.4).
    return (clips.c.id * SAMPLE_STEP + start) % SAMPLE_PARTS < max(1, round(share * SAMPLE_PARTS))


def chosen_clips(connection: Connection, dim: int, clip_ids: Sequence[int]) -> Iterator[StoredClip]:
    """Yields those of these clips that are visible and whose parts have the right lengths."""
    for start in range(0, len(clip_ids), IDS_PER_STATEMENT):
        chunk = list(clip_ids[start : start + IDS_PER_STATEMENT])
        for good, _ in stored_clips(connection, dim, clips.c.id.in_(chunk)):
            yield from good


def _read(row: Any, dim: int) -> StoredClip | None:
    if row.embedding is None or len(row.embedding) != 4 * dim or len(row.times) % 8 or not row.times:
        return None
    if len(row.features) != 2 * dim * (len(row.times) // 8):
        return None
    return StoredClip(
        row.id,
        row.start_seconds,
        row.end_seconds,
        np.frombuffer(row.embedding, np.float32),
        np.frombuffer(row.times, np.float64),
        np.frombuffer(row.features, np.float16).reshape(-1, dim),
        row.crc32 not in (None, checksum(row.embedding, row.times, row.features)),
    )


def are_sound(found: Sequence[StoredClip]) -> NDArray[np.bool_]:
    """Checks each clip: features of norm 1, times that ascend within it. bool (N,)."""
    if not found:
        return np.zeros(0, bool)
    times = np.concatenate([clip.times for clip in found])
    counts = np.array([len(clip.times) for clip in found])
    starts = np.cumsum(counts) - counts
    with np.errstate(invalid="ignore"):  # NaN is above no number
        ascends = np.diff(times, prepend=times[0]) > 0
        ascends[starts] = True
        first = np.repeat([clip.start_seconds - TIME_TOLERANCE_SECONDS for clip in found], counts)
        last = np.repeat([clip.end_seconds + TIME_TOLERANCE_SECONDS for clip in found], counts)
        right = ascends & (times >= first) & (times <= last)
        right &= _are_units(np.concatenate([clip.features for clip in found]).astype(np.float32))
    return np.logical_and.reduceat(right, starts)


def _are_units(vectors: Vectors) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore", over="ignore"):  # NaN is near no number
        return np.abs(np.sqrt(np.einsum("nd,nd->n", vectors, vectors)) - 1) <= NORM_TOLERANCE


def fits(features: NDArray[np.float16], embedding: Vectors, pool: Pool) -> bool:
    """Checks that an embedding (D,) is of norm 1 and what sound features (T, D) come to, but for rounding."""
    if not _are_units(embedding[None])[0]:
        return False
    spread = np.abs(features).max(axis=0).astype(np.float32)
    length = float(np.linalg.norm(features.mean(axis=0, dtype=np.float32)))
    allowed = POOLED_TOLERANCE * spread / max(length, 1e-3) + POOLED_LEAST
    return bool((np.abs(pool(features) - embedding) <= allowed).all())
