"""The amount of a video to show, and the pieces of it that stand for chosen frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.errors import InvalidQueryError
from encoders.heads.head import FeatureTrack


@dataclass(frozen=True, slots=True)
class Budget:
    """The amount to show: one of a share, a count and a threshold; all None means everything unlike.

    Attributes:
        share: Of the video's time, above 0 and at most 1.
        frames: How many frames, at least 1.
        threshold: Frames of more importance than this, 0..1; may go with `frames`.
        per_shot: One frame of every shot first, even where two shots look alike.

    Raises:
        InvalidQueryError: A value is out of range, or share goes with another.
    """

    share: float | None = None
    frames: int | None = None
    threshold: float | None = None
    per_shot: bool = False

    def __post_init__(self) -> None:
        if self.share is not None and not 0.0 < self.share <= 1.0:
            raise InvalidQueryError(f"a budget must be above 0 % and at most 100 %, got {self.share:.3%}")
        if self.frames is not None and self.frames < 1:
            raise InvalidQueryError(f"a summary has at least 1 frame, got {self.frames}")
        if self.threshold is not None and not 0.0 <= self.threshold <= 1.0:
            raise InvalidQueryError(f"a threshold of importance is from 0 to 1, got {self.threshold}")
        if self.share is not None and (self.frames is not None or self.threshold is not None):
            raise InvalidQueryError(
                "a summary has one budget: a share of the video (15%), or a number of frames and a "
                "threshold of importance; got several"
            )


def moment_seconds(budget: Budget, video_seconds: float) -> float:
    """Chooses the length of a piece of a summary in motion: 1 to 3 s, so that a short one has several."""
    if budget.share is None:
        return 2.0
    return float(np.clip(budget.share * video_seconds / 6, 1.0, 3.0))


def spans_of(
    track: FeatureTrack, times_seconds: Sequence[float], budget: Budget
) -> list[tuple[float, float]]:
    """Chooses a piece of the video around each chosen time, inside its shot, none overlapping another.

    With a share of the video as the budget, the pieces together last as long as that allows; what a short
    shot leaves over goes to the others.

    Args:
        track: Of the whole video.
        times_seconds: Ascending.
        budget: What they were chosen by.
    """
    if not len(times_seconds):
        return []
    times = np.asarray(times_seconds, np.float64)
    first, last = float(track.borders_seconds[0]), float(track.borders_seconds[-1])
    edges = [first, *track.borders_seconds[1:-1][np.diff(track.shots) != 0].tolist(), last]
    shot = np.clip(np.searchsorted(edges, times + 1e-6, "right") - 1, 0, len(edges) - 2)
    middles = (times[1:] + times[:-1]) / 2
    starts = np.maximum(np.asarray(edges)[shot], np.concatenate([[first], middles]))
    ends = np.minimum(np.asarray(edges)[shot + 1], np.concatenate([middles, [last]]))
    room = np.maximum(ends - starts, 0.0)
    length = moment_seconds(budget, last - first)
    if budget.share is not None:
        length = _level(room, budget.share * (last - first))
    lengths = np.minimum(room, length)
    begins = np.clip(times - lengths / 2, starts, ends - lengths)
    return [(float(begin), float(begin + lasts)) for begin, lasts in zip(begins, lengths, strict=True)]


def _level(room: NDArray[np.float64], total: float) -> float:
    """Finds the length to which rooms are filled so that together they hold the total."""
    left, count = total, len(room)
    for one in np.sort(room):
        if one * count >= left:
            return left / count
        left -= one
        count -= 1
    return float(room.max())
