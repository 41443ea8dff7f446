"""Draws the sample of a library at one state, from its index and its catalog."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from search.calibration.probabilities import is_fitted
from search.calibration.sample import Sample, choose_clips, measure_sample
from search.catalog.catalog import Catalog
from search.catalog.record import LibraryRecord
from search.index.mirror import Mirror
from search.index.vector_index import VectorIndex


def draw_sample(mirror: Mirror, catalog: Catalog, record: LibraryRecord, known: Sample | None) -> Sample:
    """Draws clips that stand for a library as it is now.

    Args:
        mirror: The library's index, at the catalog's revision.
        catalog: At one moment.
        record: Its library row.
        known: What was drawn before; it is given back where nothing has changed.
    """
    if known is not None and (known.catalog_id, known.revision) == (record.catalog_id, record.revision):
        return known
    chosen = choose_clips(mirror.index.ids())
    if mirror.index.is_stored_exactly:
        embeddings = _rows(mirror.index, chosen)
    else:
        usable = known if known is not None and known.catalog_id == record.catalog_id else None
        chosen, embeddings = _read_new(catalog, record.dim, chosen, usable)
    return measure_sample(
        record.catalog_id,
        record.revision,
        len(mirror.index),
        chosen,
        embeddings,
        None if is_fitted(record.encoder_id) else catalog.background(),
    )


def _rows(index: VectorIndex, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
    """The vectors of ids, ascending, as the index stores them: float32 (S, D)."""
    ids, vectors = index.contents()
    places = np.flatnonzero(np.isin(ids, chosen))
    return vectors[places[np.argsort(ids[places])]]


def _read_new(
    catalog: Catalog, dim: int, chosen: NDArray[np.int64], known: Sample | None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The clips that the catalog has, and their embeddings; those drawn before are not read again."""
    rows: dict[int, NDArray[np.float32]] = {}
    if known is not None:
        rows = dict(zip(known.clip_ids.tolist(), known.embeddings, strict=True))
    new = list(catalog.clips([clip_id for clip_id in chosen.tolist() if clip_id not in rows]))
    if new:
        rows.update(zip(new, catalog.embeddings(new, dim), strict=True))
    there = [clip_id for clip_id in chosen.tolist() if clip_id in rows]
    embeddings = np.array([rows[clip_id] for clip_id in there], np.float32).reshape(-1, dim)
    return np.array(there, np.int64), embeddings
