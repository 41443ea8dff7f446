"""Segments of actions: what is listed, counted and exported, and the filter of a search by an action."""

from __future__ import annotations

import csv
import io
from types import SimpleNamespace

import numpy as np
import pytest
from made_actions import DIM, add, add_head, clips_of, found, segments_of
from sqlalchemy import select

from encoders.errors import (
    InvalidQueryError,
    UnknownActionError,
)
from encoders.heads.head import ActionSpan
from encoders.types import FrameBatch
from search.actions import finding
from search.actions.finding import FoundSegments, find_segments
from search.catalog.actions.heads import HeadRecord
from search.catalog.actions.segments import EVERYWHERE
from search.catalog.tables import heads, segments
from search.documents.exports.csv_table import to_csv
from search.library import Library
from search.query.engine import SearchEngine
from search.types import ClipPart, EncodedClip, Filters, Query, QueryExample, Segment, SegmentQuery


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
    answer = find_segments(with_segments, SegmentQuery(("running",), min_confidence=0))
    whole = segments_of(with_segments, answer)
    pages, after = [], None
    while page := segments_of(with_segments, answer, after=after, limit=size):
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


# --- the filter in a search ------------------------------------------------------------------------


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
    filters = SegmentQuery(("polishing",), 0.1)
    answer = FoundSegments("polishing", "zero-shot", filters, (one, other))
    with plain.read() as catalog:
        found = finding.read_segments_touching(catalog, {2: [EVERYWHERE], 3: [EVERYWHERE]}, answer)
        assert finding.read_segments_touching(catalog, {2: [EVERYWHERE]}, None) == {2: []}
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
    example = QueryExample((FrameBatch(frames[6:14], times[:8]),))
    hits = SearchEngine(library).search(Query((example,)), Filters(action="running")).hits
    assert [hit.match is not None for hit in hits] == [is_aligned]
    span = (3.0, 7.0) if is_aligned else (4.0, 8.0)  # else the clip, which shows it
    assert (hits[0].start_seconds, hits[0].end_seconds) == pytest.approx(span, abs=0.15)
    assert [tag.action for tag in hits[0].actions] == ["running"]
    library.close()


def test_searching_for_an_unknown_action_names_the_known_ones(with_segments):
    with pytest.raises(UnknownActionError, match=r"'levitating'.*jumping, running.*actions teach"):
        SearchEngine(with_segments).search(Query((ClipPart(1),)), Filters(action="levitating"))


def test_a_record_says_how_its_segments_name_it():
    made = HeadRecord(1, "taught", "running", True, "made", ("running",), 0.5, {}, 0.0)
    assert made.label == "taught"


def test_csv_of_segments_is_read_back_as_the_same_rows(with_segments):
    listed = found(with_segments)
    rows = list(csv.DictReader(io.StringIO("".join(to_csv(listed)), newline="")))
    assert [int(row["id"]) for row in rows] == [one.id for one in listed]
