"""Teaching on made features: what is a lesson, what it replaces, and what happens to a library meanwhile."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import threading

import numpy as np
import pytest
from made_actions import (
    DIM,
    SAMPLING,
    STEP,
    add,
    archive,
    clips_of,
    dump,
    footage,
    found,
    kept,
    positives,
    segments_of,
    spans_of,
    teach,
    tracks,
)
from made_library import make_offline_library
from sqlalchemy import select, update
from video_factory import moving, write_video

from encoders.errors import (
    InvalidQueryError,
    LibraryError,
    NotFoundError,
    TeachingError,
    UnknownActionError,
)
from encoders.heads.taught import TaughtHead
from encoders.heads.windows import PARTS, SCALES_SECONDS
from encoders.types import normalise
from indexer.examples.lessons import examples_from_clips, examples_from_files, examples_from_spans
from indexer.ingest.pipeline import IngestOptions, ingest
from search.actions import correcting, tagging, teaching
from search.actions.finding import find_segments, found_document
from search.actions.listing import list_actions
from search.catalog.actions.lesson_examples import LessonExample
from search.catalog.tables import clip_vectors
from search.catalog.tracks import track_from_bytes, track_to_bytes
from search.documents.exports.activitynet import to_activitynet
from search.documents.exports.csv_table import to_csv
from search.library import Library
from search.types import EncodedClip, SegmentQuery


def test_spans_from_every_kind_of_file(plain, tmp_path):
    videos = archive(plain)
    rows = [
        {"path": f"/archive/{n % 2}/{n}.mp4", "start_seconds": 8.5, "end_seconds": 15.5, "action": "Running"}
        for n in range(6)
    ]
    rows.append({"path": "/archive/0/0.mp4", "start_seconds": 0, "end_seconds": 8, "action": "standing"})
    (tmp_path / "spans.json").write_text(json.dumps(rows))
    with (tmp_path / "spans.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    database: dict = {}
    for row in rows:
        entry = {"segment": [row["start_seconds"], row["end_seconds"]], "label": row["action"]}
        database.setdefault(row["path"], {"annotations": []})["annotations"].append(entry)
    (tmp_path / "net.json").write_text(json.dumps({"version": "1", "database": database}))
    expected = [(video, (8.5, 15.5), True) for video in videos[:6]] + [(videos[0], (0.0, 8.0), False)]
    for name in ("spans.json", "spans.csv", "net.json"):
        read = examples_from_spans(plain, tmp_path / name, "running")
        assert sorted((one.video_id, one.span, one.is_positive) for one in read) == sorted(expected), name
    card = teaching.teach(plain, "running", read)
    assert (card["positives"], card["negatives"]) == (6, 1)
    # What the commands print can be taught from again.
    answer = find_segments(plain, SegmentQuery(("running",)))
    listed = segments_of(plain, answer)
    (tmp_path / "found.json").write_text(json.dumps(found_document(answer, listed, len(listed))))
    (tmp_path / "found.csv").write_text("".join(to_csv(listed)), newline="")
    with plain.read() as catalog:
        known = catalog.list_videos()
    (tmp_path / "export.json").write_text("".join(to_activitynet(listed, known)))
    for name in ("found.json", "found.csv", "export.json"):
        read = examples_from_spans(plain, tmp_path / name, "running")
        assert [(one.video_id, *one.span) for one in read] == [
            (one.video_id, pytest.approx(one.start_seconds), pytest.approx(one.end_seconds)) for one in listed
        ], name


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("a.csv", "path,start_seconds\n/archive/0/0.mp4,1\n", "found path,start_seconds"),
        ("a.csv", "path,start_seconds,end_seconds\n/archive/0/0.mp4,1\n", "row 2: no 'end_seconds'"),
        ("a.csv", "", "no span"),
        ("a.json", "{", "cannot be read"),
        ("a.json", "3", "int"),
        ("a.json", '[{"path": "/archive/0/0.mp4", "start_seconds": 5, "end_seconds": 5}]', "entry 1"),
        ("a.json", '[{"path": "/archive/0/0.mp4", "start_seconds": 5, "end_seconds": NaN}]', "entry 1"),
        ("a.json", '["x"]', "entry 1"),
        ("a.json", '{"database": {"x": 3}}', "ActivityNet"),
        ("a.csv", "file,begin,end\na.mp4,1,2\n", "expected columns path,.*; found file,begin,end"),
        ("a.csv", "video_id,start_seconds,end_seconds\n1,0:03,4\n", "row 2: start_seconds .*'0:03'"),
        (
            "a.csv",
            "video_id,start_seconds,end_seconds\n1,1,5\n1,500,600\n",
            "row 3.*500 to 600 s lies beyond /archive/0/0.mp4, which lasts 24.0 s",
        ),
        ("a.json", '[{"video_id": 1, "start_seconds": 1, "end_seconds": 25.1}]', "entry 1.*lasts 24.0 s"),
        ("a.json", '[{"video_id": 1, "start_seconds": 24, "end_seconds": 24.5}]', "entry 1.*lasts 24.0 s"),
        (
            "a.json",
            '{"database": {"0": {"annotations": [{"segment": [1, 300], "label": "x"}]}}}',
            "entry 1 of 0.*24.0 s",
        ),
    ],
)
def test_files_of_spans_that_are_none(plain, tmp_path, name, text, error):
    # Each video of the archive is of six clips of 4 s.
    archive(plain, 1)
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidQueryError, match=error):
        examples_from_spans(plain, tmp_path / name, "running")


def test_a_number_of_another_library_is_not_taken_for_a_video_here(plain, tmp_path):
    archive(plain, 2)
    row = {"path": "/elsewhere/x.mp4", "video_id": 1, "start_seconds": 0, "end_seconds": 4}
    (tmp_path / "a.json").write_text(json.dumps([row]))
    with pytest.raises(NotFoundError, match=r"/elsewhere/x\.mp4"):
        examples_from_spans(plain, tmp_path / "a.json", "running")
    row["path"] = "/elsewhere/0.mp4"  # moved since
    (tmp_path / "a.json").write_text(json.dumps([row]))
    assert examples_from_spans(plain, tmp_path / "a.json", "running")[0].video_id == 1


def test_a_general_label_is_no_example_of_a_particular_action(plain, tmp_path):
    archive(plain, 1)
    rows = [
        {"video_id": 1, "start_seconds": n, "end_seconds": n + 1, "action": name}
        for n, name in enumerate(("folding", "folding napkins", "swimming"))
    ]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    for name, expected in (("folding napkins", [False, True, False]), ("folding", [True, True, False])):
        read = examples_from_spans(plain, tmp_path / "a.json", name)
        assert [one.is_positive for one in read] == expected


def test_clips_that_are_not_there(plain):
    archive(plain, 1)
    with pytest.raises(NotFoundError, match="999"):
        examples_from_clips(plain, [1, 999], is_positive=True)


def random_archive(library: Library) -> list[LessonExample]:
    random = np.random.default_rng(3)
    for number in range(12):
        made = footage("oooo", number)
        made = [
            EncodedClip(
                one.start_seconds,
                one.end_seconds,
                one.embedding,
                normalise(random.normal(size=one.features.shape)).astype(np.float16),
                one.times_seconds,
                one.key_frames,
            )
            for one in made
        ]
        with library.write() as catalog:
            staged = catalog.stage_video(f"/noise/{number}.mp4", 1, 1)
            catalog.add_clips(staged, 0, made)
            catalog.publish_video(staged, digest="x", sampling=SAMPLING)
    with library.read() as catalog:
        ids = [catalog.clips_of_video(video.id)[0].id for video in catalog.list_videos()]
    return examples_from_clips(library, ids[:8], is_positive=True)


def test_what_is_no_lesson_changes_nothing(plain):
    examples = random_archive(plain)
    before = dump(plain)
    with pytest.raises(TeachingError, match="no example"):
        teaching.teach(plain, "running", [])
    with pytest.raises(InvalidQueryError):
        teaching.teach(plain, "zero-shot", examples)
    assert dump(plain) == before
    with pytest.raises(UnknownActionError, match="nothing was taught yet"):
        find_segments(plain, SegmentQuery(("running",)))


@pytest.mark.parametrize("count", [8, 3, 1])
def test_what_cannot_be_told_is_a_draft_that_is_shown_nowhere_else(plain, count):
    examples = random_archive(plain)
    card = teaching.teach(plain, "running", examples[:count])
    assert card["is_draft"] and card["reason"]
    (row,) = list_actions(plain)["actions"]
    assert (row["action"], row["head"], row["report"]) == ("running", "draft", card)
    found = find_segments(plain, SegmentQuery(("running",), min_confidence=0.0))
    assert {one.head for one in segments_of(plain, found)} <= {"draft"}
    with plain.read() as catalog:
        videos = [video.id for video in catalog.list_videos()]
        assert not any(catalog.actions.segments_of_videos(videos).values())
        assert not list(catalog.actions.list_segments(SegmentQuery(min_confidence=0.0)))


def test_lessons_add_up_and_replace_forgets_but_for_corrections(plain):
    videos = archive(plain)
    teach(plain, videos[:6])
    assert teach(plain, videos[6:8])["positives"] == 16
    assert teach(plain, videos[6:8])["positives"] == 16  # the same again
    assert teaching.teach(plain, "running", [])["positives"] == 16
    confirmed, rejected = clips_of(plain, videos[9:], [3, 0])
    correcting.correct_clip(plain, confirmed, "Running", is_positive=True)
    correcting.correct_clip(plain, rejected, "running", is_positive=False)
    card = teaching.teach(plain, "running", [])
    assert (card["positives"], card["negatives"]) == (17, 1)
    card = teach(plain, videos[:5], replace_examples=True)
    assert (card["positives"], card["negatives"]) == (11, 1)
    assert kept(plain, "running") == {"action": "running", "positive": 11, "negative": 1}
    assert len(dump(plain)["heads"]) == 1


def test_while_a_new_head_is_at_work_the_old_one_answers(library):
    videos = archive(library)
    teach(library, videos)
    before = found(library, min_confidence=0)
    seen = []

    def on_tagged(done: int, total: int) -> None:
        seen.append((done, total))
        assert found(library, min_confidence=0) == before
        with library.read() as catalog:
            assert len(catalog.actions.heads(active=None)) == 2

    teach(library, videos[:2], on_tagged=on_tagged)
    assert seen[0] == (0, 10) and seen[-1] == (10, 10)
    assert not {one.id for one in found(library)} & {one.id for one in before}


def test_a_failure_while_tagging_leaves_the_old_head(library):
    videos = archive(library)
    teach(library, videos)
    examples = positives(library, videos[:2])
    before = dump(library)
    (damaged,) = clips_of(library, videos[9:], [5])
    with library.database.write() as connection:
        kept = select(clip_vectors.c.features).where(clip_vectors.c.clip_id == damaged)
        content = connection.execute(kept).scalar_one()
        broken = update(clip_vectors).where(clip_vectors.c.clip_id == damaged)
        connection.execute(broken.values(features=content[:-3]))
    with pytest.raises(LibraryError, match=rf"clip {damaged} of /archive/1/9\.mp4 is damaged.*ingest"):
        teaching.teach(library, "running", examples)
    after = dump(library)
    assert after["heads"] == before["heads"] and after["segments"] == before["segments"]


def test_a_video_that_comes_while_the_library_is_tagged_has_both(library):
    videos = archive(library)
    teach(library, videos)
    added = []

    def on_tagged(done: int, total: int) -> None:
        if not done:  # the videos to tag are listed already
            thread = threading.Thread(
                target=lambda: added.append(add(library, "/late.mp4", "oRRo", seed=60)), daemon=True
            )
            thread.start()
            thread.join(30)
            assert spans_of(library, added[0])  # by the old head, at once

    teach(library, videos[:2], on_tagged=on_tagged)
    assert spans_of(library, added[0]) == [pytest.approx((4, 12), abs=STEP)]


def test_a_video_that_is_replaced_or_removed_while_the_library_is_tagged(library):
    videos = archive(library, 20)
    teach(library, videos)

    def on_tagged(done: int, total: int) -> None:
        if done == 16:
            add(library, "/archive/1/19.mp4", "Roooooo", seed=77, digest="new")
            with library.write() as catalog:
                catalog.remove_videos([videos[18]])

    teach(library, videos[:2], on_tagged=on_tagged)
    assert spans_of(library, videos[19]) == [pytest.approx((0, 4), abs=STEP)]
    assert {one.video_id for one in found(library)} == set(videos) - {videos[18]}


def test_a_lesson_that_a_newer_one_overtook_says_so(plain):
    videos = archive(plain)
    examples = positives(plain, videos)

    def on_tagged(done: int, total: int) -> None:
        if not done:
            teach(plain, videos[:2])

    with pytest.raises(NotFoundError, match="newer"):
        teaching.teach(plain, "running", examples, on_tagged=on_tagged)
    assert len(dump(plain)["heads"]) == 1
    assert len(found(plain)) == 10


def test_what_a_stopped_program_left_goes_with_the_next_lesson(library):
    videos = archive(library)
    with library.write() as catalog:
        head = TaughtHead(
            "running", "made", np.zeros(len(SCALES_SECONDS) * len(PARTS) * DIM, np.float32), 9, 0
        )
        tagging.Tagger(library).add(catalog, head, "running", {})
    add(library, "/more.mp4", "oo")
    with pytest.raises(UnknownActionError):
        found(library)
    teach(library, videos)
    tables = dump(library)
    assert len(tables["heads"]) == 1
    assert {row[2] for row in tables["segments"]} == {tables["heads"][0][0]}


def test_examples_that_are_in_the_library_too_are_no_background(plain):
    """A folder of examples that was ingested with all the rest."""
    archive(plain, 6, "RR")
    others = archive_of_rest(plain, 6)
    tracks = []
    with plain.read() as catalog:
        for video in catalog.list_videos(limit=6):
            (track,) = catalog.tracks(video.id, DIM)
            tracks.append(LessonExample(True, video.path, track=track))
    card = teaching.teach(plain, "running", tracks)
    assert card["background"] == 6 * 2 and len(others) == 6
    assert card["average_precision"] == 1.0


def test_copies_of_examples_that_are_in_the_library_are_no_background(plain):
    """By their content, or, where that is not known, by their features, encoded in another batch."""
    archive(plain, 6, "RR")
    archive_of_rest(plain, 6)
    copies = [add(plain, f"/copy/{n}.mp4", "oo", seed=300 + n, digest=f"content {n}") for n in range(2)]
    given = []
    with plain.read() as catalog:
        for video in catalog.list_videos(limit=6):
            (track,) = catalog.tracks(video.id, DIM)
            noise = (1 + 1e-3 * np.random.default_rng(0).normal(size=track.features.shape)).astype(np.float16)
            nearly = dataclasses.replace(track, features=(track.features * noise).astype(np.float16))
            given.append(LessonExample(True, f"/examples{video.path}", track=nearly))
        (first,) = catalog.tracks(copies[0], DIM)
    moved = dataclasses.replace(first, features=first.features[::-1].copy())  # told by the digest alone
    given.append(LessonExample(False, "/examples/not.mp4", track=moved, digest="content 0"))
    card = teaching.teach(plain, "running", given)
    assert (card["positives"], card["negatives"]) == (6, 1)
    assert card["background"] == (6 + 1) * 2
    assert teaching.teach(plain, "running", [])["background"] == (6 + 1) * 2  # the digest was kept


def test_copies_of_one_example_are_one(plain):
    archive_of_rest(plain, 10)
    (track,) = tracks(plain, add(plain, "/x.mp4", "RR"))
    copies = [LessonExample(True, f"/{n}.mp4", track=track) for n in range(5)]
    card = teaching.teach(plain, "running", copies)
    assert card["is_draft"] and card["reason"].startswith("of 5 examples 1 ")
    assert (card["positives"], card["videos"]) == (1, 1)
    same = [LessonExample(True, f"/{n}.mp4", track=track, digest="same") for n in range(5)]
    assert teaching.teach(plain, "running", same, replace_examples=True)["positives"] == 1
    # In the library itself, too.
    videos = [add(plain, f"/copies/{n}.mp4", "R", seed=4) for n in range(5)]
    card = teaching.teach(plain, "running", positives(plain, videos, (0,)), replace_examples=True)
    assert card["is_draft"] and card["reason"].startswith("of 5 examples 1 ")
    assert (card["positives"], card["videos"]) == (1, 1)


def test_nothing_is_both_an_action_and_what_it_is_not(plain):
    videos = archive(plain)
    given = positives(plain, videos)
    (track,) = tracks(plain, videos[0])
    file = LessonExample(True, "/a.mp4", track=track, digest="a")
    for more, said in (
        (examples_from_clips(plain, clips_of(plain, videos[3:4], [2]), is_positive=False), "clip .*/3.mp4"),
        ([file, LessonExample(False, "/a.mp4", track=track)], "/a.mp4"),
        ([file, LessonExample(False, "/b.mp4", track=track, digest="a")], "/a.mp4"),
    ):
        with pytest.raises(InvalidQueryError, match=f"both as 'running' and as what it is not: {said}"):
            teaching.teach(plain, "running", [*given, *more])
    assert not dump(plain)["action_examples"]


def archive_of_rest(library: Library, count: int) -> list[int]:
    return [add(library, f"/rest/{number}.mp4", "oo", seed=200 + number) for number in range(count)]


def test_features_of_files_are_kept_as_they_are(plain):
    (track,) = tracks(plain, add(plain, "/x.mp4", "oRo"))
    again = track_from_bytes(track_to_bytes(track))
    for name in ("features", "times_seconds", "borders_seconds", "shots"):
        assert np.array_equal(getattr(again, name), getattr(track, name))
    with plain.write() as catalog:
        catalog.actions.add_example("running", LessonExample(True, "/x.mp4", track=track))
        catalog.actions.add_example("running", LessonExample(False, "/x.mp4", track=track))
        (kept,) = catalog.actions.examples("running")
    assert not kept.is_positive and np.array_equal(kept.track.features, track.features)


# --- examples out of files, with the real encoder --------------------------------------------------


def test_examples_from_files_are_what_ingest_would_store(tmp_path, offline_encoder):
    library = make_offline_library(tmp_path / "library", offline_encoder)
    folder = tmp_path / "examples"
    folder.mkdir()
    write_video(folder / "one.mp4", moving(150, seed=1), fps=25)
    (folder / "broken.mp4").write_bytes(b"nothing")
    (folder / "notes.txt").write_text("no video")
    ingest(library, [str(folder / "one.mp4")], IngestOptions(device="cpu"))
    said: list[str] = []
    (example,) = examples_from_files(library, [str(folder)], is_positive=True, say=said.append)
    with library.read() as catalog:
        (stored_track,) = catalog.tracks(1, library.record().dim)
    assert example.source == os.path.abspath(folder / "one.mp4")
    assert np.array_equal(example.track.times_seconds, stored_track.times_seconds)
    np.testing.assert_allclose(example.track.features, stored_track.features, atol=2e-3)
    assert len(said) == 1 and "broken.mp4" in said[0] and example.digest
    for copy in ("two.mp4", "three.mp4"):
        (folder / copy).write_bytes((folder / "one.mp4").read_bytes())
    said.clear()
    assert len(examples_from_files(library, [str(folder)], is_positive=True, say=said.append)) == 1
    assert "2 of 5 files are copies of others" in said[0]
    with pytest.raises(NotFoundError, match="nowhere"):
        examples_from_files(library, [str(tmp_path / "nowhere")], is_positive=True)
    with pytest.raises(NotFoundError, match="no video"):
        examples_from_files(library, [str(folder / "notes.txt")], is_positive=True)
    library.close()
