"""A stream of frames to a stream of clips: shots, windows, sampled frames and key frames.

Clips tile the video from its first frame to its end. A shot is one clip or several: it is cut into
windows of `clip_seconds`, and a rest shorter than half a window stays with the window before it.
"""

from __future__ import annotations

import io
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from PIL import Image

from encoders.types import FrameBatch
from indexer.video.clips.shots import ShotDetector
from indexer.video.pictures.borders import BorderFinder
from indexer.video.pictures.frame import Crop, DecodedFrame
from indexer.video.reading.codec import Skip
from indexer.video.reading.decode import VideoDecoder
from indexer.video.types import KeyFrame, SampledClip, Sampling, SamplingOptions

__all__ = ["KeyFrame", "SampledClip", "SamplingOptions", "encode_jpeg", "sample_clips", "with_cuts"]

_JPEG_QUALITY = 80
_SHARPNESS_SIDE = 180
_LONGEST_STILL_WINDOWS = 10  # a frame that is shown for longer makes one long clip
_SKIPPED: dict[Sampling, Skip] = {"exact": "none", "fast": "nonref", "keyframes": "nonkey"}
_CLOCK_SECONDS = 0.001  # the coarsest clock of a common container rounds to this


@dataclass(slots=True)
class _Window:
    """A clip in the making."""

    start_seconds: float
    end_seconds: float  # planned, until the shot or the video ends sooner
    samples: list[DecodedFrame] = field(default_factory=list)
    early: list[DecodedFrame] = field(default_factory=list)  # for a shot too short for a sample
    dense: list[DecodedFrame] = field(default_factory=list)


def sample_clips(decoder: VideoDecoder, options: SamplingOptions) -> Iterator[SampledClip]:
    """Cuts a video into clips in one pass; holds the frames of about two windows.

    Args:
        decoder: A fresh decoder; it is run through, not closed.
        options: What to take.

    Raises:
        DamagedVideoError: At the end, from the decoder.
    """
    cutter = _WindowCutter(options, decoder)
    shot_aware = options.shots and options.sampling != "keyframes"
    skip = _SKIPPED[options.sampling]
    frames = decoder.frames(skip, apart_seconds=options.apart_seconds)
    for frame, is_cut in with_cuts(frames, decoder, options) if shot_aware else ((f, False) for f in frames):
        for window in cutter.push(frame, is_cut):
            yield _finished(window, options)
    for window in cutter.finish():
        yield _finished(window, options)


def with_cuts(
    frames: Iterator[DecodedFrame], decoder: VideoDecoder, options: SamplingOptions
) -> Iterator[tuple[DecodedFrame, bool]]:
    """Each frame with whether it begins a new shot, a few frames late."""
    detector = ShotDetector()
    cuts: set[float] = set()
    held: deque[DecodedFrame] = deque()
    is_thinned = options.sampling == "fast"
    for frame in frames:
        spacing = 1.0
        if is_thinned and held:
            apart = frame.pts_seconds - held[-1].pts_seconds
            spacing = max(1.0, apart / decoder.shown_seconds(held[-1]))
        cuts.update(detector.push(frame.thumbnail(), frame.pts_seconds, spacing))
        held.append(frame)
        if len(held) > ShotDetector.LOOKAHEAD_FRAMES:
            oldest = held.popleft()
            yield oldest, oldest.pts_seconds in cuts
            cuts.discard(oldest.pts_seconds)
    cuts.update(detector.finish())
    for frame in held:
        yield frame, frame.pts_seconds in cuts


class _WindowCutter:
    """Turns frames with cuts into finished windows."""

    def __init__(self, options: SamplingOptions, decoder: VideoDecoder) -> None:
        self._options = options
        self._decoder = decoder
        dense_side = options.dense_size if options.dense_fps else 0
        self._compact_side = max(options.frame_size, options.key_frame_size, dense_side)
        self._last: DecodedFrame | None = None
        self._last_compact: DecodedFrame | None = None
        self._previous: _Window | None = None  # complete, but a short rest may still join it
        self._current: _Window | None = None
        self._keeps_early = True
        self._is_sparse = options.sampling == "keyframes"

    def push(self, frame: DecodedFrame, is_cut: bool) -> Iterator[_Window]:
        if self._current is None:
            self._begin(frame.pts_seconds, is_shot=True)
        elif is_cut:
            yield from self._advance(frame.pts_seconds)
            yield from self._end_shot(frame.pts_seconds)
            self._begin(frame.pts_seconds, is_shot=True)
        else:
            yield from self._advance(frame.pts_seconds)
        self._last, self._last_compact = frame, None
        current = self._current
        assert current is not None
        if self._is_sparse:
            current.samples.append(self._compact())
        elif self._keeps_early and not current.samples:
            shown = frame.pts_seconds - current.start_seconds
            spacing = 0.06 / self._options.fps
            if len(current.early) * spacing <= shown <= 0.5 / self._options.fps:
                current.early.append(self._compact())

    def finish(self) -> Iterator[_Window]:
        if self._last is None:
            return
        end = self._last.pts_seconds + self._decoder.shown_seconds(self._last)
        if self._options.sampling != "exact":  # what was left out may have been shown for longer
            end = max(end, self._decoder.end_seconds)
        yield from self._advance(end)
        yield from self._end_shot(end)

    def _begin(self, start_seconds: float, *, is_shot: bool) -> None:
        self._current = _Window(start_seconds, start_seconds + self._options.clip_seconds)
        step = 1.0 / self._options.fps
        self._keeps_early = is_shot or self._options.clip_seconds / 2 < step

    def _advance(self, until_seconds: float) -> Iterator[_Window]:
        """Lets time pass up to the next frame; the last one stays on screen all the while."""
        while True:
            window = self._current
            assert window is not None
            self._sample(window, min(until_seconds, window.end_seconds))
            self._sample_dense(window, until_seconds)
            is_long = until_seconds - window.start_seconds >= self._options.clip_seconds / 2
            if is_long and (window.samples or not self._is_sparse):
                yield from self._release_previous()
            if until_seconds < window.end_seconds:
                return
            length = self._options.clip_seconds
            still_windows = (until_seconds - window.end_seconds) // length
            if still_windows > _LONGEST_STILL_WINDOWS:
                window.end_seconds += still_windows * length
            if self._is_sparse and not window.samples and self._previous is not None:
                self._previous.end_seconds = window.end_seconds
            else:
                self._previous = self._settled(window)
            self._begin(window.end_seconds, is_shot=False)

    def _sample(self, window: _Window, until_seconds: float) -> None:
        """Takes the last frame if a target time lies between it and `until_seconds`."""
        if self._is_sparse:
            return
        last, fps = self._last, self._options.fps
        assert last is not None
        begin = max(last.pts_seconds, window.start_seconds)
        index = max(0, math.ceil((begin - window.start_seconds) * fps - 0.5 - 1e-9))
        target = window.start_seconds + (index + 0.5) / fps
        seen = window.samples and window.samples[-1].pts_seconds == last.pts_seconds
        if target < until_seconds and not seen:
            window.samples.append(self._compact())

    def _sample_dense(self, window: _Window, until_seconds: float) -> None:
        """Takes the last frame if it is on screen at a time of the dense grid, and not taken yet.

        The grid begins with the window. A frame whose time a coarse clock rounded to just after a
        time of the grid counts as shown at it; else the frames would come at an uneven pace.
        """
        last, fps = self._last, self._options.dense_fps
        assert last is not None
        if not fps or (window.dense and window.dense[-1].pts_seconds == last.pts_seconds):
            return
        begin = max(last.pts_seconds - _CLOCK_SECONDS, window.start_seconds)
        index = math.ceil((begin - window.start_seconds) * fps - 1e-9)
        is_over = until_seconds >= window.end_seconds
        end = window.end_seconds if is_over else until_seconds - _CLOCK_SECONDS
        if window.start_seconds + index / fps < end - 1e-9:
            window.dense.append(self._compact())

    def _end_shot(self, end_seconds: float) -> Iterator[_Window]:
        """Closes the shot: its rest is a clip by itself, or joins the window before."""
        window, previous = self._current, self._previous
        assert window is not None
        rest = end_seconds - window.start_seconds
        is_short = rest < self._options.clip_seconds / 2 or not (window.samples or window.early)
        if previous is not None and (is_short or rest <= 0):
            previous.end_seconds = end_seconds
            taken = {sample.pts_seconds for sample in previous.samples}
            previous.samples += [s for s in window.samples if s.pts_seconds not in taken]
            seen = {frame.pts_seconds for frame in previous.dense}
            previous.dense += [frame for frame in window.dense if frame.pts_seconds not in seen]
            yield from self._release_previous()
            return
        yield from self._release_previous()
        window.end_seconds = end_seconds
        yield self._settled(window)

    def _settled(self, window: _Window) -> _Window:
        """The window with at least one frame; a very short one shows its middle."""
        length = window.end_seconds - window.start_seconds
        if window.early and (length < 1.0 / self._options.fps or not window.samples):
            middle = window.start_seconds + length / 2
            shown = [frame for frame in window.early if frame.pts_seconds <= middle + 1e-9]
            window.samples = shown[-1:] or window.early[:1]
        if not window.samples:
            window.samples = [self._compact()]
        window.early = []
        return window

    def _release_previous(self) -> Iterator[_Window]:
        if self._previous is not None:
            previous, self._previous = self._previous, None
            yield previous

    def _compact(self) -> DecodedFrame:
        """The last frame in a form that may be kept."""
        assert self._last is not None
        if self._last_compact is None:
            self._last_compact = self._last.compact(self._compact_side)
        return self._last_compact


def _finished(window: _Window, options: SamplingOptions) -> SampledClip:
    """Scales what was kept and picks the key frames."""
    crop = None
    if options.crop_borders:
        finder = BorderFinder()
        for sample in window.samples:
            finder.add(sample)
        crop = finder.crop()
    frames = _scaled(window.samples, window.start_seconds, options.frame_size, crop)
    dense = None
    if options.dense_fps:
        dense = _scaled(window.dense or window.samples, window.start_seconds, options.dense_size, crop)
    return SampledClip(
        window.start_seconds,
        window.end_seconds,
        frames,
        _key_frames(window, frames.pts_seconds.tolist(), options),
        dense,
    )


def _scaled(
    frames: list[DecodedFrame], start_seconds: float, short_side: int, crop: Crop | None
) -> FrameBatch:
    """The pictures of a clip, all of one size."""
    pictures = [frame.rgb(short_side, crop) for frame in frames]
    shape = pictures[0].shape
    pictures = [p if p.shape == shape else _resized(p, shape) for p in pictures]
    times = [max(frame.pts_seconds, start_seconds) for frame in frames]
    return FrameBatch(np.stack(pictures), np.array(times, np.float64))


def _key_frames(window: _Window, times: list[float], options: SamplingOptions) -> tuple[KeyFrame, ...]:
    """The sharpest frame of each of 1 to 3 equal parts of the clip."""
    length = window.end_seconds - window.start_seconds
    parts = 1 if length < 2 else 2 if length <= 5 else 3
    best: dict[int, tuple[float, int]] = {}
    for index, (sample, time) in enumerate(zip(window.samples, times, strict=True)):
        part = min(parts - 1, int((time - window.start_seconds) / length * parts))
        candidate = (_sharpness(sample), index)
        if part not in best or candidate[0] > best[part][0]:
            best[part] = candidate
    chosen = sorted(index for _, index in best.values())
    return tuple(
        KeyFrame(times[index], encode_jpeg(window.samples[index], options.key_frame_size)) for index in chosen
    )


def _sharpness(frame: DecodedFrame) -> float:
    """Variance of the Laplacian of the luma (Pech-Pacheco et al. 2000)."""
    luma = frame.luma()
    step = max(1, min(luma.shape) // _SHARPNESS_SIDE)
    edges = cv2.Laplacian(np.ascontiguousarray(luma[::step, ::step]), cv2.CV_16S)
    return float(cv2.meanStdDev(edges)[1][0, 0]) ** 2


def _resized(picture: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A frame of a stream that changed its size, brought to the size of the clip's first."""
    return cv2.resize(picture, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)


def encode_jpeg(frame: DecodedFrame, short_side: int) -> bytes:
    """The upright frame as JPEG, its short side `short_side` pixels or less."""
    buffer = io.BytesIO()
    Image.fromarray(frame.rgb(short_side)).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()
