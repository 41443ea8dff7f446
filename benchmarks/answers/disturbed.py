"""Photographs and clips that differ a little from those that an archive holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encoders.embedding.offline import VISUAL_DIM, VISUAL_SHARE, join_parts, pool_parts
from encoders.types import normalise

FRAMES = 4  # of a photograph in motion, from which clips are made
# How a clip differs from another of the same photograph: in log-probabilities, and in the visual part.
LOG_NOISE = 0.8
VISUAL_NOISE = 0.25


def made_clips(
    features: NDArray[np.float32], members: NDArray[np.int64], random: np.random.Generator
) -> NDArray[np.float32]:
    """Embeddings float32 (N, D) of clips of photographs, each disturbed anew."""
    made = np.empty((len(members), features.shape[2]), np.float32)
    for number, photograph in enumerate(members.tolist()):
        rows = features[photograph, random.integers(0, FRAMES, 2)]
        visual = normalise(rows[:, :VISUAL_DIM])
        visual = visual + random.normal(size=visual.shape) * VISUAL_NOISE / np.sqrt(VISUAL_DIM)
        shares = rows[:, VISUAL_DIM:-1] ** 2 / (1 - VISUAL_SHARE)
        logits = np.log(shares + 1e-7) + random.normal(size=shares.shape) * LOG_NOISE
        semantic = np.sqrt(np.exp(logits - logits.max(axis=1, keepdims=True)))
        rows = join_parts(visual.astype(np.float32), np.pad(semantic, ((0, 0), (0, 1))).astype(np.float32))
        made[number] = pool_parts(rows, "mean")
    return made


def disturb(picture: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """A picture as it is, cropped, mirrored, dimmed or with a bar across it, by number."""
    height, width = picture.shape[:2]
    if number % 5 == 1:
        return np.ascontiguousarray(
            np.kron(picture[height // 4 : -height // 4, width // 4 : -width // 4], np.ones((2, 2, 1)))
        ).astype(np.uint8)
    if number % 5 == 2:
        return np.ascontiguousarray(picture[:, ::-1])
    if number % 5 == 3:
        return (picture * 0.5).astype(np.uint8)
    if number % 5 == 4:
        barred = picture.copy()
        barred[-height // 6 :] = 16
        return barred
    return picture
