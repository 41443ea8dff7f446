"""Checks of what is stored of each clip: vectors, times, features and key frames.

All of it is read, a few megabytes at a time, and no model is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Double,
    Integer,
    LargeBinary,
    Table,
    cast,
    func,
    or_,
    select,
)

from encoders.embedding.encoder import POOLINGS
from encoders.embedding.registry import pool_of
from search.catalog.clips.stored_vectors import (
    TIME_TOLERANCE_SECONDS,
    agreed_dim,
    are_sound,
    fits,
    sample_condition,
    stored_clips,
)
from search.catalog.record import LibraryRecord
from search.catalog.tables import checksum, clip_vectors, clips, key_frames, metadata
from search.catalog.tables import library as library_table
from search.checking import repairs
from search.checking.findings import Finding, count_rows, finding, name_rows

if TYPE_CHECKING:
    from search.library import Library

PICTURES_PER_FETCH = 256
OWNERS = {clips: clips.c.id, clip_vectors: clip_vectors.c.clip_id, key_frames: key_frames.c.clip_id}


def clip_findings(
    library: Library, connection: Connection, record: LibraryRecord | None, share: float = 1.0
) -> Iterator[Finding]:
    """Yields every finding about clips; vectors and pictures of a share of them, another each time."""
    chosen = sample_condition(share)
    yield from _values(library, connection)
    if record is not None:
        actual = with_agreed_dim(connection, record)
        yield _dimension(library, connection, record, actual)
        yield from _vectors(library, connection, actual, chosen)
    yield _pictures(library, connection, chosen)


def with_agreed_dim(connection: Connection, record: LibraryRecord) -> LibraryRecord:
    """Returns the library's row with the dimension of its clips: one number is damaged sooner than all."""
    return replace(record, dim=agreed_dim(connection, record.dim))


def _values(library: Library, connection: Connection) -> Iterator[Finding]:
    """Checks the types of values: on SQLite a column may hold any, and what is no blob cannot be read."""
    if connection.dialect.name != "sqlite":
        return
    of_clips: set[int] = set()
    others: list[str] = []
    looked_at = 0
    for table in metadata.sorted_tables:
        looked_at += count_rows(connection, table)
        key = OWNERS.get(table, next(iter(table.primary_key.columns)))
        wrong = connection.execute(select(key).where(_is_mistyped(table))).scalars().all()
        if table in OWNERS:
            of_clips.update(wrong)
        else:
            others += name_rows(table.name, wrong)
    yield finding(
        "values of clips",
        looked_at,
        name_rows("clip", sorted(of_clips)),
        "clips with values of the wrong type: their videos are to be read anew",
        lambda: repairs.forget_clips(library, sorted(of_clips)),
    )
    yield finding(
        "other values",
        looked_at,
        others,
        "values of the wrong type: put a backup back (`indexer restore --force`)",
    )


def _is_mistyped(table: Table) -> ColumnElement[bool]:
    """Selects rows with a value that is not of its column's type; what may not be NULL, SQLite checks."""
    return or_(*(func.typeof(column).not_in(("null", *_types(column.type))) for column in table.c))


def _types(column_type: object) -> tuple[str, ...]:
    if isinstance(column_type, LargeBinary):
        return ("blob",)
    if isinstance(column_type, Double):
        return ("real", "integer")
    return ("integer",) if isinstance(column_type, Integer | Boolean) else ("text",)


def _dimension(
    library: Library, connection: Connection, record: LibraryRecord, actual: LibraryRecord
) -> Finding:
    wrong = [] if record.dim == actual.dim else [f"{record.dim}, not {actual.dim}"]
    return finding(
        "dimension",
        count_rows(connection, library_table),
        wrong,
        "the library's own row is wrong about the length of its clips' vectors; it can be set right",
        lambda: repairs.set_dim(library, actual.dim),
    )


def _vectors(
    library: Library, connection: Connection, record: LibraryRecord, chosen: ColumnElement[bool]
) -> Iterator[Finding]:
    """Checks that a clip has features of norm 1, times within it, and the embedding they come to."""
    pool = pool_of(record.encoder_spec, record.pooling) if record.pooling in POOLINGS else None
    looked_at = 0
    wrong: list[int] = []
    apart: list[int] = []
    changed: list[int] = []  # what makes sense, and is not what was stored
    for found, unread in stored_clips(connection, record.dim, chosen):
        looked_at += len(found) + len(unread)
        wrong += unread
        for clip, is_sound in zip(found, are_sound(found), strict=True):
            if not is_sound:
                wrong.append(clip.id)
            elif pool is not None and not fits(clip.features, clip.embedding, pool):
                apart.append(clip.id)
            elif clip.is_changed:
                changed.append(clip.id)
    yield _to_read_anew(
        library,
        "vectors",
        looked_at,
        wrong,
        "clips without vectors, or with some of wrong length or norm, or with times outside them",
    )
    yield finding(
        "embeddings",
        looked_at,
        name_rows("clip", apart),
        "embeddings that are not what their features come to; the index may tell which is right, else their "
        "videos are to be read anew",
        lambda: repairs.restore_embeddings(library, record, apart),
    )
    yield _to_read_anew(
        library,
        "checksums of vectors",
        looked_at,
        changed,
        "clips whose vectors or times are not, bit for bit, what was stored",
    )


def _pictures(library: Library, connection: Connection, chosen: ColumnElement[bool]) -> Finding:
    """Checks that a clip has key frames at times within it, each a whole JPEG and the one stored."""
    is_outside = or_(
        key_frames.c.time_seconds < clips.c.start_seconds - TIME_TOLERANCE_SECONDS,
        key_frames.c.time_seconds > clips.c.end_seconds + TIME_TOLERANCE_SECONDS,
    )
    query = (
        select(
            clips.c.id,
            cast(key_frames.c.jpeg, LargeBinary).label("jpeg"),
            key_frames.c.crc32,
            is_outside.label("is_outside"),
        )
        .outerjoin(key_frames, key_frames.c.clip_id == clips.c.id)
        .where(clips.c.revision.is_not(None), chosen)
        .execution_options(yield_per=PICTURES_PER_FETCH)
    )
    looked_at, wrong = 0, set()
    for row in connection.execute(query):
        looked_at += 1
        jpeg = row.jpeg or b""
        is_whole = jpeg[:2] == b"\xff\xd8" and jpeg[-2:] == b"\xff\xd9"
        is_changed = row.crc32 not in (None, checksum(jpeg))
        if row.is_outside or not is_whole or is_changed:
            wrong.add(int(row.id))
    return _to_read_anew(
        library,
        "pictures",
        looked_at,
        sorted(wrong),
        "clips without key frames, or with some that are no whole picture or not the one that was stored",
    )


def _to_read_anew(library: Library, check: str, looked_at: int, wrong: Sequence[int], what: str) -> Finding:
    return finding(
        check,
        looked_at,
        name_rows("clip", sorted(wrong)),
        f"{what}: their videos are to be read anew",
        lambda: repairs.forget_clips(library, wrong),
    )
