"""Backups taken while others write, restored on both engines; migrations that keep a copy first."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_library import add_video, faults, make_library, remove_video
from sqlalchemy import select

from encoders.errors import BackupError, LibraryBusyError, LibraryError, SchemaError
from encoders.weights.files import being_written
from indexer.keeping.backup import back_up, restore
from search.catalog.database import Database
from search.catalog.keys import Keys, Role
from search.catalog.tables import metadata
from search.library import Library

ROOT = Path(__file__).resolve().parent.parent


def rows(library: Library) -> dict[str, list[tuple]]:
    """Everything in the catalog but its identity."""
    with library.database.read() as connection:
        found = {}
        for table in metadata.sorted_tables:
            columns = [column for column in table.c if column.name != "catalog_id"]
            query = select(*columns).order_by(*table.primary_key.columns)
            found[table.name] = [tuple(row) for row in connection.execute(query)]
        return found


@pytest.fixture(params=["sqlite", "postgresql"])
def library(request, tmp_path) -> Iterator[Library]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    library = make_library(tmp_path / "library", url)
    for number in range(4):
        add_video(library, f"/v/{number}.mp4", seed=number)
    remove_video(library, "/v/3.mp4")
    library.index_keeper.save()
    yield library
    library.close()


def test_what_was_backed_up_comes_back_on_either_engine(library, tmp_path, new_postgres_url):
    expected = rows(library)
    record = back_up(library, tmp_path / "backup")
    assert record["rows"]["videos"] == 3 and record["rows"]["clips"] == 9
    assert sorted(path.name for path in (tmp_path / "backup").iterdir()) == ["backup.json", "catalog.sqlite3"]
    assert not list(tmp_path.glob(".*copying*"))
    for number, url in enumerate((None, new_postgres_url())):
        folder = tmp_path / f"restored-{number}"
        restore(tmp_path / "backup", folder, database_url=url)
        restored = Library(folder, database_url=url)
        assert rows(restored) == expected
        assert faults(restored) == {}
        with library.read() as before, restored.read() as after:
            assert before.library_record().catalog_id != after.library_record().catalog_id
        # The ids of what was removed before the backup do not come back either.
        gone = {row[0] for row in expected["removed_clips"]}
        add_video(restored, "/v/new.mp4", seed=9)
        with restored.read() as catalog:
            new = catalog.clips_of_video(catalog.video_by_path("/v/new.mp4").id)
            assert min(clip.id for clip in new) > max(gone)
        restored.close()


def test_a_library_is_replaced_only_with_force_and_a_server_notices(library, tmp_path):
    url = None if library.database.is_sqlite else str(library.database.url)
    back_up(library, tmp_path / "backup")
    expected = rows(library)
    with library.index() as index:
        assert len(index) == 9
    # As many transactions and clips as before, but others: only its identity tells that it is another.
    for number in range(4):
        add_video(library, f"/v/late-{number}.mp4", seed=50 + number)
    with pytest.raises(BackupError, match="--force"):
        restore(tmp_path / "backup", library.folder, database_url=url)
    where = str(library.folder) if url is None else "another machine"
    with library.ingest_lock(wait=False), pytest.raises(LibraryBusyError, match=where):
        restore(tmp_path / "backup", library.folder, database_url=url, force=True)
    restore(tmp_path / "backup", library.folder, database_url=url, force=True)
    assert rows(library) == expected
    for number in range(4):
        add_video(library, f"/v/other-{number}.mp4", seed=90 + number)
    with library.read() as catalog, library.index() as index:
        clips = catalog.clips_of_video(catalog.video_by_path("/v/other-2.mp4").id)
        vectors = catalog.embeddings([clip.id for clip in clips], index.dim)
        scores, found = index.search(vectors, 1)
        assert found[:, 0].tolist() == [clip.id for clip in clips]
        assert scores[:, 0] == pytest.approx(1.0, abs=1e-5)
    assert faults(library) == {}


def test_a_backup_taken_while_others_write_is_of_one_moment(library, tmp_path):
    stopping = threading.Event()
    written: list[float] = []

    def write() -> None:
        number = 100
        while not stopping.is_set():
            started = time.monotonic()
            add_video(library, f"/v/{number}.mp4", count=20, seed=number)
            remove_video(library, f"/v/{number}.mp4")
            written.append(time.monotonic() - started)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(4):
            back_up(library, tmp_path / f"backup-{number}")
    finally:
        stopping.set()
        writer.join()
    assert written
    for number in range(4):
        restore(tmp_path / f"backup-{number}", tmp_path / f"restored-{number}")
        restored = Library(tmp_path / f"restored-{number}")
        found = faults(restored)
        found.pop("staged videos", None)  # what was being written is in it as a stopped ingest leaves it
        assert found == {}
        with restored.read() as catalog:
            assert catalog.count_videos() in (3, 4)
        restored.close()


def test_a_damaged_backup_is_refused_and_nothing_is_touched(tmp_path):
    library = make_library(tmp_path / "library")
    add_video(library, "/v/1.mp4")
    back_up(library, tmp_path / "backup")
    library.close()
    file = tmp_path / "backup" / "catalog.sqlite3"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(BackupError, match="not what was backed up"):
        restore(tmp_path / "backup", tmp_path / "restored")
    file.write_bytes(content[:-1])
    with pytest.raises(BackupError, match="not what was backed up"):
        restore(tmp_path / "backup", tmp_path / "restored")
    with pytest.raises(BackupError, match=r"no backup.*indexer backup"):
        restore(tmp_path / "library", tmp_path / "restored")
    assert not (tmp_path / "restored").exists()
    again = Library(tmp_path / "library")
    with pytest.raises(BackupError, match="not empty"):
        back_up(again, tmp_path / "backup")
    again.close()


def test_a_library_that_cannot_be_read_any_more_is_replaced(tmp_path):
    library = make_library(tmp_path / "library")
    add_video(library, "/v/1.mp4")
    back_up(library, tmp_path / "backup")
    library.close()
    (tmp_path / "library" / "catalog.sqlite3").write_bytes(b"nothing of a database, " * 500)
    restore(tmp_path / "backup", tmp_path / "library", force=True)
    restored = Library(tmp_path / "library")
    assert faults(restored) == {}
    restored.close()


def run_indexer(*arguments: object, library: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "indexer", *map(str, arguments), "--library", str(library)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def test_the_commands_back_up_and_restore(tmp_path):
    library = make_library(tmp_path / "library")
    add_video(library, "/v/1.mp4")
    library.close()
    done = run_indexer("backup", tmp_path / "backup", library=tmp_path / "library")
    assert done.returncode == 0 and "1 video, 3 clips" in done.stderr
    again = run_indexer("restore", tmp_path / "backup", library=tmp_path / "library")
    assert again.returncode == 1 and "--force" in again.stderr
    restored = run_indexer("restore", tmp_path / "backup", "--json", library=tmp_path / "other")
    assert restored.returncode == 0, restored.stderr
    assert json.loads(restored.stdout)["rows"]["clips"] == 3


def test_a_library_of_a_newer_version_is_replaced_with_force(library, tmp_path):
    url = None if library.database.is_sqlite else str(library.database.url)
    back_up(library, tmp_path / "backup")
    expected = rows(library)
    with library.database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        connection.exec_driver_sql("CREATE TABLE of_tomorrow (id INTEGER REFERENCES videos (id))")
        connection.exec_driver_sql("ALTER TABLE library ADD COLUMN newer INTEGER")
    with pytest.raises(BackupError, match="--force"):
        restore(tmp_path / "backup", library.folder, database_url=url)
    if url is not None:  # where it could be anybody's
        with pytest.raises(SchemaError, match="DROP TABLE of_tomorrow CASCADE"):
            restore(tmp_path / "backup", library.folder, database_url=url, force=True)
        assert library.database.schema_revision() == "9999"
        with library.database.write() as connection:
            connection.exec_driver_sql("DROP TABLE of_tomorrow CASCADE")
    restore(tmp_path / "backup", library.folder, database_url=url, force=True)
    assert rows(library) == expected
    assert faults(library) == {}
    with library.database.read() as connection:
        assert not connection.dialect.has_table(connection, "of_tomorrow")


def test_a_key_that_was_revoked_stays_so(library, tmp_path):
    url = None if library.database.is_sqlite else str(library.database.url)

    def valid(opened: Library) -> set[str]:
        with opened.database.read() as connection:
            return {key.id for key in Keys(connection).all() if key.is_valid(time.time())}

    with library.database.write() as connection:
        kept, lost = (Keys(connection).create(Role.admin)[0].id for _ in range(2))
    back_up(library, tmp_path / "backup")
    with library.database.write() as connection:
        Keys(connection).revoke(lost)
    said: list[str] = []
    restore(tmp_path / "backup", library.folder, database_url=url, force=True, say=said.append)
    assert valid(library) == {kept}
    with library.database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    restore(tmp_path / "backup", library.folder, database_url=url, force=True, say=said.append)
    assert valid(library) == {kept}
    assert said == ["keys that were revoked since the backup, and stay revoked: 1"] * 2
    # Where no catalog was, nobody can know.
    restore(tmp_path / "backup", tmp_path / "new", say=said.append)
    assert "at the time of the backup: 2" in said[2] and "indexer keys list" in said[2]


def test_a_revoked_key_is_found_in_a_damaged_catalog(indexer, tmp_path):
    folder, backup = tmp_path / "library", tmp_path / "backup"
    library = make_library(folder)
    add_video(library, "/v/1.mp4", count=50)
    library.close()
    made = [json.loads(indexer("keys", "create", "--role", "admin", "--json", library=folder).out)["id"]]
    assert indexer("backup", backup, library=folder).code == 0
    assert indexer("keys", "revoke", made[0], library=folder).code == 0
    with sqlite3.connect(folder / "catalog.sqlite3") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        root, size = connection.execute(
            "SELECT rootpage, page_size FROM sqlite_schema, pragma_page_size WHERE name = 'library'"
        ).fetchone()
    connection.close()
    with (folder / "catalog.sqlite3").open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xaa" * size)
    refused = indexer("restore", backup, library=folder)
    assert refused.code == 1 and "damaged" in refused.err and "--force" in refused.err
    done = indexer("restore", backup, "--force", library=folder)
    assert done.code == 0 and "stay revoked: 1" in done.err, done.err
    assert json.loads(indexer("keys", "list", "--json", library=folder).out)["keys"][0]["state"] == "revoked"
    (folder / "catalog.sqlite3").write_bytes(b"nothing of a database, " * 500)
    done = indexer("restore", backup, "--force", library=folder)
    assert done.code == 0 and "at the time of the backup: 1" in done.err


def killed(step: str, call: str) -> None:
    """Has a program killed in the middle of a backup or a restore, as it reaches a step of it."""
    code = f"""
        import os, signal
        from pathlib import Path
        from indexer.keeping import backup
        from search.catalog import copies
        from search.library import Library
        {step} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        {call}
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True)
    assert done.returncode == -9, done.stderr


def test_what_killed_programs_left_is_cleared_by_the_next(indexer, tmp_path):
    folder, backups = tmp_path / "library", tmp_path / "backups"
    library = make_library(folder)
    for number in range(2):
        add_video(library, f"/v/{number}.mp4", seed=number)
    back_up(library, backups / "first")
    killed("copies.describe", f"backup.back_up(Library(Path({str(folder)!r})), Path({str(backups / 'x')!r}))")
    assert len(list(backups.iterdir())) == 2
    assert indexer("backup", backups / "second", library=folder).code == 0
    assert sorted(path.name for path in backups.iterdir()) == ["first", "second"]

    def leave() -> None:
        arguments = f"Path({str(backups / 'first')!r}), Path({str(folder)!r}), force=True"
        killed("copies.copy_from_file", f"backup.restore({arguments})")
        (left,) = folder.glob("*.restoring-*")
        left.with_name(f"{left.name}-wal").write_bytes(left.read_bytes())
        left.with_name(f"catalog-schema-0001.sqlite3.copying-{os.getpid()}").write_bytes(left.read_bytes())

    def half_made() -> list[str]:
        return [path.name for path in folder.iterdir() if "restoring" in path.name or "copying" in path.name]

    leave()
    at_work = folder / "catalog.sqlite3.restoring-1"
    with being_written(at_work):
        assert indexer("remove", "/v/0.mp4", library=folder).code == 0
        assert half_made() == [at_work.name]
    leave()
    assert indexer("restore", backups / "first", "--force", library=folder).code == 0
    assert half_made() == []
    leave()
    library.clear_leftovers()  # as an ingest does when it begins
    assert half_made() == []
    library.close()


def test_places_that_are_none_for_a_backup_or_a_library(indexer, tmp_path, monkeypatch):
    folder = tmp_path / "library"
    make_library(folder).close()
    inside = indexer("backup", folder / "backup", library=folder)
    assert inside.code == 1 and "lies in the library" in inside.err
    (tmp_path / "link").symlink_to(folder)
    assert indexer("backup", tmp_path / "link" / "backup", library=folder).code == 1

    def other_is_done_first() -> str:
        (tmp_path / "backup").mkdir(exist_ok=True)
        (tmp_path / "backup" / "backup.json").touch()
        return "0"

    with monkeypatch.context() as patch:
        patch.setattr("indexer.keeping.backup._version", other_is_done_first)
        late = indexer("backup", tmp_path / "backup", library=folder)
    assert late.code == 1 and "there already" in late.err and "Errno" not in late.err
    shutil.rmtree(tmp_path / "backup")
    assert indexer("backup", tmp_path / "backup", library=folder).code == 0
    (tmp_path / "file").touch()
    refused = indexer("restore", tmp_path / "backup", library=tmp_path / "file")
    assert refused.code == 1 and "no folder" in refused.err and "Errno" not in refused.err


# --- migrations --------------------------------------------------------------------------------


def older_library(folder: Path) -> Path:
    """A library as the first version left it, with two videos; returns its catalog."""
    library = make_library(folder)
    for number in range(2):
        add_video(library, f"/v/{number}.mp4", seed=number)
    library.database.downgrade("0001")
    library.close()
    return folder / "catalog.sqlite3"


def test_an_older_catalog_is_migrated_with_a_copy_kept_first(tmp_path):
    catalog = older_library(tmp_path / "library")
    done = run_indexer("status", "--json", library=tmp_path / "library")
    assert json.loads(done.stdout)["clips"] == 6
    kept = catalog.with_name("catalog-schema-0001.sqlite3")
    assert "from schema 0001" in done.stderr and str(kept) in done.stderr
    again = run_indexer("status", library=tmp_path / "library")
    assert again.stderr == ""
    before = Database(f"sqlite:///{kept}")
    assert before.schema_revision() == "0001" and before.damage() == []
    before.close()
    # The copy is a way back.
    shutil.copyfile(kept, catalog)
    with sqlite3.connect(catalog) as connection:
        assert connection.execute("SELECT count(*) FROM clips").fetchone() == (6,)
    migrated = Library(tmp_path / "library")
    assert faults(migrated) == {}
    migrated.close()


def test_a_newer_catalog_is_refused_and_left_as_it_is(tmp_path):
    library = make_library(tmp_path / "library")
    with library.database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    library.close()
    done = run_indexer("status", library=tmp_path / "library")
    assert done.returncode == 1
    assert "9999" in done.stderr and "upgrade reelseek" in done.stderr
    checked = run_indexer("check", "--repair", library=tmp_path / "library")
    assert checked.returncode == 1 and "upgrade reelseek" in " ".join(checked.stdout.split())
    assert "--repair" not in checked.stdout
    assert not list((tmp_path / "library").glob("catalog-*"))
    with pytest.raises(SchemaError):
        Library(tmp_path / "library")


def test_a_backup_of_an_older_schema_is_migrated_as_it_is_restored(tmp_path):
    catalog = older_library(tmp_path / "library")
    library = Library(tmp_path / "library", migrate=False)
    record = back_up(library, tmp_path / "backup")
    library.close()
    assert record["schema"] == "0001"
    restore(tmp_path / "backup", tmp_path / "restored")
    restored = Library(tmp_path / "restored")
    assert faults(restored) == {}
    restored.close()
    assert not list((tmp_path / "restored").glob("catalog-schema*"))
    assert Database(f"sqlite:///{catalog}").schema_revision() == "0001"  # what was backed up is as it was


def test_a_migration_that_finds_no_room_changes_nothing(tmp_path):
    catalog = older_library(tmp_path / "library")
    before = catalog.read_bytes()
    code = f"""
        import resource, signal
        from pathlib import Path
        from encoders.errors import ReelseekError
        from search.library import Library
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
        try:
            Library(Path({str(catalog.parent)!r}))
        except ReelseekError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True
    )
    assert "could not be copied" in done.stdout, done.stderr
    assert catalog.read_bytes() == before
    assert not list(catalog.parent.glob("catalog-*"))
    migrated = Library(catalog.parent)
    assert faults(migrated) == {}
    migrated.close()


@pytest.mark.slow
def test_two_programs_migrate_one_library_at_once(tmp_path):
    older_library(tmp_path / "library")
    code = f"from search.library import Library; Library({str(tmp_path / 'library')!r}).close()"
    programs = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for program in programs:
        _, said = program.communicate()
        assert program.returncode == 0, said
    migrated = Library(tmp_path / "library")
    assert faults(migrated) == {}
    migrated.close()


@pytest.mark.slow
def test_a_backup_that_finds_no_room_leaves_nothing(tmp_path):
    library = make_library(tmp_path / "library")
    add_video(library, "/v/1.mp4", count=50)
    library.close()
    code = f"""
        import resource, signal
        from pathlib import Path
        from encoders.errors import LibraryError
        from indexer.keeping.backup import back_up
        from search.library import Library
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        library = Library(Path({str(tmp_path / "library")!r}))
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
        try:
            back_up(library, Path({str(tmp_path / "backup")!r}))
        except LibraryError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True
    )
    assert "could not be copied" in done.stdout, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["library"]
    with pytest.raises(LibraryError):
        restore(tmp_path / "backup", tmp_path / "restored")
