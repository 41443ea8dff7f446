"""Vector search by FAISS: exact while that is fast, inverted lists past a size, on a GPU if any.

The only module that imports faiss.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import faiss as _faiss
import numpy as np

from search.index.vector_index import Ids, Vectors

faiss: Any = _faiss  # its type stubs name only a part of what it exports

# Exact search reads every number once per query. 2**27 of them (512 MiB: 262,144 clips of 512
# dimensions) take some 50 ms on one core; above that the index goes over to inverted lists.
EXACT_LIMIT_NUMBERS = 2**27
# A filtered search of inverted lists compares every allowed vector up to this many (about 20 ms);
# above, the allowed share is so large that probing more lists finds enough of them.
EXACT_FILTER_LIMIT = 50_000
TUNING_QUERIES = 256
TUNING_RECALL = 0.99
GPU_MAX_K = 2048


class FaissIndex:
    """Cosine search over unit vectors by id; see `VectorIndex`.

    Filters go into the search as ID selectors. A GPU copy serves unfiltered searches only: on the
    GPU, Flat and IVFFlat accept a selector and silently ignore it.

    Args:
        dim: D.
        exact_limit_numbers: Up to this many stored numbers (N x D) the search is exact.
        use_gpu: None means "when FAISS sees one".
    """

    def __init__(
        self,
        dim: int,
        *,
        exact_limit_numbers: int = EXACT_LIMIT_NUMBERS,
        use_gpu: bool | None = None,
    ) -> None:
        self.dim = dim
        self._exact_limit_numbers = exact_limit_numbers
        gpus = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
        self._use_gpu = gpus > 0 if use_gpu is None else use_gpu
        self._index: Any = faiss.IndexIDMap2(faiss.IndexFlatIP(dim))
        self._trained_at = 0
        self._gpu_copy: Any = None

    # --- what it is ------------------------------------------------------------------------

    @property
    def _is_flat(self) -> bool:
        return isinstance(self._index, faiss.IndexIDMap2)

    @property
    def is_stored_exactly(self) -> bool:
        """See `VectorIndex.is_stored_exactly`: inverted lists keep 16 bits a number."""
        return self._is_flat

    def is_exact(self, allowed: int | None = None) -> bool:
        """See `VectorIndex.is_exact`."""
        if self._is_flat or self._index.nprobe >= self._index.nlist:
            return True
        return allowed is not None and allowed <= EXACT_FILTER_LIMIT

    @property
    def kind(self) -> str:
        """See `VectorIndex.kind`."""
        place = "gpu" if self._use_gpu else "cpu"
        if self._is_flat:
            return f"exact ({place})"
        return f"ivf {self._index.nlist}, nprobe {self._index.nprobe}, fp16 ({place})"

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def ids(self) -> Ids:
        """See `VectorIndex.ids`."""
        if self._is_flat:
            return np.sort(faiss.vector_to_array(self._index.id_map))
        lists = self._index.invlists
        parts = [
            faiss.rev_swig_ptr(lists.get_ids(number), lists.list_size(number)).copy()
            for number in range(self._index.nlist)
            if lists.list_size(number)
        ]
        return np.sort(np.concatenate(parts)) if parts else np.zeros(0, np.int64)

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

    @property
    def is_outgrown(self) -> bool:
        """True past the size for inverted lists, and at four times what those were trained for."""
        return len(self) * self.dim > self._exact_limit_numbers and len(self) >= 4 * self._trained_at

    def restructured(self) -> Self:
        """See `VectorIndex.restructured`: with inverted lists for its size."""
        other = self._twin(self._index if self._is_flat else faiss.clone_index(self._index))
        other._restructure()
        return other

    def _restructure(self) -> None:
        count = len(self)
        ids, vectors = self.contents()
        # sqrt(N) lists balance reading the centroids against reading the lists; a power of two
        # between 1x and 2x that keeps at least 39 training vectors a list, FAISS's own minimum.
        lists = 2 ** math.ceil(math.log2(math.sqrt(count)))
        while lists > 1 and count < 39 * lists:
            lists //= 2
        quantizer = faiss.IndexFlatIP(self.dim)
        inverted = faiss.IndexIVFScalarQuantizer(
            quantizer, self.dim, lists, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        # On unit vectors the residual buys nothing at 16 bits, and without it a stored vector
        # reads the same in whichever list it is.
        inverted.by_residual = False
        chosen = np.random.default_rng(0).permutation(count)[: 64 * lists]
        inverted.train(vectors[np.sort(chosen)])
        inverted.add_with_ids(vectors, ids)
        queries = vectors[chosen[:TUNING_QUERIES]]
        self._index, self._trained_at = inverted, count
        self._tune(queries)

    def contents(self) -> tuple[Ids, Vectors]:
        """See `VectorIndex.contents`."""
        if self._is_flat:
            ids = faiss.vector_to_array(self._index.id_map)
            flat: Any = faiss.downcast_index(self._index.index)
            return ids, faiss.rev_swig_ptr(flat.get_xb(), len(ids) * self.dim).reshape(-1, self.dim)
        ids = self.ids()
        with self._direct_map():
            return ids, self._index.reconstruct_batch(ids)

    @contextmanager
    def _direct_map(self) -> Iterator[None]:
        # Kept only while reading: with it, removal by selector would not be possible.
        self._index.set_direct_map_type(faiss.DirectMap.Hashtable)
        try:
            yield
        finally:
            self._index.set_direct_map_type(faiss.DirectMap.NoMap)

    def _tune(self, queries: Vectors) -> None:
        """Sets the least nprobe whose recall@10 on stored vectors reaches the target."""
        index = self._index
        index.nprobe = index.nlist
        _, truth = index.search(queries, 10)
        nprobe = 1
        while nprobe < index.nlist:
            index.nprobe = nprobe
            _, found = index.search(queries, 10)
            hits = sum(len(np.intersect1d(a, b)) for a, b in zip(truth, found, strict=True))
            if hits >= TUNING_RECALL * truth.size:
                return
            nprobe *= 2
        index.nprobe = index.nlist

    def copy(self) -> Self:
        """See `VectorIndex.copy`."""
        return self._twin(faiss.clone_index(self._index))

    def _twin(self, inner: Any) -> Self:
        other = type(self)(self.dim, exact_limit_numbers=self._exact_limit_numbers, use_gpu=self._use_gpu)
        other._index, other._trained_at = inner, self._trained_at
        return other

    # --- searching -------------------------------------------------------------------------

    def search(self, queries: Vectors, k: int, allowed_ids: Ids | None = None) -> tuple[Vectors, Ids]:
        """See `VectorIndex.search`."""
        queries = np.ascontiguousarray(queries, np.float32)
        available = len(self) if allowed_ids is None else min(len(self), len(allowed_ids))
        k = min(k, available)
        if k <= 0:
            return np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64)
        if allowed_ids is not None:
            scores, ids = self._search_allowed(queries, k, allowed_ids)
        elif self._use_gpu and k <= GPU_MAX_K:
            scores, ids = self._search_gpu(queries, k)
        else:
            scores, ids = self._index.search(queries, k)
        if (ids[:, -1] < 0).any() and not self._is_flat:
            # The probed lists held fewer than k: look into all of them.
            scores, ids = self._search_lists(queries, k, self._index.nlist, allowed_ids)
        found = int((ids >= 0).sum(axis=1).min())
        return scores[:, :found], ids[:, :found]

    def _search_allowed(self, queries: Vectors, k: int, allowed: Ids) -> tuple[Vectors, Ids]:
        if self._is_flat:
            selector = _selector(allowed)
            params = faiss.SearchParameters(sel=selector)
            return self._index.search(queries, k, params=params)
        nlist, nprobe = self._index.nlist, self._index.nprobe
        if len(allowed) > EXACT_FILTER_LIMIT:
            nlist = min(nlist, math.ceil(nprobe * len(self) / len(allowed)))
        return self._search_lists(queries, k, nlist, allowed)

    def _search_lists(
        self, queries: Vectors, k: int, nprobe: int, allowed: Ids | None
    ) -> tuple[Vectors, Ids]:
        selector = None if allowed is None else _selector(allowed)
        params = faiss.SearchParametersIVF(nprobe=nprobe, sel=selector)
        return self._index.search(queries, k, params=params)

    def _search_gpu(self, queries: Vectors, k: int) -> tuple[Vectors, Ids]:
        if self._gpu_copy is None:
            source = self._index.index if self._is_flat else self._index
            self._gpu_copy = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, source)
        scores, ids = self._gpu_copy.search(queries, k)
        if self._is_flat:
            ids = np.where(ids >= 0, faiss.vector_to_array(self._index.id_map)[ids], -1)
        return scores, ids

    # --- on disk ---------------------------------------------------------------------------

    def write(self, path: Path) -> dict[str, Any]:
        """See `VectorIndex.write`: FAISS's own format."""
        faiss.write_index(self._index, str(path))
        return {"trained_at": self._trained_at}

    @classmethod
    def read(cls, path: Path, dim: int, facts: Mapping[str, Any]) -> Self:
        """See `VectorIndex.read`."""
        index = cls(dim)
        path.stat()  # of a file that is not there FAISS raises a RuntimeError
        index._index = faiss.read_index(str(path))
        if index._index is None:
            raise ValueError(f"{path.name} is empty")
        if index._index.d != dim:
            raise ValueError(f"{path.name} has {index._index.d} dimensions, not {dim}")
        index._trained_at = facts["trained_at"]
        return index


def _selector(allowed: Ids) -> Any:
    """A selector of these ids: one bit per id up to the largest, a single look-up per vector."""
    bits = np.zeros(int(allowed[-1]) + 1, np.uint8)
    bits[allowed] = 1
    packed = np.packbits(bits, bitorder="little")
    selector = faiss.IDSelectorBitmap(len(packed), faiss.swig_ptr(packed))
    selector.packed = packed  # FAISS keeps a bare pointer: the bytes must live as long
    return selector
