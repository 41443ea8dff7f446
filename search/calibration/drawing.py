"""Draws the sample of a library at one state, from its index and its catalog."""

from __future__ import annotations

from search.calibration.probabilities import is_fitted
from search.calibration.sample import Sample, choose_clips, measure_sample
from search.catalog.catalog import Catalog
from search.catalog.record import LibraryRecord
from search.index.mirror import Mirror


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
    return measure_sample(
        record.catalog_id,
        record.revision,
        len(mirror.index),
        chosen,
        mirror.index.vectors_of(chosen),
        None if is_fitted(record.encoder_id) else catalog.background(),
    )
