"""An anchor-free head that finds actions in time, trained on labelled spans.

As in ActionFormer (Zhang et al. 2022, arXiv:2202.07925): over a pyramid of time scales every point says
how surely each action is under way, sigma(f(h_t)), and how far its start and end lie before and behind
it; soft-NMS thins the proposals out. It is smaller in every way, to be trained in seconds on two cores:

- Features are reduced to the 64 directions in which the training videos vary most, once, before
  training. A step then costs a tenth, and noise in the other directions cannot be learnt by heart.
- The network also reads how the features change over 1 and over 4 samples to either side: what only moves
  differently looks the same in every single frame.
- Depthwise convolutions stand where ActionFormer has local attention.

The borders are regressed in fractions of a sample, so they may fall between two samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.errors import EncoderMismatchError, HeadFileError
from encoders.evaluation.detection import soft_nms
from encoders.heads.head import ActionSpan, FeatureTrack, check_numbers
from encoders.heads.localisation_network import (
    CHANGES,
    STRIDES,
    Network,
    Reduction,
    cell_points,
    pad_videos,
)
from encoders.heads.localisation_scores import best_threshold, drop_overlaps, fit_calibration, map_at_half
from encoders.heads.taught import LEAST_CONFIDENCE
from encoders.weights.tensors import pack, unpack

KIND = "localiser"
MIN_SCORE = 0.02  # of a proposal


class Localiser:
    """A trained localisation head; made by `train_localiser`.

    Attributes:
        kind: "localiser".
        actions: The names that it knows.
        encoder_id: Whose features it reads.
        calibration: a and b of confidence = sigma(a * logit(score) + b); 1 and 0 where too few videos
            were given to hold any out.
        held_out_map: mAP at overlap 0.5 on the videos held out, or None.
        threshold: The confidence from which its spans count: that of the best F1 on the videos held out.
    """

    kind = KIND

    def __init__(
        self,
        network: Network,
        reduction: Reduction,
        actions: tuple[str, ...],
        encoder_id: str,
        calibration: tuple[float, float] = (1.0, 0.0),
        held_out_map: float | None = None,
        threshold: float = 0.5,
    ) -> None:
        self._network = network
        self._reduction = reduction
        self.actions = actions
        self.encoder_id = encoder_id
        self.calibration = calibration
        self.held_out_map = held_out_map
        self.threshold = threshold

    @property
    def dim(self) -> int:
        """D of the features that it reads."""
        return len(self._reduction.mean)

    def renamed(self, actions: tuple[str, ...]) -> Localiser:
        """The same head with other names for its actions, in the same order."""
        if len(actions) != len(self.actions):
            raise ValueError(f"the head knows {len(self.actions)} actions, got {len(actions)} names")
        return self._but(actions=actions)

    def check(self, dim: int) -> None:
        """Checks a head out of a file for features (T, D): it must know one action. Raises HeadFileError."""
        if self.dim != dim or len(self.actions) != 1:
            raise HeadFileError(
                f"the head reads features of {self.dim} dimensions and knows {len(self.actions)} actions, "
                f"expected {dim} and 1"
            )
        check_numbers(self.calibration, self.threshold)

    def calibrate_on(
        self, tracks: Sequence[FeatureTrack], labels: Sequence[Sequence[ActionSpan]]
    ) -> Localiser:
        """The same head, calibrated on videos that it has not seen, with its threshold and its mAP there."""
        raw = self._but(calibration=(1.0, 0.0))
        fitted = raw._but(calibration=fit_calibration([raw.propose(track) for track in tracks], labels))
        found = [fitted.localise(track) for track in tracks]
        return fitted._but(held_out_map=map_at_half(found, labels), threshold=best_threshold(found, labels))

    def adopt_calibration(self, judge: Localiser) -> Localiser:
        """The same head with the calibration, threshold and mAP of one that was trained on fewer videos."""
        return self._but(
            calibration=judge.calibration, held_out_map=judge.held_out_map, threshold=judge.threshold
        )

    def _but(self, **changes: Any) -> Localiser:
        names = ("actions", "encoder_id", "calibration", "held_out_map", "threshold")
        card = {name: getattr(self, name) for name in names} | changes
        return Localiser(self._network, self._reduction, **card)

    def propose(self, track: FeatureTrack) -> list[ActionSpan]:
        """All proposals that soft-NMS leaves, surest first; those of one action may overlap.

        Raises:
            EncoderMismatchError: The features are not as wide as those that the head was trained on.
        """
        if len(track) == 0:
            return []
        if track.features.shape[1] != self.dim:
            raise EncoderMismatchError(
                f"the head reads features of {self.dim} dimensions ({self.encoder_id}), "
                f"got {track.features.shape[1]}; train it again on this library's encoder"
            )
        batch, lengths = pad_videos([self._reduction(track.features)])
        with torch.inference_mode():
            logits, distances, mask = self._network(batch, lengths)
        real = mask[0].numpy()
        points = cell_points(batch.shape[1])[0][real, None]
        spans = points + distances[0].numpy()[real].astype(np.float64) * (-1.0, 1.0)
        places = np.arange(len(track) + 1)
        seconds = np.interp(spans, places, track.borders_seconds)
        scores = torch.sigmoid(logits[0]).numpy()[real].astype(np.float64)
        found = []
        for index, action in enumerate(self.actions):
            likely = (scores[:, index] >= MIN_SCORE) & (seconds[:, 0] < seconds[:, 1])
            for (start, end), score in _thinned(seconds[likely], scores[likely, index]):
                found.append(ActionSpan(action, start, end, self._confidence(score)))
        return sorted(found, key=lambda span: (-span.confidence, span.start_seconds, span.action))

    def localise(self, track: FeatureTrack) -> list[ActionSpan]:
        """Spans in order of time, those of one action apart from each other.

        Like those of a taught head they reach down to `LEAST_CONFIDENCE`, below any threshold.

        Raises:
            EncoderMismatchError: As `propose` does.
        """
        spans = [span for span in drop_overlaps(self.propose(track)) if span.confidence >= LEAST_CONFIDENCE]
        return sorted(spans, key=lambda span: (span.start_seconds, span.end_seconds, span.action))

    def to_bytes(self) -> bytes:
        """The head as safetensors."""
        weights = {f"network.{name}": tensor for name, tensor in self._network.state_dict().items()}
        tensors = weights | {"mean": self._reduction.mean, "basis": self._reduction.basis}
        return pack(
            {name: tensor.numpy() for name, tensor in tensors.items()},
            kind=KIND,
            encoder_id=self.encoder_id,
            actions=list(self.actions),
            strides=list(STRIDES),
            changes=list(CHANGES),
            calibration=list(self.calibration),
            held_out_map=self.held_out_map,
            threshold=self.threshold,
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> Localiser:
        """Reads what `to_bytes` wrote.

        Raises:
            HeadFileError: These are not the bytes of a localisation head, or of one of another make.
        """
        arrays, card = unpack(content, KIND, {"mean": (np.float32, 1), "basis": (np.float32, 2)})
        tensors = {name: torch.from_numpy(values.copy()) for name, values in arrays.items()}
        try:
            if (card["strides"], card["changes"]) != (list(STRIDES), list(CHANGES)):
                raise ValueError(f"its strides are {card['strides']}, its changes {card['changes']}")
            reduction = Reduction(tensors.pop("mean"), tensors.pop("basis"))
            if len(reduction.mean) != len(reduction.basis):
                raise ValueError("its mean and basis differ in width")
            if not card["actions"]:
                raise ValueError("it knows no action")
            network = Network(reduction.basis.shape[1] * (1 + len(CHANGES)), len(card["actions"]))
            network.load_state_dict({name.removeprefix("network."): value for name, value in tensors.items()})
            slope, shift = (float(value) for value in card["calibration"])
            actions, encoder_id = tuple(map(str, card["actions"])), str(card["encoder_id"])
            held_out_map, threshold = card["held_out_map"], float(card["threshold"])
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            raise HeadFileError(
                f"this version cannot read the localisation head ({error}): train it again"
            ) from error
        network.eval().requires_grad_(False)
        return cls(network, reduction, actions, encoder_id, (slope, shift), held_out_map, threshold)

    def _confidence(self, score: float) -> float:
        slope, shift = self.calibration
        return float(1 / (1 + np.exp(-(slope * np.log(score / (1 - score)) + shift))))


def _thinned(
    spans: NDArray[np.float64], scores: NDArray[np.float64]
) -> Iterator[tuple[tuple[float, float], float]]:
    """Soft-NMS, one chain of overlapping spans after the other: its cost grows with their square."""
    order = np.argsort(spans[:, 0], kind="stable")
    spans, scores = spans[order], scores[order]
    reached = np.maximum.accumulate(spans[:, 1])
    breaks = [0, *(np.flatnonzero(spans[1:, 0] >= reached[:-1]) + 1).tolist(), len(spans)]
    for first, last in pairwise(breaks):
        kept, lowered = soft_nms(spans[first:last], scores[first:last], min_score=MIN_SCORE)
        for index, score in zip(kept, lowered, strict=True):
            start, end = spans[first + index].tolist()
            yield (start, end), min(float(score), 1 - 1e-6)
