"""Tagging: videos are tagged as they come, in the transaction that shows them, whatever their length."""

from __future__ import annotations

from types import SimpleNamespace

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
    spans_of,
    teach,
    tracks,
)
from sqlalchemy import update

import search.catalog.clips.vectors
from encoders.errors import (
    LibraryError,
)
from search.actions import tagging
from search.catalog.tables import clip_vectors
from search.catalog.tracks import track_of_clips
from search.types import SegmentQuery


def test_taught_from_clips_it_is_found_where_it_is_and_new_videos_are_tagged(library):
    videos = archive(library)
    card = teach(library, videos)
    assert card["positives"] == 20 and card["recall"] >= 0.8
    for video_id in videos:
        (span,) = spans_of(library, video_id)
        assert span == pytest.approx((8.0, 16.0), abs=STEP)
    assert spans_of(library, add(library, "/new.mp4", "Rooo", seed=90)) == [pytest.approx((0, 4), abs=STEP)]
    assert spans_of(library, add(library, "/still.mp4", "oooo", seed=91)) == []


def test_a_video_and_its_segments_show_in_one_transaction(library):
    teach(library, archive(library)[:7])
    before = dump(library)
    with pytest.raises(RuntimeError), library.write() as catalog:
        staged = catalog.stage_video("/new.mp4", 1, 1)
        catalog.add_clips(staged, 0, footage("RRR", 50))
        video_id = catalog.publish_video(staged, digest="x", sampling=SAMPLING)
        tagging.Tagger(library).tag_video(catalog, video_id, DIM)
        assert catalog.actions.count_segments(SegmentQuery(("running",), video_id=video_id)) == 1
        raise RuntimeError
    assert dump(library) == before


def test_another_content_has_other_segments(library):
    videos = archive(library)
    teach(library, videos)
    assert add(library, "/archive/1/9.mp4", "Roooo", seed=70, digest="other") == videos[9]
    assert spans_of(library, videos[9]) == [pytest.approx((0, 4), abs=STEP)]


def test_removing_a_video_removes_its_segments_and_examples(library):
    videos = archive(library)
    teach(library, videos)
    with library.write() as catalog:
        catalog.remove_videos(videos[:2])
    tables = dump(library)
    assert {row[1] for row in tables["segments"]} == set(videos[2:])
    assert {row[5] for row in tables["action_examples"]} == set(videos[2:])


# --- tracks ----------------------------------------------------------------------------------------


def clip_row(start: float, end: float, times: list[float]) -> SimpleNamespace:
    return SimpleNamespace(
        start_seconds=start,
        end_seconds=end,
        times=np.array(times, np.float64).tobytes(),
        features=np.zeros((len(times), 2), np.float16).tobytes(),
    )


def test_windows_are_no_cuts_and_other_lengths_are():
    spans = [(0, 4), (4, 9), (9, 13), (13, 14.5), (14.5, 26.5), (26.5, 30.5), (31, 35), (35, 36)]
    rows = [clip_row(start, end, [start + 0.25, start + 0.75]) for start, end in spans]
    track = track_of_clips(rows, 2, 4.0)
    # 4 s is a window; 5 s ends a shot; 1.5 s too; 12 s are three windows of a still; then a gap.
    assert track.shots[::2].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert track_of_clips(rows, 2, None).shots.tolist() == [0] * 16
    assert track.borders_seconds[:4].tolist() == [0, 0.5, 4, 4.5]
    assert track.borders_seconds[-1] == 36
    assert (np.diff(track.borders_seconds) > 0).all()


@pytest.mark.parametrize(
    ("column", "content"),
    [("times", b"123"), ("times", b""), ("features", b""), ("features", b"\0" * 250), ("times", b"\0" * 72)],
)
def test_what_is_damaged_is_named_and_can_be_taken_in_again(plain, column, content):
    add(plain, "/a/fine.mp4", "oo")
    video = add(plain, "/a/damaged.mp4", "ooo")
    (clip,) = clips_of(plain, [video], [1])
    with plain.database.write() as connection:
        broken = update(clip_vectors).where(clip_vectors.c.clip_id == clip)
        connection.execute(broken.values(**{column: content}))
    with pytest.raises(LibraryError, match=rf"clip {clip} of /a/damaged\.mp4.*`indexer remove") as caught:
        tracks(plain, video)
    for raw in ("buffer", "reshape", "array"):
        assert raw not in str(caught.value)
    with plain.write() as catalog:
        catalog.remove_videos([video])
    assert sum(map(len, tracks(plain, add(plain, "/a/damaged.mp4", "ooo")))) == 24


@pytest.mark.parametrize("samples", [8, 20, 1])
def test_a_segment_across_the_pieces_of_a_long_video_is_one(plain, monkeypatch, samples):
    videos = archive(plain)
    teach(plain, videos)
    long = add(plain, "/long.mp4", "ooooRRRRRRoooo", seed=40)
    (whole,) = found(plain, video_id=long)
    monkeypatch.setattr(search.catalog.clips.vectors, "SAMPLES_PER_PIECE", samples)
    assert len(tracks(plain, long)) > 3
    tagging.Tagger(plain).retag()
    (one,) = found(plain, video_id=long)
    assert (one.start_seconds, one.end_seconds) == pytest.approx((16.0, 40.0), abs=STEP)
    assert (one.start_seconds, one.end_seconds) == pytest.approx(
        (whole.start_seconds, whole.end_seconds), abs=STEP
    )
    assert one.confidence == pytest.approx(whole.confidence, abs=0.1)


def test_pieces_hold_every_sample_once(plain, monkeypatch):
    video = add(plain, "/long.mp4", "oRoRoRo")
    (whole,) = tracks(plain, video)
    monkeypatch.setattr(search.catalog.clips.vectors, "SAMPLES_PER_PIECE", 20)
    pieces = tracks(plain, video)
    assert [len(piece) for piece in pieces] == [24, 24, 8]
    assert np.array_equal(np.concatenate([piece.features for piece in pieces]), whole.features)
