"""The floor: bare FAISS comparing every vector, with nothing around it, filters prepared beforehand."""

from __future__ import annotations

from typing import Any

import faiss as _faiss
import numpy as np

from benchmarks.large.contender import Contender

faiss: Any = _faiss


class FaissFlat(Contender):
    """`IndexFlatIP`: 32 bits a number."""

    packages = ("faiss-gpu", "faiss-cpu")
    _selectors: dict[int, Any]

    def build(self) -> None:
        index = self._make()
        for _, vectors in self.chunks():
            index.add(self._padded(vectors))
        faiss.write_index(index, str(self.own / "index"))

    def open(self) -> str:
        self._index = faiss.read_index(str(self.own / "index"))
        self._selectors = {}
        return type(faiss.downcast_index(self._index)).__name__

    def _make(self) -> Any:
        return faiss.IndexFlatIP(self.questions.shape[1])

    def _padded(self, vectors: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(vectors)

    def prepare(self, case: int) -> None:
        if case and case not in self._selectors:
            packed = np.packbits(self.passes(case), bitorder="little")
            selector = faiss.IDSelectorBitmap(len(packed), faiss.swig_ptr(packed))
            selector.packed = packed  # FAISS keeps a bare pointer
            self._selectors[case] = selector

    def ask(self, question: int, case: int, k: int) -> list[int]:
        asked = self._padded(self.questions[question][None])
        params = faiss.SearchParameters(sel=self._selectors[case]) if case else None
        _, rows = self._index.search(asked, k + 1, params=params)
        return [row for row in rows[0].tolist() if row >= 0 and row != self.setup["own_rows"][question]][:k]


class FaissHalf(FaissFlat):
    """The same in 16 bits a number, padded to a multiple of eight, without which FAISS runs scalar code."""

    def _make(self) -> Any:
        wide = -(-self.questions.shape[1] // 8) * 8
        index = faiss.IndexScalarQuantizer(wide, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        index.train(np.zeros((1, wide), np.float32))
        return index

    def _padded(self, vectors: np.ndarray) -> np.ndarray:
        return np.pad(vectors, ((0, 0), (0, -vectors.shape[1] % 8)))

    def open(self) -> str:
        return f"{super().open()} fp16"
