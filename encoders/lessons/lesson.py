"""Heads that are taught: an action learned from a handful of examples, on frozen features.

How it is told is learned in `encoders/lessons/learner.py`: by the kinds of things that the encoder
recognises, by logistic regression, P(a | V) = sigma(w . phi(V) + b), on the windows of
`encoders.heads.windows`, by the words of its name, whatever does best on examples held out. The same
held-out scores, never those of training, give the calibration (Platt 1999) and the figures that are reported
(`encoders/lessons/figures.py`).

Any number of examples is a lesson. One that cannot be checked, or that did not hold when it was, is a
draft: it is kept to be looked at and corrected, and says nothing where nobody asked for it.

Where people gave too little of what the action is not, other footage of the library serves as that, though
some of it may be just this, and nobody has labelled it. How much is estimated from the held-out scores
(best bin estimation); so many of its most suspicious pieces are left out, the rest is learned from anew,
and so on for a few rounds (both Garg et al. 2021, arXiv:2111.00980). The calibration reckons with the same
share.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.errors import TeachingError
from encoders.heads.head import FeatureTrack
from encoders.heads.taught import NEUTRAL_LOG_ODDS, TaughtHead, sigmoid
from encoders.lessons.figures import Share, choose_threshold, count_scenes, why_draft
from encoders.lessons.learner import Learner
from encoders.words.concepts import Concepts

DRAFT_THRESHOLD = 0.3  # at most: whoever looks at a draft is to judge what it shows, and so it shows more


@dataclass(frozen=True, slots=True)
class Footage:
    """Footage that shows the action, or that does not.

    Attributes:
        track: Its features.
        source: Examples of one source (a file, a video) are held out together.
        is_file: Whether it is a file of its own, which may be a piece of another, and no video of a library.
    """

    track: FeatureTrack
    source: str
    is_file: bool = False


@dataclass(frozen=True, slots=True)
class TeachReport:
    """The report of a lesson: its examples, and the figures on those that were held out.

    Attributes:
        positives, negatives: Examples given: clips, spans or files.
        background: Pieces of other footage of the library that were looked at.
        set_aside: Pieces of it that looked too much like the action to be taken for what it is not.
        precision, recall: By cross-validation, an example counting as found when its confidence reaches the
            threshold (were the action as common as one clip in five), and every video once; None where
            nothing could be held out.
        average_precision: Area under precision over recall, held out, by examples.
        calibration_error: Expected calibration error of the held-out confidences, before they were
            fitted to one another again; None where they are too few.
        mix: What the head goes by.
        by_source: Whether whole sources were held out; else examples of one source are on both sides, and
            the figures flatter.
        seconds: Wall time.
        videos: That the examples of the action are from; files of one scene, one after the other, are one.
        precision_low, precision_high, recall_low, recall_high: Their 95 % intervals, of as many videos.
        is_draft: Whether it could not be checked, or did not hold.
        reason: Why it is a draft, as a clause; "" where it is none.
    """

    positives: int
    negatives: int
    background: int
    set_aside: int
    precision: float | None
    recall: float | None
    average_precision: float | None
    calibration_error: float | None
    mix: str
    by_source: bool
    seconds: float
    videos: int = 0
    precision_low: float | None = None
    precision_high: float | None = None
    recall_low: float | None = None
    recall_high: float | None = None
    is_draft: bool = False
    reason: str = ""


def teach(
    action: str,
    positives: Sequence[Footage],
    negatives: Sequence[Footage],
    background: Sequence[Footage],
    *,
    encoder_id: str,
    concepts: Concepts | None = None,
    name: NDArray[np.floating] | None = None,
    on_progress: Callable[[str], None] = lambda _: None,
) -> tuple[TaughtHead, TeachReport]:
    """Learns an action.

    Args:
        action: Its name.
        positives: Examples of it, one or more.
        negatives: Examples of what it is not; may be empty where there is background.
        background: Other footage of the library, presumably not the action; may be empty.
        encoder_id: Of the encoder that all features come from.
        concepts: Sets of what the encoder recognises; None where it offers none.
        name: The text that names the action, (D,), by the same encoder; None where it says nothing.
        on_progress: Told what is being done.

    Raises:
        TeachingError: There is no example, or nothing to tell it from.
    """
    from threadpoolctl import threadpool_limits

    started = time.perf_counter()
    if not positives:
        raise TeachingError(f"there is no example of {action!r} to learn from; give one or more")
    if not (negatives or background):
        raise TeachingError(
            f"there is nothing but {action!r} to tell it from: index more footage, or give clips of other "
            "things with --not"
        )
    with threadpool_limits(1):  # small products: two threads would wait for each other
        on_progress("comparing the examples")
        examples = [*positives, *negatives, *background]
        tracks, sources = [one.track for one in examples], [one.source for one in examples]
        scenes = count_scenes(tracks, sources, [one.is_file for one in examples])
        # What is of one scene is held out together.
        learner = Learner(tracks, scenes.tolist(), (len(positives), len(negatives)), concepts, name)
        on_progress("learning")
        way = learner.choose()
        scores = learner.scores(way)
        # Before any background is set aside: without what it was most wrong about, anything looks learned.
        area = learner.area_under_roc(scores)
        scores = learner.leave_out_alike(way, scores)
        slope, offset, error = learner.calibrate(scores)
        learned = learner.learn(way)
        more_common = learner.more_common(scores, slope, offset)
    confidences = np.asarray(sigmoid(slope * scores + offset), np.float64)
    counted = learner.counted
    threshold, *figures = choose_threshold(confidences[counted], learner.labels[counted], scenes[counted])
    videos = len(np.unique(scenes[learner.labels]))
    precision, recall = figures if learner.is_checked else (None, None)
    others = len(np.unique(scenes[counted & ~learner.labels]))
    reason = why_draft(videos, others, precision, recall, area)
    rarer = float(sigmoid(math.log(threshold / (1 - threshold)) + more_common))
    head = TaughtHead(
        action,
        encoder_id,
        (slope * learned.weights).astype(np.float32),
        float(slope * learned.bias + offset + more_common),
        threshold=min(rarer, DRAFT_THRESHOLD) if reason else rarer,
        kinds=learned.kinds,
        kinds_gain=slope * learned.kinds_gain if learned.kinds is not None else 0.0,
        neutral=NEUTRAL_LOG_ODDS + min(0.0, more_common),
    )
    report = TeachReport(
        positives=len(positives),
        negatives=len(negatives),
        background=len(background),
        set_aside=learner.set_aside,
        average_precision=learner.average_precision(scores) if learner.is_checked else None,
        calibration_error=error if learner.is_checked else None,
        mix=str(way),
        by_source=learner.by_source,
        seconds=time.perf_counter() - started,
        videos=videos,
        is_draft=bool(reason),
        reason=reason,
        **_ends("precision", precision),
        **_ends("recall", recall),
    )
    return head, report


def _ends(name: str, share: Share | None) -> dict[str, float | None]:
    """A figure and its interval, as the report calls them."""
    ends = (None, None, None) if share is None else (share.value, share.low, share.high)
    return dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
