"""`indexer check`: a sound library passes, each kind of damage is found, and repaired where it can be."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from made_library import add_video, make_library, make_offline_library
from programs import run_indexer
from sqlalchemy import select
from video_factory import moving, shots, write_video

from encoders.errors import LibraryBusyError
from encoders.heads.head import FeatureTrack
from indexer.ingest.pipeline import IngestOptions, ingest
from indexer.keeping.check import CheckReport, check
from search.catalog.actions.lesson_examples import LessonExample
from search.catalog.tables import clip_vectors, clips, key_frames, videos
from search.index.files import save_index
from search.library import Library
from search.types import Filters


@pytest.fixture(scope="module")
def made(tmp_path_factory, offline_encoder) -> Path:
    """A library of two videos, and their archive, made once and copied by each test."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "archive").mkdir()
    write_video(folder / "archive" / "one.mp4", moving(150, seed=1), fps=25)
    write_video(folder / "archive" / "two.mkv", shots([50, 75])[0], fps=25)
    library = make_offline_library(folder / "library", offline_encoder)
    ingest(library, [str(folder / "archive")], IngestOptions())
    library.close()
    return folder


@pytest.fixture
def library(made, tmp_path) -> Iterator[Library]:
    shutil.copytree(made / "library", tmp_path / "library")
    library = Library(tmp_path / "library", device="cpu")
    yield library
    library.close()


def change(library: Library, *statements: str) -> None:
    """Damages rows behind the catalog's back."""
    connection = sqlite3.connect(library.folder / "catalog.sqlite3")  # where no foreign key is held to
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def wrong(report: CheckReport) -> dict[str, int]:
    return {finding.name: finding.wrong for finding in report.findings if finding.wrong}


def test_a_sound_library_passes_with_every_thing_looked_at(library):
    report = check(library, digests=True)
    assert report.ok, report.as_json()
    looked_at = {finding.name: finding.looked_at for finding in report.findings}
    assert looked_at["vectors"] == looked_at["index"] == looked_at["clips"] == 4
    assert looked_at["content"] == looked_at["files there"] == 2
    assert looked_at["schema"] == looked_at["database"] == 1
    assert looked_at["pictures"] == looked_at["key frames"] >= 4


# Statements that damage a sound library, and which check must find how many faults.
DAMAGE = {
    "a wrong number of clips": (["UPDATE library SET clip_count = 7"], {"number of clips": 1}),
    "orphaned key frame": (
        ["INSERT INTO key_frames (clip_id, time_seconds, jpeg) VALUES (999, 0, x'ffd8ffd9')"],
        {"key frames": 1},
    ),
    "orphaned vectors": (["DELETE FROM clips WHERE id = 1"], {"clip vectors": 1, "key frames": None}),
    "clip without vectors": (["DELETE FROM clip_vectors WHERE clip_id = 1"], {"vectors": 1}),
    "short embedding": (["UPDATE clip_vectors SET embedding = x'00' WHERE clip_id = 2"], {"vectors": 1}),
    "zeroed embedding": (
        ["UPDATE clip_vectors SET embedding = zeroblob(length(embedding)) WHERE clip_id = 2"],
        {"embeddings": 1},
    ),
    "short features": (
        ["UPDATE clip_vectors SET features = substr(features, 1, length(features) - 2) WHERE clip_id = 3"],
        {"vectors": 1},
    ),
    "staged leftovers": (
        [
            "INSERT INTO videos (path, size_bytes, mtime_ns, status, updated_at)"
            " VALUES ('/s', 1, 1, 'staging', 0)",
            "INSERT INTO clips (video_id, ordinal, start_seconds, end_seconds)"
            " SELECT id, 0, 0, 1 FROM videos WHERE path = '/s'",
        ],
        {"staged videos": 1},
    ),
    "hidden clip": (["UPDATE clips SET revision = NULL WHERE id = 1"], {"visibility": 1}),
    "clip of the future": (["UPDATE clips SET revision = 99 WHERE id = 1"], {"visibility": 1}),
    "double clip": (
        [
            "INSERT INTO clips (id, video_id, ordinal, start_seconds, end_seconds, revision)"
            " SELECT 50, video_id, ordinal, start_seconds, end_seconds, revision FROM clips WHERE id = 1",
            "INSERT INTO clip_vectors SELECT 50, embedding, times, features, crc32"
            " FROM clip_vectors WHERE clip_id = 1",
        ],
        {"clips of videos": 1},
    ),
    "lost clip": (
        [
            "DELETE FROM clip_vectors WHERE clip_id = 1",
            "DELETE FROM key_frames WHERE clip_id = 1",
            "DELETE FROM clips WHERE id = 1",
        ],
        {"clips of videos": 1, "index": 1},
    ),
    "removed and there": (["INSERT INTO removed_clips VALUES (2, 1)"], {"removals": 1}),
    "last clip of a video gone": (
        [
            "DELETE FROM clip_vectors WHERE clip_id = 4",
            "DELETE FROM key_frames WHERE clip_id = 4",
            "DELETE FROM clips WHERE id = 4",
        ],
        {"clips of videos": 1},
    ),
    "last clip of a video gone, its rest left": (
        ["DELETE FROM clips WHERE id = 4"],
        {"clips of videos": 1, "clip vectors": 1},
    ),
    "clip far off": (
        ["UPDATE clips SET start_seconds = 900, end_seconds = 1000 WHERE id = 4"],
        {"vectors": 1, "pictures": 1},
    ),
    "overlapping clips": (
        ["UPDATE clips SET end_seconds = end_seconds + 0.5 WHERE ordinal = 0"],
        {"clips of videos": 2},
    ),
    "zeroed features": (
        ["UPDATE clip_vectors SET features = zeroblob(length(features)) WHERE clip_id = 2"],
        {"vectors": 1, "embeddings": 0, "index": 0},
    ),
    "unknown status": (["UPDATE videos SET status = 'foo' WHERE id = 1"], {"states of videos": 1}),
    "key frames gone": (["DELETE FROM key_frames WHERE clip_id = 3"], {"pictures": 1}),
    "key frame elsewhere": (
        ["UPDATE key_frames SET time_seconds = 50 WHERE clip_id = 3"],
        {"pictures": 1},
    ),
    "text for a picture": (
        ["UPDATE key_frames SET jpeg = CAST(x'ffd841ffd9' AS TEXT) WHERE clip_id = 3"],
        {"values of clips": None, "pictures": None},
    ),
    "text for vectors": (
        ["UPDATE clip_vectors SET features = CAST(features AS TEXT), embedding = 'abc' WHERE clip_id = 3"],
        {"values of clips": 1},
    ),
    "text for a time": (["UPDATE clips SET start_seconds = 'abc' WHERE id = 3"], {"values of clips": 1}),
    "unreadable sampling": (["UPDATE library SET sampling = '{\"fps\": '"], {"library's sampling": 1}),
    "unreadable sampling of a video": (
        ["UPDATE videos SET sampling = '{' WHERE id = 1"],
        {"videos' sampling": 1},
    ),
    "half a picture": (
        ["UPDATE key_frames SET jpeg = substr(jpeg, 1, 20) WHERE id = (SELECT min(id) FROM key_frames)"],
        {"pictures": 1},
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_and_repaired(library, name):
    statements, expected = DAMAGE[name]
    change(library, *statements)
    report = check(library)
    found = wrong(report)
    for finding, count in expected.items():
        assert found.get(finding, 0) == count if count is not None else found.get(finding)
    repaired = check(library, repair=True)
    assert repaired.ok, repaired.as_json()
    assert repaired.repaired
    assert check(library).ok


def test_what_had_to_be_forgotten_comes_back_with_the_next_ingest(library, made):
    change(library, "DELETE FROM clip_vectors WHERE clip_id = 1")
    assert check(library, repair=True).ok
    with library.read() as catalog:
        assert (catalog.count_videos("failed"), catalog.count_clips()) == (1, 2)
    ingest(library, [str(made / "archive")], IngestOptions())
    assert check(library).ok
    with library.read() as catalog, library.index() as index:
        assert catalog.count_videos("indexed") == 2
        assert catalog.count_clips() == len(index) == 4
        assert index.ids().tolist() == catalog.clip_ids(Filters()).tolist()


def test_only_the_damaged_clip_goes_where_the_file_is_not_there(library):
    change(
        library,
        "UPDATE videos SET path = '/away' || path, status = 'missing'",
        "UPDATE clip_vectors SET embedding = x'00' WHERE clip_id = 2",
    )
    report = check(library, repair=True)
    assert report.ok
    assert any("their files are not there" in line for line in report.repaired)
    with library.read() as catalog:
        assert catalog.count_clips() == 3


@pytest.mark.parametrize("what", ["truncated", "garbage", "gone", "of another catalog", "stale vectors"])
def test_a_broken_index_is_found_and_made_anew(library, what):
    record = library.index_keeper.folder / "index.json"
    file = library.index_keeper.file()
    assert file is not None
    if what == "truncated":
        file.write_bytes(file.read_bytes()[:-100])
    elif what == "garbage":
        file.write_bytes(b"garbage")
    elif what == "gone":
        file.unlink()
    elif what == "of another catalog":
        record.write_text(json.dumps(json.loads(record.read_text()) | {"catalog_id": "another"}))
    else:  # the same clips with other vectors: nothing but a comparison can tell
        with library.index_keeper.open() as opened:
            ids, vectors = (part.copy() for part in opened.mirror.index.contents())
            opened.mirror.index.remove(ids)
            opened.mirror.index.add(ids, vectors[::-1])
            save_index(opened.mirror, library.index_keeper.folder)
    assert "index" in wrong(check(library))
    assert check(library, repair=True).ok


BLOBS = [
    ("clip_vectors", "embedding"),
    ("clip_vectors", "times"),
    ("clip_vectors", "features"),
    ("key_frames", "jpeg"),
    ("heads", "parameters"),
    ("action_examples", "track"),
    ("library", "background"),
]


@pytest.mark.parametrize(("table", "column"), BLOBS, ids=[".".join(pair) for pair in BLOBS])
def test_one_flipped_bit_of_a_stored_thing_is_found(library, table, column):
    """Whatever bit it is: the last one of a mantissa changes a number by less than any bound allows."""
    with library.write() as catalog:
        catalog.set_library(background=np.eye(2, 8))
        track = FeatureTrack(np.eye(2, 8), np.array([0.0, 1.0]), np.array([0.0, 1, 2]), np.array([0, 0]))
        catalog.actions.add_example("x", LessonExample(True, "/f.mp4", track=track))
        catalog.actions.add_head(
            kind="taught", name="x", encoder_id="made", actions=["x"], threshold=0.5, card={},
            parameters=b"not read where another finding is asked for" * 9, is_active=True,
        )  # fmt: skip
    before = wrong(check(library))
    chance = np.random.default_rng(0)
    connection = sqlite3.connect(library.folder / "catalog.sqlite3")
    key = {"clip_vectors": "clip_id"}.get(table, "id")
    (row, good) = connection.execute(
        f"SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL"
    ).fetchone()
    for place in chance.integers(0, len(good), 12).tolist():
        flipped = bytearray(good)
        flipped[place] ^= 1 << int(chance.integers(8))
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (bytes(flipped), row))
        connection.commit()
        assert wrong(check(library)) != before, place
    connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (good, row))
    connection.commit()
    assert wrong(check(library)) == before
    connection.close()


def test_what_has_no_checksum_gets_one_when_it_is_repaired(library):
    change(library, "UPDATE clip_vectors SET crc32 = NULL", "UPDATE key_frames SET crc32 = NULL")
    report = check(library)
    assert report.ok
    assert {one.name: one.looked_at for one in report.findings}["without a checksum"] >= 8
    again = check(library, repair=True)
    assert again.ok and any("a checksum" in line for line in again.repaired)
    assert {one.name: one.looked_at for one in again.findings}["without a checksum"] == 0


def test_a_sample_reads_a_share_and_in_time_all_of_it(library, indexer):
    total = {one.name: one.looked_at for one in check(library).findings}
    with library.read() as catalog:
        clip_ids = catalog.clip_ids(Filters()).tolist()
    change(library, f"UPDATE clip_vectors SET crc32 = crc32 + 1 WHERE clip_id = {clip_ids[2]}")
    found = [check(library, share=0.25) for _ in range(40)]
    looked_at = [{one.name: one.looked_at for one in report.findings}["vectors"] for report in found]
    assert max(looked_at) < total["vectors"] and 0.1 < np.mean(looked_at) / total["vectors"] < 0.5
    assert 0 < sum(not report.ok for report in found) < 40
    assert all(
        {one.name: one.looked_at for one in report.findings}["clips"] == total["clips"] for report in found
    )
    for text in ("0", "101%", "-5%", "a lot", "nan"):
        ran = indexer("check", "--sample", text, library=library.folder)
        assert ran.code == 2 and "5%" in ran.err, ran.err
    assert indexer("check", "--sample", "100%", library=library.folder).code == 1


@pytest.mark.parametrize("name", ["vectors", "index.json"])
def test_one_flipped_bit_of_the_index_is_found(library, name):
    path = library.index_keeper.folder / "index.json" if name == "index.json" else library.index_keeper.file()
    chance = np.random.default_rng(0)
    good = path.read_bytes()
    for place in chance.integers(0, len(good), 40).tolist():
        flipped = bytearray(good)
        flipped[place] ^= 1 << int(chance.integers(8))
        path.write_bytes(flipped)
        assert "index" in wrong(check(library)), bytes(flipped[max(0, place - 20) : place + 20])
    path.write_bytes(good)
    assert "index" not in wrong(check(library))


def test_a_folder_in_the_place_of_the_index_goes(library, indexer):
    file = library.index_keeper.file()
    assert file is not None
    file.unlink()
    file.mkdir()
    (file / "thing").write_text("thing")
    assert indexer("check", "--repair", library=library.folder).code == 0
    assert library.index_keeper.file().is_file() and not file.is_dir()


def edit(library: Library, name: str, dtype: type, clip_id: int, by) -> bytes:
    """Changes the numbers of one of a clip's arrays; what they were."""
    connection = sqlite3.connect(library.folder / "catalog.sqlite3")
    row = connection.execute(f"SELECT {name} FROM clip_vectors WHERE clip_id = ?", (clip_id,)).fetchone()
    values = by(np.frombuffer(row[0], dtype).copy())
    with connection:
        connection.execute(
            f"UPDATE clip_vectors SET {name} = ? WHERE clip_id = ?",
            (values.astype(dtype).tobytes(), clip_id),
        )
    connection.close()
    return row[0]


def flipped(bit: int, nearest: float):
    """Flips a bit of the number that is nearest to one in size."""

    def flip(values: np.ndarray) -> np.ndarray:
        place = int(np.argmin(np.abs(np.abs(values) - nearest)))
        whole = {2: np.uint16, 4: np.uint32}[values.itemsize]
        values.view(whole)[place] ^= whole(1 << bit)
        return values

    return flip


@pytest.mark.parametrize(
    ("name", "dtype", "by"),
    [
        ("times", np.float64, lambda times: times + 100),
        ("times", np.float64, lambda times: times[::-1]),
        ("times", np.float64, lambda times: times * np.nan),
        ("features", np.float16, lambda features: features * np.nan),
        ("features", np.float16, lambda features: features * 2),
        ("features", np.float16, flipped(15, 0.05)),
        ("features", np.float16, flipped(9, 0.05)),
    ],
)
def test_numbers_that_cannot_be_are_found_and_read_anew(library, made, name, dtype, by):
    was = edit(library, name, dtype, 2, by)
    assert sum(wrong(check(library)).get(one, 0) for one in ("vectors", "embeddings")) == 1
    assert "index" not in wrong(check(library))
    assert check(library, repair=True).ok
    ingest(library, [str(made / "archive")], IngestOptions())
    assert check(library).ok
    with library.database.read() as connection:
        assert was in connection.execute(select(clip_vectors.c[name])).scalars().all()


@pytest.mark.parametrize("bit", [31, 24, 22, 19])
def test_of_an_embedding_and_the_index_the_one_that_the_features_come_to_is_right(library, bit, indexer):
    index_file = library.index_keeper.file()
    held = index_file.read_bytes()
    was = edit(library, "embedding", np.float32, 2, flipped(bit, 0.05))
    assert wrong(check(library)) == {"embeddings": 1}
    done = indexer("check", "--repair", library=library.folder)
    assert done.code == 0 and "set 1 embeddings to what features and index agree on" in done.out
    assert library.index_keeper.file() == index_file and index_file.read_bytes() == held
    with library.database.read() as connection:
        assert connection.execute(select(clip_vectors.c.embedding)).scalars().all()[1] == was


def test_where_nothing_settles_it_the_video_is_read_anew(library, made):
    edit(library, "embedding", np.float32, 2, flipped(24, 0.05))
    shutil.rmtree(library.index_keeper.folder)
    assert wrong(check(library)) == {"embeddings": 1}
    report = check(library, repair=True)
    assert report.ok and "1 videos are to be read anew" in " ".join(report.repaired)
    ingest(library, [str(made / "archive")], IngestOptions())
    assert check(library).ok


def test_a_wrong_dimension_is_set_right_and_nothing_else_is_touched(library, indexer):
    change(library, "UPDATE library SET dim = 100")
    report = json.loads(indexer("check", "--json", library=library.folder).out)
    assert [row["check"] for row in report["checks"] if row["wrong"]] == ["dimension"]
    done = indexer("check", "--repair", library=library.folder)
    assert done.code == 0 and "set the library's dimension to 2281" in done.out
    with library.read() as catalog:
        assert (catalog.count_clips(), catalog.count_videos("indexed")) == (4, 2)


def test_an_emptied_catalog_is_not_called_well(library, indexer):
    library.close()
    catalog = library.folder / "catalog.sqlite3"
    for path in library.folder.glob("catalog.sqlite3*"):
        path.unlink()
    catalog.touch()
    for option in ((), ("--repair",)):
        done = indexer("check", *option, library=library.folder)
        assert done.code == 1 and "indexer restore --force" in " ".join(done.out.split())
    indexer("status", library=library.folder)  # which makes the tables
    done = indexer("check", "--repair", library=library.folder)
    assert done.code == 1 and "index is of 4 clips" in " ".join(done.out.split())


def test_a_sampling_that_cannot_be_read_is_told_by_an_ingest(library, made, indexer):
    change(library, "UPDATE library SET sampling = '{'")
    done = indexer("ingest", made / "archive", library=library.folder)
    assert done.code == 1 and "indexer check --repair" in done.err
    assert indexer("check", "--repair", library=library.folder).code == 0
    assert indexer("ingest", made / "archive", library=library.folder).code == 0
    with library.read() as catalog:
        assert catalog.library_record().sampling == catalog.list_videos()[0].sampling


def test_files_that_went_came_back_or_changed_are_told(library, made, tmp_path):
    shutil.copytree(made / "archive", tmp_path / "archive")
    one, two = tmp_path / "archive" / "one.mp4", tmp_path / "archive" / "two.mkv"
    change(library, f"UPDATE videos SET path = replace(path, '{made}', '{tmp_path}')")
    away = tmp_path / "away"
    one.rename(away)
    assert wrong(check(library)) == {"files there": 1}
    assert check(library, repair=True).ok
    with library.read() as catalog:
        assert catalog.video_by_path(str(one)).status == "missing"
    away.rename(one)
    assert wrong(check(library)) == {"files back": 1}
    assert check(library, repair=True).ok
    # One bit, under the same size and time.
    stat = two.stat()
    content = bytearray(two.read_bytes())
    content[len(content) // 2] ^= 1
    two.write_bytes(content)
    os.utime(two, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert wrong(check(library)) == {"files unchanged": 1}  # what wrote it changed its inode
    # As a disk does it: nothing tells of a change.
    change(library, f"UPDATE videos SET ctime_ns = {two.stat().st_ctime_ns} WHERE path = '{two}'")
    assert check(library).ok
    assert wrong(check(library, digests=True)) == {"content": 1}
    check(library, digests=True, repair=True)
    write_video(two, moving(75, seed=9), fps=25)
    assert wrong(check(library)) == {"files unchanged": 1}
    assert not check(library, repair=True).ok  # only an ingest can mend that
    ingest(library, [str(tmp_path / "archive")], IngestOptions())
    assert check(library, digests=True).ok


def test_leftover_files_are_deleted(library):
    for name in ("vectors-1-2.faiss", "index-7.tmp"):
        (library.index_keeper.folder / name).write_bytes(b"half")
    assert wrong(check(library)) == {"leftovers": 2}
    assert check(library, repair=True).ok
    assert check(library).ok


def test_an_ingest_under_way_is_no_fault_and_is_not_repaired(library):
    with library.write() as catalog:
        catalog.stage_video("/being/read.mp4", 1, 2)
    with library.ingest_lock(wait=False):
        report = check(library)
        assert report.ok and report.is_ingesting
        with pytest.raises(LibraryBusyError):
            check(library, repair=True)
    assert wrong(check(library)) == {"staged videos": 1}


def test_a_damaged_database_is_told(library):
    library.close()
    path = library.folder / "catalog.sqlite3"
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = np.random.default_rng(0).bytes(4096)
    path.write_bytes(content)
    done = run_indexer("check", library=library.folder)
    assert done.returncode == 1
    assert "damaged" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_shows_a_table_or_json_and_exits_by_what_it_finds(library):
    done = run_indexer("check", library=library.folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "all is well" in done.stdout and "vectors" in done.stdout
    change(library, "DELETE FROM clip_vectors WHERE clip_id = 1")
    done = run_indexer("check", "--json", library=library.folder)
    document = json.loads(done.stdout)
    assert (done.returncode, document["ok"]) == (1, False)
    rows = [row for row in document["checks"] if row["wrong"]]
    assert [row["check"] for row in rows] == ["vectors", "index"]
    assert (rows[0]["examples"], rows[0]["repairable"]) == (["clip 1"], True)
    done = run_indexer("check", "--repair", library=library.folder)
    assert done.returncode == 0
    assert "mended vectors: forgot" in done.stdout


def test_an_older_schema_is_told_and_migrated_by_a_repair(library):
    library.database.downgrade("0001")
    report = check(library)
    assert wrong(report) == {"schema": 1}
    assert check(library, repair=True).ok


def remains(folder: Path, wanted: dict[str, bytes]) -> list[str]:
    """Which of the bytes are in which file, whole or by a piece out of their middle."""
    found = []
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        for name, value in wanted.items():
            middle = value[len(value) // 2 :][:48] if len(value) > 96 else value
            if value in content or middle in content:
                found.append(f"{name} in {path.name}")
    return found


def bytes_of(library: Library, name: str) -> dict[str, bytes]:
    """What is stored of a video that no other has."""
    found = {"path": name.encode()}
    with library.database.read() as connection:
        query = (
            select(clips.c.id, clip_vectors.c.embedding, clip_vectors.c.features, key_frames.c.jpeg)
            .join(videos, videos.c.id == clips.c.video_id)
            .join(clip_vectors, clip_vectors.c.clip_id == clips.c.id)
            .join(key_frames, key_frames.c.clip_id == clips.c.id)
            .where(videos.c.path.like(f"%{name}"))
        )
        for row in connection.execute(query):
            found[f"embedding {row.id}"] = row.embedding
            found[f"features {row.id}"] = row.features
            found[f"picture {row.id}"] = row.jpeg
    assert len(found) > 3
    return found


def test_what_was_removed_is_in_no_file_of_the_library(library, made):
    with library.write() as catalog:
        catalog.create_job("a", {"paths": [str(made / "archive" / "one.mp4")], "prune": False})
        catalog.update_job("a", status="done", result={"failed": []}, finished_at=1.0)
        catalog.create_job("b", {"paths": [str(made / "archive")], "prune": False})
    library.index_keeper.save()
    wanted = bytes_of(library, "one.mp4")
    # A server that has it open and reads meanwhile.
    with library.index() as index:
        assert len(index) == 4
    assert {name.split()[0] for name in remains(library.folder, wanted)} == {
        "path", "embedding", "features", "picture"
    }  # fmt: skip
    done = run_indexer("remove", made / "archive" / "one.mp4", library=library.folder)
    assert done.returncode == 0
    assert remains(library.folder, wanted) == []
    with library.read() as catalog, library.index() as index:
        assert len(index) == catalog.count_clips() == 2
        assert [job.id for job in catalog.jobs_with_status("queued", "done")] == ["b"]
    assert check(library).ok


def test_many_that_were_removed_among_others_leave_nothing(tmp_path):
    library = make_library(tmp_path / "library")
    for number in range(120):
        add_video(library, f"/films/unlike-{number:03d}.mp4", count=4, seed=number)
    library.index_keeper.save()
    wanted = {}
    for number in range(0, 120, 3):
        name = f"unlike-{number:03d}.mp4"
        wanted.update({f"{name}: {key}": value for key, value in bytes_of(library, name).items()})
    with library.write() as catalog:
        ids = [catalog.video_by_path(f"/films/unlike-{number:03d}.mp4").id for number in range(0, 120, 3)]
        catalog.remove_videos(ids)
    library.index_keeper.save()
    assert remains(library.folder, wanted) == []
    library.close()
    assert remains(library.folder, wanted) == []
