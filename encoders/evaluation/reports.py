"""Reports: what one evaluation found, every figure with its interval.

Arrays go in, an `EvaluationReport` comes out: as a JSON document, as rows of a table, and for classes
with the matrix that `confusion_picture` draws. What has a time in a video is in `span_evaluation`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from encoders.evaluation import classification as metrics
from encoders.evaluation import retrieval
from encoders.evaluation.intervals import LEVEL, RESAMPLES, Figure, Method, wilson, with_intervals

Task = Literal["classification", "multi-label", "retrieval", "detection", "summary"]

# Of 400 samples with 5 % positives, 95 % intervals held the true mAP (0.05, 0.33, 0.85) in 0, 24 and 92 of
# 100 trials by percentile, in 96, 89 and 94 by "basic". Of detections in 40 videos both held it in about 85.
INTERVALS: Mapping[Task, Method] = {
    "classification": "percentile",
    "multi-label": "basic",
    "retrieval": "percentile",
    "detection": "percentile",
    "summary": "percentile",
}
# Shares of which every draw would be alike; see `encoders.evaluation.intervals`.
WILSON_TASKS: tuple[Task, ...] = ("classification", "retrieval")
TOP = (1, 5)
RECALL_AT = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class Resampling:
    """Settings of the bootstrap: so many draws, the same seed for all figures."""

    seed: int = 0
    resamples: int = RESAMPLES
    level: float = LEVEL

    def figures(
        self, metric: Callable[..., ArrayLike], *arrays: ArrayLike, **options: Any
    ) -> tuple[Figure, ...]:
        """Figures by `with_intervals`, with these settings."""
        return with_intervals(
            metric, *arrays, seed=self.seed, resamples=self.resamples, level=self.level, **options
        )

    def sure(self, figure: Figure, trials: float) -> Figure:
        """The figure, with Wilson's interval where it is a share of all or none of so many trials."""
        if figure.value not in (0.0, 1.0) or not self.resamples or trials <= 0:
            return figure
        low, high = wilson(figure.value, trials, self.level)
        return replace(figure, low=low, high=high)


DEFAULT_RESAMPLING = Resampling()


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """The figures of one evaluation.

    Attributes:
        task: What was asked of the model.
        samples: How many were evaluated: clips, videos or queries.
        figures: The figures of the whole, by name, in the order to show them.
        per_class: One figure for each class, by label: its recall, or its average precision.
        class_figure: What `per_class` holds, in words; empty where there are no classes.
        class_samples: How many samples, or true spans, are of each class, by label.
        labels: The names of the classes, in the order of the matrix.
        confusion: int64 (C, C), rows are true classes; None where a sample may be of several.
        skipped: Clips that could not be evaluated, with the reason.
        resampling: How the intervals were made.
    """

    task: Task
    samples: int
    figures: Mapping[str, Figure]
    per_class: Mapping[str, Figure] = field(default_factory=dict)
    class_figure: str = ""
    class_samples: Mapping[str, int] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    confusion: NDArray[np.int64] | None = None
    skipped: Mapping[str, str] = field(default_factory=dict)
    resampling: Resampling = DEFAULT_RESAMPLING

    def to_document(self) -> dict[str, Any]:
        """The report as JSON has it; null where the samples do not say."""
        return {
            "task": self.task,
            "samples": self.samples,
            "figures": {name: _figure_document(figure) for name, figure in self.figures.items()},
            "class_figure": self.class_figure,
            "per_class": {name: _figure_document(figure) for name, figure in self.per_class.items()},
            "class_samples": dict(self.class_samples),
            "labels": list(self.labels),
            "confusion": None if self.confusion is None else self.confusion.tolist(),
            "skipped": {"count": len(self.skipped), "clips": dict(self.skipped)},
            "intervals": {
                "method": f"{INTERVALS[self.task]} bootstrap"
                + ("; Wilson score for shares of 0 or 1" if self.task in WILSON_TASKS else ""),
                "level": self.resampling.level,
                "resamples": self.resampling.resamples,
                "seed": self.resampling.seed,
            },
        }

    def rows(self) -> list[tuple[str, str, str, str]]:
        """The figures as text: name, value, interval, and how many samples it was drawn from."""
        return [_row(name, figure) for name, figure in self.figures.items()]

    def class_rows(self) -> list[tuple[str, str, str, str]]:
        """The classes as text, the weakest first: label, value, interval, samples of it.

        For a classifier the last column also says what a class is most often taken for. Classes that
        do not occur come last.
        """
        weakest = sorted(self.per_class.items(), key=lambda item: (np.isnan(item[1].value), item[1].value))
        return [(*_row(name, figure)[:3], self._of_class(name)) for name, figure in weakest]

    def _of_class(self, label: str) -> str:
        samples = f"{self.class_samples[label]:,}"
        if self.confusion is None:
            return samples
        number = self.labels.index(label)
        taken_for = self.confusion[number].copy()
        taken_for[number] = 0
        other = int(taken_for.argmax())
        return f"{samples} ({taken_for[other]:,} as {self.labels[other]})" if taken_for[other] else samples


def evaluate_classification(
    probabilities: ArrayLike,
    targets: ArrayLike,
    labels: Sequence[str],
    *,
    groups: Sequence[Hashable] | None = None,
    skipped: Mapping[str, str] | None = None,
    resampling: Resampling = DEFAULT_RESAMPLING,
) -> EvaluationReport:
    """Top-1, top-5 (of more than five classes), recall of each class, and their mean.

    Intervals are the bootstrap's; for shares of 0 or 1, of which every draw is alike, Wilson's. The mean of
    recalls r_c of n_c samples varies like a share of C^2 / sum(1 / n_c) samples, which then stands for them.

    Args:
        probabilities: float (N, C), views averaged already (`average_views`); logits do as well.
        targets: int (N,), 0 to C - 1.
        labels: C names, each once.
        groups: N names, of clips that were cut from one recording: they are drawn together.
        skipped: Clips that are not among the N, with the reason.
        resampling: How the intervals are made.

    Raises:
        ValueError: There are no samples, or a shape, class or label is wrong.
    """
    ranks = metrics.target_ranks(probabilities, targets)
    right, classes = np.asarray(targets), np.shape(probabilities)[1]
    _check_labels(labels, classes)
    tops = [k for k in TOP if k == 1 or k < classes]

    def measured(ranks: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float64]:
        hits = np.bincount(right[ranks == 1], minlength=classes)
        totals = np.bincount(right, minlength=classes)
        recall = np.divide(hits, totals, out=np.full(classes, np.nan), where=totals > 0)
        return np.array([*(np.mean(ranks <= k) for k in tops), metrics.mean_of_known(recall), *recall])

    found = resampling.figures(measured, ranks, right, groups=groups)
    units = _units_of_classes(right, classes, groups)
    known = units[units > 0]
    trials = [*(found[0].samples for _ in tops), len(known) ** 2 / np.sum(1 / known), *units]
    found = tuple(resampling.sure(figure, float(count)) for figure, count in zip(found, trials, strict=True))
    names = [*(f"top-{k} accuracy" for k in tops), "mean class accuracy"]
    matrix = metrics.confusion_matrix(right, np.argmax(probabilities, axis=1), classes)
    return EvaluationReport(
        task="classification",
        samples=len(ranks),
        figures=dict(zip(names, found, strict=False)),
        per_class=dict(zip(labels, found[len(names) :], strict=True)),
        class_figure="recall",
        class_samples=dict(zip(labels, matrix.sum(axis=1).tolist(), strict=True)),
        labels=tuple(labels),
        confusion=matrix,
        skipped=dict(skipped or {}),
        resampling=resampling,
    )


def evaluate_multilabel(
    scores: ArrayLike,
    targets: ArrayLike,
    labels: Sequence[str],
    *,
    groups: Sequence[Hashable] | None = None,
    skipped: Mapping[str, str] | None = None,
    resampling: Resampling = DEFAULT_RESAMPLING,
) -> EvaluationReport:
    """mAP over the classes that occur, and the average precision of each; a clip may show several.

    Args:
        scores: float (N, C).
        targets: bool (N, C).
        labels: C names, each once.
        groups: N names, of clips that were cut from one recording.
        skipped: Clips that are not among the N, with the reason.
        resampling: How the intervals are made.

    Raises:
        ValueError: There are no samples, or a shape or label is wrong.
    """
    table, right = metrics.check_rankings(scores, targets)
    _check_labels(labels, table.shape[1])

    def measured(table: NDArray[np.floating], right: NDArray[np.bool_]) -> NDArray[np.float64]:
        precisions = metrics.average_precisions(table.T, right.T)
        return np.array([metrics.mean_of_known(precisions), *precisions])

    found = resampling.figures(measured, table, right, groups=groups, method=INTERVALS["multi-label"])
    return EvaluationReport(
        task="multi-label",
        samples=len(table),
        figures={"mAP": found[0]},
        per_class=dict(zip(labels, found[1:], strict=True)),
        class_figure="average precision",
        class_samples=dict(zip(labels, right.sum(axis=0).tolist(), strict=True)),
        labels=tuple(labels),
        skipped=dict(skipped or {}),
        resampling=resampling,
    )


def evaluate_retrieval(
    similarity: ArrayLike,
    relevant: ArrayLike,
    *,
    videos: Sequence[Hashable] | None = None,
    skipped: Mapping[str, str] | None = None,
    resampling: Resampling = DEFAULT_RESAMPLING,
) -> EvaluationReport:
    """R@1, R@5, R@10, median rank and mAP.

    The intervals draw queries again; the answers that they are searched among stay as they are. Recalls of
    0 or 1, of which every draw is alike, have Wilson's interval.

    Args:
        similarity: float (Q, N), higher is nearer.
        relevant: bool (Q, N), which answers are right.
        videos: Q names: which video a query is of, so that a video's queries are drawn together.
        skipped: Clips that are not among the queries or answers, with the reason.
        resampling: How the intervals are made.

    Raises:
        ValueError: As `first_ranks`.
    """
    ranks = retrieval.first_ranks(similarity, relevant)
    precisions = retrieval.query_average_precisions(similarity, relevant)

    def measured(ranks: NDArray[np.int64], precisions: NDArray[np.float64]) -> list[float]:
        return [*(retrieval.recall_at(ranks, k) for k in RECALL_AT), float(precisions.mean())]

    shares = resampling.figures(measured, ranks, precisions, groups=videos)
    (median,) = resampling.figures(retrieval.median_rank, ranks, groups=videos, unit="rank")
    recalls = {
        f"R@{k}": resampling.sure(figure, figure.samples)
        for k, figure in zip(RECALL_AT, shares, strict=False)
    }
    return EvaluationReport(
        task="retrieval",
        samples=len(ranks),
        figures={**recalls, "median rank": median, "mAP": shares[-1]},
        skipped=dict(skipped or {}),
        resampling=resampling,
    )


def _units_of_classes(
    targets: NDArray[np.int64], classes: int, groups: Sequence[Hashable] | None
) -> NDArray[np.int64]:
    """Counts the samples of each class, or recordings where those are drawn: int64 (C,)."""
    if groups is None:
        return np.bincount(targets, minlength=classes)
    pairs = set(zip(targets.tolist(), groups, strict=True))
    return np.bincount([target for target, _ in pairs], minlength=classes)


def _check_labels(labels: Sequence[str], classes: int) -> None:
    if len(labels) != classes or len(set(labels)) != classes:
        raise ValueError(
            f"expected {classes} labels, each once, got {len(labels)} ({len(set(labels))} unlike)"
        )


def _figure_document(figure: Figure) -> dict[str, Any]:
    ends = {"value": figure.value, "low": figure.low, "high": figure.high}
    known = {name: None if np.isnan(number) else float(number) for name, number in ends.items()}
    return {**known, "samples": figure.samples, "unit": figure.unit}


def _row(name: str, figure: Figure) -> tuple[str, str, str, str]:
    shown = {"share": lambda number: f"{100 * number:.1f} %", "rank": "{:,.1f}".format}
    write = shown.get(figure.unit, "{:.3f}".format)
    value, low, high = (
        "-" if np.isnan(one) else write(one) for one in (figure.value, figure.low, figure.high)
    )
    return name, value, "-" if low == high == "-" else f"{low} to {high}", f"{figure.samples:,}"
