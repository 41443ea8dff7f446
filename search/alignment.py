"""Lays an example over a video in time: where, at what speed, and how well it fits.

Frame features of both are compared along straight lines in the plane (query time, video time), the
idea of temporal Hough voting for copy detection (Douze et al., "An image-based approach to video
copy detection with spatio-temporal post-filtering", IEEE Trans. Multimedia 2010), with two
measures at once: the mean cosine along the line, which says *what* is shown, and the correlation
of how both change over time, which says *when*, and does not mind a constant change such as a
caption, a border or less light.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SPEEDS = (1.0, 0.8, 1.25, 0.75, 4 / 3, 0.9, 1.1, 0.667, 1.5)
STEP_SECONDS = 0.1
SPEED_COST = 0.1
MIN_OVERLAP = 0.5
MAX_QUERY_FRAMES = 120


@dataclass(frozen=True, slots=True)
class Alignment:
    """An example's span in a video.

    Attributes:
        start_seconds, end_seconds: The matched span in the video.
        query_start_seconds, query_end_seconds: The matched span in the example.
        speed: Seconds of the video per second of the example.
        similarity: Mean cosine along the line, -1..1.
        fit: What alignments are ranked by: similarity plus the correlation of change, less what
            of the example lies outside the video.
    """

    start_seconds: float
    end_seconds: float
    query_start_seconds: float
    query_end_seconds: float
    speed: float
    similarity: float
    fit: float


def align(
    query: NDArray[np.float32],
    query_times: NDArray[np.float64],
    query_span: tuple[float, float],
    video: NDArray[np.float32],
    video_times: NDArray[np.float64],
    video_span: tuple[float, float],
) -> Alignment:
    """Finds the best straight alignment of an example in (a stretch of) a video.

    Args:
        query: float32 (n, D), unit features of the example's frames.
        query_times: float64 (n,), seconds, ascending.
        query_span: The example's [start, end) in seconds.
        video: float32 (m, D), unit features of the video's sampled frames.
        video_times: float64 (m,), seconds, ascending.
        video_span: The stretch's [start, end) in seconds.

    Returns:
        The alignment of highest fit.
    """
    if len(query) > MAX_QUERY_FRAMES:
        kept = np.linspace(0, len(query) - 1, MAX_QUERY_FRAMES).round().astype(int)
        query, query_times = query[kept], query_times[kept]
    cosines = query @ video.T
    centred = (query - query.mean(axis=0)) @ video.T
    query_spread = float(np.square(query - query.mean(axis=0)).sum(axis=1).mean())
    gram = video @ video.T
    best: tuple[float, float, float, float] | None = None
    for speed in SPEEDS:
        offsets = _offsets(query_span, video_span, speed)
        found = _fits(
            cosines,
            centred,
            query_spread,
            gram,
            speed * (query_times - query_span[0]),
            video_times,
            offsets,
            video_span,
        )
        # Unchanged speed is by far the commonest: the farther from it, the more it must earn.
        fit = found[0] - SPEED_COST * abs(math.log(speed))
        winner = int(np.argmax(fit))
        if best is None or fit[winner] > best[0]:
            best = (float(fit[winner]), float(found[1][winner]), float(offsets[winner]), speed)
    assert best is not None
    fit_value, similarity, offset, speed = best
    start = max(offset, video_span[0])
    end = min(offset + speed * (query_span[1] - query_span[0]), video_span[1])
    return Alignment(
        start_seconds=start,
        end_seconds=end,
        query_start_seconds=max(0.0, query_span[0] + (start - offset) / speed),
        query_end_seconds=query_span[0] + (end - offset) / speed,
        speed=speed,
        similarity=similarity,
        fit=fit_value,
    )


def _offsets(
    query_span: tuple[float, float], video_span: tuple[float, float], speed: float
) -> NDArray[np.float64]:
    length = speed * (query_span[1] - query_span[0])
    overlap = MIN_OVERLAP * min(length, video_span[1] - video_span[0])
    first, last = video_span[0] + overlap - length, video_span[1] - overlap
    return np.append(np.arange(first, last, STEP_SECONDS), last)


def _fits(
    cosines: NDArray[np.float32],
    centred: NDArray[np.float32],
    query_spread: float,
    gram: NDArray[np.float32],
    shifts: NDArray[np.float64],
    video_times: NDArray[np.float64],
    offsets: NDArray[np.float64],
    video_span: tuple[float, float],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit and similarity of each offset: float64 (O,) both. Video features are interpolated."""
    at = offsets[:, None] + shifts[None, :]  # (O, n) seconds in the video
    inside = (at >= video_span[0] - 1e-9) & (at <= video_span[1] + 1e-9)
    after = np.clip(np.searchsorted(video_times, at), 1, max(len(video_times) - 1, 1))
    if len(video_times) == 1:
        before = after = np.zeros_like(after)
        share = np.zeros_like(at)
    else:
        before = after - 1
        gap = video_times[after] - video_times[before]
        share = np.clip((at - video_times[before]) / gap, 0.0, 1.0)
    rows = np.arange(len(shifts))[None, :]
    count = np.maximum(inside.sum(axis=1), 1)

    def along(table: NDArray[np.float32]) -> NDArray[np.float64]:
        values = table[rows, before] * (1 - share) + table[rows, after] * share
        return (values * inside).sum(axis=1) / count

    similarity = along(cosines)
    # Spread of the video along the line: mean |v|^2 - |mean v|^2, from its Gram matrix.
    weights = np.zeros((len(offsets), len(video_times)))
    line = np.repeat(np.arange(len(offsets))[:, None], len(shifts), axis=1)
    np.add.at(weights, (line, before), (1 - share) * inside)
    np.add.at(weights, (line, after), share * inside)
    weights /= count[:, None]
    diagonal = np.diagonal(gram)
    cross = gram[before, after]
    squares = (
        diagonal[before] * (1 - share) ** 2 + diagonal[after] * share**2 + 2 * share * (1 - share) * cross
    )
    mean_square = (squares * inside).sum(axis=1) / count
    square_mean = ((weights @ gram) * weights).sum(axis=1)
    spread = np.maximum(mean_square - square_mean, 0.0)
    # The small floor keeps footage in which nothing happens from being ranked by its noise.
    floor = 0.02
    correlation = along(centred) / np.sqrt((query_spread + floor) * (spread + floor))
    coverage = inside.mean(axis=1)
    return similarity + 0.5 * correlation - (1 - coverage), similarity
