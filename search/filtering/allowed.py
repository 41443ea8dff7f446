"""Allowed sets: the ids of the clips that pass a filter, kept by the state of the catalog and the filter."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from search.catalog.catalog import Catalog
from search.catalog.clips.filtered import check_video_ids
from search.catalog.record import LibraryRecord
from search.filtering.columns import ClipColumns
from search.filtering.saved import load_columns, save_columns
from search.types import Filters, Segment, SegmentQuery

KEPT_BYTES = 64 * 2**20
LEAST_SAVED = 50_000  # clips; fewer are read from the catalog in 50 ms

Ids = NDArray[np.int64]


class AllowedSets:
    """Finds the clips that pass filters; safe to share between threads.

    Args:
        path: Where the columns of a large catalog are kept for the next program; None for nowhere.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._kept: LRUCache[object, Ids] = LRUCache(KEPT_BYTES, getsizeof=lambda ids: ids.nbytes + 1024)
        self._columns: ClipColumns | None = None
        self._catalog_id = ""
        self._revision = 0
        self._count_saved = 0  # of clips, in the file

    def find(
        self,
        catalog: Catalog,
        record: LibraryRecord,
        filters: Filters,
        showing: SegmentQuery | Sequence[Segment] | None = None,
    ) -> Ids:
        """Finds the visible clips that pass: int64 (N,), ascending; not to be written into.

        Args:
            catalog: At one moment.
            record: Its library row.
            filters: What clips must satisfy; the action that they name is not looked at.
            showing: Of which segments one must be in the clip; None for any clip.

        Raises:
            InvalidQueryError: The filters cannot be met in any library, or ask for captions where there are
                none.
        """
        key = None
        if showing is None or isinstance(showing, SegmentQuery):
            key = record.catalog_id, record.revision, record.filter_revision, filters, showing
            with self._lock:
                known = self._kept.get(key)
            if known is not None:
                return known
        prefix = filters.path_prefix
        if prefix is not None:
            filters = replace(filters, path_prefix=catalog.catalogued_prefix(prefix))
        columns = self._columns_of(catalog, record)
        ids = columns.ids[_passing(columns, catalog, filters, showing)]
        ids.flags.writeable = False
        # What the disk says of a name that the catalog does not know is asked each time.
        is_lasting = prefix is None or (filters.path_prefix == prefix and len(ids))
        if key is not None and is_lasting and ids.nbytes < KEPT_BYTES // 2:
            with self._lock:
                self._kept[key] = ids
        return ids

    def forget(self) -> None:
        """Forgets the sets that are kept, not the columns."""
        with self._lock:
            self._kept.clear()

    def _columns_of(self, catalog: Catalog, record: LibraryRecord) -> ClipColumns:
        """The columns at the state of a catalog."""
        with self._lock:
            columns, revision, catalog_id = self._columns, self._revision, self._catalog_id
            if columns is None and self._path is not None:
                saved = load_columns(self._path, record.catalog_id)
                columns, revision = saved or (None, 0)
                catalog_id, self._count_saved = record.catalog_id, 0 if columns is None else len(columns)
            if record.catalog_id != catalog_id or record.revision < revision:
                columns = None  # another catalog, or one that was put back from a copy
            if columns is not None and revision < record.revision:
                columns = columns.caught_up(catalog, revision)
            # Put back from a copy, and gone on by itself since.
            if columns is not None and len(columns) != record.clip_count and columns is not self._columns:
                columns = None
            if columns is None:
                columns = ClipColumns.read(catalog)
            self._columns, self._catalog_id, self._revision = columns, record.catalog_id, record.revision
            has_grown = len(columns) - self._count_saved > max(LEAST_SAVED, self._count_saved // 8)
            if self._path is not None and has_grown:
                save_columns(columns, self._path, record.catalog_id, record.revision)
                self._count_saved = len(columns)
            return columns


def _passing(
    columns: ClipColumns, catalog: Catalog, filters: Filters, showing: SegmentQuery | Sequence[Segment] | None
) -> NDArray[np.bool_]:
    passes = columns.lasting(filters.min_duration_seconds, filters.max_duration_seconds)
    if filters.caption is not None:
        catalog.captions.check_any()
        passes &= columns.among(catalog.filters.clips_captioned(filters.caption))
    if (video_ids := catalog.filters.videos_passing(filters)) is not None:
        passes &= columns.of_videos(video_ids)
    if filters.video_ids is not None:
        check_video_ids(filters.video_ids)
        passes &= columns.of_videos(np.array(filters.video_ids, np.int64))
    if isinstance(showing, SegmentQuery):
        passes &= columns.showing(*catalog.filters.spans(showing))
    elif showing is not None:
        spans = np.array([(one.video_id, one.start_seconds, one.end_seconds) for one in showing])
        spans = spans.reshape(-1, 3)
        passes &= columns.showing(spans[:, 0].astype(np.int64), spans[:, 1], spans[:, 2])
    return passes
