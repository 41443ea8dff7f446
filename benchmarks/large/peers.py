"""Peers that are graphs in memory: hnswlib and usearch, with their own defaults where these have any."""

from __future__ import annotations

import numpy as np

from benchmarks.large.contender import Contender

NEIGHBOURS = 16  # edges of a node, as both have it unless told otherwise
EFFORTS = (32, 64, 128, 256, 512, 1024, 2048)


class Hnswlib(Contender):
    """https://github.com/nmslib/hnswlib: a filter is a Python function that is called for each candidate."""

    efforts = EFFORTS
    packages = ("hnswlib",)

    def build(self) -> None:
        index = self._new()
        index.init_index(self.count, M=NEIGHBOURS, ef_construction=200)
        for start, vectors in self.chunks():
            index.add_items(vectors, np.arange(start, start + len(vectors)))
        index.save_index(str(self.own / "index"))

    def open(self) -> str:
        self._index = self._new()
        self._index.load_index(str(self.own / "index"))
        self._allowed: dict[int, set[int]] = {}
        return f"hnsw, M {NEIGHBOURS}"

    def _new(self):  # type: ignore[no-untyped-def]
        import hnswlib

        return hnswlib.Index("ip", self.questions.shape[1])

    def prepare(self, case: int) -> None:
        if case and case not in self._allowed:
            self._allowed[case] = set(np.flatnonzero(self.passes(case)).tolist())

    def ask(self, question: int, case: int, k: int) -> list[int]:
        own = self.setup["own_rows"][question]
        wanted = k + 1
        allowed = self._allowed[case].__contains__ if case else None
        if case:
            wanted = min(wanted, len(self._allowed[case]))
        self._index.set_ef(max(self.effort, wanted))
        # It raises where the graph gives fewer than it was asked for: then for fewer.
        while wanted:
            try:
                rows, _ = self._index.knn_query(self.questions[question], wanted, filter=allowed)
                return [row for row in rows[0].tolist() if row != own][:k]
            except RuntimeError:
                wanted //= 2
        return []


class UsearchHalf(Contender):
    """https://github.com/unum-cloud/usearch: from Python it takes no filter."""

    efforts = EFFORTS
    packages = ("usearch",)
    has_filters = False
    dtype = "f16"

    def build(self) -> None:
        from usearch.index import Index

        index = Index(ndim=self.questions.shape[1], metric="cos", dtype=self.dtype)
        for start, vectors in self.chunks():
            index.add(np.arange(start, start + len(vectors)), vectors)
        index.save(str(self.own / "index"))

    def open(self) -> str:
        from usearch.index import Index

        self._index = Index.restore(str(self.own / "index"))
        return f"hnsw, M {NEIGHBOURS}, {self.dtype}"

    def ask(self, question: int, case: int, k: int) -> list[int]:
        self._index.expansion_search = max(self.effort, k + 1)
        found = self._index.search(self.questions[question], k + 1).keys.tolist()
        return [row for row in found if row != self.setup["own_rows"][question]][:k]


class UsearchByte(UsearchHalf):
    """The same in 8 bits a number."""

    dtype = "i8"
