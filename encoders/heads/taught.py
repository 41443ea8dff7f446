"""A head that was taught one action (see `encoders/lessons/lesson.py`), at work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from encoders.errors import HeadFileError
from encoders.heads.head import ActionSpan, FeatureTrack, Found, HeadFamily, check_numbers
from encoders.heads.segmentation import most_likely_runs
from encoders.heads.windows import PARTS, ROWS_AT_ONCE, SCALES_SECONDS, average_windows, score_windows
from encoders.weights.tensors import pack, unpack
from encoders.words.concepts import log_odds

# Segments of less confidence are not kept: far below any threshold, room to look lower all the same.
LEAST_CONFIDENCE = 0.15
# What a segment must be worth, in nats, and the log-odds from which a sample speaks for the action.
SWITCHING_COST = 2.0
NEUTRAL_LOG_ODDS = -1.1
# What looks only faintly like the action is kept too, where nothing surer is in the shot: so many nats below.
FAINT_NATS = 2.0
# Single frames are sharp in time, windows see movement better: how much of the evidence is the former.
SHARP_SHARE = 0.75
MAX_NUMBER = 1e30  # in a head's file; log-odds are far below
KINDS = "kinds"  # beside the parts of windows, in the file of a head that has them

Numbers = TypeVar("Numbers", float, NDArray[np.floating])


@dataclass(frozen=True, slots=True)
class TaughtHead:
    """One learned action.

    Attributes:
        action: Its name.
        encoder_id: Whose features it reads.
        weights: float32 (S * P * D,), on `describe_windows`.
        bias: Added to the weighted sum; slope and offset of the calibration are in both already.
        threshold: The confidence that the best moment of a segment must reach.
        kinds: float32 (D,), on the squares of features: how much of a frame is of the kinds of things that
            the action was learned as, see `encoders/words/concepts.py`. None where it was not learned so.
        kinds_gain: What the log-odds of that share are multiplied by.
        neutral: The log-odds from which a sample speaks for the action: less for an action that is rarer
            than lessons take it to be. Segments down to as much below it are kept as below the usual one.
    """

    action: str
    encoder_id: str
    weights: NDArray[np.float32]
    bias: float
    threshold: float
    kinds: NDArray[np.float32] | None = None
    kinds_gain: float = 0.0
    neutral: float = NEUTRAL_LOG_ODDS

    kind = "taught"

    @property
    def least_confidence(self) -> float:
        """The least confidence of the segments that are kept, but for faint ones."""
        return min(LEAST_CONFIDENCE, LEAST_CONFIDENCE * math.exp(self.neutral - NEUTRAL_LOG_ODDS))

    @property
    def actions(self) -> tuple[str, ...]:
        """The one name that it knows."""
        return (self.action,)

    def probabilities(self, track: FeatureTrack) -> NDArray[np.float32]:
        """P(action) at every sample: float32 (T,)."""
        windows, _ = _logits([self], track)
        return sigmoid(windows[:, 0])

    def classify(self, track: FeatureTrack) -> float:
        """P(action) of a whole clip, 0..1; 0 where the track is empty."""
        if not len(track):
            return 0.0
        logit = float(score_windows(track, self.weights[:, None])[0].mean()) + self.bias
        if self.kinds is not None:
            share = (track.features.astype(np.float32) ** 2 @ self.kinds).mean()
            logit += self.kinds_gain * float(log_odds(share))
        return float(sigmoid(logit))

    def localise(self, track: FeatureTrack) -> list[ActionSpan]:
        """Segments of the action in order of time, sure ones and faint ones, see `localise_all`."""
        return localise_all([self], track)[0]

    def renamed(self, actions: tuple[str, ...]) -> TaughtHead:
        """The same head with another name for its one action."""
        (action,) = actions
        return replace(self, action=action)

    def check(self, dim: int) -> None:
        """Checks a head out of a file for features (T, D). Raises HeadFileError."""
        expected = len(SCALES_SECONDS) * len(PARTS) * dim
        if self.weights.shape != (expected,):
            raise HeadFileError(f"the head holds {len(self.weights)} weights, expected {expected}")
        check_numbers((self.bias,), self.threshold)

    def to_bytes(self) -> bytes:
        """The head as safetensors."""
        # A program from before there were kinds takes the file for that of another version, as it is.
        has_kinds = self.kinds is not None
        tensors = {"weights": self.weights} | ({} if self.kinds is None else {KINDS: self.kinds})
        return pack(
            tensors,
            kind=self.kind,
            action=self.action,
            encoder_id=self.encoder_id,
            bias=self.bias,
            threshold=self.threshold,
            scales_seconds=list(SCALES_SECONDS),
            parts=[*PARTS, KINDS] if has_kinds else list(PARTS),
            **({"kinds_gain": self.kinds_gain} if has_kinds else {}),
            **({} if self.neutral == NEUTRAL_LOG_ODDS else {"neutral": self.neutral}),
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> TaughtHead:
        """Reads what `to_bytes` wrote. Raises HeadFileError."""
        tensors, card = unpack(content, cls.kind, {"weights": (np.float32, 1)})
        has_kinds = card.get("parts") == [*PARTS, KINDS]
        is_known = has_kinds or card.get("parts") == list(PARTS)
        if card.get("scales_seconds") != list(SCALES_SECONDS) or not is_known:
            raise HeadFileError(
                "this head was taught by another version of Reelseek, with other windows: teach it again"
            )
        return cls(
            action=_text(card, "action"),
            encoder_id=_text(card, "encoder_id"),
            weights=tensors["weights"],
            bias=_number(card, "bias"),
            threshold=_number(card, "threshold"),
            kinds=_kinds(content, tensors["weights"]) if has_kinds else None,
            kinds_gain=_number(card, "kinds_gain") if has_kinds else 0.0,
            neutral=_number(card, "neutral") if "neutral" in card else NEUTRAL_LOG_ODDS,
        )


def _kinds(content: bytes, weights: NDArray[np.float32]) -> NDArray[np.float32]:
    tensors, _ = unpack(content, None, {KINDS: (np.float32, 1)})
    kinds: NDArray[np.float32] = tensors[KINDS]
    if kinds.size * len(SCALES_SECONDS) * len(PARTS) != weights.size or (kinds < 0).any():
        raise HeadFileError(
            f"the head's file should hold {weights.size // (len(SCALES_SECONDS) * len(PARTS))} kinds of 0 or "
            f"more, got {kinds.size} from {kinds.min(initial=0):g} on: export it again"
        )
    return kinds


def _text(card: dict[str, Any], name: str) -> str:
    found = card.get(name)
    if isinstance(found, str):
        return found
    raise HeadFileError(f"the head's file should hold a text as {name!r}, got {found!r}: export it again")


def _number(card: dict[str, Any], name: str) -> float:
    found = card.get(name)
    # Whole numbers too: JSON that others write may say 0 for 0.0.
    if isinstance(found, int | float) and not isinstance(found, bool) and abs(found) < MAX_NUMBER:
        return float(found)
    raise HeadFileError(
        f"the head's file should hold a finite number as {name!r}, got {found!r}: export it again"
    )


def localise_all(heads: Sequence[TaughtHead], track: FeatureTrack) -> Found:
    """The segments that several heads find in one pass over the features, each head's in order of time.

    Each segment is judged once more by itself, as a clip that ends where it does: around it a window
    sees what is not of it, and confidences are calibrated on clips.

    Shots in which nothing is found are looked through once more, `FAINT_NATS` lower: below any threshold, yet
    whoever looks that low finds the likelier ones first.
    """
    if not len(track) or not heads:
        return [[] for _ in heads]
    windows, alone = _logits(heads, track)
    found = []
    for number, head in enumerate(heads):
        evidence = SHARP_SHARE * alone[:, number] + (1 - SHARP_SHARE) * windows[:, number]
        sure = _spans(head, track, evidence - head.neutral, head.least_confidence)
        is_settled = np.isin(track.shots, [track.shots[place] for run in sure for place in range(*run)])
        lower = np.where(is_settled, -np.inf, evidence - head.neutral + FAINT_NATS)
        faint = _spans(head, track, lower, head.least_confidence * math.exp(-FAINT_NATS))
        found.append([span for _, span in sorted((sure | faint).items())])
    return found


def _spans(
    head: TaughtHead, track: FeatureTrack, evidence: NDArray[np.floating], least: float
) -> dict[tuple[int, int], ActionSpan]:
    """The likeliest runs of samples [first, last) that are at least so sure, as spans."""
    found = {}
    for first, last in most_likely_runs(evidence, SWITCHING_COST):
        start, end = float(track.borders_seconds[first]), float(track.borders_seconds[last])
        confidence = head.classify(track.between(first, last))
        if confidence >= least and start < end:
            found[first, last] = ActionSpan(head.action, start, end, confidence)
    return found


def _logits(
    heads: Sequence[TaughtHead], track: FeatureTrack
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Each head's log-odds, of the window around every sample and of each frame alone: float32 (T, H)."""
    windows, alone = score_windows(track, np.stack([head.weights for head in heads], axis=1))
    having = [number for number, head in enumerate(heads) if head.kinds is not None]
    if having:
        kinds = np.stack([one for head in heads if (one := head.kinds) is not None], axis=1)
        gains = np.array([heads[number].kinds_gain for number in having])
        shares = _shares(track, kinds)
        windows[:, having] += gains * log_odds(average_windows(track, shares))
        alone[:, having] += gains * log_odds(shares)
    biases = np.array([head.bias for head in heads], np.float32)
    return windows + biases, alone + biases


def _shares(track: FeatureTrack, kinds: NDArray[np.float32]) -> NDArray[np.float32]:
    """The share of each frame that is of each head's kinds: float32 (T, H)."""
    rows = [
        track.features[start : start + ROWS_AT_ONCE].astype(np.float32) ** 2 @ kinds
        for start in range(0, len(track), ROWS_AT_ONCE)
    ]
    return np.concatenate(rows)


def sigmoid(logits: Numbers) -> Numbers:
    """1 / (1 + exp(-logits)), without overflow."""
    return 1.0 / (1.0 + np.exp(-np.clip(logits, -60.0, 60.0)))


TAUGHT = HeadFamily(name=TaughtHead.kind, read=TaughtHead.from_bytes, localise=localise_all)
