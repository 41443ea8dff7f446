"""Optical flow against movements that are known by arithmetic."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from indexer.datasets.flow import FLOW_PRESETS, cached_flow, optical_flow
from indexer.video.clips.array_cache import ArrayCache


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth blobs of about 6 pixels, uint8 (height, width, 3)."""
    coarse = np.random.default_rng(seed).integers(
        0, 256, (height // 6 + 2, width // 6 + 2, 3), dtype=np.uint8
    )
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("preset", FLOW_PRESETS)
@pytest.mark.parametrize("move", [(3, 0), (-3, 0), (0, 2), (-4, -1)])
@pytest.mark.parametrize("size", [(36, 48), (128, 171)])
def test_translation(preset: str, move: tuple[int, int], size: tuple[int, int]) -> None:
    height, width = size
    dx, dy = move
    large = texture(height + 40, width + 40)
    # The camera looks dx to the left of where it looked, so what it sees moves dx to the right.
    frames = np.stack(
        [large[20 - t * dy : 20 - t * dy + height, 20 - t * dx : 20 - t * dx + width] for t in range(3)]
    )
    flow = optical_flow(frames, preset)  # type: ignore[arg-type]
    assert flow.shape == (2, height, width, 2)
    assert flow.dtype == np.float32
    errors = np.linalg.norm(flow[:, 6:-6, 6:-6] - np.array(move), axis=-1)
    assert np.median(errors) < 0.15
    assert (errors < 0.5).mean() > 0.95


def test_rotation_about_the_centre() -> None:
    side, degrees = 128, 3.0
    large = texture(192, 192, seed=2)
    centre = 191 / 2
    turned = cv2.warpAffine(
        large, cv2.getRotationMatrix2D((centre, centre), degrees, 1.0), (192, 192), flags=cv2.INTER_CUBIC
    )
    flow = optical_flow(np.stack([large, turned])[:, 32:160, 32:160])[0]
    # OpenCV's angle is counter-clockwise on the screen, whose y runs down: x' = x cos + y sin.
    y, x = (np.mgrid[:side, :side] - (side - 1) / 2).astype(np.float64)
    angle = np.radians(degrees)
    expected = np.stack(
        [x * np.cos(angle) + y * np.sin(angle) - x, -x * np.sin(angle) + y * np.cos(angle) - y], axis=-1
    )
    errors = np.linalg.norm(flow - expected, axis=-1)[8:-8, 8:-8]
    assert np.linalg.norm(expected, axis=-1).max() > 4
    assert np.median(errors) < 0.15
    assert (errors < 0.5).mean() > 0.95


def test_what_stands_still_does_not_move() -> None:
    frames = np.repeat(texture(64, 64)[None], 3, axis=0)
    assert not optical_flow(frames).any()


def test_wide_frames_and_wrong_input() -> None:
    for height, width in ((16, 16), (16, 400), (400, 16), (17, 33)):
        frames = np.stack([texture(height, width, seed) for seed in (0, 1)])
        assert optical_flow(frames).shape == (1, height, width, 2)
    with pytest.raises(ValueError, match="T >= 2"):
        optical_flow(np.zeros((1, 32, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="16 pixels"):
        optical_flow(np.zeros((2, 15, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="medium, fine"):
        optical_flow(np.zeros((2, 32, 32, 3), np.uint8), "fast")  # type: ignore[arg-type]


def test_the_second_read_does_not_compute(tmp_path: Path) -> None:
    frames = np.stack([texture(48, 64, seed) for seed in (0, 1)])
    cache = ArrayCache(tmp_path, 1 << 20)
    first = cached_flow(frames, cache)
    entry = next(tmp_path.rglob("*.npy"))
    assert np.load(entry).dtype == np.float16
    np.testing.assert_allclose(first, optical_flow(frames), atol=0.01)
    np.testing.assert_array_equal(cached_flow(frames, cache), first)
    # What lies in the cache is what is answered, so nothing was computed.
    np.save(entry, np.full((1, 48, 64, 2), 7, np.float16))
    assert (cached_flow(frames, cache) == 7).all()
    # Other pixels and another preset are other entries.
    assert not (cached_flow(frames, cache, "fine") == 7).all()
    assert not (cached_flow(frames[::-1].copy(), cache) == 7).all()
    assert len(list(tmp_path.rglob("*.npy"))) == 3
