"""The localisation head on made feature timelines, whose borders are known."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch

from encoders.errors import EncoderMismatchError, HeadFileError, TeachingError
from encoders.evaluation.detection import FoundSpan, TrueSpan, mean_average_precision, temporal_iou
from encoders.heads.head import ActionSpan, FeatureTrack
from encoders.heads.localisation import Localiser
from encoders.heads.localisation_network import pad_videos
from encoders.lessons.borders import train_localiser
from encoders.weights.tensors import pack, unpack

ACTIONS = ("open", "close", "swim", "throw")
WIDTH = 256
STEP_SECONDS = 0.5
SAMPLES = 120
Example = tuple[FeatureTrack, list[ActionSpan]]


def made_timeline(seed: int, *, width: int = WIDTH, samples: int = SAMPLES) -> Example:
    """Idle, one or two actions of 3 to 10 s, idle, and so on; noise as strong as what it hides.

    "open" moves from one feature to another while it lasts, "close" back: a single sample of either
    could be of both. Borders lie between samples.
    """
    directions = np.random.default_rng(7).standard_normal((5, width))
    idle, shut, ajar, water, ball = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    rng = np.random.default_rng(seed)
    duration = samples * STEP_SECONDS
    spans, now, left = [], rng.uniform(3, 8), int(rng.integers(1, 3))
    while (end := now + rng.uniform(3, 10)) < duration - 2:
        spans.append(ActionSpan(str(rng.choice(ACTIONS)), now, end, 1.0))
        now, left = (end, left - 1) if left > 1 else (end + rng.uniform(3, 8), int(rng.integers(1, 3)))
    times = np.arange(samples) * STEP_SECONDS
    features = np.tile(idle, (samples, 1))
    for span in spans:
        inside = (times >= span.start_seconds) & (times < span.end_seconds)
        moved = ((times - span.start_seconds) / (span.end_seconds - span.start_seconds))[inside, None]
        features[inside] = {
            "open": shut + moved * (ajar - shut),
            "close": ajar + moved * (shut - ajar),
            "swim": water,
            "throw": ball,
        }[span.action]
    features += rng.standard_normal(features.shape) / np.sqrt(width)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return made_track(features.astype(np.float16)), spans


def made_track(features: np.ndarray) -> FeatureTrack:
    times = np.arange(len(features)) * STEP_SECONDS
    borders = np.arange(len(features) + 1) * STEP_SECONDS
    return FeatureTrack(features, times, borders, np.zeros(len(features), dtype=np.int64))


def train(examples: Sequence[Example], seed: int = 0) -> Localiser:
    tracks, labels = [track for track, _ in examples], [spans for _, spans in examples]
    return train_localiser(tracks, labels, ACTIONS, encoder_id="made/1", seed=seed)


@pytest.fixture(scope="module")
def head() -> Localiser:
    return train([made_timeline(seed) for seed in range(30)])


@pytest.fixture(scope="module")
def unseen() -> list[Example]:
    return [made_timeline(1000 + seed) for seed in range(20)]


@pytest.fixture(scope="module")
def small_head() -> Localiser:
    """Of too few videos to hold any out."""
    return train([made_timeline(seed, samples=60) for seed in range(6)])


def rows_of(examples: Sequence[Example], found: Sequence[Sequence[ActionSpan]]) -> tuple[list, list]:
    truth = [
        TrueSpan(str(video), span.action, span.start_seconds, span.end_seconds)
        for video, (_, spans) in enumerate(examples)
        for span in spans
    ]
    said = [
        FoundSpan(str(video), span.action, span.start_seconds, span.end_seconds, span.confidence)
        for video, spans in enumerate(found)
        for span in spans
    ]
    return truth, said


def paired(
    found: Sequence[ActionSpan], wanted: Sequence[ActionSpan]
) -> list[tuple[ActionSpan, float, float]]:
    """Each found span with its best overlap with a true one of its action, and their mean border error."""
    pairs = []
    for span in found:
        same = [row for row in wanted if row.action == span.action]
        bounds = [(row.start_seconds, row.end_seconds) for row in same]
        overlaps = temporal_iou([(span.start_seconds, span.end_seconds)], bounds)[0]
        best = int(np.argmax(overlaps)) if same else -1
        error = (
            np.abs(np.subtract((span.start_seconds, span.end_seconds), bounds[best])).mean()
            if same
            else np.inf
        )
        pairs.append((span, float(overlaps[best]) if same else 0.0, float(error)))
    return pairs


class TestUnseenTimelines:
    def test_mean_average_precision(self, head: Localiser, unseen: list[Example]) -> None:
        truth, proposed = rows_of(unseen, [head.propose(track) for track, _ in unseen])
        scores = mean_average_precision(truth, proposed, [0.5])
        assert min(value for (value,) in scores.average_precision.values()) >= 0.85
        assert scores.average >= 0.9

    @pytest.mark.parametrize("protocol", ["activitynet", "thumos"])
    def test_what_is_told_of_is_as_good(self, head: Localiser, unseen: list[Example], protocol: str) -> None:
        truth, told = rows_of(unseen, [head.localise(track) for track, _ in unseen])
        scores = mean_average_precision(truth, told, [0.5], protocol)  # type: ignore[arg-type]
        assert scores.average >= 0.9

    def test_borders_within_one_sample(self, head: Localiser, unseen: list[Example]) -> None:
        pairs = [pair for track, spans in unseen for pair in paired(head.localise(track), spans)]
        errors = [error for _, overlap, error in pairs if overlap >= 0.5]
        assert len(errors) >= 0.9 * sum(len(spans) for _, spans in unseen)
        assert np.median(errors) <= STEP_SECONDS

    def test_borders_fall_between_samples(self, head: Localiser, unseen: list[Example]) -> None:
        starts = [span.start_seconds for track, _ in unseen for span in head.localise(track)]
        assert (
            np.mean([abs(start / STEP_SECONDS - round(start / STEP_SECONDS)) > 0.01 for start in starts])
            > 0.9
        )

    def test_confidence_is_how_often_it_is_right(self, head: Localiser, unseen: list[Example]) -> None:
        """Calibrated on six videos: better than the raw scores, which are far too low."""
        raw = Localiser.from_bytes(head.to_bytes())
        raw.calibration = (1.0, 0.0)
        errors = {}
        for name, one in (("calibrated", head), ("raw", raw)):
            pairs = [pair for track, spans in unseen for pair in paired(one.localise(track), spans)]
            said = np.array([span.confidence for span, _, _ in pairs])
            right = np.array([overlap >= 0.5 for _, overlap, _ in pairs])
            bins = np.minimum((said * 10).astype(int), 9)
            errors[name] = sum(abs((said - right)[bins == number].sum()) for number in range(10)) / len(said)
        assert errors["calibrated"] <= 0.1, errors
        assert errors["calibrated"] < 0.5 * errors["raw"], errors
        assert head.held_out_map is not None and head.held_out_map >= 0.85

    def test_order_and_no_overlap(self, head: Localiser, unseen: list[Example]) -> None:
        for track, _ in unseen:
            spans = head.localise(track)
            assert spans == sorted(spans, key=lambda span: span.start_seconds)
            for action in ACTIONS:
                of_action = [span for span in spans if span.action == action]
                assert all(one.end_seconds <= next_.start_seconds for one, next_ in pairwise(of_action))
            proposals = head.propose(track)
            assert [row.confidence for row in proposals] == sorted(
                (row.confidence for row in proposals), reverse=True
            )
            assert all(row.start_seconds >= 0 and row.end_seconds <= 60 for row in proposals)

    def test_a_gap_in_time(self, head: Localiser, unseen: list[Example]) -> None:
        """Spans follow the borders of the samples, whatever the clock does."""
        track, _ = unseen[0]
        plain = head.localise(track)
        late = FeatureTrack(
            track.features, track.times_seconds * 3 + 100, track.borders_seconds * 3 + 100, track.shots
        )
        for before, after in zip(plain, head.localise(late), strict=True):
            assert after.start_seconds == pytest.approx(before.start_seconds * 3 + 100)
            assert after.end_seconds == pytest.approx(before.end_seconds * 3 + 100)


class TestEdges:
    def test_padding_changes_nothing(self, small_head: Localiser) -> None:
        """A video alone, and beside one that is much longer, with garbage where it is padded."""
        network, reduction = small_head._network, small_head._reduction
        short, long = (reduction(made_timeline(50, samples=count)[0].features) for count in (37, 90))
        with torch.inference_mode():
            alone = network(*pad_videos([short]))
            batch, lengths = pad_videos([short, long])
            batch[0, 37:] = 1e3
            together = network(batch, lengths)
        for index in range(2):
            got = together[index][0][together[2][0]]
            torch.testing.assert_close(got, alone[index][0][alone[2][0]], atol=1e-5, rtol=1e-5)

    def test_learning_from_one_sample(self) -> None:
        track, spans = made_track(np.ones((1, 8), dtype=np.float32)), [ActionSpan("still", 0.0, 0.5, 1.0)]
        head = train_localiser([track], [spans], ("still",), encoder_id="made/1")
        assert [span.action for span in head.localise(track)] in ([], ["still"])
        assert all(np.isfinite(span.confidence) for span in head.propose(track))

    @pytest.mark.parametrize("samples", [0, 1, 2, 9])
    def test_short_tracks(self, small_head: Localiser, samples: int) -> None:
        track = made_track(made_timeline(3)[0].features[:samples])
        for span in small_head.propose(track) + small_head.localise(track):
            assert 0 <= span.start_seconds < span.end_seconds <= samples * STEP_SECONDS
        if samples == 0:
            assert small_head.propose(track) == small_head.localise(track) == []

    def test_other_features_are_refused(self, small_head: Localiser) -> None:
        with pytest.raises(EncoderMismatchError, match=r"256 dimensions \(made/1\), got 10"):
            small_head.localise(made_track(np.zeros((4, 10), dtype=np.float32)))

    def test_a_track_longer_than_a_training_window(self, head: Localiser) -> None:
        track, spans = made_timeline(77, samples=700)
        truth, told = rows_of([(track, spans)], [head.localise(track)])
        assert mean_average_precision(truth, told, [0.5]).average >= 0.85


class TestTraining:
    def test_same_seed_same_head(self, small_head: Localiser) -> None:
        """Whatever the caller's random numbers are; and they go on as if nothing had happened."""
        torch.manual_seed(1)
        expected = torch.rand(3)
        torch.manual_seed(1)
        again = train([made_timeline(seed, samples=60) for seed in range(6)])
        assert torch.equal(torch.rand(3), expected)
        assert again.to_bytes() == small_head.to_bytes()

    def test_too_few_videos_to_calibrate(self, small_head: Localiser) -> None:
        assert small_head.calibration == (1.0, 0.0)
        assert small_head.held_out_map is None

    def test_progress_and_windows_of_long_videos(self) -> None:
        seen: list[tuple[int, int]] = []
        track, spans = made_timeline(5, samples=400)
        empty = made_track(np.zeros((0, WIDTH), dtype=np.float16))
        head = train_localiser(
            [track, empty],
            [spans, []],
            ACTIONS,
            encoder_id="made/1",
            on_progress=lambda done, total: seen.append((done, total)),
        )
        assert head.actions == ACTIONS
        total = seen[-1][1]
        assert seen == [(step + 1, total) for step in range(total)]

    def test_refusals(self) -> None:
        track, spans = made_timeline(1)
        with pytest.raises(TeachingError, match=r"no labelled span shows .*fly; label"):
            train_localiser([track], [spans], (*ACTIONS, "fly"), encoder_id="made/1")
        with pytest.raises(TeachingError, match="no labelled span shows open"):
            outside = [ActionSpan("open", 500.0, 600.0, 1.0)]
            train_localiser([track], [outside], ("open",), encoder_id="made/1")
        with pytest.raises(ValueError, match="not among the actions"):
            train_localiser([track], [spans], ("other",), encoder_id="made/1")
        with pytest.raises(ValueError, match="labels of 1 tracks, got those of 2"):
            train_localiser([track], [spans, spans], ACTIONS, encoder_id="made/1")
        with pytest.raises(TeachingError, match="no action to learn"):
            train_localiser([track], [[]], (), encoder_id="made/1")


class TestBytes:
    def test_round_trip(self, head: Localiser, unseen: list[Example]) -> None:
        again = Localiser.from_bytes(head.to_bytes())
        assert (again.kind, again.actions, again.encoder_id) == ("localiser", ACTIONS, "made/1")
        assert (again.calibration, again.held_out_map) == (head.calibration, head.held_out_map)
        assert again.propose(unseen[0][0]) == head.propose(unseen[0][0])
        assert again.to_bytes() == head.to_bytes()

    def test_what_is_no_head_is_refused(self, small_head: Localiser) -> None:
        good = small_head.to_bytes()
        other = pack({"mean": np.zeros(3, dtype=np.float32)}, kind="taught")
        for content in (b"", b"PK\x03\x04 not a head", other, good[:-100], good[:40]):
            with pytest.raises(HeadFileError):
                Localiser.from_bytes(content)

    def test_tensors_of_another_shape_are_refused(self, small_head: Localiser) -> None:
        good = small_head.to_bytes()
        arrays, card = unpack(good, "localiser", {})
        for change in ({"actions": ["only one"]}, {"strides": [1, 2]}, {"calibration": "no"}):
            with pytest.raises(HeadFileError, match="train it again"):
                Localiser.from_bytes(pack(arrays, **(card | change)))
