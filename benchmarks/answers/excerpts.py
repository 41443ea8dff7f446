"""Excerpts of which it is known where each piece comes from: with foreign material, cut up, sped, reversed.

A made excerpt is a list of pieces. A piece shows a span of the film, or something that is in no film of
the library; which of it lies where follows from how it was cut together, not from what any search says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
FPS = 24
LONGEST_SIDE = 426
MONTAGE = "montage of three"


@dataclass(frozen=True, slots=True)
class Footage:
    """Decoded frames and when each is shown; what is foreign has no path.

    Attributes:
        frames: uint8 (H, W, 3), RGB, each.
        times_seconds: float64 (T,), ascending.
        length_seconds: Of the whole.
        path: The file.
    """

    frames: list[Picture]
    times_seconds: NDArray[np.float64]
    length_seconds: float
    path: Path | None = None

    def at(self, seconds: float) -> Picture:
        """The frame on screen at a time."""
        number = int(np.searchsorted(self.times_seconds, seconds + 1e-6, side="right")) - 1
        return self.frames[min(max(number, 0), len(self.frames) - 1)]


@dataclass(frozen=True, slots=True)
class Piece:
    """Where some seconds of an excerpt come from.

    Attributes:
        start_seconds, end_seconds: [start, end) of the film; both 0 for what is foreign.
        query_start_seconds, query_end_seconds: [start, end) of the excerpt.
        kind: "film", "reversed", "frozen" or "foreign".
    """

    start_seconds: float
    end_seconds: float
    query_start_seconds: float
    query_end_seconds: float
    kind: str


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A made query: its frames at 24 a second, and what is right.

    Attributes:
        kind: How it was made, as "foreign intro".
        path: The film it is from; None where all of it is foreign.
        pieces: In order of the excerpt, without gaps.
    """

    kind: str
    path: Path | None
    frames: list[Picture]
    pieces: tuple[Piece, ...]


def read_footage(path: Path) -> Footage:
    """Decodes a short film, with sides of 426 pixels at most."""
    frames, times = [], []
    with av.open(str(path)) as opened:
        for frame in opened.decode(opened.streams.video[0]):
            if frame.time is None or (times and frame.time <= times[-1]):
                continue  # (some AVI files give the same time twice)
            scale = min(1.0, LONGEST_SIDE / max(frame.width, frame.height))
            width, height = (round(side * scale) // 2 * 2 for side in (frame.width, frame.height))
            frames.append(frame.reformat(width, height, format="rgb24").to_ndarray())
            times.append(frame.time)
    seconds = np.array(times)
    return Footage(frames, seconds, float(seconds[-1] + np.median(np.diff(seconds))), path)


def black(seconds: float, like: Footage) -> Footage:
    """A black picture of the same size."""
    return _still(np.zeros_like(like.frames[0]), seconds)


def test_pattern(seconds: float, like: Footage) -> Footage:
    """Coloured bars over which a white one passes."""
    height, width = like.frames[0].shape[:2]
    colours = np.array([[235, 235, 235], [235, 235, 16], [16, 235, 235], [16, 235, 16], [235, 16, 235],
                        [235, 16, 16], [16, 16, 235]], np.uint8)  # fmt: skip
    bars = colours[np.arange(width) * len(colours) // width][None].repeat(height, axis=0)
    frames = []
    for number in range(round(seconds * FPS)):
        frame = bars.copy()
        left = number * 3 % width
        frame[height // 3 : 2 * height // 3, left : left + width // 12] = 255
        frames.append(frame)
    return Footage(frames, np.arange(len(frames)) / FPS, seconds)


def _still(picture: Picture, seconds: float) -> Footage:
    return Footage([picture], np.zeros(1), seconds)


class Cutter:
    """Puts an excerpt together, piece after piece, all in the film's size."""

    def __init__(self, film: Footage, edit: Callable[[Picture], Picture] = lambda picture: picture) -> None:
        self._film = film
        self._edit = edit
        self._frames: list[Picture] = []
        self._pieces: list[Piece] = []

    def take(self, start: float, end: float, speed: float = 1.0) -> Cutter:
        """A span of the film; a negative speed plays it backwards."""
        count = max(1, round((end - start) / abs(speed) * FPS))
        steps = (np.arange(count) + 0.5) / count
        seconds = start + (end - start) * (steps if speed > 0 else 1 - steps)
        return self._add(
            [self._film.at(at) for at in seconds], start, end, "film" if speed > 0 else "reversed"
        )

    def freeze(self, at: float, seconds: float) -> Cutter:
        """One frame of the film, held."""
        return self._add([self._film.at(at)] * round(seconds * FPS), at, at, "frozen")

    def insert(self, foreign: Footage, seconds: float) -> Cutter:
        """So much of something else."""
        height, width = self._film.frames[0].shape[:2]
        frames = [
            cv2.resize(foreign.at(number / FPS), (width, height), interpolation=cv2.INTER_AREA)
            for number in range(round(seconds * FPS))
        ]
        return self._add(frames, 0.0, 0.0, "foreign")

    def finish(self, kind: str) -> Excerpt:
        """What was put together."""
        is_foreign = all(piece.kind == "foreign" for piece in self._pieces)
        return Excerpt(kind, None if is_foreign else self._film.path, self._frames, tuple(self._pieces))

    def _add(self, frames: list[Picture], start: float, end: float, kind: str) -> Cutter:
        begin = len(self._frames) / FPS
        for frame in frames:
            edited = np.ascontiguousarray(self._edit(frame))
            height, width = (side // 2 * 2 for side in edited.shape[:2])
            self._frames.append(edited[:height, :width])
        self._pieces.append(Piece(start, end, begin, len(self._frames) / FPS, kind))
        return self


def crop_upright(picture: Picture) -> Picture:
    """The middle of a picture, nine wide and sixteen high."""
    height, width = picture.shape[:2]
    kept = min(width, round(height * 9 / 16))
    left = (width - kept) // 2
    return picture[:, left : left + kept]


def inset_into(around: Footage, share: float) -> Callable[[Picture], Picture]:
    """Puts the film, by this share of its sides, into the lower right of something else."""
    return lambda picture: _lay(around.at(0.0), picture, share)


def lay_over(inset: Footage, share: float) -> Callable[[Picture], Picture]:
    """Puts something else, by this share of its sides, into the lower right of the film."""
    return lambda picture: _lay(picture, inset.at(0.0), share)


def _lay(below: Picture, above: Picture, share: float) -> Picture:
    """One picture in the lower right of another; the film decides on the size."""
    height, width = below.shape[:2]
    whole = below.copy()
    inner = (round(width * share), round(height * share))
    bottom, right = round(height * 0.95), round(width * 0.95)
    small = cv2.resize(above, inner, interpolation=cv2.INTER_AREA)
    whole[bottom - inner[1] : bottom, right - inner[0] : right] = small
    return whole


def make_excerpts(
    films: Sequence[Footage], foreign: Sequence[Footage], count: int, random: np.random.Generator
) -> list[Excerpt]:
    """So many excerpts of every kind, in turns from each film and with each piece of foreign material."""
    made: list[Excerpt] = []
    kinds: list[Callable[[Footage, Footage, np.random.Generator], Excerpt | None]] = list(KINDS)
    for offset, kind in enumerate(kinds):
        found, turn = 0, 0
        while found < count and turn < 20 * count:
            film = films[(offset + turn) % len(films)]
            excerpt = kind(film, foreign[(3 * offset + turn) % len(foreign)], random)
            turn += 1
            if excerpt is not None:
                made.append(excerpt)
                found += 1
    return made


def _start(film: Footage, seconds: float, random: np.random.Generator) -> float | None:
    """Where a stretch of this length can begin; None where the film is too short."""
    room = film.length_seconds - seconds
    return float(random.uniform(0.0, room)) if room > 0.05 else None


def _with_foreign(film: Footage, foreign: Footage, random: np.random.Generator, where: str) -> Excerpt | None:
    start = _start(film, 3.5, random)
    if start is None:
        return None
    foreign = (foreign, foreign, black(3.0, film), test_pattern(3.0, film))[int(random.integers(4))]
    cutter = Cutter(film)
    if where == "intro":
        cutter.insert(foreign, 3.0).take(start, start + 3.0)
    elif where == "outro":
        cutter.take(start, start + 3.0).insert(foreign, 3.0)
    else:
        cutter.take(start, start + 1.75).insert(foreign, 2.0).take(start + 1.75, start + 3.5)
    return cutter.finish(f"foreign {where}")


def _foreign_intro(film: Footage, foreign: Footage, random: np.random.Generator) -> Excerpt | None:
    return _with_foreign(film, foreign, random, "intro")


def _foreign_outro(film: Footage, foreign: Footage, random: np.random.Generator) -> Excerpt | None:
    return _with_foreign(film, foreign, random, "outro")


def _foreign_middle(film: Footage, foreign: Footage, random: np.random.Generator) -> Excerpt | None:
    return _with_foreign(film, foreign, random, "middle")


def _montage(film: Footage, foreign: Footage, random: np.random.Generator) -> Excerpt | None:
    room = film.length_seconds / 3 - 2.0
    if room < 0.05:
        return None
    cutter = Cutter(film)
    for third in ((2, 0, 1), (1, 0, 2), (2, 1, 0))[int(random.integers(3))]:
        start = third * film.length_seconds / 3 + float(random.uniform(0.0, room))
        cutter.take(start, start + 2.0)
    return cutter.finish(MONTAGE)


def _at_speed(speed: float, seconds: float, kind: str) -> Callable[..., Excerpt | None]:
    def make(film: Footage, foreign: Footage, random: np.random.Generator) -> Excerpt | None:
        start = _start(film, seconds, random)
        return None if start is None else Cutter(film).take(start, start + seconds, speed).finish(kind)

    return make


def _edited(
    kind: str, edit: Callable[[Footage], Callable[[Picture], Picture]]
) -> Callable[..., Excerpt | None]:
    def make(film: Footage, foreign: Footage, random: np.random.Generator) -> Excerpt | None:
        start = _start(film, 3.5, random)
        return None if start is None else Cutter(film, edit(foreign)).take(start, start + 3.5).finish(kind)

    return make


def _freeze(film: Footage, foreign: Footage, random: np.random.Generator) -> Excerpt | None:
    start = _start(film, 2.0, random)
    if start is None:
        return None
    return Cutter(film).take(start, start + 2.0).freeze(start + 1.99, 2.0).finish("freeze frame")


def _loop(film: Footage, foreign: Footage, random: np.random.Generator) -> Excerpt | None:
    start = _start(film, 2.0, random)
    if start is None:
        return None
    end = start + 2.0
    return Cutter(film).take(start, end).take(start, end).take(start, end).finish("loop")


def _nothing(film: Footage, foreign: Footage, random: np.random.Generator) -> Excerpt | None:
    return Cutter(film).insert(foreign, 3.0).finish("foreign alone")


KINDS: tuple[Callable[[Footage, Footage, np.random.Generator], Excerpt | None], ...] = (
    _foreign_intro,
    _foreign_outro,
    _foreign_middle,
    _montage,
    _at_speed(-1.0, 4.0, "reversed"),
    _at_speed(0.25, 2.0, "speed 0.25"),
    _at_speed(0.5, 3.0, "speed 0.5"),
    _at_speed(2.0, 4.0, "speed 2"),
    _at_speed(4.0, 6.0, "speed 4"),
    _edited("inset in a picture", lambda foreign: inset_into(foreign, 0.6)),
    _edited("picture over it", lambda foreign: lay_over(foreign, 0.35)),
    _edited("upright crop", lambda foreign: crop_upright),
    _at_speed(1.0, 0.5, "half a second"),
    _freeze,
    _loop,
    _nothing,
)
