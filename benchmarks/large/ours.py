"""Ours: the whole answer of `SearchEngine` over a library on disk, as a server gives it."""

from __future__ import annotations

from pathlib import Path

from benchmarks.large.contender import Contender
from benchmarks.large.questions import by_vector
from search.library import Library
from search.query.encoding import EncodedQuery
from search.query.engine import SearchEngine
from search.types import ClipPart, Filters, Query, TextPart


class Ours(Contender):
    """Words are read anew in each round; a picture comes encoded, for its encoder is measured elsewhere."""

    packages = ("reelseek",)

    def build(self) -> None:
        library = Library(Path(self.setup["library"]), device="cpu")
        library.rebuild_index()
        library.close()

    def open(self) -> str:
        self._library = Library(Path(self.setup["library"]), device="cpu")
        with self._library.index() as index:
            kind = index.kind
        self._library.encoder()
        self.refresh()
        return kind

    def refresh(self) -> None:
        self._engine = SearchEngine(self._library)

    def ask(self, question: int, case: int, k: int) -> list[int]:
        asked = self.setup["questions"][question]
        query: Query | EncodedQuery
        if asked["text"]:
            query = Query((TextPart(asked["text"]),))
        elif asked["row"] >= 0:
            query = Query((ClipPart(asked["row"] + 1),))  # the ids of a catalog that was filled at once
        else:
            vectors = self.questions[question][None]
            query = EncodedQuery(vectors, frozenset(), by_vector(vectors[0]), ())
        filters = Filters(**self.setup["cases"][case]["filters"])
        return [hit.clip_id - 1 for hit in self._engine.search(query, filters, limit=k).hits]

    def stored_bytes(self) -> int:
        index = self._library.index_keeper.folder
        return sum(path.stat().st_size for path in index.rglob("*") if path.is_file())
