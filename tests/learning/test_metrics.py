"""Figures equal scikit-learn's, torchmetrics', SciPy's or what can be counted by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import sklearn.metrics
import torch
import torchmetrics.functional.classification as torch_classification
import torchmetrics.functional.retrieval as torch_retrieval
from numpy.typing import NDArray

from encoders.evaluation.classification import (
    average_precisions,
    average_views,
    class_precision,
    class_recall,
    confusion_matrix,
    multilabel_average_precision,
    target_ranks,
    top_k_accuracy,
)
from encoders.evaluation.retrieval import (
    first_ranks,
    median_rank,
    query_average_precisions,
    recall_at,
    retrieval_average_precision,
)
from encoders.evaluation.summaries import (
    key_frame_f1,
    knapsack,
    rank_correlation,
    scores_per_frame,
    shot_summary,
)

SEEDS = range(6)


def made_scores(seed: int, *, grid: int | None = None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scores that know a little of the right class; on a grid, equal ones abound."""
    rng = np.random.default_rng(seed)
    count, classes = int(rng.integers(20, 200)), int(rng.integers(6, 15))
    targets = rng.integers(0, classes, count)
    scores = rng.random((count, classes))
    scores[np.arange(count), targets] += 0.4
    return (scores if grid is None else np.round(scores * grid) / grid), targets


def made_answers(seed: int, *, grid: int | None = None) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    count, answers = int(rng.integers(10, 50)), int(rng.integers(12, 60))
    relevant = rng.random((count, answers)) < 0.2
    relevant[np.arange(count), rng.integers(0, answers, count)] = True
    scores = rng.random((count, answers)) + 0.3 * relevant
    return (scores if grid is None else np.round(scores * grid) / grid), relevant


class TestClassification:
    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("k", [1, 3, 5])
    def test_top_k(self, seed: int, k: int) -> None:
        scores, targets = made_scores(seed)
        classes = scores.shape[1]
        got = top_k_accuracy(scores, targets, k)
        expected = sklearn.metrics.top_k_accuracy_score(targets, scores, k=k, labels=range(classes))
        assert got == pytest.approx(expected, abs=1e-12)
        other = torch_classification.multiclass_accuracy(
            torch.from_numpy(scores), torch.from_numpy(targets), classes, average="micro", top_k=k
        )
        assert got == pytest.approx(float(other), abs=1e-6)

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("k", [1, 2, 5])
    def test_top_k_of_equal_scores(self, seed: int, k: int) -> None:
        """scikit-learn puts the higher class first: with the classes turned round that is ours."""
        scores, targets = made_scores(seed, grid=4)
        last = scores.shape[1] - 1
        turned = sklearn.metrics.top_k_accuracy_score(
            last - targets, scores[:, ::-1], k=k, labels=range(last + 1)
        )
        assert top_k_accuracy(scores, targets, k) == pytest.approx(turned, abs=1e-12)

    @pytest.mark.parametrize("grid", [None, 4])
    def test_top_1_is_the_diagonal(self, grid: int | None) -> None:
        scores, targets = made_scores(7, grid=grid)
        matrix = confusion_matrix(targets, scores.argmax(axis=1), scores.shape[1])
        assert top_k_accuracy(scores, targets) == pytest.approx(np.trace(matrix) / matrix.sum())

    @pytest.mark.parametrize("seed", SEEDS)
    def test_confusion_recall_and_precision(self, seed: int) -> None:
        scores, targets = made_scores(seed)
        classes, predicted = scores.shape[1], scores.argmax(axis=1)
        matrix = confusion_matrix(targets, predicted, classes)
        labels = list(range(classes))
        assert (matrix == sklearn.metrics.confusion_matrix(targets, predicted, labels=labels)).all()
        tensors = torch.from_numpy(predicted), torch.from_numpy(targets)
        other = torch_classification.multiclass_confusion_matrix(*tensors, classes)
        assert (matrix == other.numpy()).all()
        options = {"labels": labels, "average": None, "zero_division": np.nan}
        recall = sklearn.metrics.recall_score(targets, predicted, **options)
        precision = sklearn.metrics.precision_score(targets, predicted, **options)
        assert class_recall(matrix) == pytest.approx(recall, nan_ok=True)
        assert class_precision(matrix) == pytest.approx(precision, nan_ok=True)
        by_class = torch_classification.multiclass_accuracy(*tensors, classes, average=None)
        assert np.nan_to_num(class_recall(matrix)) == pytest.approx(by_class.numpy(), abs=1e-6)

    def test_absent_classes(self) -> None:
        """Class 1 never occurs but is said, class 3 is neither."""
        matrix = confusion_matrix([0, 0, 2, 2], [0, 1, 2, 2], 4)
        assert matrix.tolist() == [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0]]
        assert class_recall(matrix) == pytest.approx([0.5, np.nan, 1.0, np.nan], nan_ok=True)
        assert class_precision(matrix) == pytest.approx([1.0, 0.0, 1.0, np.nan], nan_ok=True)

    def test_a_single_class(self) -> None:
        assert target_ranks([[0.3], [0.3]], [0, 0]).tolist() == [1, 1]
        assert top_k_accuracy([[0.3], [0.3]], [0, 0]) == 1.0
        assert confusion_matrix([0, 0], [0, 0], 1).tolist() == [[2]]

    def test_refusals(self) -> None:
        with pytest.raises(ValueError, match="nothing to evaluate"):
            top_k_accuracy(np.zeros((0, 4)), [])
        with pytest.raises(ValueError, match="nothing to evaluate"):
            confusion_matrix([], [], 4)
        with pytest.raises(ValueError, match="k must be from 1 to 2"):
            top_k_accuracy([[0.1, 0.9]], [1], k=3)
        with pytest.raises(ValueError, match="must be 0 to 1, got 2 to 2"):
            top_k_accuracy([[0.1, 0.9]], [2])
        with pytest.raises(ValueError, match="must be integers"):
            top_k_accuracy([[0.1, 0.9]], [1.0])
        with pytest.raises(ValueError, match=r"must be \(N, C\)"):
            top_k_accuracy([0.1, 0.9], [1])
        with pytest.raises(ValueError, match="one row for each sample"):
            top_k_accuracy([[0.1, 0.9]], [1, 0])
        with pytest.raises(ValueError, match="1 samples score something not a number"):
            top_k_accuracy([[0.1, np.nan], [0.1, 0.9]], [1, 1])


class TestViews:
    def test_videos_of_unequal_views_in_any_order(self) -> None:
        rng = np.random.default_rng(3)
        probabilities = rng.random((7, 3))
        got = average_views(probabilities, ["b", "a", "b", "c", "a", "b", "b"])
        expected = [probabilities[rows].mean(axis=0) for rows in ([0, 2, 5, 6], [1, 4], [3])]
        assert got == pytest.approx(np.array(expected))

    def test_ten_clips_by_three_crops(self) -> None:
        """As by reshaping, where every video has 30 views that stand together."""
        views = np.random.default_rng(4).random((5 * 30, 8))
        got = average_views(views, np.repeat(np.arange(5), 30).tolist())
        assert got == pytest.approx(views.reshape(5, 30, 8).mean(axis=1))

    def test_refusals(self) -> None:
        with pytest.raises(ValueError, match="at least one"):
            average_views(np.zeros((0, 3)), [])
        with pytest.raises(ValueError, match="for each of 2 rows"):
            average_views(np.zeros((2, 3)), ["a"])


class TestAveragePrecision:
    @pytest.mark.filterwarnings("ignore:No positive samples")  # torchmetrics', of the absent class
    @pytest.mark.parametrize("grid", [None, 5])
    @pytest.mark.parametrize("seed", SEEDS)
    def test_multilabel(self, seed: int, grid: int | None) -> None:
        scores, targets = made_answers(seed, grid=grid)
        targets[:, 2] = False  # a class that does not occur
        classes = scores.shape[1]
        got = average_precisions(scores.T, targets.T)
        occurs = targets.any(axis=0)
        by_class = [
            sklearn.metrics.average_precision_score(targets[:, number], scores[:, number])
            for number in np.flatnonzero(occurs)
        ]
        assert got[occurs] == pytest.approx(by_class, abs=1e-12)
        assert np.isnan(got[~occurs]).all()
        assert multilabel_average_precision(scores, targets) == pytest.approx(np.mean(by_class), abs=1e-12)
        tensors = torch.from_numpy(scores / 2), torch.from_numpy(targets.astype(int))
        other = torch_classification.multilabel_average_precision(*tensors, classes, average=None)
        assert got[occurs] == pytest.approx(other.numpy()[occurs], abs=1e-5)

    def test_all_scores_equal(self) -> None:
        """One place for all: the precision of taking everything."""
        assert average_precisions([[0.5] * 4], [[1, 0, 0, 0]]).tolist() == [0.25]

    def test_no_class_occurs(self) -> None:
        assert np.isnan(multilabel_average_precision([[0.1, 0.2]], [[0, 0]]))

    def test_refusals(self) -> None:
        with pytest.raises(ValueError, match="nothing to evaluate"):
            multilabel_average_precision(np.zeros((0, 3)), np.zeros((0, 3)))
        with pytest.raises(ValueError, match="must both be"):
            average_precisions([[0.1, 0.2]], [[1]])
        with pytest.raises(ValueError, match="marked 1 and the others 0"):
            average_precisions([[0.1, 0.2]], [[1, 2]])
        with pytest.raises(ValueError, match="not a number"):
            average_precisions([[0.1, np.nan]], [[1, 0]])


class TestRetrieval:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_equals_torchmetrics_and_scikit_learn(self, seed: int) -> None:
        similarity, relevant = made_answers(seed)
        rows = list(zip(torch.from_numpy(similarity), torch.from_numpy(relevant), strict=True))
        ranks = first_ranks(similarity, relevant)
        reciprocal = [float(torch_retrieval.retrieval_reciprocal_rank(*row)) for row in rows]
        assert 1 / ranks == pytest.approx(reciprocal, abs=1e-6)
        assert median_rank(ranks) == pytest.approx(np.median(1 / np.array(reciprocal)), abs=1e-4)
        for k in (1, 5, 10):
            hits = [float(torch_retrieval.retrieval_hit_rate(*row, top_k=k)) for row in rows]
            assert recall_at(ranks, k) == pytest.approx(np.mean(hits))
        precisions = [float(torch_retrieval.retrieval_average_precision(*row)) for row in rows]
        assert query_average_precisions(similarity, relevant) == pytest.approx(precisions, abs=1e-6)
        mean = sklearn.metrics.average_precision_score(relevant.T, similarity.T, average="macro")
        assert retrieval_average_precision(similarity, relevant) == pytest.approx(mean, abs=1e-12)

    @pytest.mark.parametrize("seed", SEEDS)
    def test_equal_scores(self, seed: int) -> None:
        """The place by counting; average precision by scikit-learn, which also knows no order in a tie."""
        similarity, relevant = made_answers(seed, grid=5)
        for row, right, rank in zip(similarity, relevant, first_ranks(similarity, relevant), strict=True):
            best = max(row[right])
            assert rank == 1 + sum(score >= best for score in row[~right])
        mean = sklearn.metrics.average_precision_score(relevant.T, similarity.T, average="macro")
        assert retrieval_average_precision(similarity, relevant) == pytest.approx(mean, abs=1e-12)

    def test_vectors_that_are_all_the_same_find_nothing(self) -> None:
        ranks = first_ranks(np.ones((4, 20)), np.eye(4, 20))
        assert ranks.tolist() == [20] * 4
        assert recall_at(ranks, 10) == 0.0

    def test_the_query_itself_taken_out(self) -> None:
        similarity = np.array([[-np.inf, 0.2, 0.9], [0.2, -np.inf, 0.5], [0.9, 0.5, -np.inf]])
        same_class = np.array([[0, 1, 0], [1, 0, 0], [0, 1, 0]])
        assert first_ranks(similarity, same_class).tolist() == [2, 2, 2]

    def test_refusals(self) -> None:
        with pytest.raises(ValueError, match="nothing to evaluate"):
            first_ranks(np.zeros((0, 3)), np.zeros((0, 3)))
        with pytest.raises(ValueError, match="1 of 2 queries have no right answer among the 2"):
            first_ranks([[0.1, 0.2], [0.1, 0.2]], [[1, 0], [0, 0]])
        with pytest.raises(ValueError, match="no right answer"):
            first_ranks([[-np.inf, 0.2]], [[1, 0]])
        with pytest.raises(ValueError, match="k must be at least 1"):
            recall_at([1], 0)


class TestKeyFrames:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_f1_equals_scikit_learn(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        selected, users = rng.random(80) < 0.15, rng.random((5, 80)) < 0.2
        by_user = [sklearn.metrics.f1_score(user, selected, zero_division=0) for user in users]
        assert key_frame_f1(selected, users, "max") == pytest.approx(max(by_user))
        assert key_frame_f1(selected, users, "mean") == pytest.approx(np.mean(by_user))

    def test_nothing_selected(self) -> None:
        assert key_frame_f1(np.zeros(4), [[1, 0, 0, 1], [0, 0, 0, 0]]) == 0.0

    @pytest.mark.parametrize("seed", SEEDS)
    def test_the_knapsack_is_as_good_as_trying_everything(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        values, weights = np.round(rng.random(10), 1), rng.integers(1, 9, 10)
        capacity = int(rng.integers(0, 25))
        chosen = knapsack(values, weights, capacity)
        every = (np.array(flags) for flags in product((False, True), repeat=10))
        best = max(values[flags].sum() for flags in every if weights[flags].sum() <= capacity)
        assert weights[chosen].sum() <= capacity
        assert values[chosen].sum() == pytest.approx(best)

    def test_summary_of_whole_shots(self) -> None:
        """Of 100 frames 15 may stay: the shots of 10 and of 5, though one of 16 is worth the most."""
        borders = [0, 10, 26, 31, 100]
        importance = np.repeat([0.5, 0.9, 0.3, 0.1], np.diff(borders))
        expected = np.zeros(100, dtype=bool)
        expected[[*range(10), *range(26, 31)]] = True
        assert (shot_summary(importance, borders) == expected).all()
        assert not shot_summary(importance[:26], borders[:3], share=0.15).any()

    def test_scores_of_samples_as_scores_of_frames(self) -> None:
        assert scores_per_frame([1, 2, 3], [1, 3, 4], 6).tolist() == [1, 1, 1, 2, 3, 3]

    def test_refusals(self) -> None:
        with pytest.raises(ValueError, match="nothing to evaluate: 0 users, 3 frames"):
            key_frame_f1(np.ones(3), np.zeros((0, 3)))
        with pytest.raises(ValueError, match="nothing to evaluate"):
            key_frame_f1(np.ones(0), np.zeros((2, 0)))
        with pytest.raises(ValueError, match="over must be max or mean"):
            key_frame_f1(np.ones(3), np.ones((1, 3)), "min")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="rise strictly from 0 to 4"):
            shot_summary(np.ones(4), [0, 5])
        with pytest.raises(ValueError, match="N >= 1"):
            shot_summary([], [0, 0])
        with pytest.raises(ValueError, match="share"):
            shot_summary(np.ones(4), [0, 4], share=0)
        with pytest.raises(ValueError, match="rise strictly within 0 to 5"):
            scores_per_frame([1, 2], [3, 3], 6)
        with pytest.raises(ValueError, match="T >= 1"):
            scores_per_frame([], [], 6)


class TestRankCorrelation:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_by_counting_pairs_and_by_ranks(self, seed: int) -> None:
        """Users' scores from 1 to 5, as in TVSum, so that most pairs are ties."""
        rng = np.random.default_rng(seed)
        users = rng.integers(1, 6, (3, 40)).astype(float)
        importance = np.round(users.mean(axis=0) + rng.normal(size=40), 1)
        kendall = [tau_b(importance, user) for user in users]
        assert rank_correlation(importance, users) == pytest.approx(np.mean(kendall))
        spearman = [np.corrcoef(mid_ranks(importance), mid_ranks(user))[0, 1] for user in users]
        assert rank_correlation(importance, users, "spearman") == pytest.approx(np.mean(spearman))

    def test_importance_that_orders_nothing(self) -> None:
        assert rank_correlation([1, 2, 3], [[1, 2, 3], [2, 2, 2]]) == pytest.approx(0.5)
        assert rank_correlation([1, 1, 1], [[1, 2, 3]], "spearman") == 0.0

    def test_refusals(self) -> None:
        with pytest.raises(ValueError, match="at least two frames"):
            rank_correlation([1], [[1]])
        with pytest.raises(ValueError, match="nothing to evaluate"):
            rank_correlation([1, 2], np.zeros((0, 2)))
        with pytest.raises(ValueError, match="finite"):
            rank_correlation([1, np.nan], [[1, 2]])
        with pytest.raises(ValueError, match="kendall or spearman"):
            rank_correlation([1, 2], [[1, 2]], "pearson")  # type: ignore[arg-type]


def tau_b(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """(concordant - discordant) / sqrt(pairs unlike in a * pairs unlike in b), over all ordered pairs."""
    signs_a, signs_b = np.sign(a[:, None] - a), np.sign(b[:, None] - b)
    return float((signs_a * signs_b).sum() / np.sqrt((signs_a**2).sum() * (signs_b**2).sum()))


def mid_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return (values[:, None] > values).sum(axis=1) + ((values[:, None] == values).sum(axis=1) + 1) / 2
