"""Exact search by one matrix product: the index that every other one is tested against."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from search.index.vector_index import Ids, VectorIndex, Vectors, VectorSpace


class NumpyIndex(VectorIndex):
    """Compares a query with every stored vector; see `VectorIndex`."""

    kind = "exact (numpy)"
    is_stored_exactly = True
    is_outgrown = False

    def __init__(self, space: VectorSpace) -> None:
        self.space, self.dim = space, space.dim
        # Replaced, never written into: copies share them.
        self._ids = np.zeros(0, np.int64)
        self._vectors = np.zeros((0, self.dim), np.float32)

    def is_exact(self, allowed: int | None = None) -> bool:
        """See `VectorIndex.is_exact`."""
        return True

    def __len__(self) -> int:
        return len(self._ids)

    def ids(self) -> Ids:
        """See `VectorIndex.ids`."""
        return np.sort(self._ids)

    def contents(self) -> tuple[Ids, Vectors]:
        """See `VectorIndex.contents`."""
        return self._ids, self._vectors

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """See `VectorIndex.add`."""
        if vectors.shape != (len(ids), self.dim):
            raise ValueError(f"vectors must be ({len(ids)}, {self.dim}), got {vectors.shape}")
        self._ids = np.concatenate([self._ids, ids])
        self._vectors = np.concatenate([self._vectors, vectors])

    def remove(self, ids: Ids) -> None:
        """See `VectorIndex.remove`."""
        keep = ~np.isin(self._ids, ids)
        self._ids, self._vectors = self._ids[keep], self._vectors[keep]

    def search(self, queries: Vectors, k: int, allowed_ids: Ids | None = None) -> tuple[Vectors, Ids]:
        """See `VectorIndex.search`."""
        ids, vectors = self._ids, self._vectors
        if allowed_ids is not None:
            keep = np.isin(ids, allowed_ids)
            ids, vectors = ids[keep], vectors[keep]
        scores = queries @ vectors.T
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, order, axis=1), ids[order]

    def restructured(self, folder: Path | None = None) -> Self:
        """See `VectorIndex.restructured`: one structure suits every size."""
        return self.copy()

    def copy(self) -> Self:
        """See `VectorIndex.copy`."""
        other = type(self)(self.space)
        other._ids, other._vectors = self._ids, self._vectors
        return other

    def write(self, path: Path) -> dict[str, Any]:
        """See `VectorIndex.write`: two arrays in NumPy's own format."""
        with path.open("wb") as file:
            np.save(file, self._ids, allow_pickle=False)
            np.save(file, self._vectors, allow_pickle=False)
        return {}

    @classmethod
    def read(cls, path: Path, space: VectorSpace, facts: Mapping[str, Any]) -> Self:
        """See `VectorIndex.read`."""
        index = cls(space)
        with path.open("rb") as file:
            ids, vectors = np.load(file, allow_pickle=False), np.load(file, allow_pickle=False)
        if (ids.dtype, vectors.dtype, vectors.shape) != (np.int64, np.float32, (len(ids), space.dim)):
            raise ValueError(
                f"{path.name} holds {vectors.dtype} {vectors.shape} under {ids.dtype} {ids.shape}, expected "
                f"float32 (N, {space.dim}) under int64 (N,)"
            )
        index._ids, index._vectors = ids, vectors
        return index
