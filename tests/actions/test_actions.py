"""Actions of a library, on made features: teaching, tagging, finding, filtering, correcting.

Features are made so that "running" points along an axis of its own; SQL runs on SQLite and on a real
PostgreSQL.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save
from sqlalchemy import insert, select, update
from video_factory import moving, write_video

import search.catalog.actions
from encoders.errors import (
    EncoderMismatchError,
    HeadFileError,
    InvalidQueryError,
    LibraryError,
    NotFoundError,
    TeachingError,
    UnknownActionError,
)
from encoders.heads.head import ActionSpan, FeatureTrack
from encoders.heads.taught import TaughtHead
from encoders.heads.windows import PARTS, SCALES_SECONDS
from encoders.types import FrameBatch, normalise
from encoders.weights.tensors import pack, read_card
from indexer.examples.lessons import examples_from_clips, examples_from_files, examples_from_spans
from indexer.ingest.pipeline import IngestOptions, ingest
from indexer.video.types import SamplingOptions
from search.actions.actions import FoundSegments
from search.catalog.actions import ActionExample, HeadRecord, SegmentFilters
from search.catalog.catalog import Catalog
from search.catalog.database import Database
from search.catalog.tables import action_examples, clip_vectors, heads, metadata, segments
from search.catalog.tracks import track_from_bytes, track_of_clips, track_to_bytes
from search.documents.exports import to_activitynet, to_csv
from search.documents.wire import found_document
from search.library import Library
from search.query.engine import SearchEngine
from search.types import ClipPart, EncodedClip, ExamplePart, Filters, Query, Segment

DIM = 16
RUNNING = np.eye(DIM)[0]
REST = np.eye(DIM)[1]
STEP = 0.5
WINDOW = 4.0
SAMPLING = json.dumps({"clip_seconds": WINDOW, "fps": 1 / STEP, "shots": True, "sampling": "uniform"})


@pytest.fixture(params=["sqlite", "postgresql"])
def library(request, tmp_path) -> Iterator[Library]:
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    library = Library(tmp_path / "library", database_url=url, create=True)
    make(library)
    yield library
    library.close()


@pytest.fixture
def plain(tmp_path) -> Iterator[Library]:
    """On SQLite alone, for what does not depend on the database."""
    library = Library(tmp_path / "library", create=True)
    make(library)
    yield library
    library.close()


def make(library: Library, encoder_id: str = "made") -> None:
    with library.write() as catalog:
        catalog.create_library(
            encoder_spec="made", encoder_id=encoder_id, pooling="mean", dim=DIM, sampling=SAMPLING
        )


def footage(plan: str, seed: int) -> list[EncodedClip]:
    """One clip of 4 s for each letter: R runs, o does not; every video in its own surroundings."""
    random = np.random.default_rng(seed)
    place = 0.15 * random.normal(size=DIM)
    place[:2] = 0
    made = []
    for number, letter in enumerate(plan):
        count = round(WINDOW / STEP)
        base = place + 2.0 * (RUNNING if letter == "R" else REST)
        features = normalise(base + 0.15 * random.normal(size=(count, DIM)))
        start = number * WINDOW
        times = start + (np.arange(count) + 0.5) * STEP
        made.append(
            EncodedClip(
                start,
                start + WINDOW,
                normalise(features.mean(axis=0)),
                features.astype(np.float16),
                times,
                ((start, b"jpeg"),),
            )
        )
    return made


def add(library: Library, path: str, plan: str, seed: int = 0, digest: str = "digest") -> int:
    made = footage(plan, seed)
    with library.write() as catalog:
        staged = catalog.stage_video(path, 1, 1)
        catalog.add_clips(staged, 0, made)
        video_id = catalog.publish_video(
            staged, digest=digest, duration_seconds=made[-1].end_seconds, sampling=SAMPLING
        )
        library.actions.tagger.tag_video(catalog, video_id, DIM)
        return video_id


def archive(library: Library, count: int = 10, plan: str = "ooRRoo") -> list[int]:
    return [add(library, f"/archive/{number % 2}/{number}.mp4", plan, seed=number) for number in range(count)]


def clips_of(library: Library, video_ids, letter_at) -> list[int]:
    with library.read() as catalog:
        return [catalog.clips_of_video(video_id)[at].id for video_id in video_ids for at in letter_at]


def positives(library: Library, video_ids, at=(2, 3)) -> list[ActionExample]:
    """Two examples of every video of `archive`."""
    return examples_from_clips(library, clips_of(library, video_ids, at), is_positive=True)


def found(library: Library, action: str = "running", **bounds) -> list:
    answer = library.actions.find(action, **bounds)
    listed = list(library.actions.segments(answer))
    assert library.actions.count(answer) == len(listed)
    return listed


def dump(library: Library) -> dict[str, list]:
    with library.database.read() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
            for table in metadata.sorted_tables
        }


def add_head(catalog, name="running", threshold=0.5, kind="taught", is_active=True, actions=None) -> int:
    return catalog.actions.add_head(
        kind=kind,
        name=name,
        encoder_id="made",
        actions=actions or [name],
        threshold=threshold,
        card={},
        parameters=None,
        is_active=is_active,
    )


# --- segments ----------------------------------------------------------------------------------------


@pytest.fixture
def with_segments(library) -> Library:
    """Four videos with made segments of a kinetics head (no features are read), none of them tagged."""
    paths = ("/b/z.mp4", "/a/1.mp4", "/a/ä\U0001f3ac.mp4", "/a/B.mp4")
    ids = [add(library, path, "oooo", seed=number) for number, path in enumerate(paths)]
    random = np.random.default_rng(4)
    with library.write() as catalog:
        sure = add_head(catalog, "kinetics:one", 0.6, "kinetics", actions=["running", "jumping"])
        lax = add_head(catalog, "kinetics:two", 0.3, "kinetics", actions=["running"])
        idle = add_head(catalog, "kinetics:new", 0.0, "kinetics", is_active=False, actions=["running"])
        for video_id in ids:
            for head_id in (sure, lax, idle):
                starts = np.round(random.uniform(0, 12, 5), 3)
                spans = [
                    ActionSpan("running", start, start + 0.25 * (1 + number), round(0.1 + 0.2 * number, 1))
                    for number, start in enumerate(starts.tolist())
                ]
                catalog.actions.add_segments(video_id, head_id, spans)
        catalog.actions.add_segments(ids[0], sure, [ActionSpan("jumping", 1, 2, 0.9)])
        # The same start twice: the id decides.
        catalog.actions.add_segments(ids[1], sure, [ActionSpan("running", 5, 6, 0.9)] * 2)
        staged = catalog.stage_video("/a/staged.mp4", 1, 1)
        catalog.actions.add_segments(staged, sure, [ActionSpan("running", 0, 9, 1.0)])
    return library


def stored(library: Library) -> list[SimpleNamespace]:
    """All segments as rows, without the statements under test."""
    with library.database.read() as connection:
        names = {row.id: row for row in connection.execute(select(heads))}
        paths = {}
        for row in connection.exec_driver_sql("SELECT id, path, status FROM videos"):
            paths[row[0]] = (row[1], row[2])
        return [
            SimpleNamespace(**row._mapping, head=names[row.head_id], path=paths[row.video_id][0])
            for row in connection.execute(select(segments))
            if paths[row.video_id][1] != "staging"
        ]


@pytest.mark.parametrize(
    "bounds",
    [
        {},
        {"min_confidence": 0.0},
        {"min_confidence": 0.9},
        {"min_confidence": 1.0},
        {"min_duration_seconds": 0.75},
        {"path_prefix": "/a/"},
        {"path_prefix": "/nowhere"},
        {"path_prefix": "/a/", "min_confidence": 0.2, "min_duration_seconds": 0.5},
    ],
)
def test_segments_are_those_that_the_bounds_allow_in_order_and_counted(with_segments, bounds):
    expected = [
        row
        for row in stored(with_segments)
        if row.action == "running"
        and row.head.is_active
        and row.confidence >= bounds.get("min_confidence", row.head.threshold)
        and row.end_seconds - row.start_seconds >= bounds.get("min_duration_seconds", 0) - 1e-9
        and row.path.startswith(bounds.get("path_prefix", ""))
    ]
    expected.sort(key=lambda row: (row.path.encode(), row.start_seconds, row.id))
    assert [one.id for one in found(with_segments, **bounds)] == [row.id for row in expected]
    if not bounds:
        assert len(expected) > 20  # something was measured


@pytest.mark.parametrize("size", [1, 7])
def test_pages_put_together_are_the_whole(with_segments, size):
    answer = with_segments.actions.find("running", min_confidence=0)
    whole = list(with_segments.actions.segments(answer))
    pages, after = [], None
    while page := list(with_segments.actions.segments(answer, after=after, limit=size)):
        assert len(page) <= size
        pages += page
        after = (page[-1].path, page[-1].start_seconds, page[-1].id)
    assert pages == whole


def test_every_segment_says_which_head_and_what_action(with_segments):
    assert {one.head for one in found(with_segments)} == {"kinetics:one", "kinetics:two"}
    assert {one.action for one in found(with_segments, "jumping")} == {"jumping"}


def test_one_video_alone(with_segments):
    whole = found(with_segments)
    video_id = whole[0].video_id
    assert found(with_segments, video_id=video_id) == [one for one in whole if one.video_id == video_id]


@pytest.mark.parametrize("bounds", [{"min_confidence": 1.1}, {"min_confidence": float("nan")},
                                    {"min_duration_seconds": -1}, {"path_prefix": "/a\0"}])  # fmt: skip
def test_bounds_that_make_no_sense(with_segments, bounds):
    with pytest.raises(InvalidQueryError):
        found(with_segments, **bounds)


def test_counts_are_of_segments_that_reach_the_threshold(with_segments):
    with with_segments.read() as catalog:
        counts = catalog.actions.counts()
        by_id = {head.id: head for head in catalog.actions.heads()}
    for (head_id, action), (count, seconds) in counts.items():
        rows = [
            row
            for row in stored(with_segments)
            if (row.head_id, row.action) == (head_id, action) and row.confidence >= by_id[head_id].threshold
        ]
        assert count == len(rows)  # without those of a video that is still being read
        assert seconds == pytest.approx(sum(row.end_seconds - row.start_seconds for row in rows))


# --- the filter in a search --------------------------------------------------------------------------


def enough(start: float, end: float, row) -> bool:
    shared = min(end, row.end_seconds) - max(start, row.start_seconds)
    shorter = min(end - start, row.end_seconds - row.start_seconds)
    return shared > 0 and (shared >= 0.5 or 2 * shared >= shorter)


@pytest.mark.parametrize(
    "filters",
    [
        Filters(action="running"),
        Filters(action="running", min_confidence=0.9),
        Filters(action="running", min_confidence=0.0, path_prefix="/a/"),
        Filters(action="jumping"),
        Filters(action="jumping", path_prefix="/a/"),
        Filters(action="running", min_duration_seconds=5),
    ],
)
def test_the_action_filter_agrees_with_brute_force(with_segments, filters):
    rows = [
        row
        for row in stored(with_segments)
        if row.action == filters.action
        and row.head.is_active
        and row.confidence
        >= (row.head.threshold if filters.min_confidence is None else filters.min_confidence)
    ]
    with with_segments.read() as catalog:
        every = list(catalog.clips(catalog.clip_ids(Filters()).tolist()).values())
        vectors = catalog.embeddings([clip.id for clip in every], DIM)
    query = vectors[0]
    allowed = [
        (-float(vector @ query), clip.id)
        for clip, vector in zip(every, vectors, strict=True)
        if clip.id != every[0].id
        and clip.path.startswith(filters.path_prefix or "")
        and clip.end_seconds - clip.start_seconds >= (filters.min_duration_seconds or 0)
        and any(
            row.video_id == clip.video_id and enough(clip.start_seconds, clip.end_seconds, row)
            for row in rows
        )
    ]
    result = SearchEngine(with_segments).search(Query((ClipPart(every[0].id),)), filters, limit=5)
    expected = [clip_id for _, clip_id in sorted(allowed)[:5]]
    assert [hit.clip_id for hit in result.hits] == expected
    assert all(filters.action in {tag.action for tag in hit.actions} for hit in result.hits)


def test_a_hit_shows_the_tag_that_let_it_in_and_no_other_unsure_one(plain):
    first, second = add(plain, "/a.mp4", "oo", seed=1), add(plain, "/b.mp4", "oo", seed=2)
    with plain.write() as catalog:
        head = add_head(catalog, "kinetics:one", 0.6, "kinetics", actions=["running", "jumping"])
        spans = [ActionSpan("running", 4, 8, 0.3), ActionSpan("jumping", 4, 8, 0.5)]
        catalog.actions.add_segments(second, head, spans)
    (asked,) = clips_of(plain, [first], [0])

    def tags(filters: Filters | None) -> list[list[tuple[str, float]]]:
        result = SearchEngine(plain).search(Query((ClipPart(asked),)), filters)
        return [[(tag.action, tag.confidence) for tag in hit.actions] for hit in result.hits]

    assert tags(Filters(action="running", min_confidence=0.25)) == [[("running", 0.3)]]
    assert tags(Filters(action="running")) == []
    assert tags(None) == [[], [], []]


def test_segments_of_a_name_asked_on_the_fly_are_told_apart_by_video(plain):
    """They are in no table: what lets hits in is the answer itself."""
    one, other = (Segment(n, n, f"/{n}.mp4", 0.0, 4.0, "polishing", 0.3, "zero-shot") for n in (1, 2))
    filters = SegmentFilters(("polishing",), 0.1)
    answer = FoundSegments("polishing", ("polishing",), "zero-shot", filters, (one, other))
    with plain.read() as catalog:
        found = plain.actions.wanted_of_videos(catalog, [2, 3], answer)
        assert plain.actions.wanted_of_videos(catalog, [2], None) == {2: []}
    assert found == {2: [other], 3: []}


@pytest.mark.parametrize(("segment", "is_aligned"), [((4.5, 6.0), True), ((7.3, 8.0), False)])
def test_an_aligned_span_shows_the_action_itself(tmp_path, offline_encoder, segment, is_aligned):
    """The example lies from 3 to 7 s: a segment after that is in the clip of its middle, but not in it."""
    small = np.random.default_rng(5).integers(0, 256, (24, 6, 8, 3), np.uint8)
    frames, times = small.repeat(40, axis=1).repeat(40, axis=2), 0.25 + np.arange(24) * 0.5
    library = Library(tmp_path / "own", create=True, device="cpu")
    library.create(offline_encoder, pooling="mean", sampling="{}")
    features = offline_encoder.encode_frames(FrameBatch(frames, times))
    parts = [slice(8 * n, 8 * n + 8) for n in range(3)]
    clips = [
        EncodedClip(4.0 * n, 4.0 * n + 4, offline_encoder.pool(features[part]),
                    features[part].astype(np.float16), times[part], ())
        for n, part in enumerate(parts)
    ]  # fmt: skip
    with library.write() as catalog:
        staged = catalog.stage_video("/a.mp4", 1, 1)
        catalog.add_clips(staged, 0, clips)
        video = catalog.publish_video(staged, duration_seconds=12.0)
        head = add_head(catalog, "kinetics:one", 0.6, "kinetics", actions=["running"])
        catalog.actions.add_segments(video, head, [ActionSpan("running", *segment, 0.9)])
    example = ExamplePart((FrameBatch(frames[6:14], times[:8]),))
    hits = SearchEngine(library).search(Query((example,)), Filters(action="running")).hits
    assert [hit.match is not None for hit in hits] == [is_aligned]
    span = (3.0, 7.0) if is_aligned else (4.0, 8.0)  # else the clip, which shows it
    assert (hits[0].start_seconds, hits[0].end_seconds) == pytest.approx(span, abs=0.15)
    assert [tag.action for tag in hits[0].actions] == ["running"]
    library.close()


def test_searching_for_an_unknown_action_names_the_known_ones(with_segments):
    with pytest.raises(UnknownActionError, match=r"'levitating'.*jumping, running.*actions teach"):
        SearchEngine(with_segments).search(Query((ClipPart(1),)), Filters(action="levitating"))


# --- tagging at ingest -------------------------------------------------------------------------------


def teach(library: Library, video_ids, at=(2, 3), **options):
    return library.actions.teach("running", positives(library, video_ids, at), **options)


def spans_of(library: Library, video_id: int, **bounds) -> list[tuple[float, float]]:
    return [(one.start_seconds, one.end_seconds) for one in found(library, video_id=video_id, **bounds)]


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
        library.actions.tagger.tag_video(catalog, video_id, DIM)
        assert catalog.actions.count_segments(SegmentFilters(("running",), video_id=video_id)) == 1
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


# --- teaching ----------------------------------------------------------------------------------------


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
    card = plain.actions.teach("running", read)
    assert (card["positives"], card["negatives"]) == (6, 1)
    # What the commands print can be taught from again.
    answer = plain.actions.find("running")
    listed = list(plain.actions.segments(answer))
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


def random_archive(library: Library) -> list[ActionExample]:
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
        plain.actions.teach("running", [])
    with pytest.raises(InvalidQueryError):
        plain.actions.teach("zero-shot", examples)
    assert dump(plain) == before
    with pytest.raises(UnknownActionError, match="nothing was taught yet"):
        plain.actions.find("running")


@pytest.mark.parametrize("count", [8, 3, 1])
def test_what_cannot_be_told_is_a_draft_that_is_shown_nowhere_else(plain, count):
    examples = random_archive(plain)
    card = plain.actions.teach("running", examples[:count])
    assert card["is_draft"] and card["reason"]
    (row,) = plain.actions.listing()
    assert (row["action"], row["head"], row["report"]) == ("running", "draft", card)
    found = plain.actions.find("running", min_confidence=0.0)
    assert {one.head for one in plain.actions.segments(found)} <= {"draft"}
    with plain.read() as catalog:
        videos = [video.id for video in catalog.list_videos()]
        assert not any(catalog.actions.segments_of_videos(videos).values())
        assert not list(catalog.actions.list_segments(SegmentFilters(min_confidence=0.0)))


def test_lessons_add_up_and_replace_forgets_but_for_corrections(plain):
    videos = archive(plain)
    teach(plain, videos[:6])
    assert teach(plain, videos[6:8])["positives"] == 16
    assert teach(plain, videos[6:8])["positives"] == 16  # the same again
    assert plain.actions.teach("running", [])["positives"] == 16
    confirmed, rejected = clips_of(plain, videos[9:], [3, 0])
    plain.actions.correct(confirmed, "Running", is_positive=True)
    plain.actions.correct(rejected, "running", is_positive=False)
    card = plain.actions.teach("running", [])
    assert (card["positives"], card["negatives"]) == (17, 1)
    card = teach(plain, videos[:5], replace_examples=True)
    assert (card["positives"], card["negatives"]) == (11, 1)
    assert plain.actions.corrections("running") == {"action": "running", "positive": 11, "negative": 1}
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
        library.actions.teach("running", examples)
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
        plain.actions.teach("running", examples, on_tagged=on_tagged)
    assert len(dump(plain)["heads"]) == 1
    assert len(found(plain)) == 10


def test_what_a_stopped_program_left_goes_with_the_next_lesson(library):
    videos = archive(library)
    with library.write() as catalog:
        head = TaughtHead(
            "running", "made", np.zeros(len(SCALES_SECONDS) * len(PARTS) * DIM, np.float32), 9, 0
        )
        library.actions.tagger.add(catalog, head, "running", {})
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
            (track,) = catalog.actions.tracks(video.id, DIM)
            tracks.append(ActionExample(True, video.path, track=track))
    card = plain.actions.teach("running", tracks)
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
            (track,) = catalog.actions.tracks(video.id, DIM)
            noise = (1 + 1e-3 * np.random.default_rng(0).normal(size=track.features.shape)).astype(np.float16)
            nearly = dataclasses.replace(track, features=(track.features * noise).astype(np.float16))
            given.append(ActionExample(True, f"/examples{video.path}", track=nearly))
        (first,) = catalog.actions.tracks(copies[0], DIM)
    moved = dataclasses.replace(first, features=first.features[::-1].copy())  # told by the digest alone
    given.append(ActionExample(False, "/examples/not.mp4", track=moved, digest="content 0"))
    card = plain.actions.teach("running", given)
    assert (card["positives"], card["negatives"]) == (6, 1)
    assert card["background"] == (6 + 1) * 2
    assert plain.actions.teach("running", [])["background"] == (6 + 1) * 2  # the digest was kept


def test_copies_of_one_example_are_one(plain):
    archive_of_rest(plain, 10)
    (track,) = tracks(plain, add(plain, "/x.mp4", "RR"))
    copies = [ActionExample(True, f"/{n}.mp4", track=track) for n in range(5)]
    card = plain.actions.teach("running", copies)
    assert card["is_draft"] and card["reason"].startswith("of 5 examples 1 ")
    assert (card["positives"], card["videos"]) == (1, 1)
    same = [ActionExample(True, f"/{n}.mp4", track=track, digest="same") for n in range(5)]
    assert plain.actions.teach("running", same, replace_examples=True)["positives"] == 1
    # In the library itself, too.
    videos = [add(plain, f"/copies/{n}.mp4", "R", seed=4) for n in range(5)]
    card = plain.actions.teach("running", positives(plain, videos, (0,)), replace_examples=True)
    assert card["is_draft"] and card["reason"].startswith("of 5 examples 1 ")
    assert (card["positives"], card["videos"]) == (1, 1)


def test_nothing_is_both_an_action_and_what_it_is_not(plain):
    videos = archive(plain)
    given = positives(plain, videos)
    (track,) = tracks(plain, videos[0])
    file = ActionExample(True, "/a.mp4", track=track, digest="a")
    for more, said in (
        (examples_from_clips(plain, clips_of(plain, videos[3:4], [2]), is_positive=False), "clip .*/3.mp4"),
        ([file, ActionExample(False, "/a.mp4", track=track)], "/a.mp4"),
        ([file, ActionExample(False, "/b.mp4", track=track, digest="a")], "/a.mp4"),
    ):
        with pytest.raises(InvalidQueryError, match=f"both as 'running' and as what it is not: {said}"):
            plain.actions.teach("running", [*given, *more])
    assert not dump(plain)["action_examples"]


def archive_of_rest(library: Library, count: int) -> list[int]:
    return [add(library, f"/rest/{number}.mp4", "oo", seed=200 + number) for number in range(count)]


def test_features_of_files_are_kept_as_they_are(plain):
    (track,) = tracks(plain, add(plain, "/x.mp4", "oRo"))
    again = track_from_bytes(track_to_bytes(track))
    for name in ("features", "times_seconds", "borders_seconds", "shots"):
        assert np.array_equal(getattr(again, name), getattr(track, name))
    with plain.write() as catalog:
        catalog.actions.add_example("running", ActionExample(True, "/x.mp4", track=track))
        catalog.actions.add_example("running", ActionExample(False, "/x.mp4", track=track))
        (kept,) = catalog.actions.examples("running")
    assert not kept.is_positive and np.array_equal(kept.track.features, track.features)


# --- corrections -------------------------------------------------------------------------------------


def test_a_rejected_segment_goes_and_does_not_come_back(library):
    videos = archive(library, plan="ooRoRo")
    teach(library, videos, at=(2, 4))
    (clip,) = clips_of(library, videos[8:9], [2])
    assert len(spans_of(library, videos[8])) == 2
    library.actions.correct(clip, "running", is_positive=False)
    assert spans_of(library, videos[8]) == [pytest.approx((16, 20), abs=STEP)]
    assert library.actions.tagger.retag() == 10
    assert spans_of(library, videos[8]) == [pytest.approx((16, 20), abs=STEP)]
    assert len(spans_of(library, videos[7])) == 2
    library.actions.correct(clip, "running", is_positive=True)  # on second thoughts
    library.actions.tagger.retag()
    assert len(spans_of(library, videos[8])) == 2


def test_a_rejected_clip_is_cut_out_of_a_long_segment(library):
    """Of a run from 8 to 24 s the clip from 12 to 16 s is rejected: two runs are left beside it."""
    videos = archive(library)
    teach(library, videos)
    long = add(library, "/long.mp4", "ooRRRRoo", seed=60)
    assert spans_of(library, long) == [pytest.approx((8, 24), abs=STEP)]
    (clip,) = clips_of(library, [long], [3])
    library.actions.correct(clip, "running", is_positive=False)
    rests = [pytest.approx((8, 12), abs=STEP), pytest.approx((16, 24), abs=STEP)]
    filters = Filters(action="running", path_prefix="/long.mp4", min_confidence=0.0)
    for _ in range(2):
        assert spans_of(library, long) == rests
        # The cut is exact: no moment of the clip is left, and the two rests end and begin with it.
        assert [spans_of(library, long)[0][1], spans_of(library, long)[1][0]] == [12.0, 16.0]
        assert library.actions.allowed_clips(filters).tolist() == clips_of(library, [long], [2, 4, 5])
        hits = SearchEngine(library).search(Query((ClipPart(1),)), filters, limit=20).hits
        assert clip not in {hit.clip_id for hit in hits} and len(hits) == 3
        library.actions.tagger.retag()  # finds it again, and cuts it again
    (first,) = clips_of(library, [long], [2])
    library.actions.correct(first, "running", is_positive=False)
    assert spans_of(library, long) == rests[1:]


@pytest.mark.parametrize(
    ("span", "rests"),
    [
        ((4.0, 8.0), []),  # the clip of [4, 8) is rejected
        ((5.0, 7.0), []),
        ((3.5, 8.4), []),  # half a second of blur on one side, less on the other
        ((3.25, 6.0), [(3.25, 4.0)]),
        ((6.0, 20.0), [(8.0, 20.0)]),
        ((0.0, 12.0), [(0.0, 4.0), (8.0, 12.0)]),
        ((3.75, 12.0), [(8.0, 12.0)]),
        ((8.0, 8.3), [(8.0, 8.3)]),  # it only touches: nothing of it was refuted
        ((0.0, 4.0), [(0.0, 4.0)]),
    ],
)
def test_what_a_rejection_leaves_of_a_segment(plain, span, rests):
    video = add(plain, "/a.mp4", "ooooo")
    with plain.write() as catalog:
        head = add_head(catalog, "kinetics:one", 0.5, "kinetics", actions=["running", "jumping"])
        spans = [ActionSpan("running", *span, 0.8), ActionSpan("jumping", *span, 0.7)]
        catalog.actions.add_segments(video, head, spans)
    (clip,) = clips_of(plain, [video], [1])
    plain.actions.correct(clip, "running", is_positive=False)
    kept = [(row.start_seconds, row.end_seconds, row.confidence) for row in found(plain)]
    assert kept == [(*rest, 0.8) for rest in rests]
    assert spans_of_action(plain, "jumping") == [span]  # nobody said anything about it


def spans_of_action(library: Library, action: str) -> list[tuple[float, float]]:
    return [(one.start_seconds, one.end_seconds) for one in found(library, action)]


@pytest.mark.parametrize(
    ("typed", "kept_as"),
    [
        ("jogging", "running"),  # a synonym, by the table
        ("run", "running"),  # the same name, inflected
        ("Running", "running"),
        ("paddling", "paddling"),  # a whole head knows it by just this name
        ("knitting", "knitting"),  # nobody knows it: kept for a lesson to come
        ("runnin", "runnin"),  # a typing error
    ],
)
def test_corrections_by_another_name_count_for_the_taught_action(plain, typed, kept_as):
    videos = archive(plain, plan="ooRoRo")
    teach(plain, videos, at=(2, 4))
    with plain.write() as catalog:
        add_head(catalog, "kinetics:one", 0.5, "kinetics", actions=["paddling", "surfing water"])
    (clip,) = clips_of(plain, videos[8:9], [2])
    plain.actions.correct(clip, typed, is_positive=False)
    counts = plain.actions.corrections(typed)
    is_running = kept_as == "running"
    # It was an example of it until now: 19 of 20 are left.
    assert (counts["action"], counts["negative"]) == (kept_as, 1)
    assert counts["positive"] == (19 if is_running else 0)
    assert len(spans_of(plain, videos[8])) == (1 if is_running else 2)
    if is_running:
        assert plain.actions.describe(typed)["action"] == "running"
        assert plain.actions.teach("running", [])["negatives"] == 1


def test_another_name_of_two_taught_actions_is_neither(plain):
    videos = archive(plain)
    teach(plain, videos)
    plain.actions.teach("running on treadmill", positives(plain, videos))
    plain.actions.rename("running", "running on beach")
    assert plain.actions.corrections("running")["action"] == "running"
    with pytest.raises(UnknownActionError):
        plain.actions.describe("running")


def test_a_name_cut_short_is_another_name(plain):
    videos = archive(plain)
    teach(plain, videos)
    plain.actions.rename("running", "circle")
    (clip,) = clips_of(plain, videos[8:9], [2])
    plain.actions.correct(clip, "circl", is_positive=False)
    assert plain.actions.corrections("circl") == {"action": "circl", "positive": 0, "negative": 1}
    assert len(spans_of_action(plain, "circle")) == 10
    with pytest.raises(UnknownActionError, match="close to it: circle"):
        plain.actions.export("circl")
    assert plain.actions.untaught() == [{"action": "circl", "positive": 0, "negative": 1}]
    assert plain.actions.remove("circl") == {"action": "circl", "examples": 1}
    assert plain.actions.untaught() == []
    with pytest.raises(UnknownActionError, match="close to it: circle"):
        plain.actions.remove("circl")


def test_only_what_shows_and_corrects_takes_another_name(plain):
    """Nobody who types a synonym means to lose or to rename what was taught."""
    teach(plain, archive(plain))
    for change in (plain.actions.remove, plain.actions.export, lambda name: plain.actions.rename(name, "x")):
        with pytest.raises(UnknownActionError):
            change("jogging")


def test_an_unknown_action_names_each_known_one_once(plain):
    def said(known: list[str]) -> str:
        with plain.write() as catalog:
            for head in catalog.actions.heads():
                catalog.actions.remove_head(head.id)
            add_head(catalog, "kinetics:one", 0.5, "kinetics", actions=known)
        with pytest.raises(UnknownActionError) as caught:
            plain.actions.find("jugling balls")
        return str(caught.value)

    archive(plain, 1)
    message = said(["swimming", "juggling balls", "knitting"])
    assert "close to it: juggling balls; known are also: knitting, swimming." in message
    assert message.count("juggling balls") == 1
    assert "close to it: juggling balls. Teach" in said(["juggling balls"])
    assert "known are: knitting, swimming. Teach" in said(["swimming", "knitting"])
    many = [f"{sport} {number}" for sport in ("golf", "tennis") for number in range(10)]
    assert "close to it: juggling balls; 20 others are known" in said([*many, "juggling balls"])
    assert "'jugling balls'; 20 others are known" in said(many)


def test_a_correction_needs_its_clip_and_a_name(plain):
    archive(plain, 1)
    with pytest.raises(NotFoundError, match="77"):
        plain.actions.correct(77, "running", is_positive=True)
    with pytest.raises(InvalidQueryError):
        plain.actions.correct(1, "\n", is_positive=True)


# --- renaming, removing, carrying over -----------------------------------------------------------------


def test_renaming_takes_everything_along(library):
    videos = archive(library)
    teach(library, videos)
    before = spans_of(library, videos[0])
    library.actions.rename("running", "Hopping mad")
    assert [(one.start_seconds, one.end_seconds) for one in found(library, "hopping mad", video_id=videos[0])
            ] == before  # fmt: skip
    with pytest.raises(UnknownActionError):
        found(library, "running")
    new = add(library, "/new.mp4", "oRRo", seed=88)
    assert {one.action for one in found(library, "hopping mad", video_id=new)} == {"hopping mad"}
    assert library.actions.teach("hopping mad", [])["positives"] == 20
    for name in ("zero-shot", "kinetics:r3d_18", ""):
        with pytest.raises(InvalidQueryError):
            library.actions.rename("hopping mad", name)


def test_another_program_sees_the_new_name_at_once(tmp_path, plain):
    videos = archive(plain)
    teach(plain, videos)
    other = Library(plain.folder)
    add(other, "/first.mp4", "oRo", seed=31)  # it has the head in memory now
    plain.actions.rename("running", "hopping")
    new = add(other, "/second.mp4", "oRo", seed=32)
    assert [one.action for one in found(plain, "hopping", video_id=new)] == ["hopping"]
    other.close()


def test_removing_forgets_the_segments_and_the_examples(library):
    videos = archive(library)
    teach(library, videos)
    library.actions.remove("Running")
    tables = dump(library)
    assert not tables["heads"] and not tables["segments"] and not tables["action_examples"]
    with pytest.raises(UnknownActionError):
        library.actions.remove("running")


def test_a_head_carried_to_another_library_finds_the_same(plain, tmp_path):
    videos = archive(plain)
    teach(plain, videos)
    content = plain.actions.export("running")
    other = Library(tmp_path / "other", create=True)
    make(other)
    archive(other)
    assert other.actions.import_head(content).name == "running"
    assert [(s.path, s.start_seconds, s.end_seconds, s.confidence) for s in found(other)] == [
        (s.path, s.start_seconds, s.end_seconds, s.confidence) for s in found(plain)
    ]
    other.close()


def test_what_is_carried_over_tells_of_its_lesson_and_replaces_nothing_by_itself(plain, tmp_path):
    report = teach(plain, archive(plain))
    content = plain.actions.export("running")
    other = Library(tmp_path / "other", create=True)
    make(other)
    archive(other)
    other.actions.import_head(content)
    (row,) = other.actions.listing()
    assert row["report"] == report | {"imported": True}
    assert other.actions.describe("running")["report"] == row["report"]
    before = dump(other)
    with pytest.raises(InvalidQueryError, match="--replace"):
        other.actions.import_head(content)
    assert dump(other) == before
    other.actions.correct(1, "running", is_positive=False)
    assert other.actions.import_head(content, replace=True).name == "running"
    assert len(dump(other)["heads"]) == 1 and other.actions.corrections("running")["negative"] == 1
    other.close()
    for wrong in ({"precision": "high"}, 3, {**report, "seconds": float("inf")}, {"precision": 1.0}):
        head = plain.actions.import_head(made_head(report=wrong), replace=True)
        assert head.card == {"imported": True}


def test_a_file_with_a_flipped_bit_is_refused(plain):
    archive(plain, 2)
    content = made_head()
    for place in (len(content) - 1, len(content) - 700, content.index(b"threshold") + 13):
        damaged = bytearray(content)
        damaged[place] ^= 1
        with pytest.raises(HeadFileError):
            plain.actions.import_head(bytes(damaged))
    assert not dump(plain)["heads"]
    # Files from before there was a digest.
    old = save(
        {"weights": np.zeros(len(SCALES_SECONDS) * len(PARTS) * DIM, np.float32)},
        {"reelseek": json.dumps({k: v for k, v in read_card(content).items() if k != "sha256"})},
    )
    assert plain.actions.import_head(old).name == "running"


def made_head(**card) -> bytes:
    width = len(SCALES_SECONDS) * len(PARTS) * DIM
    fields = {"kind": "taught", "action": "running", "encoder_id": "made", "bias": 0.0, "threshold": 0.5,
              "scales_seconds": list(SCALES_SECONDS), "parts": list(PARTS)} | card  # fmt: skip
    count = fields.pop("count", width)
    return pack(
        {"weights": np.zeros(count, np.float32)}, **{k: v for k, v in fields.items() if v is not None}
    )


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (made_head(encoder_id="another"), EncoderMismatchError),
        (b"", HeadFileError),
        (b"not a head at all, but long enough to look at", HeadFileError),
        (made_head()[:-20], HeadFileError),
        (made_head(kind="track"), HeadFileError),
        (made_head(bias=None), HeadFileError),
        (made_head(scales_seconds=None), HeadFileError),
        (made_head(bias="nan"), HeadFileError),
        (made_head(threshold=7), HeadFileError),
        (made_head(count=5), HeadFileError),
        (made_head(action="Running\n"), (HeadFileError, InvalidQueryError)),
        (made_head(action="zero-shot"), InvalidQueryError),
    ],
)
def test_files_that_are_no_head_of_this_library_change_nothing(plain, content, error):
    archive(plain, 2)
    before = dump(plain)
    with pytest.raises(error):
        plain.actions.import_head(content)
    assert dump(plain) == before


@pytest.mark.parametrize("card", [{"bias": None}, {"bias": "much"}, {"bias": float("inf")}, {"bias": True},
                                  {"bias": 10**400}, {"threshold": []}, {"action": None}, {"action": 3},
                                  {"encoder_id": None}, {"encoder_id": {}}, {"parts": None},
                                  {"scales_seconds": "1"}])  # fmt: skip
def test_a_card_that_is_none_is_said_by_the_head_itself(card):
    with pytest.raises(HeadFileError, match=f"{next(iter(card))}|windows"):
        TaughtHead.from_bytes(made_head(**card))


def test_whole_numbers_are_numbers():
    assert TaughtHead.from_bytes(made_head(bias=-2, threshold=1)).bias == -2.0


def test_a_made_head_that_is_right_is_taken(plain):
    archive(plain, 2)
    assert plain.actions.import_head(made_head()).actions == ("running",)


def test_a_backbone_is_shown_and_removed_by_its_own_name_but_not_exported(plain):
    archive(plain, 1)
    name = "kinetics:r3d_18//Folder With Capitals/" + "long" * 40 + ".pth"
    with plain.write() as catalog:
        add_head(catalog, name, kind="kinetics", actions=["running"])
    assert plain.actions.describe(name)["head"] == name
    with pytest.raises(InvalidQueryError):
        plain.actions.export(name)
    plain.actions.remove(name)
    assert not dump(plain)["heads"]


# --- tracks ------------------------------------------------------------------------------------------


def tracks(library: Library, video_id: int) -> list[FeatureTrack]:
    with library.read() as catalog:
        return list(catalog.actions.tracks(video_id, DIM))


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
    monkeypatch.setattr(search.catalog.actions, "SAMPLES_PER_PIECE", samples)
    assert len(tracks(plain, long)) > 3
    plain.actions.tagger.retag()
    (one,) = found(plain, video_id=long)
    assert (one.start_seconds, one.end_seconds) == pytest.approx((16.0, 40.0), abs=STEP)
    assert (one.start_seconds, one.end_seconds) == pytest.approx(
        (whole.start_seconds, whole.end_seconds), abs=STEP
    )
    assert one.confidence == pytest.approx(whole.confidence, abs=0.1)


def test_pieces_hold_every_sample_once(plain, monkeypatch):
    video = add(plain, "/long.mp4", "oRoRoRo")
    (whole,) = tracks(plain, video)
    monkeypatch.setattr(search.catalog.actions, "SAMPLES_PER_PIECE", 20)
    pieces = tracks(plain, video)
    assert [len(piece) for piece in pieces] == [24, 24, 8]
    assert np.array_equal(np.concatenate([piece.features for piece in pieces]), whole.features)


# --- examples out of files, with the real encoder -------------------------------------------------------


def test_examples_from_files_are_what_ingest_would_store(tmp_path, offline_encoder):
    library = Library(tmp_path / "library", create=True, device="cpu")
    folder = tmp_path / "examples"
    folder.mkdir()
    write_video(folder / "one.mp4", moving(150, seed=1), fps=25)
    (folder / "broken.mp4").write_bytes(b"nothing")
    (folder / "notes.txt").write_text("no video")
    sampling = SamplingOptions().with_frame_size(offline_encoder.frame_size)
    library.create(offline_encoder, pooling="mean", sampling=sampling.to_json())
    ingest(library, [str(folder / "one.mp4")], IngestOptions(device="cpu"))
    said: list[str] = []
    (example,) = examples_from_files(library, [str(folder)], is_positive=True, say=said.append)
    with library.read() as catalog:
        (stored_track,) = catalog.actions.tracks(1, library.record().dim)
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


# --- the schema --------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_library_from_before_actions_keeps_what_it_has(request, tmp_path, engine):
    url = (
        f"sqlite:///{tmp_path / 'c.sqlite3'}"
        if engine == "sqlite"
        else request.getfixturevalue("postgres_url")
    )
    database = Database(url)
    database.migrate()
    old = ("library", "videos", "clips", "clip_vectors", "key_frames", "removed_clips", "jobs")
    tables = [table for table in metadata.sorted_tables if table.name in old]
    with database.write() as connection:
        catalog = Catalog(connection)
        catalog.create_library(
            encoder_spec="made", encoder_id="made", pooling="mean", dim=DIM, sampling=SAMPLING
        )
        staged = catalog.stage_video("/a.mp4", 1, 2)
        catalog.add_clips(staged, 0, footage("oRo", 1))
        catalog.publish_video(staged, digest="x", sampling=SAMPLING)
    # All but the checksums, which a library of then has not.
    kept = [[column for column in table.c if column.name != "crc32"] for table in tables]
    with database.read() as connection:
        before = [connection.execute(select(*columns)).all() for columns in kept]
    database.downgrade("0001")  # what a library of then held; today's statements know later columns
    database.migrate()
    with database.read() as connection:
        assert [connection.execute(select(*columns)).all() for columns in kept] == before
        assert connection.execute(select(heads)).all() == []
    with database.write() as connection:
        connection.execute(
            insert(action_examples).values(
                action="running", is_positive=True, origin="teach", source="x", video_id=1, created_at=0.0
            )
        )
    database.downgrade("0001")
    database.migrate()
    with database.read() as connection:
        assert [connection.execute(select(*columns)).all() for columns in kept] == before
    database.close()


def test_a_record_says_how_its_segments_name_it():
    made = HeadRecord(1, "taught", "running", True, "made", ("running",), 0.5, {}, 0.0)
    assert made.label == "taught"


def test_csv_of_segments_is_read_back_as_the_same_rows(with_segments):
    listed = found(with_segments)
    rows = list(csv.DictReader(io.StringIO("".join(to_csv(listed)), newline="")))
    assert [int(row["id"]) for row in rows] == [one.id for one in listed]
