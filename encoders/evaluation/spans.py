"""Reports on what has a time in a video: localised actions, and key frames with their importance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from encoders.evaluation import detection
from encoders.evaluation.reports import DEFAULT_RESAMPLING, INTERVALS, EvaluationReport, Resampling
from encoders.evaluation.summaries import SHARE, Over, key_frame_f1, rank_correlation, shot_summary

DETECTION_RESAMPLING = Resampling(resamples=200)


@dataclass(frozen=True, slots=True)
class SummaryCase:
    """One video whose importance a model estimated and people judged.

    Attributes:
        video: Its name.
        importance: float (N,), the model's, of each frame (`scores_per_frame` spreads samples).
        borders: int (S + 1,), from 0 to N: shot i is the frames [borders[i], borders[i + 1]).
        user_importance: float (U, N), as in TVSum; made into summaries as the model's is.
        user_summaries: bool (U, N), as in SumMe; F1 is against these where they are given.

    Raises:
        ValueError: People gave neither.
    """

    video: str
    importance: NDArray[np.floating]
    borders: NDArray[np.integer]
    user_importance: NDArray[np.floating] | None = None
    user_summaries: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if self.user_importance is None and self.user_summaries is None:
            raise ValueError(f"{self.video}: there is neither importance nor a summary by people")

    @classmethod
    def of_people(
        cls,
        video: str,
        importance: NDArray[np.floating],
        borders: NDArray[np.floating],
        users: NDArray[np.floating],
    ) -> Self:
        """A case as data sets have it: users (U, N) who chose frames (0 or 1, as for SumMe) or scored them.

        Args:
            video: Its name.
            importance: float (N,), the model's.
            borders: float (S,), of shots, as shares of the whole, 0..1; both ends are added.
            users: float (U, N).
        """
        parts = users.shape[1]
        inner = np.round(borders * parts).astype(np.int64)
        places = np.unique(np.clip(np.concatenate([[0], inner, [parts]]), 0, parts))
        if np.isin(users, (0.0, 1.0)).all():
            return cls(video, importance, places, user_summaries=users > 0)
        return cls(video, importance, places, user_importance=users)


def evaluate_summaries(
    cases: Sequence[SummaryCase],
    *,
    over: Over,
    share: float = SHARE,
    skipped: Mapping[str, str] | None = None,
    resampling: Resampling = DEFAULT_RESAMPLING,
) -> EvaluationReport:
    """Key-frame F1; Kendall's tau and Spearman's rho as well, of the videos with people's importance.

    Args:
        cases: One for each video.
        over: "max" (SumMe) or "mean" (TVSum) over the people of a video.
        share: Of a video's frames, how many a summary may have.
        skipped: Videos that are not among the cases, with the reason.
        resampling: How the intervals are made: whole videos are drawn.

    Raises:
        ValueError: There are no cases, or one does not fit together; the message names its video.
    """
    f1: list[float] = []
    correlations: list[tuple[float, float]] = []
    for case in cases:
        try:
            f1.append(_f1(case, over, share))
            if case.user_importance is not None:
                kendall = rank_correlation(case.importance, case.user_importance, "kendall")
                spearman = rank_correlation(case.importance, case.user_importance, "spearman")
                correlations.append((kendall, spearman))
        except ValueError as error:
            raise ValueError(f"{case.video}: {error}") from error
    figures = {f"F1 ({over} of users)": resampling.figures(np.mean, f1)[0]}
    if correlations:
        for name, values in zip(("Kendall tau", "Spearman rho"), np.transpose(correlations), strict=True):
            (figures[name],) = resampling.figures(np.mean, values, unit="correlation")
    return EvaluationReport("summary", len(f1), figures, skipped=dict(skipped or {}), resampling=resampling)


def _f1(case: SummaryCase, over: Over, share: float) -> float:
    selected = shot_summary(case.importance, case.borders, share)
    if case.user_summaries is not None:
        return key_frame_f1(selected, case.user_summaries, over)
    assert case.user_importance is not None
    users = [shot_summary(user, case.borders, share) for user in np.asarray(case.user_importance)]
    return key_frame_f1(selected, users, over)


def evaluate_detection(
    ground_truth: Sequence[detection.TrueSpan],
    predictions: Sequence[detection.FoundSpan],
    *,
    thresholds: Sequence[float] | None = None,
    protocol: detection.Protocol = "activitynet",
    skipped: Mapping[str, str] | None = None,
    resampling: Resampling = DETECTION_RESAMPLING,
) -> EvaluationReport:
    """mAP at each temporal overlap and on average, and each action's average over the overlaps.

    The intervals draw whole videos; an action that is in none of those drawn is left out of the mean, as
    the protocols do. Every draw matches anew: 200 of them cost 200 times `mean_average_precision`.

    Args:
        ground_truth: True spans of all videos and actions.
        predictions: Predictions for all videos and actions, in any order.
        thresholds: Temporal overlaps; by default the protocol's own.
        protocol: "activitynet" or "thumos".
        skipped: Videos that are not among those evaluated, with the reason.
        resampling: How the intervals are made.

    Raises:
        ValueError: There is no true span, or no such protocol.
    """
    scores = detection.mean_average_precision(ground_truth, predictions, thresholds, protocol)
    actions = tuple(scores.average_precision)
    videos = sorted({row.video for row in ground_truth} | {row.video for row in predictions})
    copies = _VideoCopies(ground_truth, predictions)
    unclear = detection.AMBIGUOUS if protocol == "thumos" else None

    def as_row(one: detection.DetectionScores) -> NDArray[np.float64]:
        by_action = [np.mean(one.average_precision.get(action, np.nan)) for action in actions]
        return np.array([*one.mean, one.average, *by_action])

    def measured(drawn: NDArray[np.int64]) -> NDArray[np.float64]:
        truth, found = copies.drawn([videos[number] for number in drawn.tolist()])
        if all(row.action == unclear for row in truth):
            return np.full(len(scores.mean) + 1 + len(actions), np.nan)
        return as_row(detection.mean_average_precision(truth, found, scores.thresholds, protocol))

    drawn = resampling.figures(measured, np.arange(len(videos)), method=INTERVALS["detection"])
    # Of equal scores the order of the rows decides, so the value is that of the rows as they were given.
    figures = [replace(one, value=value) for one, value in zip(drawn, as_row(scores).tolist(), strict=True)]
    names = [*(f"mAP@{level:g}" for level in scores.thresholds), "average mAP"]
    return EvaluationReport(
        task="detection",
        samples=len(videos),
        figures=dict(zip(names, figures, strict=False)),
        per_class=dict(zip(actions, figures[len(names) :], strict=True)),
        class_figure="average precision over the overlaps",
        class_samples={action: sum(row.action == action for row in ground_truth) for action in actions},
        labels=actions,
        skipped=dict(skipped or {}),
        resampling=resampling,
    )


class _VideoCopies:
    """The rows of drawn videos; one that is drawn again gets another name, as it would be another video."""

    def __init__(
        self, ground_truth: Sequence[detection.TrueSpan], predictions: Sequence[detection.FoundSpan]
    ) -> None:
        self._truth: dict[str, list[detection.TrueSpan]] = {}
        self._found: dict[str, list[detection.FoundSpan]] = {}
        for true in ground_truth:
            self._truth.setdefault(true.video, []).append(true)
        for found in predictions:
            self._found.setdefault(found.video, []).append(found)
        self._copies: dict[tuple[str, int], tuple[list[detection.TrueSpan], list[detection.FoundSpan]]] = {}

    def drawn(self, videos: Sequence[str]) -> tuple[list[detection.TrueSpan], list[detection.FoundSpan]]:
        times: dict[str, int] = {}
        truth: list[detection.TrueSpan] = []
        found: list[detection.FoundSpan] = []
        for video in videos:
            times[video] = times.get(video, 0) + 1
            true_rows, found_rows = self._copy(video, times[video])
            truth += true_rows
            found += found_rows
        return truth, found

    def _copy(self, video: str, number: int) -> tuple[list[detection.TrueSpan], list[detection.FoundSpan]]:
        if (video, number) not in self._copies:
            name = f"{video}\0{number}"  # no video is called so
            self._copies[video, number] = (
                [replace(row, video=name) for row in self._truth.get(video, ())],
                [replace(row, video=name) for row in self._found.get(video, ())],
            )
        return self._copies[video, number]
