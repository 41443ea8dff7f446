"""A choice of frames of a video to show: important ones, without repeats.

Untrained, a frame is important when it stands for its own moment and the rest of the video is unlike it:
representativeness and diversity, the two rewards by which Zhou et al. 2018 (arXiv:1801.00054) teach a
summariser without labels. Frames are chosen greedily by a weighted mixture of importance and coverage
(Gygli et al. 2015, "Video Summarization by Learning Submodular Mixtures of Objectives"; the coverage is
facility location). What is shown for long or again and again counts once in it, so that a rare event is
worth as much as a scene that fills half of the video.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from encoders.budget import check_budget
from encoders.heads.head import FeatureTrack
from search.summary.budget import Budget, moment_seconds
from search.summary.looks import SHORTEST_SECONDS, Looks, look_at

UNTRAINED = "representativeness"
_GAINS_AT_ONCE = 64
_MIXTURE = 1.0  # of importance with coverage
_SHARPER = 1.25  # from which a neighbour is shown instead
_NEAR_SECONDS = 3.0

Sharpness = Callable[[int], float]


class ImportanceScorer(Protocol):
    """A trained importance head.

    Attributes:
        name: What answers call it.
        encoder_id: Whose features it reads.
    """

    @property
    def name(self) -> str: ...

    @property
    def encoder_id(self) -> str: ...

    def importance(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """Features (T, D) in order of time to importance (T,), 0..1."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """Chosen frames.

    Attributes:
        picks: Candidates, in order of time.
        notes: What a reader should know: a budget that was not met, and why.
    """

    picks: tuple[int, ...]
    notes: tuple[str, ...]


def choose(
    track: FeatureTrack,
    importance: NDArray[np.floating],
    samples: Sequence[int] | NDArray[np.integer],
    budget: Budget,
    sharpness: Sharpness = lambda _: 1.0,
    looks: Looks | None = None,
) -> Choice:
    """Chooses frames among candidates.

    Args:
        track: Features of the whole video.
        importance: float (T,), 0..1, of its samples.
        samples: int (C,), the sample of each candidate, ascending, C >= 1.
        budget: How many, or how important.
        sharpness: Of a candidate's picture, 0 for one that shows nothing (black, or one colour); asked for
            the few that are about to be chosen, and their neighbours.
        looks: Of the track, where they are known already.
    """
    places = np.asarray(samples, np.int64)
    return _Chooser(track, looks or look_at(track), importance, places, budget, sharpness).run()


class _Chooser:
    """One greedy choice, its gains evaluated lazily (Minoux 1978): they only shrink as more is chosen."""

    def __init__(
        self,
        track: FeatureTrack,
        looks: Looks,
        importance: NDArray[np.floating],
        samples: NDArray[np.int64],
        budget: Budget,
        sharpness: Sharpness,
    ) -> None:
        self._budget = budget
        self._sharpness = sharpness
        self._seconds = float(track.borders_seconds[-1] - track.borders_seconds[0])
        self._alike = looks.likeness.alike
        self._rows = looks.units[samples]
        self._shots = track.shots[samples]
        self._times = track.times_seconds[samples]
        self._importance = np.asarray(importance, np.float64)[samples]
        self._spoilt = looks.spoilt[samples]
        # What is shown for long weighs no more than what is shown once.
        covering = looks.seconds[looks.references]
        shown = np.maximum(looks.shown_seconds[looks.references], SHORTEST_SECONDS)
        self._weights = (covering * (looks.seconds.sum() / covering.sum()) / shown).astype(np.float32)
        self._kernel = looks.likeness.kernel(self._rows @ looks.units[looks.references].T)
        self._covered = np.zeros(len(looks.references), np.float32)
        self._kernel[self._spoilt] = 0.0  # it stands for nothing else
        self._gains = self._kernel @ self._weights
        self._gained_at = np.zeros(len(samples), np.int64)  # how many were chosen when it was computed
        # Not chosen, not blank, not like what is chosen; nor spoilt, unless all is.
        self._open = ~self._spoilt if not self._spoilt.all() else np.ones(len(samples), bool)
        self._blank: list[int] = []
        self._picks: list[int] = []
        self._notes: list[str] = []

    def run(self) -> Choice:
        most = self._most()
        if self._budget.threshold is not None:
            self._open &= self._importance > self._budget.threshold
            if not self._open.any():
                top = float(self._importance.max())
                self._notes.append(
                    f"no frame is more important than {self._budget.threshold:g}; "
                    f"the most important has {top:.2f}"
                )
                return Choice((), tuple(self._notes))
        if self._budget.per_shot:
            self._one_of_every_shot(most)
        while len(self._picks) < most and self._open.any():
            check_budget()
            self._take(self._open)
        if not self._picks and self._blank:
            self._notes.append("every frame is black or of one colour")
            self._picks.append(self._blank[0])
        if len(self._picks) < most:
            self._say_fewer(most)
        return Choice(tuple(sorted(self._picks)), tuple(self._notes))

    def _most(self) -> int:
        if self._budget.share is not None:
            return max(
                1, int(self._seconds * self._budget.share / moment_seconds(self._budget, self._seconds))
            )
        return len(self._rows) if self._budget.frames is None else self._budget.frames

    def _say_fewer(self, most: int) -> None:
        wanted = self._budget.frames is not None or self._budget.share is not None
        if wanted and self._budget.threshold is None:
            got = len(self._picks)
            self._notes.append(
                f"{got} of {most} frames: the video shows no more that {'is' if most - got == 1 else 'are'} "
                "unlike the chosen ones"
            )

    def _one_of_every_shot(self, most: int) -> None:
        shots = np.unique(self._shots)
        if len(shots) > most:
            self._notes.append(f"{len(shots)} shots, but {most} frames asked for: {most} shots are shown")
        left = set(shots.tolist())
        while left and len(self._picks) < most:
            check_budget()
            before = self._open.copy()
            inside = np.isin(self._shots, list(left))
            if self._budget.threshold is not None:
                inside &= self._importance > self._budget.threshold
            inside[self._blank] = False
            if not inside.any():
                break
            picked = self._take(inside)
            if picked is not None:
                left.discard(int(self._shots[picked]))
            else:
                self._open = before
                self._open[self._blank] = False
        for shot in sorted(left):  # black from end to end
            of_shot = [blank for blank in self._blank if self._shots[blank] == shot]
            if of_shot and len(self._picks) < most:
                self._add(of_shot[0])

    def _take(self, allowed: NDArray[np.bool_]) -> int | None:
        """Chooses the best of the allowed, or the sharpest like it nearby; None where that is blank."""
        rows = np.flatnonzero(allowed)
        best = self._best(rows)
        near = rows[
            (self._shots[rows] == self._shots[best])
            & (np.abs(self._times[rows] - self._times[best]) <= _NEAR_SECONDS)
        ]
        near = near[(self._rows[near] @ self._rows[best] >= self._alike) & ~self._spoilt[near]].tolist()
        sharp = {one: self._sharpness(one) for one in {best, *near}}
        sharpest = max(sharp, key=lambda one: (sharp[one], -abs(one - best)))
        if sharp[sharpest] <= 0:
            self._blank += sorted(sharp)
            self._open[sorted(sharp)] = False
            return None
        pick = sharpest if sharp[sharpest] > _SHARPER * sharp[best] else best
        self._add(pick)
        return pick

    def _best(self, rows: NDArray[np.int64]) -> int:
        """The row of most gain and importance."""
        while True:
            bounds = self._gains[rows] + _MIXTURE * self._importance[rows]
            top = int(rows[np.argmax(bounds)])
            if self._gained_at[top] == len(self._picks):
                return top
            stale = rows[np.argsort(-bounds, kind="stable")[:_GAINS_AT_ONCE]]
            self._gains[stale] = np.maximum(self._kernel[stale] - self._covered, 0.0) @ self._weights
            self._gained_at[stale] = len(self._picks)

    def _add(self, pick: int) -> None:
        self._picks.append(pick)
        self._covered = np.maximum(self._covered, self._kernel[pick])
        self._open &= self._rows @ self._rows[pick] < self._alike
        self._open[pick] = False
