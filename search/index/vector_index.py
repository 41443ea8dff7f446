"""The seam to vector search, and the exact NumPy index that every other one is tested against."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]


class VectorIndex(Protocol):
    """Finds the stored unit vectors of highest cosine with a query.

    Attributes:
        dim: D, the length of a vector.
        exact: Whether an unfiltered search compares every stored vector.
        kind: What it is, for people: "exact", "ivf 1024", ...
    """

    dim: int

    @property
    def exact(self) -> bool: ...

    @property
    def kind(self) -> str: ...

    def __len__(self) -> int: ...

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Stores vectors float32 (N, D) under new, ascending ids int64 (N,)."""
        ...

    def remove(self, ids: Ids) -> None:
        """Forgets these ids; unknown ones are ignored."""
        ...

    def search(self, queries: Vectors, k: int, allowed_ids: Ids | None = None) -> tuple[Vectors, Ids]:
        """The k best of the allowed ids (all, when None) for each query.

        Args:
            queries: float32 (Q, D).
            k: At least 1.
            allowed_ids: int64 (A,), ascending.

        Returns:
            scores float32 (Q, K) descending and ids int64 (Q, K), where K is the smaller of k and
            the number of stored allowed vectors: when k results exist, k come back.
        """
        ...


class NumpyIndex:
    """Exact search by one matrix product; the oracle."""

    kind = "exact"
    exact = True

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._ids = np.zeros(0, np.int64)
        self._vectors = np.zeros((0, dim), np.float32)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        self._ids = np.concatenate([self._ids, ids])
        self._vectors = np.concatenate([self._vectors, vectors])

    def remove(self, ids: Ids) -> None:
        keep = ~np.isin(self._ids, ids)
        self._ids, self._vectors = self._ids[keep], self._vectors[keep]

    def search(self, queries: Vectors, k: int, allowed_ids: Ids | None = None) -> tuple[Vectors, Ids]:
        ids, vectors = self._ids, self._vectors
        if allowed_ids is not None:
            keep = np.isin(ids, allowed_ids)
            ids, vectors = ids[keep], vectors[keep]
        scores = queries @ vectors.T
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, order, axis=1), ids[order]
