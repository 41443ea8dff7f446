"""The seam to vector search: all that a library asks of an index."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]


class VectorIndex(Protocol):
    """Finds the stored unit vectors of highest cosine with a query.

    Several threads may search it and read its ids and contents at once; who adds or removes does it alone.

    Attributes:
        dim: D, the length of a vector.
    """

    dim: int

    @property
    def kind(self) -> str:
        """The structure that it has now, for people: "exact (cpu)", "ivf 1024, nprobe 16, fp16 (cpu)", ..."""
        ...

    @property
    def is_stored_exactly(self) -> bool:
        """True where vectors are kept bit for bit, not rounded or compressed."""
        ...

    @property
    def is_outgrown(self) -> bool:
        """True where `restructured` would give an index that suits its size better."""
        ...

    def is_exact(self, allowed: int | None = None) -> bool:
        """True where a search among so many allowed ids (None: no filter) compares every one of them."""
        ...

    def __len__(self) -> int: ...

    def ids(self) -> Ids:
        """Every stored id, ascending: int64 (N,)."""
        ...

    def contents(self) -> tuple[Ids, Vectors]:
        """Every id and its vector as it is stored, in no order: int64 (N,), float32 (N, D).

        Both may be views of the index's own memory: copy them before it is changed.
        """
        ...

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Stores vectors float32 (N, D), L2 norm 1, under new, ascending ids int64 (N,).

        Raises:
            ValueError: The shapes do not fit.
        """
        ...

    def remove(self, ids: Ids) -> None:
        """Forgets these ids int64 (N,); unknown ones are ignored."""
        ...

    def search(self, queries: Vectors, k: int, allowed_ids: Ids | None = None) -> tuple[Vectors, Ids]:
        """Finds the k best of the allowed ids (all, when None) for each query.

        Args:
            queries: float32 (Q, D).
            k: At least 1.
            allowed_ids: int64 (A,), ascending; unknown ones are ignored.

        Returns:
            scores float32 (Q, K) descending and ids int64 (Q, K), where K is the smaller of k and
            the number of stored allowed vectors: when k results exist, k come back.
        """
        ...

    def restructured(self) -> Self:
        """Makes an index of the same vectors that suits its size; may take minutes. This one stays as it is.

        This one may be searched meanwhile by another thread, but not changed.
        """
        ...

    def copy(self) -> Self:
        """Makes an index of the same vectors, to be changed apart from this one."""
        ...

    def write(self, path: Path) -> dict[str, Any]:
        """Writes all that it holds to a file; returns what else `read` needs, fit for JSON.

        Raises:
            OSError, RuntimeError: The file cannot be written.
        """
        ...

    @classmethod
    def read(cls, path: Path, dim: int, facts: Mapping[str, Any]) -> Self:
        """Reads what `write` wrote, given what it returned.

        Raises:
            FileNotFoundError: There is no such file.
            OSError, ValueError, KeyError, TypeError, RuntimeError: It is broken.
        """
        ...
