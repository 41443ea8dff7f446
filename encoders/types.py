"""The values that pass between decoding, encoding and search."""

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


@dataclass(frozen=True, slots=True)
class Concept:
    """One thing that words of a query name, as the encoder took it.

    Attributes:
        words: The piece of the query, as typed: "dogs".
        meaning: What it was taken for: "dog".
        kinds: How many of the encoder's classes fall under it, 1 or more; 0 where it was only compared with
            their names and definitions.
    """

    words: str
    meaning: str
    kinds: int


@dataclass(frozen=True, slots=True)
class TextReading:
    """An encoder's reading of the words of a query.

    Attributes:
        text: The words.
        concepts: The things that they name, in the order of the words.
        unknown: Words that say something the encoder knows nothing of; articles and the like are not among
            them.
        known_share: How much of what the words say is understood, 0..1.

    Raises:
        ValueError: The share is out of range.
    """

    text: str
    concepts: tuple[Concept, ...]
    unknown: tuple[str, ...]
    known_share: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.known_share <= 1.0:
            raise ValueError(f"known_share must be from 0 to 1, got {self.known_share}")


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
