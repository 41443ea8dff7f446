"""Backbones that name actions beside the encoder, in the same decode pass: dense frames in, segments out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from encoders.errors import InvalidQueryError
from encoders.heads.action_names import normalise_action
from encoders.heads.head import ActionSpan
from encoders.heads.segmentation import segments_from_curve
from indexer.video.types import SampledClip, SamplingOptions
from search.catalog.tracks import shot_window_of, track_of_clips
from search.library import Library

if TYPE_CHECKING:
    from encoders.heads.kinetics import KineticsClassifier

# Of a softmax over 400 names: what counts when nobody asks, and what is kept for those who do.
THRESHOLD = 0.4
KEPT_FROM = 0.2


def window_hint(classifier: KineticsClassifier, sampling: SamplingOptions) -> str | None:
    """A hint for people whose clips are shorter than what the network watches at a time; else None."""
    if sampling.clip_seconds >= classifier.window_seconds:
        return None
    share = 1 - sampling.clip_seconds / classifier.window_seconds
    return (
        f"{classifier.spec} watches {classifier.window_seconds:.1f} s at a time: in clips of "
        f"{sampling.clip_seconds:g} s, {share:.0%} of that is the last frame repeated. It sees more with "
        f"--clip-seconds {math.ceil(classifier.window_seconds)}"
    )


class BackboneWatch:
    """Watches one video with a classifier, clip by clip.

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


def prepare_backbone(
    library: Library,
    sampling: SamplingOptions,
    device: str,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[SamplingOptions, KineticsClassifier]:
    """Loads the classifier that the sampling names, and enters it as a head of the library.

    The sampling that comes back names its weights. Videos that others have looked at are sampled
    otherwise, so an ingest reads them again; what other weights of this name said is gone at once.

    Args:
        library: With a record.
        sampling: That names a classifier.
        device: As for `open_classifier`.
        say: Told that the weights are others than before.

    Raises:
        EncoderUnavailableError: It cannot be had here.
    """
    from encoders.heads.kinetics import open_classifier

    assert sampling.actions is not None
    classifier = open_classifier(sampling.actions, device=device)
    try:
        sampling = replace(
            sampling,
            actions=classifier.spec,
            classifier_id=classifier.classifier_id,
            dense_fps=float(classifier.fps),
            dense_size=classifier.frame_size,
        )
    except ValueError as error:  # clips too long to hold that many frames of
        raise InvalidQueryError(f"{classifier.spec} cannot watch clips like these: {error}") from error
    with library.write() as catalog:
        catalog.set_library(sampling=sampling.to_json())
        known = {head.name: head for head in catalog.actions.heads()}.get(classifier.spec)
        if known is not None and known.encoder_id != classifier.classifier_id:
            catalog.actions.remove_head(known.id)  # other weights: what it said no longer holds
            say(f"{classifier.spec} has other weights than before: what those said is forgotten")
            known = None
        if known is None:
            catalog.actions.add_head(
                kind=classifier.kind,
                name=classifier.spec,
                encoder_id=classifier.classifier_id,
                actions=[normalise_action(name) for name in classifier.actions],
                threshold=THRESHOLD,
                card={},
                parameters=None,
                is_active=True,
            )
    return sampling, classifier


def forget_empty_backbones(library: Library, sampling: SamplingOptions, say: Callable[[str], None]) -> None:
    """Forgets backbones of which nothing is left; says how many videos this one has not looked at."""
    with library.write() as catalog:
        catalog.actions.remove_empty_backbones(but=sampling.actions or "")
        counts = catalog.count_by_sampling()
    others = 0
    for text, count in counts.items():
        try:
            stored = SamplingOptions.from_json(text)
        except ValueError:  # damaged: `indexer check` says so
            continue
        if (stored.actions, stored.classifier_id) != (sampling.actions, sampling.classifier_id):
            others += count
    if others:
        say(
            f"{others} videos of this library were not looked at by {sampling.actions}: they are not in the "
            "paths given here. Ingest them as well, and they will be"
        )
