"""The library's own row: its encoder, its sampling, its revision."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, select, update

from encoders.errors import LibraryError
from search.catalog.statements import Statements
from search.catalog.tables import checksum, library


@dataclass(frozen=True, slots=True)
class LibraryRecord:
    """The library's row: what was decided when it was made, and its state.

    Attributes:
        revision: Of the last transaction that showed or hid clips.
        filter_revision: Of the last one that changed what filters go by, and no clips.
        clip_count: How many clips are visible.
    """

    catalog_id: str
    encoder_spec: str
    encoder_id: str
    pooling: str
    dim: int
    sampling: str
    revision: int
    filter_revision: int = 0
    clip_count: int = 0


class RecordCatalog(Statements):
    """Reads and writes the library's row."""

    def create_library(
        self, *, encoder_spec: str, encoder_id: str, pooling: str, dim: int, sampling: str
    ) -> None:
        """Writes the one library row; the encoder cannot be changed afterwards."""
        self._connection.execute(
            insert(library).values(
                id=1,
                catalog_id=uuid.uuid4().hex,
                encoder_spec=encoder_spec,
                encoder_id=encoder_id,
                pooling=pooling,
                dim=dim,
                sampling=sampling,
                revision=0,
                created_at=time.time(),
            )
        )

    def library_record(self) -> LibraryRecord | None:
        """Reads the library row; None before the first ingest."""
        # Not the background texts: every search reads this row several times, and they are the most of it.
        columns = (library.c[field.name] for field in fields(LibraryRecord))
        row = self._connection.execute(select(*columns)).first()
        if row is None:
            return None
        return LibraryRecord(**row._mapping)

    def background(self) -> NDArray[np.float32] | None:
        """Reads the stored background texts: float32 (N, D); None for an encoder without words."""
        row = self._connection.execute(select(library.c.background, library.c.dim)).first()
        if row is None or row.background is None:
            return None
        return np.frombuffer(row.background, np.float16).reshape(-1, row.dim).astype(np.float32)

    def set_library(self, *, sampling: str | None = None, background: NDArray | None = None) -> None:
        """Changes the default sampling, or stores the background texts: float (N, D)."""
        values: dict[str, Any] = {}
        if sampling is not None:
            values["sampling"] = sampling
        if background is not None:
            values["background"] = background.astype(np.float16).tobytes()
            values["crc32"] = checksum(values["background"])
        if values:
            self._connection.execute(update(library).values(**values))

    def revision(self) -> int:
        """Reads the revision of the last transaction that showed or hid clips."""
        return self._connection.execute(select(library.c.revision)).scalar_one()

    def visible_clips(self) -> int:
        """Reads how many clips are visible; 0 before the first ingest."""
        return self._connection.execute(select(library.c.clip_count)).scalar() or 0

    def _next_revision(self) -> int:
        # Locks the row until commit, so revisions become visible in their own order.
        self._connection.execute(update(library).values(revision=library.c.revision + 1))
        return self.revision()

    def _count(self, shown: int) -> None:
        """Adds to the number of visible clips; after `_next_revision`."""
        if shown:
            self._connection.execute(update(library).values(clip_count=library.c.clip_count + shown))


def open_record(catalog: RecordCatalog) -> LibraryRecord:
    """Reads the library row. Raises LibraryError where there is none yet."""
    record = catalog.library_record()
    if record is None:
        raise LibraryError("this library is empty: run `indexer ingest PATH` first")
    return record
