"""Teaching an action from a few clips: what is learned, what is refused, and when it is found."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from encoders.errors import HeadFileError, TeachingError
from encoders.evaluation.detection import FoundSpan, TrueSpan, mean_average_precision
from encoders.heads.head import FeatureTrack
from encoders.heads.platt import expected_calibration_error, fit_platt
from encoders.heads.segmentation import most_likely_runs, segments_from_curve
from encoders.heads.taught import TaughtHead
from encoders.heads.windows import describe_windows, score_windows
from encoders.lessons.lesson import Footage, teach
from encoders.types import FrameBatch, normalise

STEP = 0.5
SIDE = 224


def track_of(features: np.ndarray, shots: np.ndarray | None = None) -> FeatureTrack:
    """Features two a second, from the time 0 on."""
    count = len(features)
    times = np.arange(count) * STEP + STEP / 2
    borders = np.arange(count + 1) * STEP
    numbers = np.zeros(count, np.int64) if shots is None else shots
    return FeatureTrack(features.astype(np.float16), times, borders, numbers)


def filmed(encoder, pictures: list[np.ndarray]) -> FeatureTrack:
    times = np.arange(len(pictures)) * STEP + STEP / 2
    return track_of(encoder.encode_frames(FrameBatch(np.stack(pictures), times)))


def examples(tracks: list[FeatureTrack], name: str) -> list[Footage]:
    return [Footage(track, f"{name} {number}") for number, track in enumerate(tracks)]


# --- windows -----------------------------------------------------------------------------------------


def test_heads_applied_to_frames_say_what_they_say_of_whole_windows():
    random = np.random.default_rng(0)
    track = track_of(random.normal(size=(1300, 40)), np.cumsum(random.random(1300) < 0.1))
    weights = random.normal(size=(12 * 40, 3)).astype(np.float32)
    described = describe_windows(track, np.arange(len(track))) @ weights
    np.testing.assert_allclose(score_windows(track, weights)[0], described, rtol=1e-3, atol=2e-3)


def test_a_reversed_window_changes_the_sign_of_its_change_and_nothing_else():
    features = np.random.default_rng(1).normal(size=(9, 5)).astype(np.float16)
    middle = np.array([4])
    forth = describe_windows(track_of(features), middle).reshape(3, 4, 5)
    back = describe_windows(track_of(features[::-1]), middle).reshape(3, 4, 5)
    for part, sign in enumerate((1, 1, -1, 1)):
        np.testing.assert_allclose(forth[:, part], sign * back[:, part], atol=1e-6)
    still = describe_windows(track_of(np.repeat(features[:1], 9, axis=0)), middle).reshape(3, 4, 5)
    assert np.abs(still[:, 2:]).max() < 1e-6


def test_a_window_ends_at_a_cut():
    features = np.zeros((8, 2), np.float16)
    features[4:] = 1
    described = describe_windows(track_of(features, np.arange(8) // 4), np.arange(8)).reshape(8, 3, 4, 2)
    assert (described[:4, :, 0] == 0).all() and (described[4:, :, 0] == 1).all()
    assert np.abs(described[:, :, 2:]).max() == 0


# --- what is learned ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def faces(offline_encoder) -> tuple[list[FeatureTrack], list[FeatureTrack]]:
    """A hundred real faces and a hundred pieces of other photographs, each filmed with a moving camera."""
    random = np.random.default_rng(0)
    tracks = []
    for photograph in (data.lfw_subset() * 255).astype(np.uint8):
        large = cv2.resize(photograph, (280, 280), interpolation=cv2.INTER_CUBIC)
        way = random.integers(-20, 21, 2)
        pictures = []
        for at in np.linspace(-0.5, 0.5, 5):
            left, top = (int(28 + at * step) for step in way)
            piece = large[top : top + SIDE, left : left + SIDE] * random.uniform(0.9, 1.1)
            noisy = np.clip(piece + random.normal(0, 2, piece.shape), 0, 255).astype(np.uint8)
            pictures.append(np.repeat(noisy[:, :, None], 3, axis=2))
        tracks.append(filmed(offline_encoder, pictures))
    return tracks[:100], tracks[100:]


def test_eight_clips_teach_what_a_hundred_unseen_ones_show(faces):
    from sklearn.metrics import average_precision_score

    precisions, errors = [], []
    for seed in range(3):
        random = np.random.default_rng(seed)
        shown, others = random.permutation(100), random.permutation(100)
        head, report = teach(
            "a face",
            examples([faces[0][i] for i in shown[:8]], "face"),
            [],
            examples([faces[1][i] for i in others[:20]], "other"),
            encoder_id="offline",
        )
        unseen = [faces[0][i] for i in shown[20:40]] + [faces[1][i] for i in others[20:]]
        labels = np.arange(100) < 20
        confidences = np.array([head.classify(track) for track in unseen])
        precisions.append(average_precision_score(labels, confidences))
        errors.append(expected_calibration_error(confidences, labels))
        assert report.seconds < 10
        assert report.precision >= 0.8 and report.recall >= 0.8
    assert min(precisions) >= 0.9
    assert np.mean(errors) <= 0.05


def test_unlabelled_footage_of_the_same_is_set_aside(faces):
    from sklearn.metrics import average_precision_score

    mixed = examples(faces[1][:30] + faces[0][50:60], "archive")
    head, report = teach("a face", examples(faces[0][:8], "face"), [], mixed, encoder_id="offline")
    assert 3 <= report.set_aside <= 12
    unseen = faces[0][70:90] + faces[1][30:]
    confidences = [head.classify(track) for track in unseen]
    assert average_precision_score(np.arange(len(unseen)) < 20, confidences) >= 0.9


@pytest.fixture(scope="module")
def movements(offline_encoder) -> dict[str, list[FeatureTrack]]:
    """One scene of a real photograph, filmed again and again: closing in, drawing back, still."""
    random = np.random.default_rng(0)
    scene = cv2.resize(data.astronaut(), (400, 400), interpolation=cv2.INTER_AREA)
    found: dict[str, list[FeatureTrack]] = {"closing in": [], "drawing back": [], "still": []}
    for name, takes in found.items():
        for _ in range(16):
            middle, reach = random.uniform(0.45, 0.55, 2), random.uniform(0.25, 0.45)
            sizes = {
                "closing in": np.linspace(0.95, 0.95 - reach, 8),
                "drawing back": np.linspace(0.95 - reach, 0.95, 8),
                "still": np.full(8, random.uniform(0.95 - reach, 0.95)),
            }[name]
            pictures = []
            for size in sizes:
                side = int(400 * size)
                left, top = (int(np.clip(at * 400 - side / 2, 0, 400 - side)) for at in middle)
                piece = cv2.resize(scene[top : top + side, left : left + side], (SIDE, SIDE))
                noisy = piece * random.uniform(0.9, 1.1) + random.normal(0, 3, piece.shape)
                pictures.append(np.clip(noisy, 0, 255).astype(np.uint8))
            takes.append(filmed(offline_encoder, pictures))
    return found


@pytest.mark.parametrize("other", ["drawing back", "still"])
def test_a_movement_is_told_from_its_reverse_and_from_a_still(movements, other):
    from sklearn.metrics import average_precision_score

    head, _ = teach(
        "closing in",
        examples(movements["closing in"][:8], "in"),
        examples(movements[other][:8], "other"),
        [],
        encoder_id="offline",
    )
    unseen = movements["closing in"][8:] + movements[other][8:]
    confidences = [head.classify(track) for track in unseen]
    assert average_precision_score(np.arange(16) < 8, confidences) >= 0.9


# --- what is refused, and what is only a draft -------------------------------------------------------


def random_examples(count: int, name: str, seed: int, dim: int = 32) -> list[Footage]:
    random = np.random.default_rng(seed)
    return examples([track_of(random.normal(size=(6, dim))) for _ in range(count)], name)


def test_without_an_example_or_anything_else_nothing_is_learned():
    with pytest.raises(TeachingError, match="no example"):
        teach("a", [], [], random_examples(20, "b", 1), encoder_id="e")
    with pytest.raises(TeachingError, match="nothing but"):
        teach("a", random_examples(8, "p", 0), [], [], encoder_id="e")


def test_fewer_than_four_videos_are_a_draft_however_well_they_are_told(faces):
    _, report = teach(
        "a face",
        examples(faces[0][:3], "face"),
        examples(faces[1][:20], "other"),
        [],
        encoder_id="offline",
    )
    assert report.is_draft and "3 videos" in report.reason and "4 or more" in report.reason
    assert report.videos == 3
    # Wilson 1927: of three, all found, no more than this can be said.
    if report.recall == 1:
        assert report.recall_low == pytest.approx(3 / (3 + 1.959964**2), abs=1e-3)


def test_many_examples_of_one_video_are_no_more_than_one_video(faces):
    one_video = [Footage(track, "video 1") for track in faces[0][:12]]
    _, report = teach("a face", one_video, examples(faces[1][:20], "other"), [], encoder_id="offline")
    assert (report.positives, report.videos, report.is_draft) == (12, 1, True)
    assert "one video" in report.reason
    assert report.recall_high is not None and report.recall_low is not None
    assert report.recall_high - report.recall_low > 0.75


def test_one_example_and_one_of_something_else_are_a_draft_without_figures(faces):
    head, report = teach(
        "a face",
        examples(faces[0][:1], "face"),
        examples(faces[1][:1], "other"),
        [],
        encoder_id="offline",
    )
    assert report.is_draft and report.precision is None and report.recall is None
    assert 0 < head.classify(faces[0][0]) < 1


@pytest.mark.parametrize("seed", range(5))
def test_what_cannot_be_told_apart_is_not_pretended_to_be_learned(seed):
    _, report = teach(
        "a", random_examples(10, "p", seed), [], random_examples(60, "b", 100 + seed), encoder_id="e"
    )
    assert report.is_draft and report.reason


@pytest.mark.parametrize("seed", range(3))
def test_with_a_quarter_mislabelled_it_is_a_draft(faces, seed):
    random = np.random.default_rng(seed)
    shown, others = random.permutation(100), random.permutation(100)
    right = [faces[0][i] for i in shown[:6]] + [faces[1][i] for i in others[:2]]
    wrong = [faces[1][i] for i in others[2:14]] + [faces[0][i] for i in shown[6:10]]
    _, report = teach("a face", examples(right, "p"), examples(wrong, "n"), [], encoder_id="offline")
    assert report.is_draft and report.reason
    assert report.precision is not None and report.precision < 1


# --- when --------------------------------------------------------------------------------------------

ACTIONS = ("wave", "jump", "fall")
DIM = 64


class Stage:
    """Made footage: each action has its look, each take of it another background."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(5)
        self.looks = {name: normalise(self.random.normal(size=DIM)) for name in ACTIONS}

    def take(self, action: str | None, count: int) -> np.ndarray:
        background = normalise(self.random.normal(size=DIM))
        look = background if action is None else 0.75 * self.looks[action] + 0.65 * background
        return normalise(look + 0.05 * self.random.normal(size=(count, DIM)))

    def timeline(self) -> tuple[FeatureTrack, list[tuple[str, float, float]]]:
        """idle, A, idle, B, C, idle in one shot, with the borders between samples."""
        pieces, truth, samples = [], [], 0
        for action in (None, "wave", None, "jump", "fall", None):
            count = int(self.random.integers(5, 14))
            pieces.append(self.take(action, count))
            if action is not None:
                truth.append((action, samples * STEP, (samples + count) * STEP))
            samples += count
        return track_of(np.concatenate(pieces)), truth


def test_actions_on_a_timeline_are_found_with_their_borders():
    stage = Stage()
    heads = []
    for action in ACTIONS:
        positives = [track_of(stage.take(action, 8)) for _ in range(8)]
        others = [name for name in (None, *ACTIONS) if name != action]
        background = [track_of(stage.take(others[n % len(others)], 8)) for n in range(60)]
        head, _ = teach(
            action, examples(positives, action), [], examples(background, "archive"), encoder_id="made"
        )
        heads.append(head)
    truth, found, errors = [], [], []
    for number in range(20):
        track, spans = stage.timeline()
        truth += [TrueSpan(str(number), *span) for span in spans]
        for head in heads:
            for span in head.localise(track):
                row = (span.action, span.start_seconds, span.end_seconds)
                found.append(FoundSpan(str(number), *row, span.confidence))
                if span.confidence >= head.threshold:
                    (start, end) = next((s, e) for name, s, e in spans if name == span.action)
                    errors.append(max(abs(span.start_seconds - start), abs(span.end_seconds - end)))
    assert mean_average_precision(truth, found, [0.5]).average >= 0.9
    assert len(errors) >= 0.9 * len(truth)
    assert np.median(errors) <= STEP
    assert np.mean(np.array(errors) <= STEP) >= 0.9


def test_hysteresis_keeps_what_rises_high_and_ends_where_it_falls_low():
    curve = np.array([0, 0, 0.4, 0.9, 0.9, 0.4, 0, 0, 0.4, 0.4, 0], np.float32)
    found = segments_from_curve(track_of(np.zeros((11, 1))), curve, high=0.6, low=0.3)
    assert len(found) == 1
    start, end, confidence = found[0]
    assert 0.75 <= start <= 1.25 and 2.75 <= end <= 3.25 and confidence == pytest.approx(0.9)


def test_the_likeliest_runs_are_those_that_enumeration_finds():
    random = np.random.default_rng(0)
    for _ in range(50):
        evidence = random.normal(size=9) * 2

        def worth(states: tuple[int, ...], evidence: np.ndarray = evidence) -> float:
            begun = sum(1 for was, now in zip((0, *states), states, strict=False) if now and not was)
            return float(evidence @ np.array(states)) - 1.5 * begun

        best = max((tuple(n >> bit & 1 for bit in range(9)) for n in range(512)), key=worth)
        states = np.zeros(9, int)
        for first, last in most_likely_runs(evidence, 1.5):
            states[first:last] = 1
        assert worth(tuple(states)) == pytest.approx(worth(best))


# --- calibration, files ------------------------------------------------------------------------------


def test_platt_reckons_with_positives_that_nobody_labelled():
    random = np.random.default_rng(0)
    shares = (0.1, 0.3)
    for share in shares:
        true = random.normal(2, 1, 20_000)
        others = np.where(
            random.random(20_000) < share, random.normal(2, 1, 20_000), random.normal(size=20_000)
        )
        labels = np.arange(40_000) < 20_000
        slope, offset = fit_platt(np.concatenate([true, others]), labels, 0.2, share)
        # Two normal distributions of one width: log-odds 2 s - 2 + log(prior / (1 - prior)), exactly.
        prior = max(share, 0.2)
        assert slope == pytest.approx(2, abs=0.1)
        assert offset == pytest.approx(np.log(prior / (1 - prior)) - 2, abs=0.1)
    naive = fit_platt(np.concatenate([true, others]), labels, shares[-1])
    assert naive[0] < 1.6  # what the test would see if the share were not looked at


def test_the_calibration_error_is_the_mean_gap_of_the_bins():
    confidences = np.array([0.95, 0.95, 0.95, 0.95, 0.15, 0.15])
    outcomes = np.array([True, True, True, False, False, False])
    # (4 x |0.95 - 0.75| + 2 x |0.15 - 0|) / 6
    assert expected_calibration_error(confidences, outcomes) == pytest.approx((4 * 0.2 + 2 * 0.15) / 6)


def test_platt_scaling_recovers_the_odds_that_scores_were_drawn_with():
    random = np.random.default_rng(0)
    scores = random.normal(size=20_000)
    labels = random.random(20_000) < 1 / (1 + np.exp(-(1.7 * scores - 0.6)))
    slope, offset = fit_platt(scores, labels, float(labels.mean()))
    assert slope == pytest.approx(1.7, abs=0.06) and offset == pytest.approx(-0.6, abs=0.05)


def test_a_head_is_the_same_after_its_file_and_other_files_are_refused():
    head = TaughtHead("wave", "made", np.arange(24, dtype=np.float32), 0.5, 0.4)
    again = TaughtHead.from_bytes(head.to_bytes())
    assert (again.action, again.bias, again.threshold) == ("wave", 0.5, 0.4)
    np.testing.assert_array_equal(again.weights, head.weights)
    content = head.to_bytes()
    for wrong in (b"", b"\0" * 64, content[:-8], content.replace(b"taught", b"caught")):
        with pytest.raises(HeadFileError):
            TaughtHead.from_bytes(wrong)


def test_faint_shots_are_found_below_sure_ones_and_shots_without_a_sign_are_not():
    # The mean of frames, whose one number is their log-odds; of three scales each counts for a third.
    weights = np.zeros((3, 4, 1), np.float32)
    weights[:, 0] = 1 / 3
    head = TaughtHead("wave", "made", weights.ravel(), 0.0, 0.5)
    of_shots = [2.0, -2.0, -5.0, -2.5]
    features = np.repeat(of_shots, 8)[:, None]
    found = head.localise(track_of(features, np.repeat(np.arange(4), 8)))
    assert [(span.start_seconds, span.end_seconds) for span in found] == [(0, 4), (4, 8), (12, 16)]
    expected = [1 / (1 + np.exp(-one)) for one in of_shots if one > -5]
    np.testing.assert_allclose([span.confidence for span in found], expected, atol=1e-3)
    assert sum(span.confidence >= head.least_confidence for span in found) == 1


def test_beside_a_sure_stretch_of_a_shot_nothing_faint_is_found():
    weights = np.zeros((3, 4, 1), np.float32)
    weights[:, 0] = 1 / 3
    head = TaughtHead("wave", "made", weights.ravel(), 0.0, 0.5)
    features = np.repeat([-2.0, 4.0, -2.0], 12)[:, None]
    (found,) = head.localise(track_of(features))
    assert found.confidence > 0.5
