"""Killed, out of room, without power: whatever was finished is there, and the index equals the catalog."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import store_writer
from made_library import add_video, faults, make_library
from power_cut import Recording
from programs import ROOT, run_indexer, start_indexer
from sqlalchemy import select
from store_writer import CLIPS
from surroundings import lacking
from video_factory import scene, write_video

from encoders.errors import LibraryError
from indexer.keeping.backup import back_up, read_record, restore
from indexer.keeping.check import check
from search.catalog.database import Database
from search.catalog.tables import clip_vectors, clips, key_frames, videos
from search.library import Library
from search.types import Filters

WRITER = [sys.executable, store_writer.__file__]
STEPS = ["add", "save", "remove", "teach"]


def needs_strace() -> None:
    """The steps of a program are counted by strace, which may be missing or forbidden."""
    if shutil.which("strace") is None:
        lacking("strace", "strace is not installed")
    if subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True).returncode:
        lacking("strace", "strace may not trace programs here")


def promised(said: list[str]) -> tuple[set[int], set[int]]:
    """The videos that must be there, and those that may be: what was begun and not acknowledged."""
    kept: set[int] = set()
    maybe: set[int] = set()
    own: list[int] = []
    for line in said:
        step, _, number = line.partition(" ")
        if step == "opened":
            own = []
            continue
        if step == "add":
            own.append(int(number))
            kept.add(int(number))
        elif step == "save" and len(own) > 1:  # the next thing it does is to remove the one before
            kept.discard(own[-2])
            maybe.add(own[-2])
        elif step == "remove" and len(own) > 1:
            maybe.discard(own[-2])
    return kept, maybe


def assert_survived(folder: Path, said: list[str]) -> None:
    """What was acknowledged is there or gone, whole; nothing is double, orphaned, or only in the index."""
    library = Library(folder)
    with library.write() as catalog:
        catalog.discard_staged()  # as the next ingest begins
    report = check(library, repair=True)
    mended = [line for line in report.repaired if not line.startswith(("leftovers", "files"))]
    assert mended == [] and faults(library) == {}, report.as_json()
    kept, maybe = promised(said)
    with library.read() as catalog, library.index() as index:
        videos = {int(Path(video.path).stem): video for video in catalog.list_videos(limit=10_000)}
        assert all(video.clips == CLIPS for video in videos.values())
        unfinished = set(videos) - kept - maybe  # published, and killed before it could say so
        assert kept <= set(videos) and len(unfinished) <= said.count("opened")
        assert index.ids().tolist() == catalog.clip_ids(Filters()).tolist()
        heads = [head for head in catalog.actions.heads(active=None) if head.is_active]
        assert len(heads) == (1 if any(line.startswith("teach") for line in said) else len(heads))
    library.close()


def run_until_killed(folder: Path, first: int, inject: str) -> tuple[list[str], bool]:
    """Runs the writer until strace kills it at a call; what it said, and whether it came to its end."""
    done = subprocess.run(
        [
            "strace",
            "-f",
            "-o",
            os.devnull,
            "-e",
            f"inject={inject}",
            *WRITER,
            str(folder),
            str(first),
            "2",
            *STEPS,
        ],
        capture_output=True,
        text=True,
    )
    return done.stdout.splitlines(), done.returncode == 0


def kill_at(calls: list[tuple[str, int]], folder: Path) -> int:
    """Kills a writer at each of these calls, one after the other, on one library; how many were killed."""
    make_library(folder).close()
    killed = 0
    everything: list[str] = []
    for number, (call, when) in enumerate(calls):
        said, is_done = run_until_killed(folder, 2 * number, f"{call}:signal=SIGKILL:when={when}")
        everything += said
        killed += not is_done
        assert_survived(folder, everything)
    return killed


# Of some 290 writes, 30 syncs, 2 renames and 4 deletions, on a library that holds something already.
def test_killed_at_chosen_system_calls(tmp_path):
    needs_strace()
    calls = [("fdatasync", 5), ("pwrite64", 150), ("rename", 2)]
    assert kill_at(calls, tmp_path / "library") == len(calls)


@pytest.mark.slow
def test_killed_at_any_system_call(tmp_path):
    needs_strace()
    chance = random.Random(0)
    calls = [("pwrite64", chance.randrange(1, 290)) for _ in range(24)]
    calls += [("fdatasync", chance.randrange(1, 23)) for _ in range(10)]
    calls += [(call, when) for call in ("rename", "fsync", "unlink") for when in (1, 2)]
    assert kill_at(calls, tmp_path / "library") >= 0.8 * len(calls)


@pytest.mark.parametrize("call", ["pwrite64", "fdatasync"])
def test_a_disk_that_fills_up_or_fails_at_any_step_stops_with_a_reason(tmp_path, call):
    needs_strace()
    error, words = ("ENOSPC", "full") if call == "pwrite64" else ("EIO", "disk I/O error")
    make_library(tmp_path / "library").close()
    everything: list[str] = []
    for number, when in enumerate((2, 160) if call == "pwrite64" else (12,)):
        done = subprocess.run(
            [
                *("strace", "-f", "-o", os.devnull, "-e", f"inject={call}:error={error}:when={when}+"),
                *(*WRITER, str(tmp_path / "library"), str(2 * number), "2", *STEPS),
            ],
            capture_output=True,
            text=True,
        )
        everything += done.stdout.splitlines()
        assert done.returncode == 1
        assert re.search(r"errors\.(LibraryError|CatalogUnavailableError): ", done.stderr)
        assert words in done.stderr or "disk I/O error" in done.stderr
        assert_survived(tmp_path / "library", everything)


@pytest.mark.parametrize("cuts", [25, pytest.param(200, marks=pytest.mark.slow)])
def test_the_power_goes_at_any_step(tmp_path, cuts):
    needs_strace()
    folder = tmp_path / "library"
    make_library(folder).close()
    recording = Recording([*WRITER, str(folder), "0", "3", *STEPS], folder)
    total = len(recording.calls)
    assert sum(name == "fdatasync" for name, *_ in recording.calls) > 20  # each commit waits for the disk
    chance = random.Random(1)
    for number in range(cuts):
        cut = chance.randrange(1, total + 1)
        target = tmp_path / f"cut-{number}"
        recording.after_cut(cut, target, seed=number % 4 and number)
        assert_survived(target, recording.said_before(cut))
        shutil.rmtree(target)


def test_every_commit_waits_for_the_disk_and_nothing_of_what_was_deleted_stays(tmp_path):
    library = make_library(tmp_path / "library")
    for block in (library.database.read, library.database.write):
        with block() as connection:
            found = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
            }
            assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}
    library.close()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own of so much room; needs the right to mount one."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True
    )
    if done.returncode:
        lacking("mount", "no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def write(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([*WRITER, *map(str, arguments)], capture_output=True, text=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def test_a_full_disk_stops_with_a_reason_and_goes_on_when_there_is_room(tmp_path):
    with small_disk(tmp_path / "disk", "2m") as disk:
        make_library(disk / "library").close()
        done = write(disk / "library", "0", "100", "add", "save")
        assert done.returncode == 1
        assert "no room left" in done.stderr and "make room" in done.stderr
        said = done.stdout.splitlines()
        assert len(said) > 4
        # Still full: it can be opened and searched.
        library = Library(disk / "library")
        with library.index() as index:
            assert len(index) > 0
        library.close()
        remount(disk, "size=20m")
        done = write(disk / "library", "200", "2", "add", "save")
        assert done.returncode == 0, done.stderr
        assert_survived(disk / "library", said + done.stdout.splitlines())


def test_a_library_on_read_only_media_is_searched_and_not_changed(tmp_path):
    with small_disk(tmp_path / "disk", "20m") as disk:
        library = make_library(disk / "library")
        library.close()
        assert write(disk / "library", "0", "3", "add", "save").returncode == 0
        remount(disk, "ro")
        library = Library(disk / "library")
        with library.read() as catalog, library.index() as index:
            assert len(index) == catalog.count_clips() == 3 * CLIPS
        library.index_keeper.save()
        assert faults(library) == {}
        with pytest.raises(LibraryError, match=r"cannot be written to"), library.write() as catalog:
            catalog.stage_video("/v/new.mp4", 1, 2)
        with pytest.raises(LibraryError, match=r"cannot be written to"), library.ingest_lock(wait=False):
            pass
        library.close()
        assert run_indexer("backup", tmp_path / "backup", library=disk / "library").returncode == 0
        done = run_indexer("ingest", tmp_path, library=disk / "library")
        assert done.returncode == 1 and "cannot be written to" in done.stderr
        assert "Traceback" not in done.stderr


def test_an_index_for_which_there_is_no_room_says_so_and_leaves_nothing(tmp_path):
    library = make_library(tmp_path / "library")
    for number in range(6):
        add_video(library, f"/v/{number}.mp4", count=100, seed=number)
    library.close()
    with small_disk(tmp_path / "library" / "index", "8k") as index:
        done = run_indexer("rebuild", library=tmp_path / "library")
        assert done.returncode == 1 and "cannot be written to" in done.stderr
        assert "No space left on device" in done.stderr and "faiss" not in done.stderr.lower()
        assert [path.name for path in index.iterdir()] == ["save.lock"]
        remount(index, "size=1m")
        assert run_indexer("rebuild", library=tmp_path / "library").returncode == 0
        found = json.loads(run_indexer("check", "--json", library=tmp_path / "library").stdout)["checks"]
        assert {one["check"]: one["wrong"] for one in found}["index"] == 0


# What is done to a library whose `folder` holds a copy of it; before a migration it is at the first one.
TOOLS = {
    "migrate": "Library(folder / 'library').close()",
    "backup": "library = Library(folder / 'library'); back_up(library, folder / 'copy'); library.close()",
    "restore": "restore(folder / 'backup', folder / 'library')",
    "restore over it": "restore(folder / 'backup', folder / 'library', force=True)",
    "save the index": "library = Library(folder / 'library'); library.rebuild_index(); library.close()",
}
DISTURBED = ("pwrite64", "write", "fdatasync", "fsync", "rename", "unlink", "ftruncate")
# Of each system call so many, spread over all; the slow test, with REELSEEK_EVERY_CALL=1, takes each of them.
FEW_CALLS = 1


def command_of(folder: Path, tool: str) -> list[str]:
    code = f"""
        import sys; sys.path.insert(0, {str(ROOT)!r})
        from pathlib import Path
        from indexer.keeping.backup import back_up, restore
        from search.library import Library
        folder = Path({str(folder)!r})
        # Only what is done counts, not what is loaded.
        import os, faiss, search.index.faiss_index, alembic.config, search.catalog.database
        os.write(1, b"ready\\n")
        {TOOLS[tool]}
        os.write(1, b"done\\n")
    """
    return [sys.executable, "-c", textwrap.dedent(code)]


def run_tool(folder: Path, tool: str, *strace: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["strace", "-f", *strace, *command_of(folder, tool)], capture_output=True, text=True
    )


def count_calls(folder: Path, tool: str) -> dict[str, int]:
    """How many of each system call it takes, undisturbed."""
    listing = folder / "calls"
    done = run_tool(folder, tool, "-o", str(listing), "-e", f"trace={','.join(DISTURBED)}")
    assert done.returncode == 0, done.stderr
    lines = listing.read_text().splitlines()
    return {call: sum(f" {call}(" in line for line in lines) for call in DISTURBED}


def make_original(place: Path, tool: str) -> list[tuple]:
    """A library `original` and its `backup`, and what the library holds; before a migration an old one."""
    original = make_library(place / "original")
    for number in range(6):
        add_video(original, f"/v/{number}.mp4", count=30, seed=number)
    original.index_keeper.save()
    back_up(original, place / "backup")
    expected = contents(original)
    if tool == "migrate":
        original.database.downgrade("0001")
    original.close()
    return expected


def prepare_folder(place: Path, folder: Path, tool: str) -> Path:
    """What a tool finds: a backup, and a library but where it is to be restored."""
    folder.mkdir()
    shutil.copytree(place / "backup", folder / "backup")
    if tool != "restore":
        shutil.copytree(place / "original", folder / "library")
    return folder


@pytest.mark.parametrize("cuts", [6, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("tool", TOOLS)
def test_the_power_goes_while_a_tool_works(tmp_path, tool, cuts):
    """Whatever of it reached the disk, the library is whole or not there; then the same goes through."""
    needs_strace()
    expected = make_original(tmp_path, tool)
    folder = prepare_folder(tmp_path, tmp_path / "tool", tool)
    recording = Recording(command_of(folder, tool), folder)
    total = len(recording.calls)
    assert total > 10
    chance = random.Random(2)
    for number in range(cuts):
        cut = chance.randrange(1, total + 1)
        target = tmp_path / f"cut-{number}"
        recording.after_cut(cut, target, seed=number % 4 and number + 1)
        if "done" in recording.said_before(cut):
            assert_done(target, tool)
        assert_mended(target, tool, expected, f"cut {number} at {cut} of {total}")
        shutil.rmtree(target)
    recording.after_cut(total, tmp_path / "end", seed=0)
    assert_done(tmp_path / "end", tool)


def assert_done(folder: Path, tool: str) -> None:
    """What a tool promised when it ended is on the disk, though nothing else arrived there."""
    if tool == "backup":
        assert read_record(folder / "copy")
    else:
        assert (folder / "library" / "catalog.sqlite3").exists()


@pytest.mark.slow
@pytest.mark.parametrize("disturbance", ["signal=SIGKILL", "error=EIO", "error=ENOSPC"])
@pytest.mark.parametrize("tool", TOOLS)
def test_what_is_disturbed_at_a_system_call_leaves_all_or_nothing(tmp_path, tool, disturbance):
    """Killed there, or told by the disk that it fails or is full; afterwards the same goes through."""
    needs_strace()
    expected = make_original(tmp_path, tool)

    def prepare(folder: Path) -> Path:
        return prepare_folder(tmp_path, folder, tool)

    counts = count_calls(prepare(tmp_path / "counted"), tool)
    assert sum(counts.values()) > 5
    disturbed = 0
    for call, count in counts.items():
        few = {round(1 + (count - 1) * (n + 0.5) / FEW_CALLS) for n in range(FEW_CALLS)} if count else set()
        chosen = range(1, count + 1) if os.environ.get("REELSEEK_EVERY_CALL") else sorted(few)
        for when in chosen:
            folder = prepare(tmp_path / f"{call}-{when}")
            # From there on, as a disk that has failed or is full goes on to be so.
            more = "" if "SIGKILL" in disturbance else "+"
            inject = f"inject={call}:{disturbance}:when={when}{more}"
            done = run_tool(folder, tool, "-o", os.devnull, "-e", inject)
            disturbed += done.returncode != 0
            assert_mended(folder, tool, expected, f"{call} {when}")
            shutil.rmtree(folder)
    assert disturbed > 0


def assert_mended(folder: Path, tool: str, expected: object, where: str) -> None:
    """What was disturbed is whole or not there, and goes through now."""
    library = folder / "library"
    if tool == "backup":
        again = Library(library)
        if not (folder / "copy").exists():
            back_up(again, folder / "copy")
        again.close()
        assert not list(folder.glob(".*copying*")), where
        restore(folder / "copy", folder / "from-copy")
        library = folder / "from-copy"
    if tool == "restore" and not (library / "catalog.sqlite3").exists():
        restore(folder / "backup", library)
    for copy in library.glob("catalog-schema-*.sqlite3"):
        kept = Database(f"sqlite:///{copy}")
        assert (kept.schema_revision(), kept.damage()) == ("0001", []), where
        kept.close()
    opened = Library(library)
    check(opened, repair=True)
    assert contents(opened) == expected, where
    assert faults(opened) == {}, where
    opened.rebuild_index()
    assert len(list(opened.index_keeper.folder.glob("vectors-*"))) == 1, where
    assert not list(opened.index_keeper.folder.glob("*.tmp")), where
    opened.close()


def contents(library: Library) -> list[tuple]:
    """Every visible clip with its vectors and key frames."""
    query = (
        select(
            videos.c.path,
            clips.c.ordinal,
            clip_vectors.c.embedding,
            clip_vectors.c.features,
            key_frames.c.jpeg,
        )
        .join(clips, clips.c.video_id == videos.c.id)
        .join(clip_vectors, clip_vectors.c.clip_id == clips.c.id)
        .join(key_frames, key_frames.c.clip_id == clips.c.id)
        .order_by(videos.c.path, clips.c.ordinal)
    )
    with library.database.read() as connection:
        return [tuple(row) for row in connection.execute(query)]


@pytest.mark.slow
def test_an_ingest_is_killed_as_rows_and_files_appear_and_runs_out_of_room(tmp_path):
    archive = tmp_path / "archive"
    archive.mkdir()
    for number in range(3):
        pictures = [scene(number * 40 + at // 12) for at in range(250)]
        write_video(archive / f"{number}.mp4", pictures, fps=25)
    arguments = ("ingest", archive, "--encoder", "offline", "--device", "cpu", "--clip-seconds", "1")
    assert run_indexer(*arguments, library=tmp_path / "undisturbed").returncode == 0
    whole = Library(tmp_path / "undisturbed")
    expected = contents(whole)
    whole.close()
    moments = {
        "a staged video": "SELECT count(*) FROM videos WHERE status = 'staging'",
        "a clip": "SELECT count(*) FROM clips",
        "a published video": "SELECT count(*) FROM videos WHERE status = 'indexed'",
        "a second one": "SELECT max(0, count(*) - 1) FROM videos WHERE status = 'indexed'",
        "vectors": None,
    }
    for name, question in moments.items():
        folder = tmp_path / name
        program = start_indexer(*arguments, library=folder, stderr=subprocess.DEVNULL)
        while program.poll() is None and not _has(folder, question):
            time.sleep(0.002)
        program.kill()
        assert program.wait() == -signal.SIGKILL
        assert run_indexer(*arguments, library=folder).returncode == 0
        done = run_indexer("check", "--digests", "--json", library=folder)
        assert done.returncode == 0, done.stdout
        library = Library(folder)
        assert contents(library) == expected
        library.close()
    with small_disk(tmp_path / "disk", "700k") as disk:
        done = run_indexer(*arguments, library=disk / "library")
        assert done.returncode == 1 and "room" in done.stderr and "Traceback" not in done.stderr
        remount(disk, "size=50m")
        assert run_indexer(*arguments, library=disk / "library").returncode == 0
        library = Library(disk / "library")
        assert contents(library) == expected
        assert check(library).ok
        library.close()


def _has(folder: Path, question: str | None) -> bool:
    if question is None:
        return any((folder / "index").glob("vectors-*"))
    if not (folder / "catalog.sqlite3").exists():
        return False
    try:
        with closing(sqlite3.connect(f"file:{folder / 'catalog.sqlite3'}?mode=ro", uri=True)) as connection:
            return bool(connection.execute(question).fetchone()[0])
    except sqlite3.OperationalError:
        return False
