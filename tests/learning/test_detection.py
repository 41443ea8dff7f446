"""Mean average precision: the same figures as the programs that the two challenges were judged by.

The published programs were run on `made_rows`, not imitated:

- ActivityNet: `Evaluation/eval_detection.py` of activitynet/ActivityNet (commit 82304fa), carried to
  Python 3, its two sorts made stable (on equal scores it else depends on the processor);
- THUMOS'14: `TH14evalDet_Updated.m` as zhengshou/scnn ships it (commit ee05621), and of the kit's first
  edition `TH14eventdetpr.m` as demianzhang/weakly-action-localization ships it (commit 946a812), both
  under GNU Octave 7.3.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from made_detections import ACTIVITYNET, ACTIVITYNET_AVERAGE, THUMOS, THUMOS_FIRST_EDITION, made_rows

from encoders.evaluation.detection import (
    AMBIGUOUS,
    THRESHOLDS,
    FoundSpan,
    TrueSpan,
    average_precision_activitynet,
    average_precision_thumos,
    mean_average_precision,
    soft_nms,
    temporal_iou,
)


class TestPublishedFigures:
    def test_activitynet(self) -> None:
        truth, found = made_rows()
        scores = mean_average_precision([row for row in truth if row.action != AMBIGUOUS], found)
        assert scores.thresholds == pytest.approx([0.5 + 0.05 * step for step in range(10)])
        assert scores.average_precision.keys() == ACTIVITYNET.keys()
        for action, expected in ACTIVITYNET.items():
            assert scores.average_precision[action] == pytest.approx(expected, abs=1e-12), action
        assert scores.average == pytest.approx(ACTIVITYNET_AVERAGE, abs=1e-12)
        assert scores.mean == pytest.approx(np.mean(list(ACTIVITYNET.values()), axis=0), abs=1e-12)

    def test_thumos(self) -> None:
        truth, found = made_rows()
        scores = mean_average_precision(truth, found, protocol="thumos")
        assert scores.thresholds == (0.3, 0.4, 0.5, 0.6, 0.7)
        assert scores.average_precision.keys() == THUMOS.keys()
        for action, expected in THUMOS.items():
            assert scores.average_precision[action] == pytest.approx(expected, abs=1e-12), action
        assert scores.average == pytest.approx(np.mean(list(THUMOS.values())), abs=1e-12)

    @pytest.mark.parametrize("action", THUMOS_FIRST_EDITION)
    def test_thumos_first_edition(self, action: str) -> None:
        truth, found = made_rows()
        got = average_precision_thumos(
            [row for row in truth if row.action == action],
            [row for row in found if row.action == action],
            ambiguous=[row for row in truth if row.action == AMBIGUOUS],
            recall_points=11,
        )
        assert got == pytest.approx(THUMOS_FIRST_EDITION[action], abs=1e-12)


class TestProtocols:
    """By hand, where the two protocols differ."""

    def test_an_overlap_at_the_threshold(self) -> None:
        truth, found = [TrueSpan("v", "run", 0, 4)], [FoundSpan("v", "run", 0, 2, 0.9)]
        assert average_precision_activitynet(truth, found, [0.5]) == [1.0]
        assert average_precision_thumos(truth, found, [0.5]) == [0.0]
        assert average_precision_thumos(truth, found, [0.49]) == [1.0]

    def test_the_better_overlap_wins_in_thumos_the_better_score_in_activitynet(self) -> None:
        truth = [TrueSpan("v", "run", 0, 10)]
        found = [FoundSpan("v", "run", 0, 7, 0.9), FoundSpan("v", "run", 0, 9, 0.5)]
        assert average_precision_activitynet(truth, found, [0.5]) == [1.0]
        assert average_precision_thumos(truth, found, [0.5]) == [0.5]

    def test_only_thumos_forgives_ambiguous_stretches(self) -> None:
        truth = [TrueSpan("v", "run", 0, 10), TrueSpan("v", AMBIGUOUS, 20, 30)]
        found = [FoundSpan("v", "run", 21, 25, 0.9), FoundSpan("v", "run", 0, 10, 0.5)]
        thumos = mean_average_precision(truth, found, [0.5], "thumos")
        assert thumos.average_precision == {"run": (1.0,)}
        activitynet = mean_average_precision(truth, found, [0.5])
        assert activitynet.average_precision == {"run": (0.5,), AMBIGUOUS: (0.0,)}

    def test_a_true_span_counts_once_and_a_video_apart(self) -> None:
        truth = [TrueSpan("v", "run", 0, 10), TrueSpan("w", "run", 0, 10)]
        found = [FoundSpan("v", "run", 0, 10, 0.9), FoundSpan("v", "run", 0, 10, 0.8)]
        for protocol in THRESHOLDS:
            assert mean_average_precision(truth, found, [0.5], protocol).mean == (0.5,)

    @pytest.mark.parametrize("protocol", THRESHOLDS)
    def test_nothing_found(self, protocol: str) -> None:
        truth = [TrueSpan("v", "run", 0, 10)]
        assert mean_average_precision(truth, [], protocol=protocol).average == 0.0  # type: ignore[arg-type]

    def test_refusals(self) -> None:
        with pytest.raises(ValueError, match="at least one true span"):
            mean_average_precision([], [FoundSpan("v", "run", 0, 1, 0.5)])
        with pytest.raises(ValueError, match="must be one of activitynet, thumos"):
            mean_average_precision([TrueSpan("v", "run", 0, 1)], [], protocol="coco")  # type: ignore[arg-type]


class TestOverlap:
    def test_iou(self) -> None:
        got = temporal_iou([[0, 4], [5, 5]], [[2, 6], [4, 8], [0, 4], [5, 5]])
        assert got == pytest.approx(np.array([[1 / 3, 0, 1, 0], [0, 0, 0, 0]]))
        assert temporal_iou(np.zeros((0, 2)), [[0, 1]]).shape == (0, 1)
        assert temporal_iou([[0, 1]], []).shape == (1, 0)

    def test_soft_nms(self) -> None:
        spans = [[0, 4], [2, 6], [100, 101], [0, 4]]
        order, scores = soft_nms(spans, [0.9, 0.8, 0.3, 0.5], sigma=0.5)
        second = 0.8 * math.exp(-((1 / 3) ** 2) / 0.5)
        same = 0.5 * math.exp(-1 / 0.5) * math.exp(-((1 / 3) ** 2) / 0.5)
        assert order.tolist() == [0, 1, 2, 3]
        assert scores == pytest.approx([0.9, second, 0.3, same])

    def test_soft_nms_limits(self) -> None:
        spans, given = [[0, 1], [0, 1], [5, 6]], np.array([0.4, 0.4, 0.001])
        order, scores = soft_nms(spans, given, sigma=0.1, min_score=0.01)
        assert order.tolist() == [0]
        assert scores == pytest.approx([0.4])
        assert given.tolist() == [0.4, 0.4, 0.001]
        assert soft_nms(spans, given, limit=1)[0].tolist() == [0]
        assert len(soft_nms(np.zeros((0, 2)), [])[0]) == 0
