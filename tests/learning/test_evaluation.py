"""Intervals that hold what they promise, and reports with the figures of the metrics."""

from __future__ import annotations

import json
from io import BytesIO

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from made_detections import ACTIVITYNET, ACTIVITYNET_AVERAGE, THUMOS, made_rows
from numpy.typing import NDArray
from PIL import Image

from encoders.evaluation.classification import multilabel_average_precision
from encoders.evaluation.confusion_picture import confusion_picture
from encoders.evaluation.detection import AMBIGUOUS, FoundSpan, TrueSpan
from encoders.evaluation.intervals import wilson, with_interval, with_intervals
from encoders.evaluation.reports import (
    EvaluationReport,
    Resampling,
    evaluate_classification,
    evaluate_multilabel,
    evaluate_retrieval,
)
from encoders.evaluation.spans import SummaryCase, evaluate_detection, evaluate_summaries

FEW = Resampling(seed=3, resamples=50)


class TestIntervals:
    @pytest.mark.parametrize(("right", "count"), [(70, 100), (190, 200), (20, 1000)])
    def test_the_ends_are_the_binomial_distribution_s(self, right: int, count: int) -> None:
        """The mean of drawn zeros and ones is binomial with the share of ones: its quantiles are known."""
        sample = np.repeat([1, 0], [right, count - right])
        figure = with_interval(np.mean, sample, seed=1, resamples=4000)
        low, high = scipy.stats.binom.ppf([0.025, 0.975], count, right / count) / count
        assert figure.value == pytest.approx(right / count)
        assert (figure.low, figure.high) == pytest.approx((low, high), abs=1.01 / count)
        assert figure.samples == count

    def test_they_hold_the_truth_as_often_as_they_say(self) -> None:
        """90 % intervals of 300 made experiments with a known share: 270, give or take 3 deviations."""
        rng = np.random.default_rng(5)
        held = 0
        for experiment in range(300):
            sample = rng.random(150) < 0.6
            figure = with_interval(np.mean, sample, seed=experiment, resamples=200, level=0.9)
            held += figure.low <= 0.6 <= figure.high
        assert abs(held - 270) < 3 * np.sqrt(300 * 0.9 * 0.1)

    @pytest.mark.parametrize("method", ["percentile", "basic"])
    def test_ends_are_scipy_s(self, method: str) -> None:
        sample = np.random.default_rng(6).normal(0.5, 0.1, 120)
        figure = with_interval(np.median, sample, seed=2, resamples=4000, method=method)
        expected = scipy.stats.bootstrap(
            (sample,), np.median, n_resamples=4000, method=method, vectorized=True
        )
        ends = expected.confidence_interval
        assert (figure.low, figure.high) == pytest.approx((ends.low, ends.high), abs=0.004)

    def test_rows_stay_together(self) -> None:
        numbers = np.arange(50)

        def differences(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
            return float(np.abs(one - other).max())

        figure = with_interval(differences, numbers, numbers, seed=0, resamples=20)
        assert (figure.value, figure.low, figure.high) == (0.0, 0.0, 0.0)

    def test_clips_of_one_video_tell_less(self) -> None:
        """Twenty videos, ten clips each, all right or all wrong: as wide as twenty samples."""
        by_video = np.repeat([1, 0], [14, 6])
        videos = np.repeat(np.arange(20), 10).tolist()
        grouped = with_interval(np.mean, np.repeat(by_video, 10), groups=videos, seed=4)
        alone = with_interval(np.mean, by_video, seed=4)
        assert (grouped.low, grouped.high) == pytest.approx((alone.low, alone.high))
        assert grouped.samples == 20

    def test_the_same_seed_the_same_interval(self) -> None:
        sample = np.random.default_rng(0).random(30)
        assert with_interval(np.mean, sample, seed=9) == with_interval(np.mean, sample, seed=9)
        assert with_interval(np.mean, sample, seed=9) != with_interval(np.mean, sample, seed=8)

    def test_average_precision_of_few_positives(self) -> None:
        """Where the draws are off to one side "basic" holds the truth: chance, the share of positives."""
        rng = np.random.default_rng(11)
        held = 0
        for _ in range(20):
            scores, targets = rng.random((400, 30)), rng.random((400, 30)) < 0.05
            options = {"seed": 0, "resamples": 60, "method": "basic"}
            figure = with_interval(multilabel_average_precision, scores, targets, **options)
            held += figure.low <= 0.05 <= figure.high
        assert held >= 15

    def test_one_sample_and_none(self) -> None:
        figure = with_interval(np.mean, [1.0], seed=0)
        assert (figure.value, figure.low, figure.high, figure.samples) == (1.0, 1.0, 1.0, 1)
        unsure = with_interval(np.mean, [1.0, 0.0], seed=0, resamples=0)
        assert unsure.value == 0.5
        assert np.isnan([unsure.low, unsure.high]).all()

    def test_refusals(self) -> None:
        with pytest.raises(ValueError, match="nothing to evaluate"):
            with_interval(np.mean, [], seed=0)
        with pytest.raises(ValueError, match="one row for each sample"):
            with_interval(np.mean, [1, 2], [1], seed=0)
        with pytest.raises(ValueError, match="one number, got 2"):
            with_interval(lambda rows: [0, 1], [1, 2], seed=0)
        with pytest.raises(ValueError, match="0 < level < 1"):
            with_intervals(np.mean, [1, 2], seed=0, level=95)
        with pytest.raises(ValueError, match="percentile or basic"):
            with_intervals(np.mean, [1, 2], seed=0, method="bca")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="a name for each of 2 rows"):
            with_intervals(np.mean, [1, 2], seed=0, groups=["a"])


class TestClassificationReport:
    def made(self) -> tuple[NDArray[np.float64], NDArray[np.int64], list[str]]:
        rng = np.random.default_rng(8)
        targets = rng.integers(0, 7, 120)
        scores = rng.random((120, 8))  # the eighth class never occurs
        scores[np.arange(120), targets] += 0.5
        return scores, targets, [f"action {number}" for number in range(8)]

    def test_figures(self) -> None:
        scores, targets, labels = self.made()
        report = evaluate_classification(scores, targets, labels, skipped={"a.mp4": "truncated"})
        predicted = scores.argmax(axis=1)
        assert list(report.figures) == ["top-1 accuracy", "top-5 accuracy", "mean class accuracy"]
        top_1, top_5, mean = report.figures.values()
        assert top_1.value == pytest.approx(sklearn.metrics.accuracy_score(targets, predicted))
        expected = sklearn.metrics.top_k_accuracy_score(targets, scores, k=5, labels=range(8))
        assert top_5.value == pytest.approx(expected)
        assert mean.value == pytest.approx(recalls(targets, predicted).mean())
        for figure in report.figures.values():
            assert figure.low < figure.value < figure.high
            assert figure.samples == 120
        by_class = [report.per_class[label].value for label in labels]
        assert by_class[:7] == pytest.approx(recalls(targets, predicted))
        assert np.isnan(by_class[7])
        assert report.class_samples["action 7"] == 0
        assert report.confusion is not None
        assert (
            report.confusion == sklearn.metrics.confusion_matrix(targets, predicted, labels=range(8))
        ).all()

    def test_document_and_rows(self) -> None:
        scores, targets, labels = self.made()
        report = evaluate_classification(
            scores, targets, labels, skipped={"a.mp4": "cut off"}, resampling=FEW
        )
        document = json.loads(json.dumps(report.to_document(), allow_nan=False))
        assert document["skipped"] == {"count": 1, "clips": {"a.mp4": "cut off"}}
        assert document["per_class"]["action 7"]["value"] is None
        assert document["figures"]["top-1 accuracy"]["value"] == report.figures["top-1 accuracy"].value
        assert document["intervals"]["method"].startswith("percentile bootstrap; Wilson")
        assert (document["intervals"]["seed"], document["intervals"]["resamples"]) == (3, 50)
        assert np.sum(document["confusion"]) == document["samples"] == 120
        name, value, interval, samples = report.rows()[0]
        assert (name, samples) == ("top-1 accuracy", "120")
        assert value == f"{100 * report.figures[name].value:.1f} %"
        assert interval.count("%") == 2
        rows = report.class_rows()
        assert rows[-1] == ("action 7", "-", "-", "0")
        known = [float(row[1].split()[0]) for row in rows[:-1]]
        assert known == sorted(known)

    def test_what_a_class_is_taken_for(self) -> None:
        scores = np.eye(3)[[0, 1, 1, 1, 2]]
        report = evaluate_classification(scores, [0, 0, 0, 1, 2], ["open", "close", "lift"], resampling=FEW)
        assert report.class_rows()[0][::3] == ("open", "3 (2 as close)")
        assert list(report.figures) == ["top-1 accuracy", "mean class accuracy"]  # top-5 of 3 says nothing

    def test_a_single_class(self) -> None:
        report = evaluate_classification([[0.2], [0.7]], [0, 0], ["only"], resampling=FEW)
        assert report.figures["top-1 accuracy"].value == 1.0

    def test_refusals(self) -> None:
        with pytest.raises(ValueError, match="nothing to evaluate"):
            evaluate_classification(np.zeros((0, 2)), [], ["a", "b"])
        with pytest.raises(ValueError, match="expected 2 labels, each once, got 2"):
            evaluate_classification([[0.1, 0.9]], [1], ["a", "a"])


def recalls(targets: NDArray[np.int64], predicted: NDArray[np.int64]) -> NDArray[np.float64]:
    found = sklearn.metrics.recall_score(targets, predicted, labels=np.unique(targets), average=None)
    return np.asarray(found)


class TestOtherReports:
    def test_multilabel(self) -> None:
        rng = np.random.default_rng(2)
        targets = rng.random((90, 5)) < [0.3, 0.3, 0.3, 0.3, 0.0]
        scores = rng.random((90, 5)) + 0.4 * targets
        report = evaluate_multilabel(scores, targets, list("abcde"), resampling=FEW)
        expected = sklearn.metrics.average_precision_score(targets[:, :4], scores[:, :4])
        assert report.figures["mAP"].value == pytest.approx(expected)
        assert np.isnan(report.per_class["e"].value)
        assert report.class_samples["a"] == targets[:, 0].sum()
        assert report.to_document()["intervals"]["method"] == "basic bootstrap"
        assert report.class_rows()[-1][0] == "e"

    def test_retrieval(self) -> None:
        """Places 1, 2, 4 and 12 by construction, one right answer each."""
        similarity = np.tile(-np.arange(12.0), (4, 1))
        relevant = np.zeros((4, 12), dtype=bool)
        relevant[[0, 1, 2, 3], [0, 1, 3, 11]] = True
        report = evaluate_retrieval(similarity, relevant)
        values = {name: figure.value for name, figure in report.figures.items()}
        mean = (1 + 1 / 2 + 1 / 4 + 1 / 12) / 4
        assert values == pytest.approx(
            {"R@1": 0.25, "R@5": 0.75, "R@10": 0.75, "median rank": 3, "mAP": mean}
        )
        assert {row[0]: row[1] for row in report.rows()}["median rank"] == "3.0"
        same_video = evaluate_retrieval(similarity, relevant, videos=["v", "v", "w", "w"])
        assert same_video.figures["R@1"].samples == 2

    def test_summaries(self) -> None:
        """Ten shots of 10 frames, one fits into 15 %: right for the first user, wrong for the other."""
        borders = np.arange(0, 101, 10)
        model = np.repeat([9, 1, 2, 3, 4, 5, 6, 7, 8, 0], 10).astype(float)
        other = np.repeat([1, 9, 2, 3, 4, 5, 6, 7, 8, 0], 10).astype(float)
        case = SummaryCase("v", model, borders, user_importance=np.stack([model, other]))
        report = evaluate_summaries([case, case], over="mean", resampling=FEW)
        tau, rho = report.figures["Kendall tau"].value, report.figures["Spearman rho"].value
        assert report.figures["F1 (mean of users)"].value == pytest.approx(0.5)
        assert tau == pytest.approx((1 + scipy.stats.kendalltau(model, other).statistic) / 2)
        assert rho == pytest.approx((1 + scipy.stats.spearmanr(model, other).statistic) / 2)
        summaries = np.stack([model == 9, other == 9])
        case = SummaryCase("v", model, borders, user_summaries=summaries)
        report = evaluate_summaries([case], over="max", resampling=FEW)
        assert {name: figure.value for name, figure in report.figures.items()} == {"F1 (max of users)": 1.0}

    def test_summaries_refuse(self) -> None:
        with pytest.raises(ValueError, match="nothing to evaluate"):
            evaluate_summaries([], over="max")
        with pytest.raises(ValueError, match="v: there is neither"):
            SummaryCase("v", np.ones(3), np.array([0, 3]))
        broken = SummaryCase("v", np.ones(3), np.array([0, 4]), user_summaries=np.ones((1, 3), dtype=bool))
        with pytest.raises(ValueError, match="v: borders must rise"):
            evaluate_summaries([broken], over="max")


class TestDetectionReport:
    def test_the_challenges_figures(self) -> None:
        """Those of the published programs (test_detection), though equal scores abound."""
        truth, found = made_rows()
        clear = [row for row in truth if row.action != AMBIGUOUS]
        report = evaluate_detection(clear, found, resampling=FEW)
        assert report.figures["average mAP"].value == pytest.approx(ACTIVITYNET_AVERAGE, abs=1e-12)
        for action, expected in ACTIVITYNET.items():
            assert report.per_class[action].value == pytest.approx(np.mean(expected), abs=1e-12)
            assert report.class_samples[action] == sum(row.action == action for row in clear)
        thumos = evaluate_detection(truth, found, protocol="thumos", resampling=FEW)
        at_half = np.mean([values[2] for values in THUMOS.values()])
        assert thumos.figures["mAP@0.5"].value == pytest.approx(at_half, abs=1e-12)
        assert thumos.samples == 8
        assert thumos.figures["mAP@0.5"].low < at_half < thumos.figures["mAP@0.5"].high
        assert len(thumos.class_rows()) == 4

    @pytest.mark.parametrize("protocol", ["activitynet", "thumos"])
    def test_the_interval_draws_videos(self, protocol: str) -> None:
        """Of 30 videos 18 are found and nothing else is said: mAP is the share found, so binomial."""
        truth = [TrueSpan(f"v{number:02}", "run", 0, 10) for number in range(30)]
        found = [FoundSpan(f"v{number:02}", "run", 0, 10, 0.5) for number in range(18)]
        resampling = Resampling(resamples=1500)
        report = evaluate_detection(
            truth,
            found,
            thresholds=[0.5],
            protocol=protocol,  # type: ignore[arg-type]
            resampling=resampling,
        )
        figure = report.figures["mAP@0.5"]
        low, high = scipy.stats.binom.ppf([0.025, 0.975], 30, 0.6) / 30
        assert (figure.value, figure.low, figure.high) == pytest.approx((0.6, low, high), abs=1.01 / 30)

    def test_refuses(self) -> None:
        with pytest.raises(ValueError, match="at least one true span"):
            evaluate_detection([], [])


class TestConfusionPicture:
    @pytest.mark.parametrize("classes", [1, 2, 30, 101])
    def test_the_darkest_cells_are_the_diagonal(self, classes: int) -> None:
        """Above the legend nothing else is so dark: the cells span the matrix and lie along its diagonal."""
        picture = opened(confusion_picture(9 * np.eye(classes, dtype=int), ["x"] * classes))[:-70]
        dark = np.argwhere((picture == (8, 38, 84)).all(axis=-1))
        dark += 1 - dark.min(axis=0)  # the frame lies on the first line of cells
        cell = (dark.max() + 1) / classes
        row, column = (dark // cell).astype(int).T
        assert cell >= 12
        assert set(row.tolist()) == set(range(classes))
        assert (row == column).all()

    def test_a_class_without_samples_is_grey(self) -> None:
        grey = (226, 226, 226)
        with_all = opened(confusion_picture([[1, 1], [1, 1]], ["a", "b"]))
        without = opened(confusion_picture([[1, 1], [0, 0]], ["a", "b"]))
        assert (with_all == grey).all(axis=-1).sum() < 100  # edges of letters
        assert (without == grey).all(axis=-1).sum() > 2 * 80 * 80

    def test_four_hundred_classes_keep_room_for_their_labels(self) -> None:
        labels = [f"a rather long action number {number}" for number in range(400)]
        picture = opened(confusion_picture(np.eye(400, dtype=int), labels, "kinetics"))
        assert 400 * 13 < min(picture.shape[:2]) <= max(picture.shape[:2]) < 6000

    def test_labels_that_the_font_lacks(self) -> None:
        matrix = np.eye(4, dtype=int)
        odd = confusion_picture(matrix, ["走る", "öffnen", "o\u0308ffnen", "a" * 33])
        plain = confusion_picture(matrix, ["class 0", "offnen", "offnen", "a" * 31 + "…"])
        assert (opened(odd) == opened(plain)).all()

    def test_refusals(self) -> None:
        with pytest.raises(ValueError, match=r"must be \(C, C\)"):
            confusion_picture(np.zeros((0, 0)), [])
        with pytest.raises(ValueError, match="expected 2 labels"):
            confusion_picture(np.eye(2, dtype=int), ["a"])
        with pytest.raises(ValueError, match="0 or more"):
            confusion_picture([[-1]], ["a"])


def opened(png: bytes) -> NDArray[np.uint8]:
    with Image.open(BytesIO(png)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def test_a_report_is_frozen() -> None:
    report = EvaluationReport("retrieval", 1, {})
    with pytest.raises(AttributeError):
        report.samples = 2  # type: ignore[misc]


@pytest.mark.parametrize(("right", "trials"), [(0, 1), (0, 7), (3, 3), (2, 9), (40, 40), (17, 40)])
def test_wilsons_interval_is_that_of_scipy(right, trials):
    from scipy.stats import binomtest

    for level in (0.9, 0.95):
        expected = binomtest(right, trials).proportion_ci(level, method="wilson")
        assert wilson(right / trials, trials, level) == pytest.approx((expected.low, expected.high), abs=1e-9)
    for share, count, level in ((1.1, 3, 0.95), (0.5, 0, 0.95), (0.5, 3, 1.0)):
        with pytest.raises(ValueError):
            wilson(share, count, level)


def test_all_right_and_all_wrong_are_not_sure():
    from scipy.stats import binomtest

    def ends(right: int, trials: int) -> tuple[float, float]:
        found = binomtest(right, trials).proportion_ci(0.95, method="wilson")
        return pytest.approx((found.low, found.high), abs=1e-9)

    targets = np.array([0, 0, 0, 1, 1, 2])
    probabilities = np.eye(4)[[0, 0, 0, 0, 3, 1]]  # all of the first class, none of the others
    report = evaluate_classification(probabilities, targets, ["a", "b", "c", "d"])
    limits = {name: (one.low, one.high) for name, one in report.per_class.items()}
    assert limits["a"] == ends(3, 3) and limits["b"] == ends(0, 2) and limits["c"] == ends(0, 1)
    assert np.isnan(limits["d"]).all()
    right = evaluate_classification(np.eye(4)[targets], targets, ["a", "b", "c", "d"])
    top = right.figures["top-1 accuracy"]
    assert (top.low, top.high) == ends(6, 6)
    # Recalls of 3, 2 and 1 samples: their mean varies like 9 / (1/3 + 1/2 + 1) = 4.9 samples.
    mean = right.figures["mean class accuracy"]
    assert ends(4, 4) != (mean.low, mean.high) and 4 / (4 + 1.96**2) < mean.low < 5 / (5 + 1.96**2)
    # Clips of one recording count once.
    grouped = evaluate_classification(np.eye(3)[targets], targets, ["a", "b", "c"], groups=list("xxyzzz"))
    assert (grouped.per_class["a"].low, grouped.per_class["a"].high) == ends(2, 2)
    top = grouped.figures["top-1 accuracy"]
    assert (top.low, top.high) == ends(3, 3)
