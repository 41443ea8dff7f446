"""Actions by their names alone: labels through the encoder's text tower, compared with its features.

As in CLIP (Radford et al. 2021, arXiv:2103.00020, section 3.1.4): a label is the mean of the embeddings
of several sentences about it, and what a picture shows is the softmax over its scaled cosines with all
labels. Two things are added, since an archive mostly shows none of the labels. Sentences about nothing
in particular take part in the softmax, so that "none of these" is an answer. And a label must stand out
from what the library usually gives it, because some labels are hubs that resemble every picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from encoders.embedding.encoder import Encoder
from encoders.errors import HeadFileError, InvalidQueryError, UnsupportedQueryError
from encoders.heads.action_names import content_stems, normalise_action
from encoders.heads.head import ActionSpan, FeatureTrack
from encoders.types import normalise
from encoders.weights.tensors import pack, unpack

# Few, because 400 names times the sentences keep the text tower of a large model busy for a minute.
TEMPLATES = ("{}", "a photo of a person {}.", "a video of people {}.")
# What footage shows when it shows no action, or one too common to have been asked for. A sentence
# that holds all the words of a label is left out, so that no label competes with itself.
BACKGROUND = tuple(
    """a photo|a blurry picture|a video|a black screen|a white background|a dark picture|an abstract pattern
    |text on a screen|a title card|a logo|a diagram|a map|a screenshot of a website|a cartoon
    |an empty room|a room with furniture|a building|a street|a city from above|a landscape|a forest
    |the sky with clouds|the sea|a mountain|a road with cars|a parked vehicle|an animal|a plant
    |an object on a table|a product on a plain background|a machine|a wall|a portrait
    |a face looking into the camera|a person standing still|a person sitting on a chair
    |a person talking to the camera|people talking to each other|a group of people|a crowd
    |an audience in a hall|a hand""".replace("\n    ", "").split("|")
)  # fmt: skip

SCALE = 100.0  # what CLIP's training ends with; section 2.4 of the paper keeps it at most that
WINDOW_SECONDS = 2.0

# From which probability a label counts: it must have nearly half the softmax to itself, ...
BASE_CUT_OFF = 0.4
# ... but never need more than this, however usual it is in the library.
HIGHEST_CUT_OFF = 0.8
# Above the library's usual log-odds by this many standard deviations it stands out.
DEVIATIONS = 2.0
MIN_SAMPLE = 32  # fewer features say nothing about what is usual
# A segment goes on while the probability stays above this share of its label's cut-off.
CONTINUES_AT = 0.5
_ROWS_AT_ONCE = 4096
# Each array of a head, in the order of its attributes, with its type and number of dimensions.
_ARRAYS: dict[str, tuple[type, int]] = {
    "labels": (np.float32, 2),
    "background": (np.float32, 2),
    "thresholds": (np.float32, 1),
}


@dataclass(frozen=True, slots=True, eq=False)
class ZeroShotHead:
    """Labels as vectors; see the module's docstring.

    Attributes:
        actions: C names as `normalise_action` spells them, all different.
        encoder_id: Whose features it reads.
        scale: What cosines are multiplied by before the softmax, above 0.
        labels: float32 (C, D), unit vectors.
        background: float32 (B, D), unit vectors of what is no action.
        thresholds: float32 (C,), the probability from which each label counts, 0..1.

    Raises:
        ValueError: A shape or number is not as stated.
    """

    actions: tuple[str, ...]
    encoder_id: str
    scale: float
    labels: NDArray[np.float32]
    background: NDArray[np.float32]
    thresholds: NDArray[np.float32]
    kind = "zero-shot"
    threshold = 0.0  # the cut-offs, one for each of its names, are inside it

    def __post_init__(self) -> None:
        count, dim = len(self.actions), self.labels.shape[-1]
        shapes = (self.labels.shape, self.background.shape[1:], self.thresholds.shape)
        if not count or shapes != ((count, dim), (dim,), (count,)):
            raise ValueError(f"{count} actions do not fit arrays of the shapes {shapes}")
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"the scale must be a number above 0, got {self.scale}")
        for values in (self.labels, self.background, self.thresholds):
            if values.dtype != np.float32 or not np.isfinite(values).all():
                raise ValueError(f"expected finite float32, got {values.dtype} with {values}")

    def probabilities(self, track: FeatureTrack) -> NDArray[np.float32]:
        """P(a | V) around each sample: float32 (T, C), 0..1, each row's sum at most 1.

        The features of two seconds of one shot are averaged before they are compared. (The mean of
        the cosines is the same thing, since a product with the labels is linear; and cheaper.)

        Raises:
            ValueError: The features have another D than the labels.
        """
        return self._softmax(_smooth(self._cosines(track.features), track))[:, : len(self.actions)]

    def calibrate(self, sample_features: NDArray[np.floating]) -> ZeroShotHead:
        """The same head, with cut-offs that know what is usual in a library.

        A label's probability depends on its words as much as on the picture: some labels are hubs,
        near to every picture, and a cut-off for all would have them everywhere. So a label must also
        stand out from the library's own background, by two standard deviations of its log-odds above
        their median. The deviation is measured below the median, since above it are the pictures that
        do show the action. For most labels that level is far below 0.4, which then decides.

        Where half the library shows the action, its median is no background. Hence no label ever needs
        more than 0.8: more than that of the softmax is the action itself, not a hub among 400 labels, and
        an archive of nothing but skiing is still tagged so.

        Args:
            sample_features: float (S, D), features or embeddings from all over the library. With
                fewer than 32 of them the cut-off is 0.4 for each label.
        """
        thresholds = np.full(len(self.actions), BASE_CUT_OFF, np.float32)
        if len(sample_features) >= MIN_SAMPLE:
            shares = self._softmax(self._cosines(sample_features))[:, : len(self.actions)]
            shares = np.clip(shares.astype(np.float64), 1e-9, 1 - 1e-9)
            low, median = np.quantile(np.log(shares / (1 - shares)), (0.1587, 0.5), axis=0)
            level = median + DEVIATIONS * (median - low)
            usual = 1 / (1 + np.exp(-level))
            thresholds = np.clip(usual, BASE_CUT_OFF, HIGHEST_CUT_OFF).astype(np.float32)
        return replace(self, thresholds=thresholds)

    def localise(self, track: FeatureTrack) -> list[ActionSpan]:
        """Segments in order of time; those of one action do not overlap.

        Their confidence is the probability of the softmax: comparable between segments, but measured
        against no labelled footage.
        """
        from encoders.heads.segmentation import segments_from_curve

        if not len(track):
            return []
        probabilities = self.probabilities(track)
        spans = []
        for index in np.flatnonzero((probabilities >= self.thresholds).any(axis=0)).tolist():
            high = float(self.thresholds[index])
            curve = probabilities[:, index]
            for start, end, confidence in segments_from_curve(
                track, curve, high=high, low=CONTINUES_AT * high
            ):
                spans.append(ActionSpan(self.actions[index], start, end, min(confidence, 1.0)))
        return sorted(spans, key=lambda span: (span.start_seconds, span.end_seconds, span.action))

    def renamed(self, actions: tuple[str, ...]) -> ZeroShotHead:
        """The same head with other names for its labels, in the same order."""
        return replace(self, actions=actions)

    def check(self, dim: int) -> None:
        """Checks a head out of a file for features (T, D). Raises HeadFileError."""
        if self.labels.shape[1] != dim:
            raise HeadFileError(
                f"the head reads features of {self.labels.shape[1]} dimensions, expected {dim}"
            )

    def to_bytes(self) -> bytes:
        """The head as safetensors."""
        return pack(
            {name: getattr(self, name) for name in _ARRAYS},
            kind=self.kind,
            actions=self.actions,
            encoder_id=self.encoder_id,
            scale=self.scale,
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> ZeroShotHead:
        """Reads what `to_bytes` wrote. Raises HeadFileError."""
        tensors, card = unpack(content, cls.kind, _ARRAYS)
        try:
            actions = _distinct(card["actions"])
            return cls(
                actions, str(card["encoder_id"]), float(card["scale"]), *(tensors[name] for name in _ARRAYS)
            )
        except (InvalidQueryError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise HeadFileError(f"the head's file is damaged ({error!r}): export it again") from error

    def _cosines(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """float32 (T, C + B)."""
        words = np.concatenate([self.labels, self.background])
        if features.ndim != 2 or features.shape[1] != words.shape[1]:
            raise ValueError(f"features must be (T, {words.shape[1]}), got {features.shape}")
        cosines = np.empty((len(features), len(words)), np.float32)
        for start in range(0, len(features), _ROWS_AT_ONCE):
            cosines[start : start + _ROWS_AT_ONCE] = (
                normalise(features[start : start + _ROWS_AT_ONCE]) @ words.T
            )
        return cosines

    def _softmax(self, cosines: NDArray[np.float32]) -> NDArray[np.float32]:
        shares = np.exp(self.scale * (cosines - cosines.max(axis=1, keepdims=True)))
        shares /= shares.sum(axis=1, keepdims=True)
        return shares


def make_zero_shot_head(
    encoder: Encoder,
    actions: Sequence[str],
    *,
    name_templates: Sequence[str] = TEMPLATES,
    scale: float = SCALE,
) -> ZeroShotHead:
    """A head for any labels, uncalibrated: each counts from a probability of 0.4.

    Args:
        encoder: One with a text side.
        actions: The labels; spelled by `normalise_action`, repetitions dropped.
        name_templates: Sentences about a label, each with one "{}".
        scale: The encoder's own, where it was trained with one; models of the CLIP family near 100.

    Raises:
        InvalidQueryError: There is no action, or one is no name.
        UnsupportedQueryError: The encoder has no text side.
    """
    if not encoder.has_text:
        raise UnsupportedQueryError(
            f"the encoder {encoder.spec} has no text side, so it knows no action by its name; teach it from "
            "examples, or choose an encoder with text"
        )
    names = _distinct([normalise_action(action) for action in actions])
    if not names:
        raise InvalidQueryError("there is no action to look for: name at least one")
    taken = [stems for stems in map(content_stems, names) if stems]
    others = [text for text in BACKGROUND if not any(stems <= content_stems(text) for stems in taken)]
    sentences = [template.format(name) for name in names for template in name_templates]
    vectors = encoder.encode_text([*sentences, *others]).vectors
    by_name = vectors[: len(sentences)].reshape(len(names), len(name_templates), -1)
    return ZeroShotHead(
        names,
        encoder.encoder_id,
        scale,
        normalise(by_name.mean(axis=1)),
        vectors[len(sentences) :].copy(),
        np.full(len(names), BASE_CUT_OFF, np.float32),
    )


def _smooth(values: NDArray[np.float32], track: FeatureTrack) -> NDArray[np.float32]:
    """The means of the rows within half a window of each, in the same shot: float32 (T, N)."""
    times, shots = track.times_seconds, track.shots
    reach = WINDOW_SECONDS / 2 + 1e-6
    first = np.maximum(np.searchsorted(times, times - reach), np.searchsorted(shots, shots))
    stop = np.minimum(
        np.searchsorted(times, times + reach, side="right"), np.searchsorted(shots, shots, side="right")
    )
    smooth = np.empty_like(values)
    for start in range(0, len(values), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        low = int(first[rows][0])
        sums = np.zeros((int(stop[rows][-1]) - low + 1, values.shape[1]))
        np.cumsum(values[low : low + len(sums) - 1], axis=0, dtype=np.float64, out=sums[1:])
        total = sums[stop[rows] - low] - sums[first[rows] - low]
        smooth[rows] = total / (stop[rows] - first[rows])[:, None]
    return smooth


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(normalise_action(name) for name in names))
