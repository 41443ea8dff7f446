"""The statements behind a search use an index on both engines, however large the library is.

The catalog's own methods run on a large made catalog; what they ask the engine is caught on the way, and
the engine is asked how it answers that.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from search.catalog.catalog import Catalog
from search.catalog.database import Database
from search.types import Filters, SegmentQuery

DIM = 8
CLIPS_PER_VIDEO = 5


def fill(database: Database, count: int) -> None:
    """So many clips in videos of five, by the engine itself, and segments of actions."""
    with database.write() as connection:
        Catalog(connection).create_library(
            encoder_spec="made", encoder_id="made", pooling="mean", dim=DIM, sampling="{}"
        )
        connection.execute(text("UPDATE library SET revision = 1000"))
        # The numbers 1..n under the name `numbers`, as each engine makes them.
        numbers = (
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :last)"
        )
        source, zeros = "FROM numbers", "zeroblob({})"
        if not database.is_sqlite:
            numbers, source = "", "FROM generate_series(1, :last) AS numbers(n)"
            zeros = "decode(repeat('00', {}), 'hex')"
        video_path = "'/archive/' || (n % 50) || '/' || n || '.mp4'"
        statements = {
            "videos (path, path_key, digest, size_bytes, mtime_ns, status, sampling, updated_at)": (
                f"SELECT {video_path}, {video_path}, 'digest' || n, 1, 1, 'indexed', '{{}}', 0",
                count // CLIPS_PER_VIDEO,
            ),
            "clips (id, video_id, ordinal, start_seconds, end_seconds, revision)": (
                f"SELECT n, (n - 1) / {CLIPS_PER_VIDEO} + 1, (n - 1) % {CLIPS_PER_VIDEO},"
                f" 4 * ((n - 1) % {CLIPS_PER_VIDEO}), 4 * ((n - 1) % {CLIPS_PER_VIDEO}) + 4, 1",
                count,
            ),
            "clip_vectors (clip_id, embedding, times, features)": (
                f"SELECT n, {zeros.format(4 * DIM)}, {zeros.format(8)}, {zeros.format(2 * DIM)}",
                count,
            ),
            "key_frames (clip_id, time_seconds, jpeg)": (f"SELECT n, n % 400, {zeros.format(16)}", count),
            "removed_clips (clip_id, revision)": (f"SELECT n + {2 * count}, n % 900", count // 10),
            "heads (kind, name, is_active, encoder_id, actions, threshold, card, created_at)": (
                "SELECT 'kinetics', 'head ' || n, n > 0, 'made', '[]', 0.5, '{}', 0",
                20,
            ),
            "segments (video_id, head_id, action, start_seconds, end_seconds, confidence)": (
                f"SELECT n % {count // CLIPS_PER_VIDEO} + 1, n % 20 + 1, 'action ' || (n % 400),"
                " n % 300, n % 300 + 5, 0.9",
                count // 10,
            ),
        }
        for table, (columns, last) in statements.items():
            connection.execute(text(f"INSERT INTO {table} {numbers} {columns} {source}"), {"last": last})
    with database.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))


@pytest.fixture(
    scope="module",
    params=[
        ("sqlite", 100_000),
        ("postgresql", 100_000),
        pytest.param(("sqlite", 1_000_000), marks=pytest.mark.slow),
        pytest.param(("postgresql", 1_000_000), marks=pytest.mark.slow),
    ],
    ids=lambda param: f"{param[0]}-{param[1]}",
)
def database(request, tmp_path_factory) -> Iterator[Database]:
    engine, count = request.param
    if engine == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('plans') / 'catalog.sqlite3'}"
        name = None
    else:
        server = request.getfixturevalue("postgres_server")
        name = server.create_database()
        url = server.url(name)
    database = Database(url)
    database.migrate()
    started = time.monotonic()
    fill(database, count)
    print(f"{count} clips on {engine} in {time.monotonic() - started:.0f} s")
    yield database
    database.close()
    if name is not None:
        server.drop_database(name)


def last_clip(connection: Connection) -> int:
    return int(connection.execute(text("SELECT max(id) FROM clips")).scalar_one())


def some_clips(connection: Connection) -> list[int]:
    return list(range(1, last_clip(connection), last_clip(connection) // 50))


# What a search, a page of results, an ingest and a delete ask, each time. By rights of their answer, these
# few may read many rows: none is asked for.
HOT: dict[str, Callable[[Catalog, Connection], Any]] = {
    "clips of hits": lambda catalog, connection: catalog.clips(some_clips(connection)),
    "key frames of hits": lambda catalog, connection: catalog.key_frames(some_clips(connection)),
    "features of hits": lambda catalog, connection: list(
        catalog.features_of_clips(some_clips(connection), DIM)
    ),
    "embeddings of examples": lambda catalog, connection: catalog.embeddings(some_clips(connection)[:3], DIM),
    "a key frame": lambda catalog, connection: catalog.key_frame_jpeg(500),
    "a video": lambda catalog, connection: catalog.video(7),
    "a video by path": lambda catalog, connection: catalog.video_by_path("/archive/7/7.mp4"),
    "videos by digest": lambda catalog, connection: catalog.videos_by_digest("digest9"),
    "videos below a folder": lambda catalog, connection: catalog.videos_below("/archive/7/57.mp4"),
    "a page of videos": lambda catalog, connection: catalog.list_videos(after="/archive/3", limit=50),
    "clips of a video": lambda catalog, connection: catalog.clips_of_video(7),
    "features of a span": lambda catalog, connection: catalog.features(7, 0.0, 40.0, DIM),
    "a page of clips": lambda catalog, connection: catalog.list_clips(Filters(), after_id=777, limit=50),
    "filter by path": lambda catalog, connection: catalog.clip_ids(Filters(path_prefix="/archive/7/57.*")),
    "filter by videos": lambda catalog, connection: catalog.clip_ids(Filters(video_ids=(3, 4, 5))),
    "index: what is new": lambda catalog, connection: list(catalog.embeddings_since(999, DIM)),
    "index: what is gone": lambda catalog, connection: catalog.removed_since(998),
    "segments of an action": lambda catalog, connection: list(
        catalog.actions.list_segments(SegmentQuery(actions=("action 7",)), limit=50)
    ),
    "segments of hits": lambda catalog, connection: catalog.actions.segments_of_videos(
        [1, 2, 3], SegmentQuery()
    ),
    "tracks of a video": lambda catalog, connection: list(catalog.tracks(7, DIM)),
    "jobs": lambda catalog, connection: catalog.jobs_with_status("queued", "running"),
}
# Where another index would do as well for the engine, and read far more.
NEEDED = {
    "index: what is new": "ix_clips_revision",
    "index: what is gone": "ix_removed_clips_revision",
    "a video by path": "ux_videos_path",
    "videos by digest": "ix_videos_digest",
    "filter by path": "ix_videos_path_key",
    "segments of an action": "ix_segments_action_head_id_confidence",
    "clips of a video": "ix_clips_video_id_ordinal",
    "a page of videos": "ux_videos_path",
}
LARGE = ("clips", "clip_vectors", "key_frames", "removed_clips", "segments", "videos")


def plan_of(connection: Connection, statement: str, parameters: Any) -> list[str]:
    """How the engine means to answer, line by line."""
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
        return [row[3] for row in rows]
    return list(connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars())


def full_scans(connection: Connection, statement: str, parameters: Any) -> list[str]:
    """The large tables of which the engine means to read every row."""
    plan = plan_of(connection, statement, parameters)
    if connection.dialect.name == "sqlite":
        # "SCAN clips" reads all; "SCAN clips USING INDEX" all in an order, which a limit may cut short.
        found = [line for line in plan if re.match(rf"SCAN ({'|'.join(LARGE)})\b(?!.*USING .*INDEX)", line)]
        return [f"{line} of {plan}" for line in found]
    return [line for line in plan if re.search(rf"Seq Scan on ({'|'.join(LARGE)})\b", line)]


@pytest.mark.parametrize("name", HOT)
def test_no_hot_statement_reads_a_whole_table(database, name):
    caught: list[tuple[str, Any]] = []

    def catch(_connection, _cursor, statement, parameters, _context, _many) -> None:
        caught.append((statement, parameters))

    with database.read() as connection:
        HOT[name](Catalog(connection), connection)  # once before, to fill the caches
        event.listen(database.engine, "before_cursor_execute", catch)
        try:
            started = time.perf_counter()
            HOT[name](Catalog(connection), connection)
            took_ms = 1000 * (time.perf_counter() - started)
        finally:
            event.remove(database.engine, "before_cursor_execute", catch)
        selects = [(sql, values) for sql, values in caught if "max(id)" not in sql]
        assert selects
        for statement, parameters in selects:
            assert full_scans(connection, statement, parameters) == []
        if name in NEEDED:
            plan = [line for sql, values in selects for line in plan_of(connection, sql, values)]
            assert any(NEEDED[name] in line for line in plan), plan
    print(f"{name}: {took_ms:.1f} ms")


def test_a_whole_scan_would_be_seen(database):
    with database.read() as connection:
        assert full_scans(connection, "SELECT jpeg FROM key_frames WHERE time_seconds = 7.5", ())
