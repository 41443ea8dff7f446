"""Repairs of a catalog by `indexer check --repair`: each is one transaction and says what it did."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    LargeBinary,
    Table,
    and_,
    cast,
    delete,
    func,
    select,
    update,
)

from encoders.embedding.registry import pool_of
from encoders.errors import EncoderMismatchError, IndexFileError
from search.catalog.catalog import Catalog
from search.catalog.clips.stored_vectors import Vectors, chosen_clips, fits
from search.catalog.record import LibraryRecord
from search.catalog.statements import split_into_chunks
from search.catalog.tables import CHECKED, checksum, clip_vectors, clips, videos
from search.catalog.tables import library as library_table
from search.index.files import load_index

if TYPE_CHECKING:
    from search.library import Library

FORGOTTEN = "what was stored of it was damaged and is forgotten; ingest it again"
UNREAD = {"status": "failed", "error": FORGOTTEN, "sampling": None, "digest": None}
ROWS_PER_CHECKSUM = 256


def migrate(library: Library) -> str:
    """Brings the catalog to the newest migration. Raises SchemaError if it is newer than that."""
    before = library.database.schema_revision()
    library.database.migrate()
    return f"migrated from {before or 'nothing'} to {library.database.schema_revision()}"


def rebuild_index(library: Library) -> str:
    """Makes the index anew from the catalog."""
    library.rebuild_index()
    return "made the index anew"


def drop(library: Library, wanted: Mapping[str, tuple[Table, ColumnElement[bool]]]) -> str:
    """Deletes rows, by what to call them; clips among them leave the index too."""
    dropped = []
    with library.database.write() as connection:
        for name, (table, condition) in wanted.items():
            if table is clips:
                ids = connection.execute(select(clips.c.id).where(condition)).scalars().all()
                count = Catalog(connection).remove_clips(ids)
            else:
                Catalog(connection).change_filters()
                count = connection.execute(delete(table).where(condition)).rowcount
            dropped.append(f"{count} {name}")
    return "dropped " + ", ".join(dropped)


def forget_clips(library: Library, clip_ids: Sequence[int]) -> str:
    """Forgets the clips of the videos that these are of, so that the next ingest reads those anew.

    Of a video whose file is not there now, only these clips are forgotten: the others cannot be had again.
    """
    with library.database.write() as connection:
        ids = _select_ids(connection, clips.c.video_id, clips.c.id, clip_ids)
        there, away = _by_presence(connection, ids)
        count = Catalog(connection).remove_clips(
            [*_select_ids(connection, clips.c.id, clips.c.video_id, there), *clip_ids]
        )
        _update_videos(connection, there, **UNREAD)
    said = f"forgot {count} clips; {len(there)} videos are to be read anew by the next ingest"
    return said + (f", {len(away)} have lost clips, and their files are not there" if away else "")


def forget_videos(library: Library, video_ids: Sequence[int]) -> str:
    """Forgets the clips of videos whose file is there, so that the next ingest reads those anew."""
    with library.database.write() as connection:
        there, away = _by_presence(connection, video_ids)
        count = Catalog(connection).remove_clips(_select_ids(connection, clips.c.id, clips.c.video_id, there))
        _update_videos(connection, there, **UNREAD)
    said = f"forgot {count} clips; {len(there)} videos are to be read anew by the next ingest"
    return said + (f", {len(away)} were left as they are, for their files are not there" if away else "")


def set_dim(library: Library, dim: int) -> str:
    """Has the library's own row say of how many numbers its clips' embeddings are."""
    with library.database.write() as connection:
        connection.execute(update(library_table).values(dim=dim))
    return f"set the library's dimension to {dim}"


def set_count(library: Library) -> str:
    """Has the library's own row say how many clips are visible."""
    visible = select(func.count()).select_from(clips).where(clips.c.revision.is_not(None)).scalar_subquery()
    with library.database.write() as connection:
        connection.execute(update(library_table).values(clip_count=visible))
    return "counted the clips"


def set_sampling(library: Library, sampling: str) -> str:
    """Stores how the library samples."""
    with library.write() as catalog:
        catalog.set_library(sampling=sampling)
    return f"set the library's sampling to {sampling}"


def restore_embeddings(library: Library, record: LibraryRecord, clip_ids: Sequence[int]) -> str:
    """Mends embeddings that are not what their clips' features come to.

    The saved index holds a third copy. Where that agrees with the features, the embedding is set right;
    where it does not, nobody can tell which of the two is damaged, and the video is to be read anew.

    Args:
        library: Whose index is looked at.
        record: Its row.
        clip_ids: Of sound features and embeddings that contradict each other.
    """
    held, is_exact = _held(library, record, clip_ids)
    pool = pool_of(record.encoder_spec, record.pooling)
    right: dict[int, Vectors] = {}
    with library.database.read() as connection:
        for clip in chosen_clips(connection, record.dim, clip_ids):
            if clip.id in held and fits(clip.features, held[clip.id], pool):
                right[clip.id] = held[clip.id] if is_exact else pool(clip.features)
    with library.database.write() as connection:
        for clip_id, vector in right.items():
            stored = update(clip_vectors).where(clip_vectors.c.clip_id == clip_id)
            connection.execute(stored.values(embedding=vector.astype(np.float32).tobytes(), crc32=None))
    said = f"set {len(right)} embeddings to what features and index agree on"
    rest = sorted(set(clip_ids) - set(right))
    return f"{said}; {forget_clips(library, rest)}" if rest else said


def _held(
    library: Library, record: LibraryRecord, clip_ids: Sequence[int]
) -> tuple[dict[int, Vectors], bool]:
    """Reads what the saved index holds of clips, and whether bit for bit; nothing where it cannot be read."""
    try:
        index = load_index(library.index_keeper.folder, record).index
    except (FileNotFoundError, IndexFileError, EncoderMismatchError):
        return {}, False
    ids = np.intersect1d(index.ids(), np.array(clip_ids, np.int64))
    return dict(zip(ids.tolist(), index.vectors_of(ids), strict=True)), index.is_stored_exactly


def add_checksums(library: Library) -> str:
    """Gives what is stored without a checksum its own: rows of an older version, and embeddings set right."""
    added = 0
    for table, names in CHECKED.items():
        key = next(iter(table.primary_key.columns))
        columns = [cast(table.c[name], LargeBinary).label(name) for name in names]
        is_without = and_(table.c.crc32.is_(None), *(table.c[name].is_not(None) for name in names))
        while True:
            with library.database.write() as connection:
                query = select(key.label("key"), *columns).where(is_without).limit(ROWS_PER_CHECKSUM)
                rows = connection.execute(query).all()
                for row in rows:
                    value = checksum(*(bytes(getattr(row, name)) for name in names))
                    connection.execute(update(table).where(key == row.key).values(crc32=value))
                added += len(rows)
            if not rows:
                break
    return f"gave {added} rows a checksum"


def set_status(library: Library, video_ids: Sequence[int], status: str | ColumnElement[str]) -> str:
    """Marks videos as "missing", as "indexed" when their file is back, or as their row says."""
    with library.database.write() as connection:
        _update_videos(connection, video_ids, status=status)
    named = status if isinstance(status, str) else "what they are"
    return f"marked {len(video_ids)} videos as {named}"


def queue_videos(library: Library, video_ids: Sequence[int]) -> str:
    """Has the next ingest read videos anew; what is stored of them stays until then."""
    with library.database.write() as connection:
        _update_videos(connection, video_ids, sampling=None)
    return f"{len(video_ids)} videos are to be read anew by the next ingest"


def _select_ids(
    connection: Connection, column: Column[int], by: Column[int], ids: Iterable[int]
) -> list[int]:
    """Returns a column of the clips whose other column is one of these ids, each value once, ascending."""
    found: set[int] = set()
    for chunk in split_into_chunks(ids):
        found.update(connection.execute(select(column).where(by.in_(chunk))).scalars())
    return sorted(found)


def _by_presence(connection: Connection, video_ids: Sequence[int]) -> tuple[list[int], list[int]]:
    """Divides videos into those whose file can be read now, and the others."""
    there: list[int] = []
    away: list[int] = []
    for chunk in split_into_chunks(video_ids):
        for row in connection.execute(select(videos.c.id, videos.c.path).where(videos.c.id.in_(chunk))):
            (there if os.access(row.path, os.R_OK) else away).append(row.id)
    return there, away


def _update_videos(connection: Connection, video_ids: Iterable[int], **values: Any) -> None:
    for chunk in split_into_chunks(video_ids):
        connection.execute(update(videos).where(videos.c.id.in_(chunk)).values(**values))
