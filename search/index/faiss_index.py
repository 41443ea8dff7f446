"""Vector search by FAISS: exact while that is fast, compact above (`compact_index`), on a GPU if any."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import faiss as _faiss
import numpy as np

from search.index.compact_index import CompactIndex
from search.index.vector_index import Ids, VectorIndex, Vectors, VectorSource, VectorSpace

faiss: Any = _faiss  # its type stubs name only a part of what it exports

# Exact search reads every number once per query. 2**26 of them (256 MiB: 29,421 clips of the encoder
# `offline`) take some 25 ms on one core; above that an index goes over to compact codes.
EXACT_LIMIT_NUMBERS = 2**26
GPU_MAX_K = 2048


class FaissIndex(VectorIndex):
    """Exact cosine search over unit vectors by id; see `VectorIndex`.

    Filters go into the search as ID selectors. A GPU copy serves unfiltered searches only: on the
    GPU, flat indexes accept a selector and silently ignore it.

    Args:
        space: Of the vectors.
        exact_limit_numbers: With more stored numbers (N x D) the index is outgrown.
        use_gpu: None means "when FAISS sees one".
    """

    is_stored_exactly = True

    def __init__(
        self,
        space: VectorSpace,
        *,
        exact_limit_numbers: int = EXACT_LIMIT_NUMBERS,
        use_gpu: bool | None = None,
    ) -> None:
        self.space, self.dim = space, space.dim
        self._exact_limit_numbers = exact_limit_numbers
        gpus = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
        self._use_gpu = gpus > 0 if use_gpu is None else use_gpu
        self._index: Any = faiss.IndexIDMap2(faiss.IndexFlatIP(self.dim))
        self._gpu_copy: Any = None

    # --- what it is ------------------------------------------------------------------------

    def is_exact(self, allowed: int | None = None) -> bool:
        """See `VectorIndex.is_exact`."""
        return True

    @property
    def kind(self) -> str:
        """See `VectorIndex.kind`."""
        return f"exact ({'gpu' if self._use_gpu else 'cpu'})"

    @property
    def is_outgrown(self) -> bool:
        """True past the size up to which comparing all is fast."""
        return len(self) * self.dim > self._exact_limit_numbers

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def ids(self) -> Ids:
        """See `VectorIndex.ids`."""
        return np.sort(faiss.vector_to_array(self._index.id_map))

    def contents(self) -> tuple[Ids, Vectors]:
        """See `VectorIndex.contents`."""
        ids = faiss.vector_to_array(self._index.id_map)
        flat: Any = faiss.downcast_index(self._index.index)
        return ids, faiss.rev_swig_ptr(flat.get_xb(), len(ids) * self.dim).reshape(-1, self.dim)

    # --- changing --------------------------------------------------------------------------

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """See `VectorIndex.add`."""
        if len(ids) == 0:
            return
        if vectors.shape != (len(ids), self.dim):
            raise ValueError(f"vectors must be ({len(ids)}, {self.dim}), got {vectors.shape}")
        self._gpu_copy = None
        self._index.add_with_ids(np.ascontiguousarray(vectors, np.float32), np.ascontiguousarray(ids))

    def remove(self, ids: Ids) -> None:
        """See `VectorIndex.remove`."""
        if len(ids) == 0:
            return
        self._gpu_copy = None
        self._index.remove_ids(np.ascontiguousarray(ids, np.int64))

    def restructured(self, folder: Path | None = None) -> VectorIndex:
        """See `VectorIndex.restructured`: compact past a size."""
        return CompactIndex.build(self, self.space, folder) if self.is_outgrown else self.copy()

    def copy(self) -> Self:
        """See `VectorIndex.copy`."""
        other = type(self)(self.space, exact_limit_numbers=self._exact_limit_numbers, use_gpu=self._use_gpu)
        other._index = faiss.clone_index(self._index)
        return other

    # --- searching -------------------------------------------------------------------------

    def search(self, queries: Vectors, k: int, allowed_ids: Ids | None = None) -> tuple[Vectors, Ids]:
        """See `VectorIndex.search`."""
        queries = np.ascontiguousarray(queries, np.float32)
        k = min(k, len(self) if allowed_ids is None else len(allowed_ids), len(self))
        if k <= 0:
            return np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64)
        if allowed_ids is not None:
            params = faiss.SearchParameters(sel=_selector(allowed_ids))
            scores, ids = self._index.search(queries, k, params=params)
        elif self._use_gpu and k <= GPU_MAX_K:
            scores, ids = self._search_gpu(queries, k)
        else:
            scores, ids = self._index.search(queries, k)
        found = int((ids >= 0).sum(axis=1).min())
        return scores[:, :found], ids[:, :found]

    def _search_gpu(self, queries: Vectors, k: int) -> tuple[Vectors, Ids]:
        if self._gpu_copy is None:
            self._gpu_copy = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, self._index.index)
        scores, ids = self._gpu_copy.search(queries, k)
        return scores, np.where(ids >= 0, faiss.vector_to_array(self._index.id_map)[ids], -1)

    # --- on disk ---------------------------------------------------------------------------

    def write(self, path: Path) -> dict[str, Any]:
        """See `VectorIndex.write`: FAISS's own format."""
        faiss.write_index(self._index, str(path))
        return {}

    @classmethod
    def read(cls, path: Path, space: VectorSpace, facts: Mapping[str, Any]) -> Self:
        """See `VectorIndex.read`."""
        index = cls(space)
        path.stat()  # of a file that is not there FAISS raises a RuntimeError
        index._index = faiss.read_index(str(path))
        if index._index is None:
            raise ValueError(f"{path.name} is empty")
        if not isinstance(index._index, faiss.IndexIDMap2):
            raise ValueError(f"{path.name} is an index of an older kind")
        if index._index.d != space.dim:
            raise ValueError(f"{path.name} has {index._index.d} dimensions, not {space.dim}")
        return index


def build_faiss_index(source: VectorSource, space: VectorSpace, folder: Path | None) -> VectorIndex:
    """Makes the index that suits the number of vectors; see `IndexFamily.build`."""
    if len(source.ids()) * space.dim > EXACT_LIMIT_NUMBERS:
        return CompactIndex.build(source, space, folder)
    index = FaissIndex(space)
    for ids, vectors in source.batches():
        index.add(ids, vectors)
    return index


def read_faiss_index(path: Path, space: VectorSpace, facts: Mapping[str, Any]) -> VectorIndex:
    """Reads an index of either kind; see `VectorIndex.read`."""
    if path.is_dir():
        return CompactIndex.read(path, space, facts)
    return FaissIndex.read(path, space, facts)


def _selector(allowed: Ids) -> Any:
    """A selector of these ids: one bit per id up to the largest, a single look-up per vector."""
    bits = np.zeros(int(allowed[-1]) + 1, np.uint8)
    bits[allowed] = 1
    packed = np.packbits(bits, bitorder="little")
    selector = faiss.IDSelectorBitmap(len(packed), faiss.swig_ptr(packed))
    selector.packed = packed  # FAISS keeps a bare pointer: the bytes must live as long
    return selector
