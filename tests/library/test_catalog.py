"""The catalog on SQLite and on a real PostgreSQL, built by the migrations."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import select

from encoders.errors import InvalidQueryError, LibraryError, NotFoundError, SchemaError
from encoders.types import normalise
from search.catalog.catalog import Catalog
from search.catalog.database import Database, migrations_folder, newest_revision
from search.catalog.tables import clip_vectors, clips, key_frames, metadata, videos
from search.types import EncodedClip, Filters

DIM = 8


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'catalog.sqlite3'}"
    else:
        url = request.getfixturevalue("postgres_url")
    database = Database(url)
    database.migrate()
    with database.write() as connection:
        Catalog(connection).create_library(
            encoder_spec="test", encoder_id="test", pooling="mean", dim=DIM, sampling="{}"
        )
    yield database
    database.close()


def test_a_catalog_in_memory_can_be_opened():
    database = Database("sqlite://")
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    database.close()


def test_videos_of_before_were_recorded_when_their_files_were_changed(database):
    add_video(database, "/a.mp4", encoded(2))
    database.downgrade("0002")
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE videos SET mtime_ns = 1700000000500000000")
    database.migrate()
    with database.read() as connection:
        video = Catalog(connection).video_by_path("/a.mp4")
    assert video.recorded_at == 1_700_000_000.5 and video.clips == 2


def encoded(count: int, seconds: float = 4.0, seed: int = 0) -> list[EncodedClip]:
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        features = normalise(random.normal(size=(3, DIM)))
        start = number * seconds
        made.append(
            EncodedClip(
                start,
                start + seconds,
                normalise(features.mean(axis=0)),
                features.astype(np.float16),
                start + np.arange(3) * seconds / 3,
                ((start + 1.0, f"jpeg {seed} {number}".encode()),),
            )
        )
    return made


def add_video(database, path: str, made: list[EncodedClip], digest: str = "digest") -> int:
    with database.write() as connection:
        catalog = Catalog(connection)
        staged = catalog.stage_video(path, 10, 20)
        catalog.add_clips(staged, 0, made)
        return catalog.publish_video(staged, digest=digest, duration_seconds=made[-1].end_seconds)


def test_the_migrations_build_the_tables_that_the_code_declares(database):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_migrations_go_down_and_up_again(database):
    database.downgrade("base")
    database.migrate()
    with database.read() as connection:
        assert Catalog(connection).library_record() is None


def test_the_newest_migration_is_told_without_alembic_and_is_its_head(database):
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(migrations_folder()))
    assert newest_revision() == scripts.get_current_head() == database.schema_revision()


def test_a_catalog_of_a_newer_version_is_refused(database):
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaError, match=r"9999.*upgrade reelseek"):
        database.migrate()


def test_a_staged_video_is_seen_by_nobody(database):
    with database.write() as connection:
        catalog = Catalog(connection)
        staged = catalog.stage_video("/a.mp4", 1, 2)
        catalog.add_clips(staged, 0, encoded(3))
    with database.read() as connection:
        catalog = Catalog(connection)
        assert catalog.count_videos() == 0
        assert catalog.count_clips() == 0
        assert catalog.list_videos() == []
        assert len(catalog.clip_ids(Filters())) == 0
        assert list(catalog.embeddings_since(-1, DIM)) == []
        assert catalog.video_by_path("/a.mp4") is None
        ids = connection.execute(select(clips.c.id)).scalars().all()
        assert catalog.clips(ids) == {}
        with pytest.raises(NotFoundError):
            catalog.embeddings(ids, DIM)


def test_publishing_shows_what_was_added_to_the_bit(database):
    made = encoded(5)
    video_id = add_video(database, "/a.mp4", made)
    with database.read() as connection:
        catalog = Catalog(connection)
        stored = catalog.clips_of_video(video_id)
        assert [(clip.start_seconds, clip.end_seconds) for clip in stored] == [
            (clip.start_seconds, clip.end_seconds) for clip in made
        ]
        ids = [clip.id for clip in stored]
        expected = np.stack([clip.embedding for clip in made])
        assert np.array_equal(catalog.embeddings(ids, DIM), expected)
        features, times, owners = catalog.features(video_id, 4.0, 12.0, DIM)
        assert np.array_equal(times, np.concatenate([made[1].times_seconds, made[2].times_seconds]))
        assert np.array_equal(features, np.concatenate([made[1].features, made[2].features]))
        assert owners.tolist() == [ids[1]] * 3 + [ids[2]] * 3
        frame = catalog.key_frames(ids)[ids[3]][0]
        assert frame.time_seconds == made[3].start_seconds + 1
        assert catalog.key_frame_jpeg(frame.id) == b"jpeg 0 3"


def test_a_changed_file_keeps_its_id_and_loses_its_old_clips(database):
    first = add_video(database, "/a.mp4", encoded(3, seed=1))
    with database.read() as connection:
        old = [clip.id for clip in Catalog(connection).clips_of_video(first)]
        before = Catalog(connection).revision()
    second = add_video(database, "/a.mp4", encoded(2, seed=2))
    assert second == first
    with database.read() as connection:
        catalog = Catalog(connection)
        assert catalog.count_videos() == 1
        assert catalog.removed_since(before).tolist() == old
        new = np.concatenate([ids for ids, _ in catalog.embeddings_since(before, DIM)]).tolist()
        assert len(new) == 2 and not set(new) & set(old)
        assert connection.execute(select(clip_vectors.c.clip_id)).scalars().all() == new


def test_removal_leaves_nothing_and_ids_never_come_back(database):
    kept = add_video(database, "/kept.mp4", encoded(2))
    gone = add_video(database, "/gone.mp4", encoded(4, seed=3))
    with database.write() as connection:
        assert Catalog(connection).remove_videos([gone]) == 4
    with database.read() as connection:
        catalog = Catalog(connection)
        largest = int(catalog.clip_ids(Filters()).max())
        assert [video.id for video in catalog.list_videos()] == [kept]
        for table in (clips, clip_vectors, key_frames):
            assert len(connection.execute(select(table)).all()) == 2
        with pytest.raises(NotFoundError, match=str(gone)):
            catalog.video(gone)
    again = add_video(database, "/again.mp4", encoded(1))
    with database.read() as connection:
        assert Catalog(connection).clips_of_video(again)[0].id > largest + 4


def test_an_error_in_the_block_writes_nothing(database):
    with pytest.raises(RuntimeError), database.write() as connection:
        Catalog(connection).stage_video("/a.mp4", 1, 2)
        raise RuntimeError
    with database.read() as connection:
        assert connection.execute(select(videos.c.id)).all() == []


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(), {"/a/run.mp4", "/a/running/b.mp4", "/ä/\U0010ffff.mp4", "/long.mp4"}),
        (Filters(path_prefix="/a/run*"), {"/a/run.mp4", "/a/running/b.mp4"}),
        (Filters(path_prefix="/a/run.*"), {"/a/run.mp4"}),
        (Filters(path_prefix="/a/run"), set()),  # a folder of that name, not whatever begins so
        (Filters(path_prefix="/a/running"), {"/a/running/b.mp4"}),
        (Filters(path_prefix="/a/running/"), {"/a/running/b.mp4"}),
        (Filters(path_prefix="/a/run.mp4"), {"/a/run.mp4"}),
        (Filters(path_prefix="/"), {"/a/run.mp4", "/a/running/b.mp4", "/ä/\U0010ffff.mp4", "/long.mp4"}),
        (Filters(path_prefix="/a\u0308"), {"/ä/\U0010ffff.mp4"}),  # as the disk of a Mac spells it
        (Filters(path_prefix="/a/%"), set()),
        (Filters(path_prefix="/a/ru_"), set()),
        (Filters(path_prefix="/ä/\U0010ffff*"), {"/ä/\U0010ffff.mp4"}),
        (Filters(path_prefix="/A"), set()),
        (Filters(min_duration_seconds=5), {"/long.mp4"}),
        (Filters(max_duration_seconds=4), {"/a/run.mp4", "/a/running/b.mp4", "/ä/\U0010ffff.mp4"}),
        (Filters(min_duration_seconds=5, path_prefix="/a"), set()),
    ],
)
def test_filters(database, filters, expected):
    for path in ("/a/run.mp4", "/a/running/b.mp4", "/ä/\U0010ffff.mp4"):
        add_video(database, path, encoded(2))
    add_video(database, "/long.mp4", encoded(2, seconds=6.0))
    with database.read() as connection:
        catalog = Catalog(connection)
        ids = catalog.clip_ids(filters)
        assert (np.diff(ids) > 0).all()
        assert {clip.path for clip in catalog.clips(ids.tolist()).values()} == expected
        assert len(ids) == catalog.count_clips(filters) == 2 * len(expected)
        assert [clip.id for clip in catalog.list_clips(filters)] == ids.tolist()


def test_a_prefix_that_no_path_can_have_is_refused(database):
    with database.read() as connection, pytest.raises(InvalidQueryError):
        Catalog(connection).clip_ids(Filters(path_prefix="/a\0b"))


def test_videos_below_a_folder_are_not_those_beside_it(database):
    for path in ("/a/b/one.mp4", "/a/bc/two.mp4", "/a/b.mp4"):
        add_video(database, path, encoded(1))
    with database.read() as connection:
        catalog = Catalog(connection)
        assert [video.path for video in catalog.videos_below("/a/b")] == ["/a/b/one.mp4"]
        assert [video.path for video in catalog.videos_below("/a/b.mp4")] == ["/a/b.mp4"]


def test_a_failure_is_kept_beside_the_good_clips_of_before(database):
    add_video(database, "/a.mp4", encoded(2))
    with database.write() as connection:
        Catalog(connection).record_failure("/a.mp4", 5, 6, "truncated")
        Catalog(connection).record_failure("/b.mp4", 5, 6, "empty")
    with database.read() as connection:
        catalog = Catalog(connection)
        failed = {video.path: (video.error, video.clips) for video in catalog.list_videos(status="failed")}
        assert failed == {"/a.mp4": ("truncated", 2), "/b.mp4": ("empty", 0)}


def test_names_with_newlines_quotes_and_emoji(database):
    path = "/a b/'\"; DROP TABLE videos; --\n🎬.mp4"
    video_id = add_video(database, path, encoded(1))
    with database.read() as connection:
        assert Catalog(connection).video(video_id).path == path


def test_other_databases_are_refused():
    with pytest.raises(LibraryError, match="SQLite or PostgreSQL"):
        Database("mysql://localhost/x")
    with pytest.raises(LibraryError, match="cannot be read"):
        Database("not a url")


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "catalog.sqlite3").write_bytes(b"this is not a database, " * 100)
    with pytest.raises(LibraryError, match="not a Reelseek catalog"):
        Database(f"sqlite:///{tmp_path / 'catalog.sqlite3'}").migrate()
