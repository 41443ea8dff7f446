"""Alignment in time on made feature curves with known places and speeds."""

from __future__ import annotations

import numpy as np
import pytest

from encoders.types import normalise
from search.alignment.alignment import Alignment, Stretch, align

DIM = 64


class Curve:
    """A video whose feature wanders smoothly, so that any excerpt of it can be written down."""

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.base = random.normal(size=DIM)
        self.waves = random.normal(size=(6, DIM)) / 3
        self.rates = random.uniform(0.15, 1.0, size=6)
        self.phases = random.uniform(0, 6.28, size=6)

    def at(self, times: np.ndarray) -> np.ndarray:
        angles = 2 * np.pi * times[:, None] * self.rates * 0.4 + self.phases
        return normalise(self.base + np.sin(angles) @ self.waves)


def the_piece(query, query_times, query_span, video, video_times, video_span) -> Alignment:
    """The one piece that is found."""
    (piece,) = align(Stretch(query, query_times, query_span), Stretch(video, video_times, video_span))
    return piece


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("speed", [1.0, 0.8, 1.25])
@pytest.mark.parametrize("start", [0.0, 13.37, 51.9])
def test_an_excerpt_is_found_at_its_time_and_speed(seed, speed, start):
    curve = Curve(seed)
    video_times = np.arange(0.25, 60, 0.5)
    length = 6.0 / speed
    query_times = np.arange(0.125, length, 0.25)
    query = curve.at(start + speed * query_times)
    found = the_piece(query, query_times, (0.0, length), curve.at(video_times), video_times, (0.0, 60.0))
    assert found.start_seconds == pytest.approx(start, abs=0.3)
    assert found.end_seconds == pytest.approx(start + 6.0, abs=0.5)
    assert found.similarity > 0.98


@pytest.mark.parametrize("seed", range(4))
def test_a_constant_change_such_as_a_caption_does_not_move_it(seed):
    curve = Curve(seed)
    video_times = np.arange(0.25, 60, 0.5)
    query_times = np.arange(0.125, 4, 0.25)
    caption = np.random.default_rng(seed + 50).normal(size=DIM)
    query = normalise(curve.at(20.6 + query_times) + 0.8 * normalise(caption))
    found = the_piece(query, query_times, (0.0, 4.0), curve.at(video_times), video_times, (0.0, 60.0))
    assert found.start_seconds == pytest.approx(20.6, abs=0.5)


def test_an_excerpt_that_runs_past_the_end_is_cut_there():
    curve = Curve(1)
    video_times = np.arange(0.25, 20, 0.5)
    query_times = np.arange(0.25, 8, 0.5)
    query = curve.at(15 + query_times)
    pieces = align(
        Stretch(query, query_times, (0.0, 8.0)), Stretch(curve.at(video_times), video_times, (0.0, 20.0))
    )
    # What comes after resembles the scene at other times (cosines of 0.9), and may come back as that.
    found = max(pieces, key=lambda piece: piece.similarity)
    assert found.start_seconds == pytest.approx(15, abs=0.5)
    assert found.end_seconds == pytest.approx(20, abs=0.1)
    assert found.query_end_seconds == pytest.approx(5, abs=0.6)


def test_a_video_of_one_frame_and_an_example_longer_than_the_video():
    curve = Curve(2)
    query_times = np.arange(0.25, 30, 0.5)
    pieces = align(
        Stretch(curve.at(query_times), query_times, (0.0, 30.0)),
        Stretch(curve.at(np.array([4.0])), np.array([4.0]), (3.5, 4.5)),
    )
    assert pieces  # more than one where the example comes back to what the frame shows
    for piece in pieces:
        assert 3.5 <= piece.start_seconds < piece.end_seconds <= 4.5
    best = max(pieces, key=lambda piece: piece.similarity)
    assert best.query_start_seconds <= 4.0 <= best.query_end_seconds
    video_times = np.arange(8.25, 12, 0.5)
    pieces = align(
        Stretch(curve.at(query_times), query_times, (0.0, 30.0)),
        Stretch(curve.at(video_times), video_times, (8.0, 12.0)),
    )
    found = max(pieces, key=lambda piece: piece.similarity)
    assert found.query_start_seconds == pytest.approx(8, abs=0.5)
    assert found.query_end_seconds == pytest.approx(12, abs=0.5)
