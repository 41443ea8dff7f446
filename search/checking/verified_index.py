"""Compares the saved index with the catalog."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, LargeBinary, cast, select

from encoders.embedding.encoder import POOLINGS
from encoders.embedding.registry import pool_of
from encoders.errors import EncoderMismatchError, IndexFileError
from search.catalog.catalog import Catalog
from search.catalog.clips.stored_vectors import Vectors, chosen_clips, fits
from search.catalog.record import LibraryRecord
from search.catalog.tables import clip_vectors, clips
from search.checking import repairs
from search.checking.findings import Finding, finding, name_rows
from search.checking.verified_clips import with_agreed_dim
from search.index.files import describe_index, load_index, verify_index
from search.index.vector_index import VectorIndex
from search.types import Filters

if TYPE_CHECKING:
    from search.library import Library

ROWS_PER_READ = 4096
HALF_TOLERANCE = 1e-3  # of a number of a unit vector that an index keeps in 16 bits


def index_finding(library: Library, *, is_whole: bool = True) -> Finding:
    """Checks that the saved index, brought up to date, holds what the catalog holds.

    Args:
        library: At the newest migration.
        is_whole: Vector for vector; else clip for clip, and its file as it was written.
    """

    def broken(reason: str) -> Finding:
        return Finding(
            "index",
            1,
            1,
            f"{reason}; it can be made anew from the catalog",
            mend=lambda: repairs.rebuild_index(library),
        )

    with library.database.read() as connection:
        catalog = Catalog(connection)
        record = catalog.library_record()
        folder = library.index_keeper.folder
        saved = describe_index(folder)
        if record is None:
            if saved is None:
                return Finding("index", 0)
            message = (
                f"the index is of {saved.clips} clips, and the catalog is empty: put a backup back "
                "(`indexer restore --force`), or begin anew with `indexer ingest`"
            )
            return Finding("index", 1, 1, message)
        record = with_agreed_dim(connection, record)
        try:
            changed = verify_index(folder, record)
            if changed is not None:
                return broken(f"the index in {folder} has changed on disk: {changed}")
            mirror = load_index(folder, record)
        except FileNotFoundError:
            if saved is not None:
                return broken("the index's file is gone")
            return Finding("index", 0)  # none was saved: the next search makes it
        except (IndexFileError, EncoderMismatchError, OSError, ValueError, KeyError) as error:
            return broken(str(error))
        if mirror.revision > record.revision:
            return broken(
                f"the index is of revision {mirror.revision}, the catalog of {record.revision}: that was put "
                "back from a copy"
            )
        try:
            index = mirror.catch_up(catalog, record).index
        except (TypeError, ValueError):  # vectors of other lengths or types
            return broken("the index is older than the catalog, and cannot be brought up to date")
        count, wrong = (_compare if is_whole else _compare_ids)(index, connection, record)
    return finding(
        "index",
        count,
        name_rows("clip", wrong),
        "the index does not hold what the catalog holds; it can be made anew from it",
        lambda: repairs.rebuild_index(library),
    )


def _compare(index: VectorIndex, connection: Connection, record: LibraryRecord) -> tuple[int, list[int]]:
    """Counts the clips, and lists those that the index holds otherwise, or alone."""
    ids, vectors = index.contents()
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    allowed = 0.0 if index.is_stored_exactly else HALF_TOLERANCE
    count, wrong = 0, set(ids[1:][ids[1:] == ids[:-1]].tolist())
    unseen = np.ones(len(ids), bool)
    other: dict[int, Vectors] = {}  # what the index holds of clips of which the catalog holds another
    for wanted, expected in _embeddings(connection, record.dim):
        count += len(wanted)
        place = np.searchsorted(ids, wanted)
        inside = place < len(ids)
        known = np.zeros(len(wanted), bool)
        known[inside] = ids[place[inside]] == wanted[inside]
        wrong.update(wanted[~known].tolist())
        unseen[place[known]] = False
        held = vectors[order[place[known]]]
        differs = ~(np.abs(held - expected[known]).max(axis=1, initial=0.0) <= allowed)
        other.update(zip(wanted[known][differs].tolist(), held[differs], strict=True))
    wrong.update(ids[unseen].tolist())
    return count, sorted(wrong | set(other) - _right(connection, record, other))


def _compare_ids(index: VectorIndex, connection: Connection, _: LibraryRecord) -> tuple[int, list[int]]:
    known = Catalog(connection).clip_ids(Filters())
    return len(known), np.setxor1d(known, index.ids()).tolist()


def _right(connection: Connection, record: LibraryRecord, held: dict[int, Vectors]) -> set[int]:
    """The clips that the index alone is right about: their features come to what it holds."""
    if record.pooling not in POOLINGS:
        return set()
    pool = pool_of(record.encoder_spec, record.pooling)
    found = chosen_clips(connection, record.dim, sorted(held))
    return {
        clip.id
        for clip in found
        if fits(clip.features, held[clip.id], pool) and not fits(clip.features, clip.embedding, pool)
    }


def _embeddings(connection: Connection, dim: int) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
    """Visible clips' embeddings of the right length, ascending by id: (N,), (N, D)."""
    last_id = 0
    while True:
        query = (
            select(clips.c.id, cast(clip_vectors.c.embedding, LargeBinary).label("embedding"))
            .join(clip_vectors, clip_vectors.c.clip_id == clips.c.id)
            .where(clips.c.revision.is_not(None), clips.c.id > last_id)
            .order_by(clips.c.id)
            .limit(ROWS_PER_READ)
        )
        rows = connection.execute(query).all()
        if not rows:
            return
        last_id = rows[-1].id
        good = [row for row in rows if len(row.embedding) == 4 * dim]
        joined = b"".join(row.embedding for row in good)
        yield np.array([row.id for row in good], np.int64), np.frombuffer(joined, np.float32).reshape(-1, dim)
