"""Actions by name alone: the softmax over labels and background, its cut-offs, and what is found."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_frames import make_batch
from model_folders import make_openclip_folder
from PIL import Image
from samples import shipped

from encoders import FrameBatch, open_encoder
from encoders.errors import HeadFileError, InvalidQueryError, UnsupportedQueryError
from encoders.heads.head import FeatureTrack, Head
from encoders.heads.zero_shot import (
    BACKGROUND,
    BASE_CUT_OFF,
    HIGHEST_CUT_OFF,
    ZeroShotHead,
    make_zero_shot_head,
)
from encoders.types import normalise

SHOWN = {
    "a cat": shipped("skimage/data/chelsea.png"),
    "a cup of coffee": shipped("skimage/data/coffee.png"),
    "a motorcycle": shipped("skimage/data/motorcycle_left.png"),
    "a flower": shipped("sklearn/datasets/images/flower.jpg"),
}
NONE_OF_THEM = [
    shipped("sklearn/datasets/images/china.jpg"),
    *(shipped(f"skimage/data/{name}") for name in ("rocket.jpg", "moon.png", "brick.png")),
    *(shipped(f"skimage/data/{name}") for name in ("astronaut.png", "camera.png", "coins.png")),
]


def make_track(features, shots=None, step=0.5) -> FeatureTrack:
    """Samples `step` seconds apart, each in the middle of its share."""
    count = len(features)
    shots = np.zeros(count, np.int64) if shots is None else np.asarray(shots, np.int64)
    times = np.arange(count) * step + step / 2
    return FeatureTrack(np.asarray(features), times, np.arange(count + 1) * step, shots)


def make_head(labels, background, scale=10.0, thresholds=None) -> ZeroShotHead:
    labels, background = (np.asarray(values, np.float32) for values in (labels, background))
    names = tuple(f"action {number}" for number in range(len(labels)))
    limits = np.full(len(labels), BASE_CUT_OFF) if thresholds is None else np.asarray(thresholds)
    return ZeroShotHead(names, "made", scale, labels, background, limits.astype(np.float32))


@pytest.fixture(scope="module")
def pictures(offline_encoder) -> dict[Path, np.ndarray]:
    """The feature of each photograph."""
    features = {}
    for path in [*SHOWN.values(), *NONE_OF_THEM]:
        with Image.open(path) as opened:
            frame = np.asarray(opened.convert("RGB"))
        features[path] = offline_encoder.encode_frames(FrameBatch(frame[None], np.zeros(1)))[0]
    return features


@pytest.fixture(scope="module")
def photograph_head(offline_encoder) -> ZeroShotHead:
    return make_zero_shot_head(offline_encoder, list(SHOWN))


class TestPhotographs:
    def test_each_is_named_and_others_stay_below_the_cut_off(self, photograph_head, pictures):
        features = np.stack(list(pictures.values())).astype(np.float16)
        track = make_track(features, shots=range(len(features)))
        tagged = photograph_head.probabilities(track) >= photograph_head.thresholds
        assert tagged[: len(SHOWN)].tolist() == np.eye(len(SHOWN), dtype=bool).tolist()
        assert not tagged[len(SHOWN) :].any()

    def test_segments_of_a_film_of_photographs(self, photograph_head, pictures):
        order = [NONE_OF_THEM[0], SHOWN["a cat"], NONE_OF_THEM[1], SHOWN["a motorcycle"], SHOWN["a cat"]]
        features = np.repeat([pictures[path] for path in order], 8, axis=0)
        spans = photograph_head.localise(make_track(features, shots=np.repeat(range(5), 8)))
        found = [(span.action, span.start_seconds, span.end_seconds) for span in spans]
        assert found == [("a cat", 4.0, 8.0), ("a motorcycle", 12.0, 16.0), ("a cat", 16.0, 20.0)]
        assert all(span.confidence >= BASE_CUT_OFF for span in spans)

    def test_a_label_that_is_not_shown_is_not_found(self, offline_encoder, pictures):
        head = make_zero_shot_head(offline_encoder, ["an elephant", "a trombone", "a submarine"])
        track = make_track(list(pictures.values()), shots=range(len(pictures)))
        assert head.localise(track) == []


class TestMaking:
    def test_equals_the_formula_of_the_paper(self, offline_encoder, pictures):
        templates = ("{}", "a photo of {}.")
        names = ["a cat", "swimming"]
        head = make_zero_shot_head(offline_encoder, names, name_templates=templates, scale=30.0)
        labels = []
        for name in names:
            vectors = [offline_encoder.encode_text([t.format(name)]).vectors[0] for t in templates]
            mean = np.mean(np.float64(vectors), axis=0)
            labels.append(mean / np.linalg.norm(mean))
        others = [offline_encoder.encode_text([text]).vectors[0] for text in BACKGROUND]
        feature = np.float64(pictures[SHOWN["a cat"]])
        logits = 30.0 * np.array([*labels, *others]) @ feature
        expected = np.exp(logits) / np.exp(logits).sum()
        got = head.probabilities(make_track([pictures[SHOWN["a cat"]]]))
        np.testing.assert_allclose(got, expected[None, :2], atol=1e-5)
        assert got.dtype == np.float32

    def test_names_are_spelled_one_way_and_once(self, offline_encoder):
        head = make_zero_shot_head(offline_encoder, [" Running", "running", "JUMPING"])
        assert head.actions == ("running", "jumping")
        assert head.encoder_id == offline_encoder.encoder_id

    def test_no_label_competes_with_itself(self, offline_encoder):
        assert "a person standing still" in BACKGROUND and "a crowd" in BACKGROUND
        head = make_zero_shot_head(offline_encoder, ["standing", "crowd"])
        assert len(head.background) == len(BACKGROUND) - 2

    @pytest.mark.parametrize("names", [[], [""], ["a\nb"]])
    def test_what_is_no_label(self, offline_encoder, names):
        with pytest.raises(InvalidQueryError):
            make_zero_shot_head(offline_encoder, names)

    def test_an_encoder_without_text(self, tmp_path, monkeypatch):
        encoder = open_encoder(f"openclip:local-dir:{make_openclip_folder(tmp_path / 'model')}", device="cpu")
        monkeypatch.setattr(encoder, "has_text", False, raising=True)
        with pytest.raises(UnsupportedQueryError, match="openclip:local-dir"):
            make_zero_shot_head(encoder, ["running"])

    def test_open_clip_model_of_random_weights(self, tmp_path):
        encoder = open_encoder(f"openclip:local-dir:{make_openclip_folder(tmp_path / 'model')}", device="cpu")
        head: Head = make_zero_shot_head(encoder, ["running", "jumping", "a cat"])
        assert isinstance(head, ZeroShotHead) and head.kind == "zero-shot"
        features = encoder.encode_frames(make_batch(5))
        probabilities = head.probabilities(make_track(features))
        assert probabilities.shape == (5, 3)
        assert (probabilities >= 0).all() and (probabilities.sum(axis=1) <= 1 + 1e-5).all()
        head.calibrate(features).localise(make_track(features))


class TestSmoothing:
    def test_equals_means_taken_one_by_one(self):
        random = np.random.default_rng(5)
        count = 9000  # more than are taken at once
        times = np.cumsum(random.uniform(0.05, 1.2, count))
        borders = np.concatenate([[times[0] - 0.01], (times[1:] + times[:-1]) / 2, [times[-1] + 0.01]])
        shots = np.sort(random.integers(0, 900, count))
        features = normalise(random.normal(size=(count, 6)))
        head = make_head(normalise(random.normal(size=(2, 6))), normalise(random.normal(size=(3, 6))))
        got = head.probabilities(FeatureTrack(features, times, borders, shots))
        words = np.concatenate([head.labels, head.background]).astype(np.float64)
        for row in [0, 1, 4090, 4096, 4100, 8998, 8999, *random.integers(0, count, 200).tolist()]:
            near = (np.abs(times - times[row]) <= 1.0) & (shots == shots[row])
            logits = 10.0 * words @ features[near].mean(axis=0)
            expected = np.exp(logits) / np.exp(logits).sum()
            np.testing.assert_allclose(got[row], expected[:2], atol=1e-5)

    def test_one_bad_frame_breaks_no_segment_and_starts_none(self):
        head = make_head([[1, 0, 0]], [[0, 1, 0]], scale=20.0)
        action, other, blank = np.eye(3, dtype=np.float32)
        features = [other] * 8 + [action] * 6 + [blank] + [action] * 6 + [other] * 5 + [action] + [other] * 5
        (span,) = head.localise(make_track(features))
        assert abs(span.start_seconds - 4.0) <= 0.5
        assert abs(span.end_seconds - 10.5) <= 0.5

    def test_nothing_is_smoothed_across_a_cut(self):
        head = make_head([[1, 0]], [[0, 1]], scale=20.0)
        track = make_track(np.repeat(np.eye(2, dtype=np.float32), 4, axis=0), shots=[0] * 4 + [1] * 4)
        np.testing.assert_allclose(head.probabilities(track)[:, 0], [1] * 4 + [0] * 4, atol=1e-6)

    def test_empty_track(self):
        head = make_head([[1, 0]], [[0, 1]])
        empty = make_track(np.zeros((0, 2), np.float32))
        assert head.localise(empty) == [] and head.probabilities(empty).shape == (0, 1)


def at_probability(shares, scale=10.0) -> np.ndarray:
    """Features in the plane of one label (1, 0) and one background (0, 1), of these probabilities."""
    logit = np.log(np.asarray(shares) / (1 - np.asarray(shares))) / scale  # = cos - sin of the angle
    angle = np.arccos(logit / np.sqrt(2)) - np.pi / 4
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


class TestCalibration:
    HEAD = make_head([[1, 0]], [[0, 1]])

    def test_made_features_have_the_probability_asked_for(self):
        track = make_track(at_probability([0.1, 0.5, 0.9]), shots=range(3))
        np.testing.assert_allclose(self.HEAD.probabilities(track)[:, 0], [0.1, 0.5, 0.9], atol=1e-5)

    @pytest.mark.parametrize("rare", [0.0, 0.05, 0.3])
    def test_a_label_that_stands_out_counts_from_the_base(self, rare):
        random = np.random.default_rng(1)
        shares = np.where(random.random(400) < rare, 0.95, random.uniform(0.001, 0.02, 400))
        assert self.HEAD.calibrate(at_probability(shares)).thresholds[0] == np.float32(BASE_CUT_OFF)

    def test_a_hub_does_not_tag_everything(self):
        """Near every picture, but to nobody's eyes in any of them; real ones still stand out."""
        shares = np.random.default_rng(2).uniform(0.35, 0.65, 400)
        head = self.HEAD.calibrate(at_probability(shares))
        assert (shares >= BASE_CUT_OFF).mean() > 0.8
        assert (shares >= head.thresholds[0]).mean() < 0.05
        assert head.thresholds[0] < HIGHEST_CUT_OFF

    def test_an_archive_of_one_action_is_still_tagged(self):
        shares = np.random.default_rng(3).uniform(0.75, 0.99, 400)
        head = self.HEAD.calibrate(at_probability(shares))
        assert (shares >= head.thresholds[0]).mean() > 0.75
        assert head.thresholds[0] == np.float32(HIGHEST_CUT_OFF)

    def test_too_small_a_sample_says_nothing(self):
        head = replace(self.HEAD, thresholds=np.array([0.7], np.float32))
        calibrated = head.calibrate(at_probability([0.6] * 10))
        assert calibrated.thresholds[0] == np.float32(BASE_CUT_OFF)
        assert self.HEAD.calibrate(np.zeros((0, 2), np.float32)).thresholds[0] == np.float32(BASE_CUT_OFF)

    def test_certain_and_impossible_labels(self):
        head = make_head([[1, 0], [-1, 0]], [[0, 1]], scale=100.0)
        calibrated = head.calibrate(np.tile(np.float32([[1, 0]]), (50, 1)))
        assert calibrated.thresholds.tolist() == pytest.approx([HIGHEST_CUT_OFF, BASE_CUT_OFF])


class TestStored:
    def test_reads_what_it_wrote(self, photograph_head, pictures):
        sample = np.stack(list(pictures.values()))
        head = replace(photograph_head, thresholds=np.linspace(0.1, 0.9, 4, dtype=np.float32))
        again = ZeroShotHead.from_bytes(head.to_bytes())
        assert (again.actions, again.encoder_id, again.scale) == (head.actions, head.encoder_id, head.scale)
        np.testing.assert_array_equal(again.thresholds, head.thresholds)
        track = make_track(sample)
        np.testing.assert_array_equal(again.probabilities(track), head.probabilities(track))

    @pytest.mark.parametrize("damage", ["empty", "cut", "text", "header"])
    def test_damaged_files(self, damage):
        content = make_head([[1, 0]], [[0, 1]]).to_bytes()
        broken = {
            "empty": b"",
            "cut": content[:-5],
            "text": b"<html>404 not found</html>",
            "header": content.replace(b"action 0", b"action\n0"),
        }[damage]
        with pytest.raises(HeadFileError):
            ZeroShotHead.from_bytes(broken)

    def test_heads_that_fit_nothing(self):
        head = make_head([[1, 0]], [[0, 1]])
        wrong = [
            {"actions": ()},
            {"actions": ("a", "b")},
            {"scale": float("nan")},
            {"scale": 0.0},
            {"background": np.zeros((1, 3), np.float32)},
            {"thresholds": np.full(1, np.nan, np.float32)},
            {"labels": np.zeros((1, 2))},
        ]
        for change in wrong:
            with pytest.raises(ValueError):
                replace(head, **change)
        with pytest.raises(ValueError, match=r"\(T, 2\)"):
            head.probabilities(make_track(np.zeros((3, 5), np.float32)))


def test_an_hour_of_features_takes_a_few_seconds():
    random = np.random.default_rng(0)
    head = make_head(
        normalise(random.normal(size=(400, 512))), normalise(random.normal(size=(42, 512))), 100.0
    )
    features = normalise(random.normal(size=(7200, 512))).astype(np.float16)
    started = time.perf_counter()
    head.localise(make_track(features, shots=np.arange(7200) // 12))
    assert time.perf_counter() - started < 5.0
