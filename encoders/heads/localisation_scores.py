"""Evaluation and calibration of a localisation head on videos that it has not seen.

Used on held-out videos only: of what was learned from, every score flatters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from encoders.evaluation.detection import FoundSpan, TrueSpan, mean_average_precision, temporal_iou
from encoders.heads.head import ActionSpan
from encoders.heads.platt import fit_platt

RIGHT_OVERLAP = 0.5  # tIoU from which a found span is the true one
THRESHOLDS = (0.5, 0.4, 0.6, 0.3, 0.7)  # in order of preference where they do equally well
CLEARLY_BETTER = 0.02  # in F1, for a threshold that is further down

Spans = Sequence[Sequence[ActionSpan]]  # by video


def drop_overlaps(spans: Sequence[ActionSpan]) -> list[ActionSpan]:
    """Spans of one action made disjoint, the surest first: what is left of one after a cut, if half is."""
    kept: dict[str, list[ActionSpan]] = {}
    for span in spans:
        start, end = span.start_seconds, span.end_seconds
        for other in kept.setdefault(span.action, []):
            if other.start_seconds <= start < other.end_seconds:
                start = other.end_seconds
            if other.start_seconds < end <= other.end_seconds:
                end = other.start_seconds
            if start < other.start_seconds and other.end_seconds < end:
                end = start  # it holds a surer one
        if end - start >= 0.5 * (span.end_seconds - span.start_seconds):
            kept[span.action].append(ActionSpan(span.action, start, end, span.confidence))
    return [span for of_action in kept.values() for span in of_action]


def fit_calibration(proposals: Spans, labels: Spans) -> tuple[float, float]:
    """a and b of sigma(a * logit + b): how often a span of this score overlaps a true one by half.

    Temperature alone cannot move the centre, and focal loss leaves scores too low. Where all are right
    or all wrong there is nothing to learn, and nothing is changed.
    """
    scores, right = [], []
    for found, wanted in zip(proposals, labels, strict=True):
        disjoint = drop_overlaps(found)
        scores += [span.confidence for span in disjoint]
        right += [bool(best >= RIGHT_OVERLAP) for best in _best_overlaps(disjoint, wanted)]
    chances, flags = np.array(scores), np.array(right, dtype=bool)
    if flags.all() or not flags.any():
        return (1.0, 0.0)
    return fit_platt(np.log(chances / (1 - chances)), flags, prior=float(flags.mean()))


def best_threshold(found: Spans, labels: Spans) -> float:
    """The confidence, of `THRESHOLDS`, from which what is found has the best F1."""
    best, chosen = -1.0, THRESHOLDS[0]
    for threshold in THRESHOLDS:
        told = [[span for span in spans if span.confidence >= threshold] for spans in found]
        count = sum(len(spans) for spans in told) + sum(len(spans) for spans in labels)
        right = met = 0
        for spans, wanted in zip(told, labels, strict=True):
            right += sum(best >= RIGHT_OVERLAP for best in _best_overlaps(spans, wanted))
            met += sum(best >= RIGHT_OVERLAP for best in _best_overlaps(wanted, spans))
        f1 = 2 * min(right, met) / max(1, count)
        if f1 > best + CLEARLY_BETTER:
            best, chosen = f1, threshold
    return chosen


def map_at_half(found: Spans, labels: Spans) -> float | None:
    """mAP at overlap 0.5 (ActivityNet's protocol); None where nothing is labelled."""
    truth = [
        TrueSpan(str(video), span.action, span.start_seconds, span.end_seconds)
        for video, spans in enumerate(labels)
        for span in spans
    ]
    said = [
        FoundSpan(str(video), span.action, span.start_seconds, span.end_seconds, span.confidence)
        for video, spans in enumerate(found)
        for span in spans
    ]
    return mean_average_precision(truth, said, [RIGHT_OVERLAP]).average if truth else None


def _best_overlaps(spans: Sequence[ActionSpan], others: Sequence[ActionSpan]) -> list[float]:
    """Each span's largest overlap with another of its action; 0 where there is none."""
    best = []
    for span in spans:
        same = [(row.start_seconds, row.end_seconds) for row in others if row.action == span.action]
        overlaps = temporal_iou([(span.start_seconds, span.end_seconds)], same)
        best.append(float(overlaps.max()) if same else 0.0)
    return best
