"""Ingest on real files: what is indexed, skipped, moved, replaced, missed, refused; and killed."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from programs import run_indexer, start_indexer
from sqlalchemy import select
from video_factory import moving, scene, shots, write_sound, write_video

from encoders.errors import EncoderMismatchError, LibraryError
from indexer.ingest.pipeline import IngestOptions, IngestSummary, ingest
from indexer.ingest.read import threads_of_each
from indexer.video.types import SamplingOptions
from search.catalog.tables import clip_vectors, clips, key_frames, videos
from search.library import Library
from search.types import Filters


@pytest.fixture
def archive(tmp_path) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    write_video(folder / "one.mp4", moving(150, seed=1), fps=25)
    write_video(folder / "two.mkv", shots([50, 75])[0], fps=25)
    return folder


def run(library: Library, *paths: Path, **options) -> IngestSummary:
    return ingest(library, [str(path) for path in paths], IngestOptions(**options))


def rows(library: Library) -> list[tuple]:
    """Everything that an ingest decides, without ids, which tell only the order of writing."""
    columns = (
        videos.c.path, videos.c.digest, videos.c.status, videos.c.error, videos.c.duration_seconds,
        videos.c.width, videos.c.height, videos.c.average_fps, videos.c.codec, videos.c.sampling,
        clips.c.ordinal, clips.c.start_seconds, clips.c.end_seconds, clip_vectors.c.embedding,
        clip_vectors.c.times, clip_vectors.c.features, key_frames.c.time_seconds, key_frames.c.jpeg,
    )  # fmt: skip
    joined = (
        videos.outerjoin(clips, clips.c.video_id == videos.c.id)
        .outerjoin(clip_vectors, clip_vectors.c.clip_id == clips.c.id)
        .outerjoin(key_frames, key_frames.c.clip_id == clips.c.id)
    )
    query = select(*columns).select_from(joined)
    query = query.order_by(videos.c.path, clips.c.ordinal, key_frames.c.time_seconds)
    with library.database.read() as connection:
        return [tuple(row) for row in connection.execute(query)]


def clip_spans(library: Library, name: str) -> list[tuple[float, float]]:
    with library.read() as catalog:
        (video,) = [video for video in catalog.list_videos() if video.path.endswith(name)]
        stored = catalog.clips_of_video(video.id)
        return [(round(clip.start_seconds, 3), round(clip.end_seconds, 3)) for clip in stored]


def statuses(library: Library) -> dict[str, str]:
    with library.read() as catalog:
        return {os.path.basename(video.path): video.status for video in catalog.list_videos()}


def test_clips_tile_each_shot_at_the_times_that_the_frames_have(library, archive):
    summary = run(library, archive)
    assert (summary.indexed, summary.failed) == (2, [])
    # 150 frames at 25 a second: 6 s, so one window of 4 s, and a rest of 2 s that is half a window.
    assert clip_spans(library, "one.mp4") == [(0.0, 4.0), (4.0, 6.0)]
    # A cut at frame 50: no clip straddles 2 s.
    assert clip_spans(library, "two.mkv") == [(0.0, 2.0), (2.0, 5.0)]
    assert summary.clips == 4
    assert summary.video_seconds == pytest.approx(11.0, abs=0.01)


def test_the_index_holds_what_the_catalog_holds(library, archive):
    run(library, archive)
    with library.read() as catalog, library.index() as index:
        assert index.ids().tolist() == catalog.clip_ids(Filters()).tolist()
        vectors = catalog.embeddings(index.ids().tolist(), library.record().dim)
        scores, found = index.search(vectors, 1)
        assert found[:, 0].tolist() == index.ids().tolist()
        assert scores[:, 0] == pytest.approx(1.0, abs=1e-5)


def test_a_second_run_reads_nothing(library, archive):
    run(library, archive)
    before = rows(library)
    for path in archive.iterdir():
        path.chmod(0)  # (as root this proves nothing, the counts below still do)
    summary = run(library, archive)
    assert (summary.indexed, summary.unchanged, summary.failed) == (0, 2, [])
    assert summary.video_seconds == 0
    assert rows(library) == before


def test_a_touched_file_is_unchanged(library, archive):
    run(library, archive)
    before = rows(library)
    os.utime(archive / "one.mp4", ns=(1, 1))
    summary = run(library, archive)
    assert (summary.indexed, summary.unchanged) == (0, 2)
    assert rows(library) == before


def test_a_moved_file_keeps_its_clips(library, archive):
    run(library, archive)
    with library.read() as catalog:
        ids = catalog.clip_ids(Filters()).tolist()
    (archive / "deep").mkdir()
    (archive / "one.mp4").rename(archive / "deep" / "renamed.mp4")
    summary = run(library, archive)
    assert (summary.indexed, summary.moved, summary.unchanged, summary.missing) == (0, 1, 1, 0)
    assert statuses(library) == {"renamed.mp4": "indexed", "two.mkv": "indexed"}
    with library.read() as catalog:
        assert catalog.clip_ids(Filters()).tolist() == ids


def test_a_copy_is_a_video_of_its_own(library, archive):
    run(library, archive)
    (archive / "copy.mp4").write_bytes((archive / "one.mp4").read_bytes())
    summary = run(library, archive)
    assert (summary.indexed, summary.moved, summary.unchanged) == (1, 0, 2)
    assert clip_spans(library, "copy.mp4") == clip_spans(library, "one.mp4")


def test_a_changed_file_is_replaced(library, archive):
    run(library, archive)
    with library.read() as catalog:
        old = catalog.clip_ids(Filters())
        video_id = catalog.video_by_path(str(archive / "one.mp4")).id
    write_video(archive / "one.mp4", moving(75, seed=9), fps=25)
    assert run(library, archive).indexed == 1
    assert clip_spans(library, "one.mp4") == [(0.0, 3.0)]
    with library.read() as catalog, library.index() as index:
        assert catalog.video_by_path(str(archive / "one.mp4")).id == video_id
        assert index.ids().tolist() == catalog.clip_ids(Filters()).tolist()
        assert len(set(old.tolist()) & set(index.ids().tolist())) == 2  # those of two.mkv


def test_a_vanished_file_is_missing_until_it_is_back_or_pruned(library, archive, tmp_path):
    run(library, archive)
    away = tmp_path / "away.mp4"
    (archive / "one.mp4").rename(away)
    assert run(library, archive).missing == 1
    assert statuses(library)["one.mp4"] == "missing"
    with library.read() as catalog:
        assert catalog.count_clips() == 4  # still searchable while the archive is offline
    away.rename(archive / "one.mp4")
    assert run(library, archive).unchanged == 2
    assert statuses(library)["one.mp4"] == "indexed"
    (archive / "one.mp4").unlink()
    assert run(library, archive, prune=True).pruned == 1
    assert statuses(library) == {"two.mkv": "indexed"}
    with library.read() as catalog, library.index() as index:
        assert catalog.count_clips() == len(index) == 2


def test_other_sampling_is_asked_for_once_and_stays(library, archive):
    run(library, archive)
    asked = SamplingOptions(clip_seconds=2.0)
    assert run(library, archive, sampling=asked).indexed == 2
    assert clip_spans(library, "one.mp4") == [(0.0, 2.0), (2.0, 4.0), (4.0, 6.0)]
    assert run(library, archive).unchanged == 2


def test_fast_sampling_finds_the_cuts_and_stays(library, tmp_path):
    frames, starts = shots([60, 85])
    path = write_video(tmp_path / "film.mp4", frames, fps=25, b_frames=3)
    assert run(library, path, sampling=SamplingOptions(sampling="fast")).indexed == 1
    begins = [start for start, _ in clip_spans(library, "film.mp4")]
    assert min(abs(start - starts[0] / 25) for start in begins) <= 0.125
    assert run(library, path).unchanged == 1


@pytest.mark.parametrize(
    ("workers", "cores", "threads"),
    [(1, 2, 2), (1, 16, 16), (8, 16, 2), (3, 16, 5), (1, 64, 16), (4, 2, 1)],
)
def test_decoders_have_no_more_threads_together_than_there_are_cores(workers, cores, threads):
    assert threads_of_each(workers, cores) == threads


def test_a_file_that_was_moved_and_is_sampled_otherwise_is_one_video(library, archive):
    run(library, archive)
    with library.read() as catalog:
        video_id = catalog.video_by_path(str(archive / "one.mp4")).id
    (archive / "one.mp4").rename(archive / "renamed.mp4")
    summary = run(library, archive, sampling=SamplingOptions(clip_seconds=2.0))
    assert (summary.indexed, summary.missing) == (2, 0)
    assert statuses(library) == {"renamed.mp4": "indexed", "two.mkv": "indexed"}
    assert clip_spans(library, "renamed.mp4") == [(0.0, 2.0), (2.0, 4.0), (4.0, 6.0)]
    with library.read() as catalog:
        assert catalog.video_by_path(str(archive / "renamed.mp4")).id == video_id


def test_a_file_that_was_named_and_has_vanished_is_missing_and_no_failure(library, archive):
    run(library, archive)
    (archive / "one.mp4").unlink()
    summary = run(library, archive / "one.mp4")
    assert (summary.missing, summary.failed) == (1, [])
    assert statuses(library)["one.mp4"] == "missing"


def test_clips_that_would_not_fit_into_memory_are_refused():
    with pytest.raises(ValueError, match="at most 7200 frames"):
        SamplingOptions(clip_seconds=3600, fps=240)


@pytest.mark.slow
def test_ctrl_c_ends_an_ingest_in_order(tmp_path):
    archive = tmp_path / "archive"
    archive.mkdir()
    for number in range(3):
        write_video(archive / f"{number}.mp4", [scene(number * 40 + at // 12) for at in range(500)], fps=25)
    arguments = ("ingest", archive, "--encoder", "offline", "--device", "cpu", "--clip-seconds", "1")
    folder = tmp_path / "library"
    program = start_indexer(*arguments, library=folder, stderr=subprocess.PIPE)
    while not (folder / "catalog.sqlite3").exists() or not statuses_of(folder):
        assert program.poll() is None
        time.sleep(0.05)
    program.send_signal(signal.SIGINT)
    _, said = program.communicate(timeout=120)
    assert program.returncode == 130
    assert "interrupted; run the same command again" in said and "Traceback" not in said
    assert run_indexer(*arguments, library=folder).returncode == 0
    assert len(statuses_of(folder)) == 3


def statuses_of(folder: Path) -> dict[str, str]:
    library = Library(folder, migrate=False)
    found = statuses(library) if library.database.schema_revision() else {}
    library.close()
    return found


def test_another_encoder_or_pooling_is_refused(library, archive):
    with pytest.raises(EncoderMismatchError, match=r"offline.*leave --encoder out"):
        run(library, archive, encoder="openclip:ViT-B-32/laion2b_s34b_b79k")
    with pytest.raises(EncoderMismatchError, match="mean"):
        run(library, archive, pooling="max")


def test_an_empty_library_says_so(tmp_path):
    with pytest.raises(LibraryError, match="indexer ingest"):
        Library(tmp_path / "none", create=True).record()


@pytest.fixture
def hostile(tmp_path) -> Path:
    """The folder that the issue describes, and worse."""
    folder = tmp_path / "hostile"
    (folder / "deep" / "er").mkdir(parents=True)
    good = write_video(folder / "good.mp4", moving(50, seed=3), fps=25)
    data = good.read_bytes()
    (folder / "name with spaces 🎬\nand a newline.mp4").write_bytes(data)
    (folder / "no suffix").write_bytes(data)
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("this is not a video\n" * 100)
    (folder / "notes.txt").write_text("neither is this, but nobody said so\n" * 100)
    (folder / "truncated.mp4").write_bytes(data[: len(data) // 2])
    write_sound(folder / "sound.m4a", 2.0)
    (folder / "sound.m4a").rename(folder / "audio-only.mp4")
    long = write_video(folder / "tail.mkv", moving(150, seed=4), fps=25).read_bytes()
    (folder / "tail.mkv").write_bytes(long[: len(long) // 2] + bytes(len(long) - len(long) // 2))
    (folder / "deep" / "er" / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "deep" / "dangling.mp4").symlink_to(folder / "nowhere.mp4")
    (folder / ".hidden.mp4").write_bytes(data)
    os.mkfifo(folder / "pipe.mp4")
    (folder / "secret.mp4").write_bytes(data)
    (folder / "secret.mp4").chmod(0)
    return folder


BAD = {"empty.mp4", "text.mp4", "truncated.mp4", "audio-only.mp4", "tail.mkv"}


def test_links_made_later_double_nothing(library, tmp_path):
    archive, outside = tmp_path / "archive", tmp_path / "outside"
    for folder in (archive / "sub", outside):
        folder.mkdir(parents=True)
    write_video(archive / "sub" / "near.mp4", moving(25, seed=1), fps=25)
    write_video(outside / "far.mp4", moving(25, seed=2), fps=25)
    (archive / "out").symlink_to(outside)
    assert run(library, archive).indexed == 2
    for link, target in {"a": "sub", "b": outside}.items():
        (archive / link).symlink_to(target)
    os.link(archive / "sub" / "near.mp4", archive / "near.mp4")
    assert run(library, archive).indexed == 0
    with library.read() as catalog:
        assert [video.path for video in catalog.list_videos(limit=10)] == [
            str(archive / "out" / "far.mp4"),
            str(archive / "sub" / "near.mp4"),
        ]


def test_good_files_are_indexed_and_bad_ones_named(library, hostile):
    summary = run(library, hostile)
    failed = {os.path.basename(path): reason for path, reason in summary.failed}
    unreadable = set() if os.geteuid() == 0 else {"secret.mp4"}
    assert set(failed) - {"dangling.mp4"} == BAD | unreadable
    assert "empty" in failed["empty.mp4"]
    assert "text" in failed["text.mp4"]
    assert "audio" in failed["audio-only.mp4"]
    assert "truncated" in failed["truncated.mp4"]
    assert summary.indexed == 4 - len(unreadable)
    assert summary.ignored == 1  # notes.txt
    again = run(library, hostile)
    assert (again.indexed, again.unchanged) == (0, summary.indexed)
    assert again.failed == summary.failed


def test_a_file_given_by_itself_is_not_left_out_without_a_word(library, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    picture = Image.fromarray(np.full((48, 64, 3), 90, np.uint8))
    picture.save(folder / "still.png"), picture.save(folder / "still.gif")
    (folder / "notes.txt").write_text("no video\n" * 100)
    summary = run(library, folder)
    assert (summary.ignored, summary.failed) == (3, [])
    for name, word in (("still.png", "picture"), ("still.gif", "picture"), ("notes.txt", "text")):
        summary = run(library, folder / name)
        ((path, reason),) = summary.failed
        assert (path, summary.ignored) == (str(folder / name), 0) and word in reason
    with library.read() as catalog:
        assert catalog.count_videos() == 0  # nobody's video: nothing to keep


def test_a_failure_that_was_mended_is_a_failure_no_more(library, hostile):
    run(library, hostile)
    write_video(hostile / "text.mp4", moving(50, seed=8), fps=25)
    (hostile / "empty.mp4").unlink()
    summary = run(library, hostile)
    assert {os.path.basename(path) for path, _ in summary.failed} & {"text.mp4", "empty.mp4"} == set()
    assert statuses(library)["text.mp4"] == "indexed"
    assert "empty.mp4" not in statuses(library)


def test_the_command_line_reports_and_exits_as_promised(hostile, tmp_path):
    folder = tmp_path / "library"
    done = run_indexer("ingest", hostile, "--json", "--encoder", "offline", library=folder)
    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert set(document) >= {
        "indexed", "unchanged", "moved", "failed", "clips", "video_seconds", "wall_seconds"
    }  # fmt: skip
    for failure in document["failed"]:
        name = os.path.basename(failure["path"])
        assert any(name in line and failure["reason"] in line for line in done.stderr.splitlines())
    status = json.loads(run_indexer("status", "--json", library=folder).stdout)
    assert status["videos"]["indexed"] == document["indexed"]
    assert status["videos"]["failed"] == len(document["failed"])
    assert status["clips"] == document["clips"]
    assert status["index"]["up_to_date"]

    nothing = run_indexer("ingest", tmp_path / "nowhere", library=folder)
    said = " ".join(nothing.stderr.replace("│", " ").split())  # in a box as wide as the terminal
    assert (nothing.returncode, "does not exist" in said) == (2, True), nothing.stderr

    found = run_indexer("search", "--like", 1, "--json", "-k", "3", library=folder)
    hits = json.loads(found.stdout)["hits"]
    assert found.returncode == 0
    assert hits[0]["score"] == pytest.approx(1.0, abs=1e-3)  # the same picture under another name
    assert 1 not in [hit["clip_id"] for hit in hits]

    gone = run_indexer("remove", hostile / "good.mp4", "--json", library=folder)
    assert json.loads(gone.stdout)["videos"] == 1
    assert run_indexer("remove", hostile / "good.mp4", library=folder).returncode == 1
    rebuilt = json.loads(run_indexer("rebuild", "--json", library=folder).stdout)
    assert rebuilt["clips"] == rebuilt["index"]["clips"] == document["clips"] - 1


@pytest.mark.slow
def test_killed_at_twenty_random_moments_nothing_is_lost_and_nothing_is_double(tmp_path):
    archive = tmp_path / "archive"
    archive.mkdir()
    for number in range(4):
        pictures = [scene(number * 40 + at // 12) for at in range(250)]
        write_video(archive / f"{number}.mp4", pictures, fps=25)
    arguments = ("ingest", archive, "--encoder", "offline", "--device", "cpu", "--clip-seconds", "1")
    # The first run on a machine also fills its caches: it would set the moments too late.
    assert run_indexer(*arguments, library=tmp_path / "first").returncode == 0
    undisturbed = tmp_path / "undisturbed"
    started = time.monotonic()
    assert run_indexer(*arguments, library=undisturbed).returncode == 0
    whole_seconds = time.monotonic() - started
    expected = rows(Library(undisturbed))
    assert len(expected) >= 40

    kills = 0
    chance = random.Random(0)
    attempt = 0
    while kills < 20:
        attempt += 1
        library = tmp_path / f"killed-{attempt}"
        finished = False
        while not finished and kills < 20:
            program = start_indexer(*arguments, library=library, stderr=subprocess.DEVNULL)
            try:
                program.wait(timeout=chance.uniform(0.3, 0.95) * whole_seconds)
                finished = True
            except subprocess.TimeoutExpired:
                program.send_signal(signal.SIGKILL)
                program.wait()
                kills += 1
        assert run_indexer(*arguments, library=library).returncode == 0
        opened = Library(library)
        assert rows(opened) == expected
        with opened.read() as catalog, opened.index() as index:
            assert index.ids().tolist() == catalog.clip_ids(Filters()).tolist()
        opened.close()


def test_what_was_lost_of_a_damaged_file_is_said_and_kept(tmp_path, offline_encoder):
    films = tmp_path / "films"
    films.mkdir()
    film = write_video(films / "a.avi", moving(100), codec="mpeg4", key_every=10)
    content = bytearray(film.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 3000] = bytes(3000)
    film.write_bytes(content)
    library = Library(tmp_path / "library", create=True, device="cpu")
    options = IngestOptions(encoder="offline", device="cpu")
    summary = ingest(library, [str(films)], options)
    assert summary.indexed == 1 and summary.failed == []
    ((path, lost),) = summary.damaged
    assert path == str(film) and re.fullmatch(r"damaged: \d+ of \d+ packets are broken; .+", lost)

    def note() -> str | None:
        with library.read() as catalog:
            return catalog.video_by_path(path).error

    assert note() == lost
    os.utime(film)
    assert ingest(library, [str(films)], options).unchanged == 1 and note() == lost
    path = str(films / "b.avi")
    film.rename(path)
    assert ingest(library, [str(films)], options).moved == 1 and note() == lost
    write_video(Path(path), moving(100), codec="mpeg4", key_every=10)
    assert ingest(library, [str(films)], options).damaged == [] and note() is None
    library.close()


# What is done, and by whom


def test_the_thread_that_called_alone_writes(library, archive, monkeypatch):
    """Also where a file is known by what it holds, which a reader finds out."""
    writers = set()
    write = Library.write

    def watched(self):
        writers.add(threading.current_thread())
        return write(self)

    monkeypatch.setattr(Library, "write", watched)
    assert run(library, archive, workers=2).indexed == 2
    (archive / "one.mp4").rename(archive / "renamed.mp4")
    os.utime(archive / "two.mkv", ns=(1, 1))
    summary = run(library, archive, workers=2)
    assert (summary.moved, summary.unchanged) == (1, 1)
    assert writers == {threading.current_thread()}


def test_progress_says_what_is_done_before_files_are_read(library, archive):
    seen = []
    ingest(library, [str(archive)], on_progress=lambda progress: seen.append(progress))
    spec = library.record().encoder_spec
    stages = [progress.stage for progress in seen if progress.stage is not None]
    assert stages == [f"loading the encoder {spec}", "looking for videos", "writing the index"]
    assert {progress.stage for progress in seen if progress.path is not None} == {None}
