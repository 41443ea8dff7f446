"""The seam between features and actions: what a head reads, and what it says."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from encoders.errors import HeadFileError


@dataclass(frozen=True, slots=True)
class ActionSpan:
    """One localised action: [start_seconds, end_seconds), confidence 0..1 (calibrated probability).

    Raises:
        ValueError: The span is empty or the confidence is out of range.
    """

    action: str
    start_seconds: float
    end_seconds: float
    confidence: float

    def __post_init__(self) -> None:
        if not self.start_seconds < self.end_seconds:
            raise ValueError(f"a span must not be empty, got [{self.start_seconds}, {self.end_seconds})")
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"a confidence must be from 0 to 1, got {self.confidence}")


@dataclass(frozen=True, slots=True)
class FeatureTrack:
    """The features of one video, or of one example, in order of time.

    Attributes:
        features: float (T, D), as the encoder gave them; float16 when they come from the catalog.
        times_seconds: float64 (T,), presentation times of the frames, ascending.
        borders_seconds: float64 (T + 1,), ascending: sample t stands for [borders[t], borders[t+1]).
        shots: int64 (T,), ascending: samples with the same number are of one shot.

    Raises:
        ValueError: A shape is not as stated.
    """

    features: NDArray[np.floating]
    times_seconds: NDArray[np.float64]
    borders_seconds: NDArray[np.float64]
    shots: NDArray[np.int64]

    def __post_init__(self) -> None:
        count = len(self.times_seconds)
        if self.features.ndim != 2 or len(self.features) != count:
            raise ValueError(f"features must be ({count}, D), got {self.features.shape}")
        if self.borders_seconds.shape != (count + 1,) or self.shots.shape != (count,):
            raise ValueError(
                f"expected {count + 1} borders and {count} shot numbers, "
                f"got {self.borders_seconds.shape} and {self.shots.shape}"
            )

    def __len__(self) -> int:
        return len(self.times_seconds)

    def part(self, start_seconds: float, end_seconds: float) -> FeatureTrack:
        """The samples whose time lies in [start_seconds, end_seconds); perhaps none."""
        first, last = np.searchsorted(self.times_seconds, (start_seconds, end_seconds)).tolist()
        return self.between(first, last)

    def between(self, first: int, last: int) -> FeatureTrack:
        """The samples [first, last)."""
        return FeatureTrack(
            self.features[first:last],
            self.times_seconds[first:last],
            self.borders_seconds[first : last + 1],
            self.shots[first:last],
        )


class Head(Protocol):
    """Says which actions a video shows, and when, by its stored features; two threads may ask at once.

    Attributes:
        kind: The name of its family.
        actions: The names that it knows, one or more, as `normalise_action` spells them.
        encoder_id: Whose features it reads.
        threshold: The confidence from which its segments count, 0..1; 0 where it decides that itself.
    """

    @property
    def kind(self) -> str: ...

    @property
    def actions(self) -> tuple[str, ...]: ...

    @property
    def encoder_id(self) -> str: ...

    @property
    def threshold(self) -> float: ...

    def localise(self, track: FeatureTrack) -> list[ActionSpan]:
        """Segments in order of time; those of one action do not overlap."""
        ...

    def renamed(self, actions: tuple[str, ...]) -> Head:
        """The same head with other names for its actions, in the same order."""
        ...

    def check(self, dim: int) -> None:
        """Checks a head that comes out of a file.

        Args:
            dim: D of the features that it will read.

        Raises:
            HeadFileError: It reads others, or its numbers are out of range.
        """
        ...

    def to_bytes(self) -> bytes:
        """The head as safetensors, with what it needs to be read again in the metadata."""
        ...


def check_numbers(numbers: tuple[float, ...], threshold: float) -> None:
    """Raises HeadFileError where a head's numbers are not finite, or its threshold is not from 0 to 1."""
    if not (all(map(math.isfinite, numbers)) and 0.0 <= threshold <= 1.0):
        raise HeadFileError(f"the head's numbers {numbers} or threshold {threshold} are out of range")


Found = list[list[ActionSpan]]  # by head


def localise_each(heads: Sequence[Any], track: FeatureTrack) -> Found:
    """The segments that heads find in a video, one head after the other."""
    return [head.localise(track) for head in heads]


@dataclass(frozen=True, slots=True)
class HeadFamily:
    """One kind of head. The module that holds the record imports no torch.

    Attributes:
        name: The kind, as its heads and their files (`encoders.weights.tensors.pack`) say it.
        read: Reads what `to_bytes` wrote; raises HeadFileError.
        localise: Has several heads of the kind look at a video; where they share work, in one pass.
        one_thread: Keeps the kind's engine to one thread, while there is a thread of ours for every core.
        is_carried: Whether its files go from library to library; not, where each library makes its own.
    """

    name: str
    read: Callable[[bytes], Head]
    localise: Callable[[Sequence[Any], FeatureTrack], Found] = localise_each
    one_thread: Callable[[], AbstractContextManager[None]] = nullcontext
    is_carried: bool = True
