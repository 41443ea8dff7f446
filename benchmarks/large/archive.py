"""What the clips of a made archive are besides their vectors: videos, times, dates, actions, captions.

Everything follows from the number of a video, so that a larger archive begins with a smaller one. Filters let
0.1, 1 and 10 % of the clips through, by each of five things; which ones is known from here and not from the
catalog.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.types import Filters

SEED = 3
SHARES = (0.001, 0.01, 0.1)
FIRST_DAY = 1_420_070_400.0  # 2015-01-01, UTC
DAY_SECONDS = 86_400.0
CLIPS_PER_VIDEO = 200
FEWEST_VIDEOS = 1000  # so that one in a thousand is one
FOLDERS = ("thousandth", "hundredth", "tenth", "rest")
ACTIONS = ("fencing", "juggling", "cooking")  # of so many of the clips as SHARES says
NOUNS = ("walrus", "lighthouse", "beach")  # likewise, in captions
OTHER_NOUNS = ("street", "kitchen", "forest", "office", "garden", "stage", "river", "room")
CLIPS_OF_ACTION = 5  # one after the other
# Seconds of a clip, shortest first; so many of the clips as SHARES says are as short as the first ones' most.
LENGTHS = ((0.3, 0.5), (0.6, 1.0), (1.2, 2.0), (2.5, 4.0))


@dataclass(frozen=True, slots=True)
class MadeVideo:
    """A video of C clips that follow each other.

    Attributes:
        path: Of the file, which does not exist.
        recorded_at: In seconds since 1970.
        borders: float64 (C + 1,), seconds: where clips begin and end.
        actions: (C,), the name of what is done in each clip, or "".
        nouns: (C,), the first word of each clip's caption.
    """

    path: str
    recorded_at: float
    borders: NDArray[np.float64]
    actions: NDArray[np.str_]
    nouns: NDArray[np.str_]

    @property
    def duration_seconds(self) -> float:
        return float(self.borders[-1])

    def segments(self) -> Iterator[tuple[str, float, float]]:
        """Each action with the span of its clips."""
        for first in range(0, len(self.actions), CLIPS_OF_ACTION):
            if self.actions[first]:
                last = min(first + CLIPS_OF_ACTION, len(self.actions))
                yield str(self.actions[first]), float(self.borders[first]), float(self.borders[last])


def make_video(number: int, clips: int) -> MadeVideo:
    """The video of a number, 0 or more, with so many clips."""
    random = np.random.default_rng([SEED, number])
    folder = next((place for place in range(3) if number % round(1 / SHARES[place]) == place + 1), 3)
    length, draw = np.array(LENGTHS), random.uniform(size=clips)
    # As short as 0.5 s are 0.1 % of the clips, as short as 1 s 1 %, with those of 0.5 s among them.
    low, high = length[np.searchsorted(SHARES, draw, side="right")].T
    lengths = np.round(random.uniform(low, high), 2)
    runs = np.repeat(random.uniform(size=-(-clips // CLIPS_OF_ACTION)), CLIPS_OF_ACTION)[:clips]
    others = random.choice(OTHER_NOUNS, size=clips)
    return MadeVideo(
        f"/archive/{FOLDERS[folder]}/{number:06d}.mp4",
        FIRST_DAY + number * DAY_SECONDS / 4,
        np.concatenate([[0.0], np.cumsum(lengths)]),
        _drawn(runs, ACTIONS, np.full(clips, "")),
        _drawn(random.uniform(size=clips), NOUNS, others),
    )


def _drawn(draw: NDArray[np.float64], names: tuple[str, ...], rest: NDArray[np.str_]) -> NDArray[np.str_]:
    """Each name in its share of the places, none of which is another's."""
    places = np.searchsorted(np.cumsum(SHARES), draw, side="right")
    return np.where(places < len(names), np.array([*names, ""])[places], rest)


def clips_per_video(clips: int) -> int:
    """How many clips a video of an archive has."""
    return max(1, min(CLIPS_PER_VIDEO, clips // FEWEST_VIDEOS))


@dataclass(frozen=True, slots=True)
class Columns:
    """What each of N clips is, in the order of their vectors: what the filters of others are about."""

    path: NDArray[np.str_]
    seconds: NDArray[np.float64]
    recorded: NDArray[np.float64]
    action: NDArray[np.str_]
    noun: NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class Case:
    """A filter, and what passes it.

    Attributes:
        name: "path 1%"; "" for none.
        filters: As ours takes it.
        condition: As the others take it, about the columns by name.
        passes: bool (N,).
    """

    name: str
    filters: Filters
    condition: str
    passes: NDArray[np.bool_]


def columns_of(clips: int) -> Columns:
    """The columns of an archive of so many clips."""
    per_video = clips_per_video(clips)
    videos = [make_video(number, per_video) for number in range(-(-clips // per_video))]
    return Columns(
        *(
            np.concatenate(parts)[:clips]
            for parts in (
                [np.full(per_video, one.path) for one in videos],
                [np.diff(one.borders) for one in videos],
                [np.full(per_video, one.recorded_at) for one in videos],
                [one.actions for one in videos],
                [one.nouns for one in videos],
            )
        )
    )


def cases_of(columns: Columns) -> list[Case]:
    """No filter first; then those by path, duration, date, action and caption, from narrow to wide."""
    count = len(columns.path)
    cases = [Case("", Filters(), "", np.ones(count, np.bool_))]
    # Folders, actions and words have clips of their own; bounds of durations and dates take one end of all.
    for place, share in enumerate(SHARES):
        folder = f"/archive/{FOLDERS[place]}/"
        longest = LENGTHS[place][1]
        since = float(columns.recorded[min(int(count * (1 - share)), count - 1)])
        action, noun = ACTIONS[place], NOUNS[place]
        starts = np.char.startswith(columns.path, folder)
        cases += [
            Case(f"path {share:.1%}", Filters(path_prefix=folder), f"path LIKE '{folder}%'", starts),
            Case(
                f"duration {share:.1%}",
                Filters(max_duration_seconds=longest),
                f"seconds <= {longest + 1e-6}",
                columns.seconds <= longest + 1e-6,
            ),
            Case(
                f"date {share:.1%}",
                Filters(recorded_after=since),
                f"recorded >= {since}",
                columns.recorded >= since,
            ),
            Case(
                f"action {share:.1%}",
                Filters(action=action),
                f"action = '{action}'",
                columns.action == action,
            ),
            Case(f"caption {share:.1%}", Filters(caption=noun), f"noun = '{noun}'", columns.noun == noun),
        ]
    return cases
