"""The search engine on made vectors: filters, grouping, what is left out, and how the index keeps up."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

from encoders.errors import (
    EncoderMismatchError,
    InvalidQueryError,
    LibraryNotFoundError,
    NotFoundError,
)
from encoders.types import FrameBatch, normalise
from search.index.files import load_index, verify_index
from search.library import Library
from search.query.engine import SearchEngine
from search.query.grouping import ScoredClip, group_clips
from search.types import Clip, ClipPart, EncodedClip, Filters, Query, QueryExample, SpanPart, TextPart

DIM = 16
CLIPS_PER_VIDEO = 10


@pytest.fixture
def library(tmp_path) -> Iterator[Library]:
    library = Library(tmp_path / "library", create=True)
    with library.write() as catalog:
        catalog.create_library(encoder_spec="made", encoder_id="made", pooling="mean", dim=DIM, sampling="{}")
    for number in range(12):
        add(library, f"/archive/{number % 3}/{number}.mp4", seed=number)
    yield library
    library.close()


def add(library: Library, path: str, seed: int, count: int = CLIPS_PER_VIDEO, dim: int = DIM) -> int:
    """A video whose clips wander away from a direction of its own; the odd ones are 2 s long."""
    random = np.random.default_rng(seed)
    base = random.normal(size=dim)
    clips, start = [], 0.0
    for number in range(count):
        vector = normalise(base + 0.1 * number * random.normal(size=dim))
        length = 2.0 if number % 2 else 4.0
        times = start + np.arange(4) * length / 4
        features = np.tile(vector, (4, 1)).astype(np.float16)
        clips.append(EncodedClip(start, start + length, vector, features, times, ((start, b"jpeg"),)))
        start += length
    with library.write() as catalog:
        staged = catalog.stage_video(path, 1, 1)
        catalog.add_clips(staged, 0, clips)
        return catalog.publish_video(staged, digest=str(seed), duration_seconds=start)


class Interrupted(SearchEngine):
    """An engine beside which another program removes a video, between encoding a query and answering it."""

    def __init__(self, library: Library, video_id: int) -> None:
        super().__init__(library)
        self._opened, self._video_id = library, video_id

    def search(self, query, *arguments, **named):
        encoded = self.encoder.encode(query)
        with self._opened.write() as catalog:
            catalog.remove_videos([self._video_id])
        return super().search(encoded, *arguments, **named)


def all_vectors(library: Library) -> tuple[np.ndarray, np.ndarray]:
    with library.read() as catalog:
        ids = catalog.clip_ids(Filters())
        return ids, catalog.embeddings(ids.tolist(), DIM)


@pytest.mark.parametrize(
    ("filters", "limit"),
    [
        (Filters(), 10),
        (Filters(path_prefix="/archive/1/"), 40),
        (Filters(path_prefix="/archive/1/", min_duration_seconds=3), 20),
        (Filters(max_duration_seconds=2), 7),
        (Filters(video_ids=(3, 5)), 20),
        (Filters(path_prefix="/nowhere"), 5),
    ],
)
def test_hits_are_the_best_that_the_filter_allows_and_as_many_as_exist(library, filters, limit):
    ids, vectors = all_vectors(library)
    query_id = int(ids[25])
    result = SearchEngine(library).search(Query((ClipPart(query_id),)), filters, limit=limit)
    with library.read() as catalog:
        allowed = [clip_id for clip_id in catalog.clip_ids(filters).tolist() if clip_id != query_id]
    scores = vectors @ vectors[25]
    expected = sorted(allowed, key=lambda clip_id: -scores[np.searchsorted(ids, clip_id)])[:limit]
    assert [hit.clip_id for hit in result.hits] == expected
    assert [hit.score for hit in result.hits] == pytest.approx(
        [float(scores[np.searchsorted(ids, clip_id)]) for clip_id in expected], abs=1e-5
    )
    assert result.exact


def test_hits_carry_their_clip(library):
    hit = SearchEngine(library).search(Query((ClipPart(1),)), limit=1).hits[0]
    with library.read() as catalog:
        clip = catalog.clips([hit.clip_id])[hit.clip_id]
        video = catalog.video(hit.video_id)
    assert (hit.start_seconds, hit.end_seconds, hit.path) == (
        clip.start_seconds,
        clip.end_seconds,
        video.path,
    )
    assert [frame.time_seconds for frame in hit.key_frames] == [clip.start_seconds]


def test_weights_add_up_and_negative_ones_push_away(library):
    ids, vectors = all_vectors(library)
    parts = (ClipPart(int(ids[0]), 2.0), ClipPart(int(ids[50]), -0.5))
    query = normalise(2.0 * vectors[0] - 0.5 * vectors[50])
    hit = SearchEngine(library).search(Query(parts), limit=1).hits[0]
    scores = vectors @ query
    scores[0] = -2  # asked for: not its own answer; the unwanted one may come up
    assert hit.clip_id == ids[int(np.argmax(scores))]
    assert hit.score == pytest.approx(float(scores.max()), abs=1e-5)


def test_one_hit_a_video(library):
    hits = SearchEngine(library).search(Query((ClipPart(1),)), limit=50, group_by="video").hits
    assert len(hits) == 12
    assert len({hit.video_id for hit in hits}) == 12


def scored(video: int, ordinal: int, score: float) -> ScoredClip:
    clip = Clip(video * 100 + ordinal, video, f"/{video}", ordinal, ordinal * 4.0, ordinal * 4.0 + 4)
    return ScoredClip(clip, score)


def test_a_moment_is_the_neighbours_that_stay_close_to_its_peak():
    clips = [scored(1, 3, 0.9), scored(1, 4, 0.8), scored(2, 0, 0.7), scored(1, 6, 0.65), scored(1, 2, 0.3)]
    moments = group_clips(clips, "moment", background=0.2)
    spans = [(m.clips[0].clip.start_seconds, m.clips[-1].clip.end_seconds) for m in moments]
    # Clip 2 of video 1 has lost more than half of the peak's lead; clip 6 is no neighbour of 4.
    assert spans == [(12.0, 20.0), (0.0, 4.0), (24.0, 28.0), (8.0, 12.0)]
    assert [m.best.score for m in moments] == [0.9, 0.7, 0.65, 0.3]


def test_a_deleted_video_is_gone_from_the_next_answer(library):
    engine = SearchEngine(library)
    first = engine.search(Query((ClipPart(1),)), limit=5).hits[0]
    with library.write() as catalog:
        catalog.remove_videos([first.video_id])
    if first.video_id == 1:
        with pytest.raises(NotFoundError, match="no clip 1"):
            engine.search(Query((ClipPart(1),)))
    hits = engine.search(Query((ClipPart(30),)), limit=200).hits
    assert first.video_id not in {hit.video_id for hit in hits}


def test_the_index_follows_the_catalog_without_being_made_anew(library):
    with library.index() as index:
        assert len(index) == 120
        before = index
    added = add(library, "/late.mp4", seed=99)
    with library.write() as catalog:
        catalog.remove_videos([1])
    with library.index() as index, library.read() as catalog:
        assert index is before
        assert index.ids().tolist() == catalog.clip_ids(Filters()).tolist()
        late = [clip.id for clip in catalog.clips_of_video(added)]
    assert set(late) <= set(index.ids().tolist())


@pytest.mark.parametrize("damage", ["truncated", "garbage", "not json"])
def test_an_index_that_was_broken_is_saved_anew_by_whoever_searches(library, damage):
    library.index_keeper.save()
    file = library.index_keeper.file()
    if damage == "not json":
        (library.index_keeper.folder / "index.json").write_text("{")
    else:
        file.write_bytes(file.read_bytes()[:-7] if damage == "truncated" else b"garbage")
    again = Library(library.folder)
    assert SearchEngine(again).search(Query((ClipPart(1),))).hits
    again.close()
    assert verify_index(library.index_keeper.folder, library.record()) is None
    saved = load_index(library.index_keeper.folder, library.record()).index
    with library.read() as catalog:
        assert saved.ids().tolist() == catalog.clip_ids(Filters()).tolist()
    assert len(list(library.index_keeper.folder.glob("vectors-*"))) == 1


@pytest.mark.parametrize("damage", ["none", "deleted", "garbage", "behind", "ahead"])
def test_a_saved_index_is_used_or_made_anew_never_wrong(library, damage):
    library.index_keeper.save()
    record = json.loads((library.index_keeper.folder / "index.json").read_text())
    if damage == "deleted":
        (library.index_keeper.folder / record["file"]).unlink()
    elif damage == "garbage":
        (library.index_keeper.folder / record["file"]).write_bytes(b"garbage")
    elif damage == "behind":
        add(library, "/late.mp4", seed=99)
    elif damage == "ahead":  # the catalog was restored from an older copy
        record["revision"] += 100
        (library.index_keeper.folder / "index.json").write_text(json.dumps(record))
    again = Library(library.folder)
    with again.index() as index, again.read() as catalog:
        assert index.ids().tolist() == catalog.clip_ids(Filters()).tolist()
    again.close()


def test_the_index_of_another_encoder_is_an_error(library):
    library.index_keeper.save()
    path = library.index_keeper.folder / "index.json"
    path.write_text(path.read_text().replace('"made"', '"other"'))
    again = Library(library.folder)
    with pytest.raises(EncoderMismatchError, match="indexer rebuild"):
        SearchEngine(again).search(Query((ClipPart(1),)))
    again.rebuild_index()
    assert SearchEngine(again).search(Query((ClipPart(1),))).hits
    again.close()


def test_an_example_is_placed_in_time(tmp_path, offline_encoder):
    """Frames of a stored video, asked for again: the alignment must give back their own times."""
    random = np.random.default_rng(5)
    small = random.integers(0, 256, (24, 6, 8, 3), np.uint8)
    frames = small.repeat(40, axis=1).repeat(40, axis=2)
    times = 0.25 + np.arange(24) * 0.5
    library = Library(tmp_path / "own", create=True, device="cpu")
    library.create(offline_encoder, pooling="mean", sampling="{}")
    features = offline_encoder.encode_frames(FrameBatch(frames, times))
    clips = [
        EncodedClip(
            4.0 * n,
            4.0 * n + 4,
            offline_encoder.pool(features[8 * n : 8 * n + 8]),
            features[8 * n : 8 * n + 8].astype(np.float16),
            times[8 * n : 8 * n + 8],
            (),
        )
        for n in range(3)
    ]
    with library.write() as catalog:
        staged = catalog.stage_video("/a.mp4", 1, 1)
        catalog.add_clips(staged, 0, clips)
        catalog.publish_video(staged, duration_seconds=12.0)
    example = QueryExample((FrameBatch(frames[6:14], times[:8]),))
    hit = SearchEngine(library).search(Query((example,))).hits[0]
    assert (hit.start_seconds, hit.end_seconds) == pytest.approx((3.0, 7.0), abs=0.15)
    assert hit.match.speed == 1.0 and not hit.match.mirrored
    assert hit.score == pytest.approx(1.0, abs=0.02)
    # A video that goes away between being found and being looked at is no answer, and no fault.
    other = add(library, "/b.mp4", seed=3, dim=offline_encoder.dim)
    assert other in {found.video_id for found in SearchEngine(library).search(Query((example,))).hits}
    hits = Interrupted(library, other).search(Query((example,))).hits
    assert {found.video_id for found in hits} == {1}
    # A span of a stored video is a query too, and the clips that it touches are not its answer.
    hits = SearchEngine(library).search(Query((SpanPart(1, 0.5, 3.5),))).hits
    assert [hit.clip_id for hit in hits if hit.clip_id == 1] == [] and len(hits) == 2
    assert hits[0].score == pytest.approx(
        float(offline_encoder.pool(features[1:7]) @ clips[hits[0].clip_id - 1].embedding), abs=1e-3
    )
    library.close()


def test_spans_that_are_not_there_are_refused(library):
    with pytest.raises(InvalidQueryError, match="end after it starts"):
        SearchEngine(library).search(Query((SpanPart(2, 3.0, 1.0),)))
    with pytest.raises(NotFoundError, match="nothing between"):
        SearchEngine(library).search(Query((SpanPart(2, 1e6, 2e6),)))
    with pytest.raises(NotFoundError, match="no video 777"):
        SearchEngine(library).search(Query((SpanPart(777, 0.0, 1.0),)))


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ((), "empty"),
        ((TextPart("  "),), "blank"),
        ((TextPart("a", float("nan")),), "weight"),
        ((TextPart("a", 0.0),), "weight"),
        ((TextPart("a", -1.0),), "only says what to avoid"),
    ],
)
def test_queries_that_make_no_sense_are_refused(parts, complaint):
    with pytest.raises(InvalidQueryError, match=complaint):
        Query(parts)


def test_parts_that_cancel_out_are_refused(library):
    with pytest.raises(InvalidQueryError, match="cancel"):
        SearchEngine(library).search(Query((ClipPart(1, 1.0), ClipPart(1, -1.0))))


@pytest.mark.parametrize("limit", [0, -1, 10_001])
def test_limits_out_of_range_are_refused(library, limit):
    with pytest.raises(InvalidQueryError, match="limit"):
        SearchEngine(library).search(Query((ClipPart(1),)), limit=limit)


def test_no_library_here(tmp_path):
    with pytest.raises(LibraryNotFoundError, match="indexer ingest"):
        Library(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("group_by", ["clip", "moment", "video"])
def test_a_video_that_goes_while_it_is_being_found_is_no_hit(library, group_by):
    ids, vectors = all_vectors(library)
    with library.read() as catalog:
        clip = catalog.clips([int(ids[0])])[int(ids[0])]
    like = int(ids[np.argsort(-vectors @ vectors[0])[1]])  # of the same video, in all likelihood
    with library.read() as catalog:
        assert catalog.clips([like])[like].video_id == clip.video_id
    hits = Interrupted(library, clip.video_id).search(Query((ClipPart(int(ids[0])),)), group_by=group_by).hits
    assert len(hits) == 10 and all(hit.key_frames for hit in hits)
    assert clip.video_id not in {hit.video_id for hit in hits}
