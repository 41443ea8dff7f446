"""The seam between features and actions: what a head reads, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


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
    """Says which actions a video shows, and when.

    Attributes:
        kind: "taught", "localiser", "zero-shot" or "kinetics".
        actions: The names that it knows.
        encoder_id: Whose features it reads.
    """

    @property
    def kind(self) -> str: ...

    @property
    def actions(self) -> tuple[str, ...]: ...

    @property
    def encoder_id(self) -> str: ...

    def localise(self, track: FeatureTrack) -> list[ActionSpan]:
        """Segments in order of time; those of one action do not overlap."""
        ...

    def to_bytes(self) -> bytes:
        """The head as safetensors, with what it needs to be read again in the metadata."""
        ...
