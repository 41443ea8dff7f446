"""Corrections: what a rejection takes away, by which name it counts, and what it needs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from made_actions import STEP, add, add_head, archive, clips_of, dump, found, kept, positives, spans_of, teach

from encoders.errors import (
    InvalidQueryError,
    NotFoundError,
    UnknownActionError,
)
from encoders.heads.head import ActionSpan
from search.actions import correcting, finding, tagging, teaching
from search.actions import heads as action_heads
from search.actions.finding import find_segments
from search.actions.listing import describe_action, list_actions
from search.library import Library
from search.query.engine import SearchEngine
from search.types import ClipPart, Filters, Query, SegmentQuery


def test_a_rejected_segment_goes_and_does_not_come_back(library):
    videos = archive(library, plan="ooRoRo")
    teach(library, videos, at=(2, 4))
    (clip,) = clips_of(library, videos[8:9], [2])
    assert len(spans_of(library, videos[8])) == 2
    correcting.correct_clip(library, clip, "running", is_positive=False)
    assert spans_of(library, videos[8]) == [pytest.approx((16, 20), abs=STEP)]
    assert tagging.Tagger(library).retag() == 10
    assert spans_of(library, videos[8]) == [pytest.approx((16, 20), abs=STEP)]
    assert len(spans_of(library, videos[7])) == 2
    correcting.correct_clip(library, clip, "running", is_positive=True)  # on second thoughts
    tagging.Tagger(library).retag()
    assert len(spans_of(library, videos[8])) == 2


def test_a_rejected_clip_is_cut_out_of_a_long_segment(library):
    """Of a run from 8 to 24 s the clip from 12 to 16 s is rejected: two runs are left beside it."""
    videos = archive(library)
    teach(library, videos)
    long = add(library, "/long.mp4", "ooRRRRoo", seed=60)
    assert spans_of(library, long) == [pytest.approx((8, 24), abs=STEP)]
    (clip,) = clips_of(library, [long], [3])
    correcting.correct_clip(library, clip, "running", is_positive=False)
    rests = [pytest.approx((8, 12), abs=STEP), pytest.approx((16, 24), abs=STEP)]
    filters = Filters(action="running", path_prefix="/long.mp4", min_confidence=0.0)
    for _ in range(2):
        assert spans_of(library, long) == rests
        # The cut is exact: no moment of the clip is left, and the two rests end and begin with it.
        assert [spans_of(library, long)[0][1], spans_of(library, long)[1][0]] == [12.0, 16.0]
        with library.view() as view:
            allowed = finding.find_allowed_clips(view, filters, finding.find_filtering(library, filters))
        assert allowed.tolist() == clips_of(library, [long], [2, 4, 5])
        hits = SearchEngine(library).search(Query((ClipPart(1),)), filters, limit=20).hits
        assert clip not in {hit.clip_id for hit in hits} and len(hits) == 3
        tagging.Tagger(library).retag()  # finds it again, and cuts it again
    (first,) = clips_of(library, [long], [2])
    correcting.correct_clip(library, first, "running", is_positive=False)
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
    correcting.correct_clip(plain, clip, "running", is_positive=False)
    kept = [(row.start_seconds, row.end_seconds, row.confidence) for row in found(plain)]
    assert kept == [(*rest, 0.8) for rest in rests]
    assert spans_of_action(plain, "jumping") == [span]  # nobody said anything about it


def spans_of_action(library: Library, action: str) -> list[tuple[float, float]]:
    return [(one.start_seconds, one.end_seconds) for one in found(library, action)]


@pytest.mark.parametrize("seed", range(20))
def test_the_last_that_is_not_taken_back_says_what_each_second_shows(plain, seed):
    """Corrections of whole seconds, taken back in any order: each second is what was said of it last."""
    video, random = add(plain, "/a.mp4", "ooooo"), np.random.default_rng(seed)
    seconds = 4 * 5
    said: dict[int, tuple[int, int, bool]] = {}  # by the correction's id, in order
    for _ in range(30):
        if said and random.random() < 0.4:
            gone = int(random.choice(list(said)))
            correcting.remove_example(plain, "running", gone)
            del said[gone]
        else:
            start, end = sorted(random.choice(seconds + 1, 2, replace=False).tolist())
            is_positive = bool(random.integers(2))
            before = shown_by_second(plain, video, seconds)
            answer = correcting.correct_span(plain, video, (start, end), "running", is_positive=is_positive)
            assert (answer.removed > 0) == ((not is_positive) in before[start:end])
            said[answer.example_id] = (start, end, is_positive)
        expected: list[bool | None] = [None] * seconds
        for start, end, is_positive in said.values():
            expected[start:end] = [is_positive] * (end - start)
        assert shown_by_second(plain, video, seconds) == expected
        counts = kept(plain, "running")
        with plain.read() as catalog:
            stand = catalog.actions.examples("running")
            rejected = catalog.actions.rejected(video).get("running", [])
            assert catalog.actions.examples_of_videos([video])["running"] == len(stand)
        assert counts["positive"] == sum(one.is_positive for one in stand)
        assert counts["negative"] == len(stand) - counts["positive"] == len(rejected)
    with plain.write() as catalog:
        catalog.remove_videos([video])
    assert not dump(plain)["action_examples"]


def shown_by_second(library: Library, video: int, seconds: int) -> list[bool | None]:
    """What the examples that stand say of each second, which no two of them may speak of."""
    shown: list[bool | None] = [None] * seconds
    with library.read() as catalog:
        for one in catalog.actions.examples("running"):
            assert one.video_id == video and one.span is not None
            place = slice(*(round(border) for border in one.span))
            assert not any(known is not None for known in shown[place])
            shown[place] = [one.is_positive] * (place.stop - place.start)
    return shown


def test_a_forgotten_action_leaves_nothing_that_gave_way(plain):
    video = add(plain, "/a.mp4", "ooooo")
    (clip,) = clips_of(plain, [video], [1])
    for is_positive in (True, False, True):
        correcting.correct_clip(plain, clip, "running", is_positive=is_positive)
    assert action_heads.remove_action(plain, "running").examples == 1
    assert not dump(plain)["action_examples"]


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
    correcting.correct_clip(plain, clip, typed, is_positive=False)
    counts = kept(plain, typed)
    is_running = kept_as == "running"
    # It was an example of it until now: 19 of 20 are left.
    assert (counts["action"], counts["negative"]) == (kept_as, 1)
    assert counts["positive"] == (19 if is_running else 0)
    assert len(spans_of(plain, videos[8])) == (1 if is_running else 2)
    if is_running:
        assert describe_action(plain, typed)["action"] == "running"
        assert teaching.teach(plain, "running", [])["negatives"] == 1


def test_another_name_of_two_taught_actions_is_neither(plain):
    videos = archive(plain)
    teach(plain, videos)
    teaching.teach(plain, "running on treadmill", positives(plain, videos))
    action_heads.rename_action(plain, "running", "running on beach")
    assert kept(plain, "running")["action"] == "running"
    with pytest.raises(UnknownActionError):
        describe_action(plain, "running")


def test_a_name_cut_short_is_another_name(plain):
    videos = archive(plain)
    teach(plain, videos)
    action_heads.rename_action(plain, "running", "circle")
    (clip,) = clips_of(plain, videos[8:9], [2])
    correcting.correct_clip(plain, clip, "circl", is_positive=False)
    assert kept(plain, "circl") == {"action": "circl", "positive": 0, "negative": 1}
    assert len(spans_of_action(plain, "circle")) == 10
    with pytest.raises(UnknownActionError, match="close to it: circle"):
        action_heads.export_head(plain, "circl")
    assert list_actions(plain)["untaught"] == [{"action": "circl", "positive": 0, "negative": 1}]
    assert dataclasses.asdict(action_heads.remove_action(plain, "circl")) == {
        "action": "circl",
        "examples": 1,
    }
    assert list_actions(plain)["untaught"] == []
    with pytest.raises(UnknownActionError, match="close to it: circle"):
        action_heads.remove_action(plain, "circl")


def test_only_what_shows_and_corrects_takes_another_name(plain):
    """Nobody who types a synonym means to lose or to rename what was taught."""
    teach(plain, archive(plain))
    for change in (
        lambda name: action_heads.remove_action(plain, name),
        lambda name: action_heads.export_head(plain, name),
        lambda name: action_heads.rename_action(plain, name, "x"),
    ):
        with pytest.raises(UnknownActionError):
            change("jogging")


def test_an_unknown_action_names_each_known_one_once(plain):
    def said(known: list[str]) -> str:
        with plain.write() as catalog:
            for head in catalog.actions.heads():
                catalog.actions.remove_head(head.id)
            add_head(catalog, "kinetics:one", 0.5, "kinetics", actions=known)
        with pytest.raises(UnknownActionError) as caught:
            find_segments(plain, SegmentQuery(("jugling balls",)))
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
        correcting.correct_clip(plain, 77, "running", is_positive=True)
    with pytest.raises(InvalidQueryError):
        correcting.correct_clip(plain, 1, "\n", is_positive=True)
