"""The two values that pass between decoding, encoding and search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class FrameBatch:
    """Decoded frames of one video, in presentation order.

    Attributes:
        frames: uint8 (T, H, W, 3), RGB, upright, square pixels, T >= 1.
        pts_seconds: float64 (T,), presentation times in seconds, strictly ascending, finite.

    Raises:
        ValueError: A shape, dtype or order is not as stated.
    """

    frames: NDArray[np.uint8]
    pts_seconds: NDArray[np.float64]

    def __post_init__(self) -> None:
        frames, pts = self.frames, self.pts_seconds
        shape = frames.shape
        if frames.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or 0 in shape:
            raise ValueError(f"frames must be uint8 (T, H, W, 3) and not empty, got {frames.dtype} {shape}")
        if pts.dtype != np.float64 or pts.shape != (len(frames),):
            raise ValueError(f"pts_seconds must be float64 ({len(frames)},), got {pts.dtype} {pts.shape}")
        if not np.isfinite(pts).all() or (np.diff(pts) <= 0).any():
            raise ValueError("pts_seconds must be finite and strictly ascending")

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True, slots=True)
class EmbeddingBatch:
    """Unit vectors of one encoder.

    Attributes:
        vectors: float32 (N, D), each row of L2 norm 1.
        encoder_id: The encoder (and so the vector space) that they belong to.

    Raises:
        ValueError: A shape or dtype is not as stated, or a row is not of norm 1.
    """

    vectors: NDArray[np.float32]
    encoder_id: str

    def __post_init__(self) -> None:
        vectors = self.vectors
        if vectors.dtype != np.float32 or vectors.ndim != 2:
            raise ValueError(f"vectors must be float32 (N, D), got {vectors.dtype} {vectors.shape}")
        norms = np.linalg.norm(vectors, axis=1)
        if not np.allclose(norms, 1.0, atol=1e-3):
            raise ValueError(
                f"every vector must have L2 norm 1, got norms from {norms.min():.4g} to {norms.max():.4g}"
            )

    def __len__(self) -> int:
        return len(self.vectors)


def normalise(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scales along the last axis to L2 norm 1; an all-zero vector stays zero.

    Args:
        vectors: float (..., D).

    Returns:
        float32 (..., D).
    """
    vectors = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(norms, np.finfo(np.float32).tiny)
