"""What every kind of head promises that reads stored features."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from encoders.errors import HeadFileError
from encoders.heads.head import ActionSpan, FeatureTrack, Head, HeadFamily
from encoders.heads.registry import HEADS, check_found, read_head
from encoders.heads.taught import TaughtHead
from encoders.heads.windows import PARTS, SCALES_SECONDS
from encoders.heads.zero_shot import ZeroShotHead
from encoders.lessons.borders import train_localiser
from encoders.types import normalise
from encoders.weights.tensors import pack, read_card, unpack

DIM, SAMPLES, STEP_SECONDS = 16, 60, 0.5
SHOWN = slice(20, 40)  # the samples that show the action, which is the first feature


def made_track(seed: int) -> FeatureTrack:
    """Three shots of noise, in the second of which the first feature is strong."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(SAMPLES, DIM)) * 0.1
    features[SHOWN, 0] += 1
    borders = np.arange(SAMPLES + 1) * STEP_SECONDS
    shots = np.repeat(np.arange(3), SAMPLES // 3)
    return FeatureTrack(normalise(features).astype(np.float16), borders[:-1], borders, shots)


def taught() -> Head:
    weights = np.zeros((len(SCALES_SECONDS), len(PARTS), DIM), np.float32)
    weights[:, PARTS.index("mean"), 0] = 4
    return TaughtHead("running", "made/1", weights.ravel(), -6.0, 0.5)


def localiser() -> Head:
    tracks = [made_track(seed) for seed in range(8)]
    border = SHOWN.start * STEP_SECONDS, SHOWN.stop * STEP_SECONDS
    labels = [[ActionSpan("running", *border, 1.0)]] * 8
    return train_localiser(tracks, labels, ("running",), encoder_id="made/1")


def zero_shot() -> Head:
    background = np.eye(DIM, dtype=np.float32)[1:]
    return ZeroShotHead(
        ("running", "sleeping"), "made/1", 20.0, np.eye(DIM, dtype=np.float32)[[0, 5]], background,
        np.full(2, 0.4, np.float32),
    )  # fmt: skip


# How one of each kind is made; a kind that is missing here is one without a contract test.
MAKERS: dict[str, Callable[[], Head]] = {"taught": taught, "localiser": localiser, "zero-shot": zero_shot}


@pytest.fixture(scope="module", params=HEADS.ours, ids=lambda family: family.name)
def family(request: pytest.FixtureRequest) -> HeadFamily:
    return request.param


@pytest.fixture(scope="module")
def head(family: HeadFamily) -> Head:
    return MAKERS[family.name]()


def test_it_finds_what_is_shown_in_order_and_without_overlaps(head: Head) -> None:
    spans = head.localise(made_track(100))
    assert [span.start_seconds for span in spans] == sorted(span.start_seconds for span in spans)
    assert {span.action for span in spans} <= set(head.actions)
    for action in head.actions:
        own = [span for span in spans if span.action == action]
        assert all(one.end_seconds <= other.start_seconds for one, other in pairwise(own))
    best = max((span for span in spans if span.action == "running"), key=lambda span: span.confidence)
    assert (best.start_seconds, best.end_seconds) == pytest.approx((10.0, 20.0), abs=1.0)
    assert best.confidence >= head.threshold


def test_of_nothing_it_finds_nothing(head: Head) -> None:
    assert head.localise(made_track(0).between(5, 5)) == []


def test_it_says_the_same_again_and_leaves_the_features_alone(head: Head) -> None:
    track = made_track(3)
    before = track.features.copy()
    track.features.flags.writeable = False
    assert head.localise(track) == head.localise(track)
    np.testing.assert_array_equal(track.features, before)


def test_several_together_find_what_each_finds_alone(family: HeadFamily, head: Head) -> None:
    heads = [head, head.renamed(tuple(f"not {action}" for action in head.actions))]
    track = made_track(7)
    found = family.localise(heads, track)
    check_found(heads, found)
    for one, spans in zip(heads, found, strict=True):
        alone = one.localise(track)
        assert [span.action for span in spans] == [span.action for span in alone]
        assert [span.confidence for span in spans] == pytest.approx([span.confidence for span in alone])
    assert family.localise([], track) == []
    assert family.localise(heads, track.between(0, 0)) == [[], []]


def test_its_file_gives_it_back(family: HeadFamily, head: Head) -> None:
    content = head.to_bytes()
    again = read_head(content)
    assert again.kind == head.kind == family.name == read_card(content)["kind"]
    for name in ("actions", "encoder_id", "threshold"):
        assert getattr(again, name) == getattr(head, name)
    assert again.localise(made_track(9)) == head.localise(made_track(9))
    assert again.to_bytes() == content


def test_another_name_changes_nothing_else(head: Head) -> None:
    track, names = made_track(11), tuple(f"{action} fast" for action in head.actions)
    renamed = head.renamed(names)
    assert renamed.actions == names and renamed.encoder_id == head.encoder_id
    expected = [(f"{span.action} fast", span.start_seconds) for span in head.localise(track)]
    assert [(span.action, span.start_seconds) for span in renamed.localise(track)] == expected


def test_it_knows_the_features_that_it_reads(head: Head) -> None:
    head.check(DIM)
    with pytest.raises(HeadFileError):
        head.check(DIM + 1)


def test_files_that_are_none_are_refused(family: HeadFamily, head: Head) -> None:
    content = head.to_bytes()
    tensors, card = unpack(content, None, {})
    damaged = [
        content[:-5],
        pack(tensors, kind=family.name),
        pack({}, **card),
        pack({name: np.full_like(values, np.nan) for name, values in tensors.items()}, **card),
    ]
    for one in damaged:
        with pytest.raises(HeadFileError):
            read_head(one)


def test_a_file_of_no_known_kind_is_refused() -> None:
    for kind in ("track", None, 3, ["taught"]):
        with pytest.raises(HeadFileError, match="expected a head of actions"):
            read_head(pack({"weights": np.zeros(1, np.float32)}, kind=kind))
