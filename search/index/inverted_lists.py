"""Compact codes of vectors in inverted lists, by FAISS: what is near a vector is found without reading most.

A vector is projected onto the directions in which an archive's vectors differ most, and each number rounded
to 8 bits. Codes of neighbours stand in one list; a search reads the lists whose centres are nearest. Of the
five hundred best by their codes, the hundred best by the vectors themselves are nearly all there
(docs/performance.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import faiss as _faiss
import numpy as np
from numpy.typing import NDArray

from search.index.vector_index import Ids, Vectors

faiss: Any = _faiss  # its type stubs name only a part of what it exports

MOST_DIRECTIONS = 256
POINTS_PER_LIST = 40  # that a centre is learned from; FAISS asks for 39
MOST_ROUNDS = 8  # of k-means
_OVERSAMPLING = 32
_FEW_QUERIES = 16  # up to so many are not worth several threads

Codes = NDArray[np.uint8]
Lists = NDArray[np.int32]


def suitable_lists(count: int) -> int:
    """How many lists suit so many vectors: a power of two about 2 sqrt(N), 1 or more."""
    lists = 2 ** round(math.log2(2 * math.sqrt(max(count, 1))))
    while lists > 1 and count < POINTS_PER_LIST * lists:
        lists //= 2
    return lists


def find_directions(vectors: Vectors, count: int, seed: int = 0) -> Vectors:
    """Finds the directions in which vectors are longest: float32 (N, D) -> (D, count), orthonormal.

    Randomised subspace iteration (Halko, Martinsson and Tropp 2011, arXiv:0909.4061), not centred, so that
    dot products stay dot products.
    """
    width = min(count + _OVERSAMPLING, vectors.shape[1])
    basis = np.random.default_rng(seed).normal(size=(vectors.shape[1], width)).astype(np.float32)
    for _ in range(3):
        basis, _ = np.linalg.qr(vectors.T @ (vectors @ basis))
    _, _, turned = np.linalg.svd(vectors @ basis, full_matrices=False)
    directions: Vectors = np.ascontiguousarray(basis @ turned[:count].T)
    return directions


class InvertedLists:
    """Codes of numbered rows in lists; see the module's docstring.

    Args:
        directions: float32 (D, d), orthonormal.
        centres: float32 (L, d), of the lists.
        ranges: float32 (2 d,), from where and how far each number is rounded.
    """

    def __init__(self, directions: Vectors, centres: Vectors, ranges: Vectors) -> None:
        self.directions, self.centres, self.ranges = directions, centres, ranges
        self._index = _make_index(centres.shape[1], len(centres))
        self._index.quantizer.add(centres)
        faiss.copy_array_to_vector(ranges, self._index.sq.trained)
        self._index.is_trained = True

    @classmethod
    def train(cls, directions: Vectors, projected: Vectors, lists: int) -> Self:
        """Learns centres and ranges from projected vectors float32 (N, d)."""
        index = _make_index(projected.shape[1], lists)
        index.cp.niter, index.cp.max_points_per_centroid = MOST_ROUNDS, POINTS_PER_LIST
        index.train(projected)
        centres = index.quantizer.reconstruct_n(0, lists)
        return cls(directions, centres, faiss.vector_to_array(index.sq.trained))

    def __len__(self) -> int:
        return len(self.centres)

    @property
    def code_bytes(self) -> int:
        """Bytes of a code."""
        return int(self._index.code_size)

    def encode(self, vectors: Vectors) -> tuple[Lists, Codes]:
        """The list and the code of each vector: float32 (N, D) -> int32 (N,), uint8 (N, d)."""
        projected = vectors @ self.directions
        _, lists = self._index.quantizer.search(projected, 1)
        return lists[:, 0].astype(np.int32), self._index.sq.compute_codes(projected)

    def add(self, lists: Lists, codes: Codes, places: NDArray[np.intp], first: int) -> None:
        """Puts codes into lists.

        Args:
            lists: int32 (N,), of each code.
            codes: uint8 (N, d); may be mapped.
            places: Of those that are put in.
            first: The number of the first row.
        """
        order = places[np.argsort(lists[places], kind="stable")]
        for number, start, stop in _runs(lists[order]):
            few, rows = codes[order[start:stop]], (order[start:stop] + first).astype(np.int64)
            self._index.invlists.add_entries(
                number, stop - start, faiss.swig_ptr(rows), faiss.swig_ptr(np.ascontiguousarray(few))
            )
        self._index.ntotal += len(order)

    def search(self, queries: Vectors, k: int, probed: int, among: NDArray[np.bool_] | None = None) -> Ids:
        """Rows of the codes that fit queries best: float32 (Q, D) -> int64 (Q, k), -1 where there are no
        more.

        Args:
            queries: Not yet projected.
            k: At least 1.
            probed: How many lists are read, those nearest to the query.
            among: bool (R,), by row, whether it may be found; None for all.
        """
        selector = None
        if among is not None:
            packed = np.packbits(among, bitorder="little")
            selector = faiss.IDSelectorBitmap(len(packed), faiss.swig_ptr(packed))
            selector.packed = packed  # FAISS keeps a bare pointer: the bytes must live as long
        params = faiss.SearchParametersIVF(nprobe=max(1, min(probed, len(self))), sel=selector)
        projected = queries @ self.directions
        with _threads(1 if len(queries) < _FEW_QUERIES else None):
            _, rows = self._index.search(projected, k, params=params)
        found: Ids = rows
        return found

    def rank(self, codes: Codes, queries: Vectors, k: int) -> NDArray[np.intp]:
        """Places of the codes that fit queries best, all compared: uint8 (N, d) -> (Q, k), k at most N."""
        index = faiss.IndexScalarQuantizer(
            self.centres.shape[1], faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        )
        faiss.copy_array_to_vector(self.ranges, index.sq.trained)
        faiss.copy_array_to_vector(codes.reshape(-1), index.codes)
        index.is_trained, index.ntotal = True, len(codes)
        with _threads(1 if len(queries) < _FEW_QUERIES else None):
            _, places = index.search(queries @ self.directions, k)
        found: NDArray[np.intp] = places
        return found

    def copy(self) -> Self:
        """Copies it, to be added to apart from this one."""
        other = type(self)(self.directions, self.centres, self.ranges)
        other._index = faiss.clone_index(self._index)
        return other


def _make_index(dim: int, lists: int) -> Any:
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(dim), dim, lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    )
    index.by_residual = False  # then a code reads the same in whichever list it is
    return index


def _runs(lists: Lists) -> Iterator[tuple[int, int, int]]:
    """Each list of ascending ones, and where its run starts and stops."""
    if not len(lists):
        return
    starts = np.flatnonzero(np.diff(lists, prepend=lists[0] - 1))
    stops = np.append(starts[1:], len(lists))
    yield from zip(lists[starts].tolist(), starts.tolist(), stops.tolist(), strict=True)


def padded(dim: int) -> int:
    """The length to which vectors in half precision are padded with zeros.

    At others than multiples of 8, FAISS compares them number by number, in ten times the time.
    """
    return -(-dim // 8) * 8


def rank_halves(vectors: NDArray[np.float16], query: Vectors, k: int) -> tuple[Vectors, NDArray[np.intp]]:
    """The k highest dot products of vectors and a query, and the places of those vectors.

    Args:
        vectors: float16 (N, P), P = `padded(D)`.
        query: float32 (D,).
        k: At least 1.

    Returns:
        scores float32 (K,) descending, places (K,), K the smaller of k and N.
    """
    count, length = vectors.shape
    index = faiss.IndexScalarQuantizer(length, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector(vectors.view(np.uint8).reshape(-1), index.codes)
    index.is_trained, index.ntotal = True, count
    asked = np.zeros((1, length), np.float32)
    asked[0, : len(query)] = query
    with _threads(1):
        scores, places = index.search(asked, min(k, count))
    return scores[0], places[0]


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Sets how many threads FAISS uses for this one; None leaves it."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(before if count is None else count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
