"""Lays an example over a video in time: which parts of it lie where, at what speed, which way round.

Only what matches is found: the way of Smith and Waterman ("Identification of common molecular subsequences",
J. Mol. Biol. 1981), where a score counts what is alike less what chance would give, and an alignment begins
and ends where that sum is highest. Frames that belong together lie on straight lines in the plane
(time of the example, time of the video), as in temporal Hough voting (Douze et al., "An image-based approach
to video copy detection with spatio-temporal post-filtering", IEEE Trans. Multimedia 2010): one line for each
speed and offset, falling ones for footage that runs backwards. `find_pieces` cuts the example into pieces of
such lines and into what is foreign, all at once and optimally, by dynamic programming over lines (Tan et al.,
"Scalable detection of partial near-duplicate videos by visual-temporal consistency", ACM MM 2009, look for
paths through the same plane).

Frames of footage that hardly moves are all alike to a hundredth. What a frame earns on a line is therefore
less by how many times farther it lies from what it fits best in the video, on a logarithmic scale; what
matches at all is decided without that. Each piece is then placed exactly (`search.alignment.placing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from search.alignment.lines import Line, along, find_lines, step_of
from search.alignment.placing import burden_of, change_of, fit_of, place, speed_cost

MOST_WORSE = 0.25  # of excess, than an example's best piece
FULL_STEP_SECONDS = 0.25
PIECE_COST = 0.2  # in frames' worth of excess: what one more piece must earn
USUAL = 0.3  # of unrelated frames, where nothing is known
MOST_USUAL = 0.6  # a library of one thing must not hide that thing's own copies
CROSSING_LOSS = 0.006  # of the excess, for pieces that meet to be one
MOST_CHANGE = 1.5  # of the speed, between such
SAME_SPEED = 1.05  # up to this factor, as it is placed
JOINING_LOSS = 0.02  # of the fit, for each piece that one line saves
# What a frame earns is less by this for each factor of e that it is farther than what fits it best; distances
# are counted from a floor, the noise of encoding and what a video changes by in half a step.
SHARPNESS, SHARPNESS_FLOOR = 0.1, 0.01
# The speeds that lines are looked for at, below 0 backwards and 0 for a held frame. What lies between two
# of them is found in parts, and joined.
LINE_SPEEDS = (1.0, 1.25, 0.8, 1.5, 0.667, 2.0, 0.5, 3.0, 0.333, 4.0, 0.25)
LINE_COSTS = {
    speed: 0.2 * speed_cost(speed) for speed in (*LINE_SPEEDS, *(-speed for speed in LINE_SPEEDS), 0.0)
}


@dataclass(frozen=True, slots=True)
class Standard:
    """A standard for taking two pieces for the same footage.

    A frame's excess is its cosine less what unrelated frames have, of all that is left up to 1.

    Attributes:
        frame_excess: The least of one frame, for it to belong to a piece.
        piece_excess: The least of a piece in the mean.
        change: What a piece may lack of that, for each part of how alike the two change over time.
        least_excess, least_change, least_frames, least_seconds: Of a piece that lacks something.
        slowest: How slow such a piece may be: as few frames of a video change, much changes by chance.
    """

    frame_excess: float
    piece_excess: float
    change: float = 0.0
    least_excess: float = 0.0
    least_change: float = 0.0
    least_frames: int = 0
    least_seconds: float = 0.0
    slowest: float = 0.0


USUAL_STANDARD = Standard(0.42, 0.58)
# For poor copies, where nothing meets the usual one: what lacks likeness must change as the footage does.
SECOND_STANDARD = Standard(
    0.32,
    0.58,
    change=0.45,
    least_excess=0.44,
    least_change=0.2,
    least_frames=12,
    least_seconds=2.0,
    slowest=0.45,
)


@dataclass(frozen=True, slots=True)
class Alignment:
    """A piece of an example and its span in a video.

    Attributes:
        start_seconds, end_seconds: The matched span in the video.
        query_start_seconds, query_end_seconds: The matched span in the example.
        speed: Seconds of the video per second of the example, above 0.
        reversed: Whether the example shows it backwards.
        similarity: Mean cosine along the line, -1..1.
        excess: Mean of how far the frames' cosines lie above those of unrelated frames, of what is left
            up to 1.
    """

    start_seconds: float
    end_seconds: float
    query_start_seconds: float
    query_end_seconds: float
    speed: float
    reversed: bool
    similarity: float
    excess: float

    @property
    def query_seconds(self) -> float:
        """The length of its part of the example."""
        return self.query_end_seconds - self.query_start_seconds


@dataclass(frozen=True, slots=True)
class Stretch:
    """Frames in time: of an example, or of a piece of a video.

    Attributes:
        features: float32 (T, D), of norm 1.
        times_seconds: float64 (T,), ascending.
        span_seconds: The [start, end) that the frames stand for.
        is_flat: bool (T,), which frames show nothing, so that what they fit says nothing; None for none.
    """

    features: NDArray[np.float32]
    times_seconds: NDArray[np.float64]
    span_seconds: tuple[float, float]
    is_flat: NDArray[np.bool_] | None = None

    def borders(self) -> NDArray[np.float64]:
        """Where one frame's time ends and the next one's begins: float64 (T + 1,)."""
        middles = (self.times_seconds[1:] + self.times_seconds[:-1]) / 2
        return np.concatenate([self.span_seconds[:1], middles, self.span_seconds[1:]])


def align(
    query: Stretch,
    video: Stretch,
    usual: NDArray[np.float32] | None = None,
    standard: Standard = USUAL_STANDARD,
) -> tuple[Alignment, ...]:
    """Finds the pieces of an example that a video, or a stretch of it, shows.

    Args:
        query: The example.
        video: What it is laid over.
        usual: float32 (T,), the cosine that each frame of the example has with unrelated frames.
        standard: What is taken for the same footage.

    Returns:
        The pieces in order of the example, where they do not overlap; none where nothing matches.
    """
    count = len(query.times_seconds)
    if not count or not len(video.times_seconds):
        return ()
    level = np.full(count, USUAL, np.float32) if usual is None else np.minimum(usual, MOST_USUAL)
    cosines = query.features @ video.features.T
    excess = (cosines - level[:, None]) / (1 - level[:, None])
    if float(excess.max()) < standard.frame_excess:
        return ()
    gains = excess - standard.frame_excess
    if query.is_flat is not None:  # a fade belongs to what is around it, and is nothing by itself
        gains[query.is_flat] = np.minimum(gains[query.is_flat], 0.0)
    plane = _Plane(query, video, gains, level, standard)
    # Frames closer to each other than half the usual step of a video say less than one each.
    weight = min(1.0, step_of(query.times_seconds) / FULL_STEP_SECONDS)
    earned = gains - SHARPNESS * _times_farther(cosines, video.features)
    lines = find_lines(earned, query.times_seconds, video.times_seconds, LINE_COSTS, PIECE_COST / weight)
    pieces = [(line, plane.piece(line)) for line in plane.joined(lines)]
    # What was done to an example was done to all of it: what fits far worse than the rest only resembles.
    best = max((piece.excess for _, piece in pieces), default=0.0)
    return tuple(
        piece for line, piece in pieces if piece.excess >= best - MOST_WORSE and plane.passes(line, piece)
    )


def _times_farther(cosines: NDArray[np.float32], video: NDArray[np.float32]) -> NDArray[np.float32]:
    """How many times farther each frame is than the one that fits best: logarithms (n, m), from 0."""
    changes = np.square(np.diff(video, axis=0)).sum(axis=1)
    floor = SHARPNESS_FLOOR + (float(np.median(changes)) / 4 if len(changes) else 0.0)
    distances = np.log(np.maximum(1 - cosines, 0.0) + np.float32(floor))
    distances -= distances.min(axis=1, keepdims=True)
    return distances


@dataclass(frozen=True, slots=True)
class _Plane:
    """An example against a video: what each frame of one gains on each of the other, float32 (n, m)."""

    query: Stretch
    video: Stretch
    gains: NDArray[np.float32]
    level: NDArray[np.float32]
    standard: Standard

    def placed(self, line: Line) -> tuple[Line, float]:
        """A line that was found, placed exactly, and how well it fits."""
        query, video = self.query, self.video
        return place(query.features, query.times_seconds, video.features, video.times_seconds, line)

    def joined(self, lines: Sequence[Line]) -> list[Line]:
        """Lines placed exactly, and as one what follows each other and fits one line as well.

        Something done to all of an example, as a border or a caption, can make its frames resemble others
        than their own; how it changes over time then tells that it is one piece.
        """
        runs: list[list[Line]] = []
        for line in lines:
            if runs and line.first == runs[-1][-1].last + 1:
                runs[-1].append(line)
            else:
                runs.append([line])
        kept: list[Line] = []
        for run in runs:
            placed = [self.placed(line) for line in run]
            whole = self._as_one(placed)
            if whole is not None:
                kept.append(whole[0])
                continue
            stack = placed[:1]
            for one in placed[1:]:
                both = self._as_one([stack[-1], one])
                if both is None:
                    stack.append(one)
                else:
                    stack[-1] = both
            kept += [line for line, _ in stack]
        return kept

    def _as_one(self, placed: Sequence[tuple[Line, float]]) -> tuple[Line, float] | None:
        """One line for frames that several were found for; None where it fits them less well."""
        if len(placed) == 1:
            return placed[0]
        first, last = placed[0][0].first, placed[-1][0].last
        candidates = [self.placed(Line(first, last, line.speed, line.offset_seconds)) for line, _ in placed]
        lines = [line for line, _ in placed]
        query, video = self.query, self.video
        apart = fit_of(query.features, query.times_seconds, video.features, video.times_seconds, lines)
        best = max(candidates, key=lambda one: one[1])
        loss = JOINING_LOSS * burden_of(query.features[first : last + 1]) * (len(placed) - 1)
        if best[1] >= apart - loss:
            return best
        # What a video jumps over between two of its frames cannot be told from what runs on.
        if all(self._meet(one, other, SAME_SPEED, 0.5) for one, other in pairwise(lines)):
            return best
        # A cut between two frames of the video costs a line that crosses it some fit, and no gain.
        gained = sum(float(self._values(line).sum()) for line in lines)
        lost = gained - float(self._values(best[0]).sum())
        meet = all(self._meet(one, other, MOST_CHANGE, 1.0) for one, other in pairwise(lines))
        return best if meet and lost <= CROSSING_LOSS * (last - first + 1) else None

    def _meet(self, one: Line, other: Line, most_change: float, steps: float) -> bool:
        """Whether a line goes on where another ends, to so many steps, in its direction and as fast."""
        if one.speed * other.speed <= 0 or not 1 / most_change <= one.speed / other.speed <= most_change:
            return False
        border = (self.query.times_seconds[[one.last]] + self.query.times_seconds[[other.first]]) / 2
        apart = abs(float((one.at(border) - other.at(border))[0]))
        return apart <= steps * step_of(self.video.times_seconds)

    def _values(self, line: Line) -> NDArray[np.float32]:
        rows = np.arange(line.first, line.last + 1)
        return along(self.gains, rows, self.video.times_seconds, line.at(self.query.times_seconds[rows]))

    def passes(self, line: Line, piece: Alignment) -> bool:
        """True where what was found on a line is the same footage."""
        standard, query, video = self.standard, self.query, self.video
        lacking = standard.piece_excess - piece.excess
        if lacking <= 0 or not standard.change:
            return lacking <= 0
        if (
            piece.excess < standard.least_excess
            or piece.query_seconds < standard.least_seconds
            or line.last - line.first + 1 < standard.least_frames
            or abs(line.speed) < standard.slowest
        ):
            return False
        change = change_of(query.features, query.times_seconds, video.features, video.times_seconds, line)
        return change >= max(standard.least_change, lacking / standard.change)

    def piece(self, line: Line) -> Alignment:
        """Returns what lies on a line, without the frames at its ends that do not fit where it was placed."""
        values = self._values(line)
        low, high = _highest_sum(values)
        rows, values = (
            np.arange(line.first + low, line.first + high),
            values[low:high] + self.standard.frame_excess,
        )
        borders, level = self.query.borders(), self.level[rows]
        query_start, query_end = float(borders[rows[0]]), float(borders[rows[-1] + 1])
        first, last = self.video.span_seconds
        if line.speed == 0:
            half = step_of(self.video.times_seconds) / 2
            held = min(max(line.offset_seconds, first + half), max(last - half, first + half))
            start, end = held - half, held + half
        else:
            # What of a line lies before or after the video is not there.
            times = (np.array([first, last]) - line.offset_seconds) / line.speed
            inside = max(query_start, float(times.min())), min(query_end, float(times.max()))
            if inside[0] < inside[1]:
                query_start, query_end = inside
            places = line.at(np.array([query_start, query_end]))
            start, end = float(places.min()), float(places.max())
        start, end = max(start, first), min(end, last)
        if not start < end:  # it lies within half a step of an end of the video
            start, end = (first, min(last, first + 0.1)) if start <= first else (max(first, last - 0.1), last)
        return Alignment(
            start_seconds=start,
            end_seconds=end,
            query_start_seconds=query_start,
            query_end_seconds=query_end,
            speed=abs(line.speed) or (end - start) / (query_end - query_start),
            reversed=line.speed < 0,
            similarity=float((values * (1 - level) + level).mean()),
            excess=float(values.mean()),
        )


def _highest_sum(values: NDArray[np.float32]) -> tuple[int, int]:
    """[first, last) of the run of highest sum; the first such (Bentley, "Programming pearls", 1984)."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    least = np.minimum.accumulate(sums[:-1])
    last = int(np.argmax(sums[1:] - least)) + 1
    return int(np.argmin(sums[:last])), last
