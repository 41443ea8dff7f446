"""Checks of a catalog: every rule that the code relies on.

Nothing here changes anything but `Finding.mend`, which whoever asked for the finding may call.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import Connection, LargeBinary, and_, case, cast, distinct, func, not_, or_, select

from encoders.errors import HeadFileError
from search.catalog.catalog import Catalog
from search.catalog.clips.stored_vectors import TIME_TOLERANCE_SECONDS
from search.catalog.database import newest_revision
from search.catalog.record import LibraryRecord
from search.catalog.tables import (
    CHECKED,
    action_examples,
    checksum,
    clips,
    heads,
    metadata,
    removed_clips,
    segments,
    videos,
)
from search.catalog.tables import library as library_table
from search.checking import repairs
from search.checking.findings import EXAMPLES, Finding, count_rows, finding, name_rows
from search.checking.verified_clips import clip_findings

if TYPE_CHECKING:
    from search.library import Library

LEFTOVER_SECONDS = 3600.0  # a head may be at work for so long before it counts as left behind
STATUSES = ("indexed", "failed", "missing", "staging")


def schema_finding(library: Library) -> Finding:
    """Checks that the database is at the newest migration; only then can the others be asked."""
    found, newest = library.database.schema_revision(), newest_revision()
    if found == newest:
        return Finding("schema", 1)
    if found is None:  # a migration from nothing would call an empty catalog whole
        message = (
            "the catalog is empty, it has none of our tables: put a backup back (`indexer restore --force`), "
            "or begin anew with `indexer ingest`"
        )
        return Finding("schema", 1, 1, message)
    message = f"the catalog is at migration {found}, this program needs {newest}"
    if found > newest:
        message += ": upgrade reelseek, or put a backup of before back (`indexer restore --force`)"
        return Finding("schema", 1, 1, message)
    return Finding("schema", 1, 1, message, mend=lambda: repairs.migrate(library))


def catalog_findings(library: Library, *, is_ingesting: bool, share: float = 1.0) -> Iterator[Finding]:
    """Yields the findings of every check of the catalog's rows, at one moment of it.

    Args:
        library: At the newest migration.
        is_ingesting: An ingest is going on: what it has staged is no leftover.
        share: Of the clips, whose vectors and pictures are read.
    """
    yield _pages(library)
    with library.database.read() as connection:
        record = Catalog(connection).library_record()
        if not is_ingesting:
            yield _staged(library, connection)
        yield from _orphans(library, connection)
        yield _removals(library, connection, record)
        yield _states(library, connection)
        yield _visibility(library, connection, record)
        yield _count(library, connection, record)
        yield _ordinals(library, connection)
        yield from clip_findings(library, connection, record, share)
        yield _segments(library, connection)
        yield _heads(library, connection)
        yield from _other_checksums(connection)
        yield _missing_checksums(library, connection)


# --- rows --------------------------------------------------------------------------------------


def _pages(library: Library) -> Finding:
    """Asks the engine about its own file; PostgreSQL has no such question for its users."""
    faults = library.database.damage()
    if not faults:
        return Finding("database", 1)
    message = (
        "the database file is damaged: put a backup back (`indexer restore`), or index into a new library"
    )
    return Finding("database", 1, len(faults), message, tuple(faults[:EXAMPLES]))


def _staged(library: Library, connection: Connection) -> Finding:
    is_staged = videos.c.status == "staging"
    return finding(
        "staged videos",
        count_rows(connection, videos),
        connection.execute(select(videos.c.path).where(is_staged)).scalars().all(),
        "left by an ingest that was stopped; the next one drops them too",
        lambda: repairs.drop(library, {"staged videos": (videos, is_staged)}),
    )


def _orphans(library: Library, connection: Connection) -> Iterator[Finding]:
    """Finds rows whose owner is gone, of every table that has owners."""
    for table in metadata.sorted_tables:
        conditions = []
        for key in table.foreign_keys:
            owner = key.column.table.alias()
            exists = select(owner.c[key.column.name]).where(owner.c[key.column.name] == key.parent).exists()
            conditions.append(and_(key.parent.is_not(None), not_(exists)))
        if not conditions:
            continue
        name, is_orphan = table.name.replace("_", " "), or_(*conditions)
        keys = list(table.primary_key.columns)
        query = select(*keys).where(is_orphan)
        wrong = [str(row[0]) for row in connection.execute(query)]
        yield finding(
            name,
            count_rows(connection, table),
            wrong,
            "rows whose video, clip or head is gone; they can be dropped",
            partial(repairs.drop, library, {f"orphaned {name}": (table, is_orphan)}),
        )


def _removals(library: Library, connection: Connection, record: LibraryRecord | None) -> Finding:
    newest = record.revision if record else 0
    is_there = select(clips.c.id).where(clips.c.id == removed_clips.c.clip_id).exists()
    condition = or_(is_there, removed_clips.c.revision > newest)
    wrong = connection.execute(select(removed_clips.c.clip_id).where(condition)).scalars().all()
    return finding(
        "removals",
        count_rows(connection, removed_clips),
        [f"clip {clip_id}" for clip_id in wrong],
        "clips that are noted as removed and are there, or will have been; the notes can be dropped",
        lambda: repairs.drop(library, {"notes of removals": (removed_clips, condition)}),
    )


def _states(library: Library, connection: Connection) -> Finding:
    """Checks that a video has one of the few statuses that there are."""
    is_other = videos.c.status.not_in(STATUSES)
    rows = connection.execute(select(videos.c.id, videos.c.path, videos.c.status).where(is_other)).all()
    right = case((videos.c.error.is_(None), "indexed"), else_="failed")
    return finding(
        "states of videos",
        count_rows(connection, videos),
        [f"{row.path}: {row.status}" for row in rows],
        "videos of a status that there is not; it can be told from the rest of them",
        lambda: repairs.set_status(library, [row.id for row in rows], right),
    )


def _visibility(library: Library, connection: Connection, record: LibraryRecord | None) -> Finding:
    """Checks that a clip has a revision exactly when its video is published, and never one to come."""
    newest = record.revision if record else 0
    is_staged = videos.c.status == "staging"
    query = (
        select(clips.c.id)
        .join(videos, videos.c.id == clips.c.video_id)
        .where(
            or_(
                and_(is_staged, clips.c.revision.is_not(None)),
                and_(~is_staged, clips.c.revision.is_(None)),
                clips.c.revision > newest,
            )
        )
        .order_by(clips.c.id)
    )
    wrong = connection.execute(query).scalars().all()
    return finding(
        "visibility",
        count_rows(connection, clips),
        name_rows("clip", wrong),
        "clips that are half published: their videos are to be read anew",
        lambda: repairs.forget_clips(library, wrong),
    )


def _count(library: Library, connection: Connection, record: LibraryRecord | None) -> Finding:
    """Checks that the library's row counts the visible clips right."""
    count = count_rows(connection, clips, clips.c.revision.is_not(None))
    counted = count if record is None else record.clip_count
    return finding(
        "number of clips",
        1,
        [] if count == counted else [f"{counted}, not {count}"],
        "the library's own row counts another number of clips than there are; it can be set right",
        lambda: repairs.set_count(library),
    )


def _ordinals(library: Library, connection: Connection) -> Finding:
    """Checks that clips are numbered from 0, follow each other, and are as many as were published."""
    shown = clips.c.revision.is_not(None)
    uneven = (
        select(clips.c.video_id)
        .where(shown)
        .group_by(clips.c.video_id)
        .having(
            or_(
                func.count() != func.max(clips.c.ordinal) + 1,
                func.count(distinct(clips.c.ordinal)) != func.count(),
                func.min(clips.c.ordinal) != 0,
            )
        )
    )
    backwards = select(clips.c.video_id).where(shown, not_(clips.c.end_seconds > clips.c.start_seconds))
    after = clips.alias()
    overlapping = (
        select(clips.c.video_id)
        .join(after, and_(after.c.video_id == clips.c.video_id, after.c.ordinal == clips.c.ordinal + 1))
        .where(shown, after.c.start_seconds < clips.c.end_seconds - TIME_TOLERANCE_SECONDS)
    )
    of_video = select(func.count()).select_from(clips).where(clips.c.video_id == videos.c.id, shown)
    number = of_video.scalar_subquery()
    query = (
        select(videos.c.id, videos.c.path)
        .where(
            videos.c.status == "indexed",
            or_(
                *(videos.c.id.in_(one) for one in (uneven, backwards, overlapping)),
                number == 0,
                number != videos.c.clip_count,
            ),
        )
        .order_by(videos.c.id)
    )
    rows = connection.execute(query).all()
    return finding(
        "clips of videos",
        count_rows(connection, videos, videos.c.status == "indexed"),
        [row.path for row in rows],
        "videos with clips missing, doubled, overlapping or without length: they are to be read anew",
        lambda: repairs.forget_videos(library, [row.id for row in rows]),
    )


def _segments(library: Library, connection: Connection) -> Finding:
    condition = or_(
        not_(segments.c.end_seconds > segments.c.start_seconds),
        not_(and_(segments.c.confidence >= 0, segments.c.confidence <= 1)),
    )
    wrong = connection.execute(select(segments.c.id).where(condition)).scalars().all()
    return finding(
        "spans of actions",
        count_rows(connection, segments),
        name_rows("segment", wrong),
        "segments without length, or with an impossible confidence; they can be dropped",
        lambda: repairs.drop(library, {"segments": (segments, condition)}),
    )


def _heads(library: Library, connection: Connection) -> Finding:
    """Checks that heads can be read, and that none was left half taught."""
    from encoders.heads.registry import read_head

    unread, left = [], []
    parameters = cast(heads.c.parameters, LargeBinary).label("parameters")
    rows = connection.execute(
        select(heads.c.id, heads.c.name, heads.c.is_active, heads.c.created_at, parameters)
    ).all()
    for row in rows:
        if not row.is_active and row.created_at < time.time() - LEFTOVER_SECONDS:
            left.append(row)
        elif row.parameters is not None:
            try:
                read_head(bytes(row.parameters))
            except HeadFileError as error:
                unread.append(f"{row.name}: {error}")
    if unread:
        message = "heads that cannot be read: forget them and teach them again (`indexer actions`)"
        return finding("heads", len(rows), unread, message)
    return finding(
        "heads",
        len(rows),
        [row.name for row in left],
        "left by lessons that were stopped; they can be dropped",
        lambda: repairs.drop(library, {"heads": (heads, heads.c.id.in_([row.id for row in left]))}),
    )


def _other_checksums(connection: Connection) -> Iterator[Finding]:
    """Checks that what belongs to no clip is, bit for bit, what was stored."""
    advice = {
        library_table: "the texts that words are held against: put a backup back (`indexer restore --force`)",
        heads: "heads: forget them and teach them again (`indexer actions`)",
        action_examples: "examples: take them back and give them again (`indexer actions`)",
    }
    for table, what in advice.items():
        key = next(iter(table.primary_key.columns))
        parts = [cast(table.c[name], LargeBinary) for name in CHECKED[table]]
        rows = connection.execute(select(key, table.c.crc32, *parts).where(table.c.crc32.is_not(None))).all()
        name = table.name.replace("_", " ")
        wrong = [row[0] for row in rows if row[1] != checksum(*row[2:])]
        message = f"not, bit for bit, what was stored: {what}"
        yield finding(f"checksums of {name}", len(rows), name_rows(name, wrong), message)


def _missing_checksums(library: Library, connection: Connection) -> Finding:
    """Rows of an older version have none; that is no fault, and `--repair` gives them some."""
    missing = sum(
        count_rows(
            connection, table, table.c.crc32.is_(None), *(table.c[name].is_not(None) for name in names)
        )
        for table, names in CHECKED.items()
    )
    mend = (lambda: repairs.add_checksums(library)) if missing else None
    return Finding("without a checksum", missing, mend=mend)
