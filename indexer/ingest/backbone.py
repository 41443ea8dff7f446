"""A Kinetics classifier beside the encoder, in the same decode pass: dense frames in, segments out."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from encoders.heads.action_names import normalise_action
from encoders.heads.head import ActionSpan
from encoders.heads.segmentation import segments_from_curve
from indexer.video.types import SampledClip, SamplingOptions
from search.catalog.tracks import shot_window_of, track_of_clips

if TYPE_CHECKING:
    from encoders.heads.kinetics import KineticsClassifier

# Of a softmax over 400 names: what counts when nobody asks, and what is kept for those who do.
THRESHOLD = 0.4
KEPT_FROM = 0.2


def window_hint(classifier: KineticsClassifier, sampling: SamplingOptions) -> str | None:
    """What to say to people whose clips are shorter than what the network watches at a time."""
    if sampling.clip_seconds >= classifier.window_seconds:
        return None
    share = 1 - sampling.clip_seconds / classifier.window_seconds
    return (
        f"{classifier.spec} watches {classifier.window_seconds:.1f} s at a time: in clips of "
        f"{sampling.clip_seconds:g} s, {share:.0%} of that is the last frame repeated. It sees more with "
        f"--clip-seconds {math.ceil(classifier.window_seconds)}"
    )


class BackboneWatch:
    """What a classifier sees in one video, clip by clip.

    Args:
        classifier: Shared by all videos of an ingest.
        sampling: How the video is sampled.
    """

    def __init__(self, classifier: KineticsClassifier, sampling: SamplingOptions) -> None:
        self._classifier = classifier
        self._shot_window = shot_window_of(sampling.to_json())
        self._rows: list[SimpleNamespace] = []

    def look(self, clip: SampledClip) -> None:
        """Classifies the windows of one clip; clips come in order of time."""
        times, probabilities = self._classifier.classify(clip.dense or clip.frames)
        self._rows.append(
            SimpleNamespace(
                start_seconds=clip.start_seconds,
                end_seconds=clip.end_seconds,
                times=np.clip(times, clip.start_seconds, clip.end_seconds).tobytes(),
                features=probabilities.astype(np.float16).tobytes(),
            )
        )

    def spans(self) -> list[ActionSpan]:
        """The segments of every action that was seen, in order of time."""
        if not self._rows:
            return []
        # The probabilities are the track's features: one curve over time for each name.
        track = track_of_clips(self._rows, len(self._classifier.actions), self._shot_window)
        found = []
        for number in np.flatnonzero(track.features.max(axis=0) >= KEPT_FROM).tolist():
            curve = track.features[:, number].astype(np.float32)
            for start, end, confidence in segments_from_curve(
                track, curve, high=KEPT_FROM, low=KEPT_FROM / 2
            ):
                if confidence >= KEPT_FROM:
                    name = normalise_action(self._classifier.actions[number])
                    found.append(ActionSpan(name, start, end, min(confidence, 1.0)))
        return sorted(found, key=lambda span: span.start_seconds)
