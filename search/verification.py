"""Whether a catalog and its index are as they must be: every rule that the code relies on, looked at.

Nothing here changes anything but `Finding.mend`, which whoever asked for the finding may call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Select, and_, distinct, func, not_, or_, select

from encoders.errors import EncoderMismatchError, HeadFileError, IndexFileError
from search import repairs
from search.catalog import Catalog, LibraryRecord
from search.database import newest_revision
from search.tables import clip_vectors, clips, heads, key_frames, metadata, removed_clips, segments, videos

if TYPE_CHECKING:
    from search.faiss_index import FaissIndex
    from search.library import Library

EXAMPLES = 5
ROWS_PER_READ = 4096
NORM_TOLERANCE = 1e-3
HALF_TOLERANCE = 1e-3  # of a number of a unit vector that an index keeps in 16 bits
LEFTOVER_SECONDS = 3600.0  # a head may be at work for so long before it counts as left behind


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check came to.

    Attributes:
        name: Of the check, in a few words.
        looked_at: How many things it looked at.
        wrong: How many of them are not as they must be.
        message: What is wrong and what to do; empty where nothing is.
        examples: Some of the wrong ones, by name.
        mend: Mends them and says what it did; None where only people can.
    """

    name: str
    looked_at: int
    wrong: int = 0
    message: str = ""
    examples: tuple[str, ...] = ()
    mend: Callable[[], str] | None = None


def schema_finding(library: Library) -> Finding:
    """Whether the database is at the newest migration; only then can the others be asked."""
    found, newest = library.database.schema_revision(), newest_revision()
    if found == newest:
        return Finding("schema", 1)
    message = f"the catalog is at migration {found or 'none'}, this program needs {newest}"
    return Finding("schema", 1, 1, message, mend=lambda: repairs.migrate(library))


def catalog_findings(library: Library, *, is_ingesting: bool) -> Iterator[Finding]:
    """Every check of the catalog's rows, at one moment of it.

    Args:
        library: At the newest migration.
        is_ingesting: An ingest is going on: what it has staged is no leftover.
    """
    yield _pages(library)
    with library.database.read() as connection:
        record = Catalog(connection).library_record()
        if not is_ingesting:
            yield _staged(library, connection)
        yield from _orphans(library, connection)
        yield _removals(library, connection, record)
        yield _visibility(library, connection, record)
        yield _ordinals(library, connection)
        if record is not None:
            yield _vectors(library, connection, record.dim)
        yield _pictures(library, connection)
        yield _segments(library, connection)
        yield _heads(library, connection)


def index_finding(library: Library) -> Finding:
    """Whether the saved index, brought up to date, holds what the catalog holds, vector for vector."""
    from search.faiss_index import FaissIndex

    def broken(reason: str) -> Finding:
        return Finding("index", 1, 1, reason, mend=lambda: repairs.rebuild_index(library))

    with library.database.read() as connection:
        catalog = Catalog(connection)
        record = catalog.library_record()
        if record is None:
            return Finding("index", 0)
        try:
            index = FaissIndex.load(library.index_folder, record.dim, record.encoder_id, record.catalog_id)
        except FileNotFoundError:
            if FaissIndex.describe(library.index_folder) is not None:
                return broken("the index's file is gone; it can be made anew from the catalog")
            return Finding("index", 0)  # none was saved: the next search makes it
        except (IndexFileError, EncoderMismatchError) as error:
            return broken(f"{error}; it can be made anew from the catalog")
        if index.revision > record.revision:
            return broken(
                f"the index is of revision {index.revision}, the catalog of {record.revision}: it was put "
                "back from a copy; the index can be made anew from it"
            )
        library.catch_up(index, catalog, record)
        count, wrong = _compare(index, connection, record)
    if not wrong:
        return Finding("index", count)
    return Finding(
        "index",
        count,
        len(wrong),
        "the index does not hold what the catalog holds; it can be made anew from it",
        _named("clip", wrong),
        lambda: repairs.rebuild_index(library),
    )


# --- rows --------------------------------------------------------------------------------------


def _pages(library: Library) -> Finding:
    """What the engine itself says about its file; PostgreSQL has no such question for its users."""
    faults = library.database.damage()
    if not faults:
        return Finding("database", 1)
    message = (
        "the database file is damaged: put a backup back (`indexer restore`), or index into a new library"
    )
    return Finding("database", 1, len(faults), message, tuple(faults[:EXAMPLES]))


def _staged(library: Library, connection: Connection) -> Finding:
    is_staged = videos.c.status == "staging"
    names = connection.execute(select(videos.c.path).where(is_staged)).scalars().all()
    total = _count(connection, videos)
    if not names:
        return Finding("staged videos", total)
    return Finding(
        "staged videos",
        total,
        len(names),
        "left by an ingest that was stopped; the next one drops them too",
        tuple(names[:EXAMPLES]),
        lambda: repairs.drop(library, {"staged videos": (videos, is_staged)}),
    )


def _orphans(library: Library, connection: Connection) -> Iterator[Finding]:
    """Rows whose owner is gone, of every table that has owners."""
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
        yield _finding(
            name,
            _count(connection, table),
            wrong,
            "rows whose video, clip or head is gone; they can be dropped",
            partial(repairs.drop, library, {f"orphaned {name}": (table, is_orphan)}),
        )


def _removals(library: Library, connection: Connection, record: LibraryRecord | None) -> Finding:
    newest = record.revision if record else 0
    is_there = select(clips.c.id).where(clips.c.id == removed_clips.c.clip_id).exists()
    condition = or_(is_there, removed_clips.c.revision > newest)
    wrong = connection.execute(select(removed_clips.c.clip_id).where(condition)).scalars().all()
    return _finding(
        "removals",
        _count(connection, removed_clips),
        [f"clip {clip_id}" for clip_id in wrong],
        "clips that are noted as removed and are there, or will have been; the notes can be dropped",
        lambda: repairs.drop(library, {"notes of removals": (removed_clips, condition)}),
    )


def _visibility(library: Library, connection: Connection, record: LibraryRecord | None) -> Finding:
    """A clip has a revision exactly when its video is published, and never one to come."""
    newest = record.revision if record else 0
    is_staged = videos.c.status == "staging"
    query = _clips_of_videos(
        or_(
            and_(is_staged, clips.c.revision.is_not(None)),
            and_(~is_staged, clips.c.revision.is_(None)),
            clips.c.revision > newest,
        )
    )
    return _damaged_clips(
        library,
        connection,
        "visibility",
        query,
        "clips that are half published: their videos are to be read anew",
    )


def _ordinals(library: Library, connection: Connection) -> Finding:
    """A video's clips are numbered from 0 without a gap; none is double; an indexed video has some."""
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
    backwards = select(clips.c.video_id).where(shown, clips.c.end_seconds <= clips.c.start_seconds)
    has_clips = select(clips.c.id).where(clips.c.video_id == videos.c.id, shown).exists()
    query = (
        select(videos.c.id, videos.c.path)
        .where(
            videos.c.status == "indexed",
            or_(videos.c.id.in_(uneven), videos.c.id.in_(backwards), ~has_clips),
        )
        .order_by(videos.c.id)
    )
    rows = connection.execute(query).all()
    return _finding(
        "clips of videos",
        _count(connection, videos, videos.c.status == "indexed"),
        [row.path for row in rows],
        "videos with clips missing, doubled or without length: they are to be read anew",
        lambda: repairs.forget_videos(library, [row.id for row in rows]),
    )


def _vectors(library: Library, connection: Connection, dim: int) -> Finding:
    """Each visible clip has an embedding of norm 1, times, and features of as many frames."""
    sizes = [func.length(clip_vectors.c[name]).label(name) for name in ("embedding", "times", "features")]
    query = (
        select(clips.c.id, *sizes)
        .outerjoin(clip_vectors, clip_vectors.c.clip_id == clips.c.id)
        .where(
            clips.c.revision.is_not(None),
            or_(
                clip_vectors.c.clip_id.is_(None),
                sizes[0] != 4 * dim,
                sizes[1] < 8,
                sizes[1] % 8 != 0,
                sizes[2] * 4 != sizes[1] * dim,  # float16 (T, D) beside float64 (T,)
            ),
        )
    )
    wrong = set(connection.execute(query).scalars())
    looked_at = 0
    for ids, vectors in _embeddings(connection, dim):
        looked_at += len(ids)
        norms = np.linalg.norm(vectors, axis=1)
        wrong.update(ids[~(np.abs(norms - 1) <= NORM_TOLERANCE)].tolist())  # NaN is no number near 1
    return _to_read_anew(
        library, "vectors", looked_at, wrong, "clips without vectors, or with some of wrong length or norm"
    )


def _pictures(library: Library, connection: Connection) -> Finding:
    """Each key frame is a whole JPEG."""
    length = func.length(key_frames.c.jpeg)
    query = (
        select(
            key_frames.c.clip_id,
            func.substr(key_frames.c.jpeg, 1, 2),
            func.substr(key_frames.c.jpeg, length - 1, 2),
        )
        .where(key_frames.c.clip_id.in_(select(clips.c.id).where(clips.c.revision.is_not(None))))
        .execution_options(yield_per=ROWS_PER_READ)
    )
    looked_at, wrong = 0, set()
    for clip_id, first, last in connection.execute(query):
        looked_at += 1
        if bytes(first) != b"\xff\xd8" or bytes(last) != b"\xff\xd9":
            wrong.add(int(clip_id))
    return _to_read_anew(library, "pictures", looked_at, wrong, "key frames that are no whole picture")


def _to_read_anew(library: Library, check: str, looked_at: int, wrong: set[int], what: str) -> Finding:
    return _finding(
        check,
        looked_at,
        list(_named("clip", sorted(wrong), limit=None)),
        f"{what}: their videos are to be read anew",
        lambda: repairs.forget_clips(library, sorted(wrong)),
    )


def _segments(library: Library, connection: Connection) -> Finding:
    condition = or_(
        not_(segments.c.end_seconds > segments.c.start_seconds),
        not_(and_(segments.c.confidence >= 0, segments.c.confidence <= 1)),
    )
    wrong = connection.execute(select(segments.c.id).where(condition)).scalars().all()
    return _finding(
        "spans of actions",
        _count(connection, segments),
        list(_named("segment", wrong, limit=None)),
        "segments without length, or with an impossible confidence; they can be dropped",
        lambda: repairs.drop(library, {"segments": (segments, condition)}),
    )


def _heads(library: Library, connection: Connection) -> Finding:
    """Heads can be read, and none was left half taught."""
    from search.tagging import read_head

    unread, left = [], []
    count = _count(connection, heads)
    for row in connection.execute(select(heads)):
        if not row.is_active and row.created_at < time.time() - LEFTOVER_SECONDS:
            left.append(row)
        elif row.parameters is not None:
            try:
                read_head(bytes(row.parameters))
            except HeadFileError as error:
                unread.append(f"{row.name}: {error}")
    if unread:
        message = "heads that cannot be read: forget them and teach them again (`indexer actions`)"
        return Finding("heads", count, len(unread), message, tuple(unread[:EXAMPLES]))
    return _finding(
        "heads",
        count,
        [row.name for row in left],
        "left by lessons that were stopped; they can be dropped",
        lambda: repairs.drop(library, {"heads": (heads, heads.c.id.in_([row.id for row in left]))}),
    )


# --- how ---------------------------------------------------------------------------------------


def _finding(
    name: str, looked_at: int, wrong: Sequence[str], message: str, mend: Callable[[], str] | None
) -> Finding:
    if not wrong:
        return Finding(name, looked_at)
    return Finding(name, looked_at, len(wrong), message, tuple(wrong[:EXAMPLES]), mend)


def _damaged_clips(
    library: Library, connection: Connection, name: str, query: Select[Any], message: str
) -> Finding:
    wrong = sorted(connection.execute(query).scalars())
    return _finding(
        name,
        _count(connection, clips),
        list(_named("clip", wrong, limit=None)),
        message,
        lambda: repairs.forget_clips(library, wrong),
    )


def _clips_of_videos(condition: ColumnElement[bool]) -> Select[Any]:
    return select(clips.c.id).join(videos, videos.c.id == clips.c.video_id).where(condition)


def _count(connection: Connection, table: Any, *conditions: ColumnElement[bool]) -> int:
    return connection.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one()


def _named(what: str, ids: Iterable[int], limit: int | None = EXAMPLES) -> tuple[str, ...]:
    return tuple(f"{what} {number}" for number in list(ids)[:limit])


def _embeddings(connection: Connection, dim: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Visible clips' embeddings of the right length, ascending by id: (N,), (N, D)."""
    last_id = 0
    while True:
        query = (
            select(clips.c.id, clip_vectors.c.embedding)
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


def _compare(index: FaissIndex, connection: Connection, record: LibraryRecord) -> tuple[int, list[int]]:
    """How many clips there are, and the ids of those that the index holds otherwise, or alone."""
    ids, vectors = index.contents()
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    allowed = 0.0 if index.exact and index.kind.startswith("exact") else HALF_TOLERANCE
    count, wrong = 0, set(ids[1:][ids[1:] == ids[:-1]].tolist())
    unseen = np.ones(len(ids), bool)
    for wanted, expected in _embeddings(connection, record.dim):
        count += len(wanted)
        place = np.searchsorted(ids, wanted)
        inside = place < len(ids)
        known = np.zeros(len(wanted), bool)
        known[inside] = ids[place[inside]] == wanted[inside]
        wrong.update(wanted[~known].tolist())
        unseen[place[known]] = False
        apart = np.abs(vectors[order[place[known]]] - expected[known]).max(axis=1, initial=0.0)
        wrong.update(wanted[known][~(apart <= allowed)].tolist())
    wrong.update(ids[unseen].tolist())
    return count, sorted(wrong)
