"""Vector search of many clips: compact codes find some hundred, vectors in half precision rank them.

Codes in inverted lists (`inverted_lists`) and the large probabilities of classes (`probability_columns`)
stay in memory, some 400 bytes a clip with the encoder `offline`; vectors lie in mapped files (`row_store`).
"""

from __future__ import annotations

import math
import shutil
import tempfile
import weakref
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from encoders.types import normalise
from encoders.weights.files import being_written
from search.index.inverted_lists import (
    InvertedLists,
    padded,
    rank_halves,
)
from search.index.probability_columns import (
    Postings,
    ProbabilityColumns,
    find_postings,
)
from search.index.row_store import BUILDING, REMOVED, Rows, RowStore
from search.index.structure import STRUCTURE, learn_structure, load_structure, save_structure
from search.index.vector_index import Effort, Ids, Scorer, VectorIndex, Vectors, VectorSource, VectorSpace

EXACT_ROWS = 1024  # up to so many allowed clips are all compared by their vectors
EXACT_CODES = 50_000  # up to so many are all compared by their codes
RANKED_PER_HIT = 20  # of what codes find, so many times as many as are wanted are ranked by their vectors
LEAST_RANKED = 1000
LEAST_RANKED_BY_WORDS = 2000
GROWTH = 4  # times the size that it was made for
LEAST_GROWTH = 8192  # fewer removed rows are not worth another structure
LEAST_LISTS = 16  # that are read
TUNING_QUERIES = 64
TUNING_RECALL = 0.995  # of the hundred best by their codes, those in the lists that are read
TUNING_DEPTH = 100
TUNING_SHARE = 0.7
ROWS_AT_A_TIME = 2048  # that are ranked: some 20 MB

_SAMPLING = 16

RowNumbers = NDArray[np.intp]


class CompactIndex(VectorIndex):
    """Cosine search over unit vectors by id; see `VectorIndex`, and the module's docstring.

    Made by `build` or `read`.
    """

    effort: Effort
    is_stored_exactly = False

    def __init__(
        self,
        space: VectorSpace,
        lists: InvertedLists,
        columns: ProbabilityColumns | None,
        store: RowStore,
        trained_at: int,
    ) -> None:
        self.space, self.dim = space, space.dim
        self._lists, self._columns, self._store = lists, columns, store
        self._trained_at = trained_at
        self._ids = np.zeros(0, np.int64)  # by row
        self._row_of = np.zeros(0, np.int32)  # by id; REMOVED where there is none
        self._count = 0
        self._is_live: NDArray[np.bool_] | None = None  # by row, once one was removed
        self._is_temporary = False
        self.effort = Effort(min(LEAST_LISTS, len(lists)), RANKED_PER_HIT, LEAST_RANKED_BY_WORDS)

    # --- making ----------------------------------------------------------------------------

    @classmethod
    def build(cls, source: VectorSource, space: VectorSpace, folder: Path | None = None) -> Self:
        """Makes an index of many vectors, reading them twice at most and holding few of them in memory.

        Args:
            source: Of the vectors, some hundred at least.
            space: They are of.
            folder: Where its files may be put, for `write` to take them over; None for a place of their own,
                which goes with the program.
        """
        random = np.random.default_rng(0)
        lists, columns, count = learn_structure(source, space, random)
        place = Path(tempfile.mkdtemp(prefix="index-", suffix=".tmp", dir=folder))
        index = cls(space, lists, columns, RowStore(place, padded(space.dim), lists.code_bytes), count)
        index._is_temporary = True
        weakref.finalize(index, shutil.rmtree, place, ignore_errors=True)  # where it still is there
        try:
            with being_written(place / BUILDING):
                for some, vectors in source.batches():
                    index._store.append(index._encode(some, vectors))
                    index._store.flush(is_last=False)
            (place / BUILDING).unlink()
            save_structure(place / STRUCTURE, lists, columns)
            index._take_in(index._store.mapped)
            index._tune(random)
        except BaseException:
            index._store.discard()
            raise
        return index

    def _encode(self, ids: Ids, vectors: Vectors) -> Rows:
        """The rows of vectors."""
        lists, codes = self._lists.encode(vectors)
        none = np.zeros(0, np.uint16)
        postings = Postings(np.zeros(len(ids), np.uint16), none, none.astype(np.float16))
        if self._columns is not None:
            postings = find_postings(vectors[:, slice(*self._columns.span)], self._columns.spread)
        halves = np.zeros((len(ids), padded(self.dim)), np.float16)
        halves[:, : self.dim] = vectors
        return Rows(np.array(ids, np.int64), halves, lists, codes, postings)

    def _take_in(self, rows: Rows) -> None:
        """Puts rows that follow those that are there into memory."""
        first, ids = len(self._ids), np.array(rows.ids)
        live = np.flatnonzero(ids != REMOVED)
        self._lists.add(rows.lists, rows.codes, live, first)
        if self._columns is not None:
            self._columns.add(rows.postings)
        self._ids = np.concatenate([self._ids, ids])
        top = int(ids.max(initial=-1)) + 1
        if top > len(self._row_of):
            grown = np.full(top, REMOVED, np.int32)
            grown[: len(self._row_of)] = self._row_of
            self._row_of = grown
        self._row_of[ids[live]] = first + live
        self._count += len(live)
        if self._is_live is not None or len(live) < len(ids):
            self._is_live = self._ids != REMOVED

    def _tune(self, random: np.random.Generator) -> None:
        """Sets the fewest lists to read in which nearly all of what all lists would find is found."""
        # Half-way between what is stored, as pictures that nobody has stored are.
        chosen = random.integers(len(self._ids), size=(2, TUNING_QUERIES))
        one, other = (self._store.read(rows)[:, : self.dim].astype(np.float32) for rows in chosen)
        queries = normalise(TUNING_SHARE * one + (1 - TUNING_SHARE) * other)
        depth = min(TUNING_DEPTH, self._count)
        truth = self._lists.search(queries, depth, len(self._lists))
        lists = min(LEAST_LISTS, len(self._lists))
        while lists < len(self._lists):
            found = self._lists.search(queries, depth, lists)
            shared = sum(len(np.intersect1d(a, b)) for a, b in zip(truth, found, strict=True))
            if shared >= TUNING_RECALL * truth.size:
                break
            lists *= 2
        self.effort = replace(self.effort, lists=min(lists, len(self._lists)))

    # --- what it is ------------------------------------------------------------------------

    @property
    def kind(self) -> str:
        """See `VectorIndex.kind`."""
        size, lists, effort = self._lists.code_bytes, len(self._lists), self.effort
        measured = f", {effort.measured}" if effort.measured else ""
        return f"compact, {size} bytes in {lists} lists, {effort.lists} read, ranked in fp16{measured} (cpu)"

    def home(self, facts: Mapping[str, Any]) -> Path | None:
        """See `VectorIndex.home`."""
        is_as_written = facts.get("rows") == self._store.saved and not self._is_temporary
        return self._store.folder if is_as_written else None

    def is_exact(self, allowed: int | None = None) -> bool:
        """See `VectorIndex.is_exact`."""
        return min(self._count, self._count if allowed is None else allowed) <= EXACT_ROWS

    @property
    def is_outgrown(self) -> bool:
        """True at four times the size that it was made for, and where many of its rows are removed."""
        removed = len(self._ids) - self._count
        has_shrunk = self._count > EXACT_ROWS and removed > max(LEAST_GROWTH, self._count // GROWTH)
        return has_shrunk or self._count >= GROWTH * self._trained_at

    def __len__(self) -> int:
        return self._count

    def ids(self) -> Ids:
        """See `VectorIndex.ids`."""
        return np.sort(self._ids[self._ids != REMOVED])

    def contents(self) -> tuple[Ids, Vectors]:
        """See `VectorIndex.contents`: a copy, of all vectors."""
        ids = self.ids()
        return ids, self.vectors_of(ids)

    def vectors_of(self, ids: Ids) -> Vectors:
        """See `VectorIndex.vectors_of`."""
        return self._store.read(self._row_of[ids].astype(np.intp))[:, : self.dim].astype(np.float32)

    def batches(self) -> Iterator[tuple[Ids, Vectors]]:
        """See `VectorIndex.batches`."""
        first = 0
        for rows in self._store.runs():
            ids = self._ids[first : first + len(rows)]  # in the files stands what is not yet overwritten
            first += len(rows)
            live = ids != REMOVED
            if live.any():
                yield ids[live], rows.vectors[live, : self.dim].astype(np.float32)

    # --- changing --------------------------------------------------------------------------

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """See `VectorIndex.add`."""
        if vectors.shape != (len(ids), self.dim):
            raise ValueError(f"vectors must be ({len(ids)}, {self.dim}), got {vectors.shape}")
        if len(ids):
            rows = self._encode(ids, vectors)
            self._store.append(rows)
            self._take_in(rows)

    def remove(self, ids: Ids) -> None:
        """See `VectorIndex.remove`."""
        rows = self._rows_of(ids)
        if not len(rows):
            return
        self._store.erase(rows)
        self._row_of[self._ids[rows]] = REMOVED
        self._ids[rows] = REMOVED
        self._count -= len(rows)
        self._is_live = self._ids != REMOVED

    def _rows_of(self, ids: Ids) -> RowNumbers:
        """The rows of those ids that are there."""
        known = ids[(ids >= 0) & (ids < len(self._row_of))]
        rows = self._row_of[known]
        return rows[rows != REMOVED].astype(np.intp)

    def restructured(self, folder: Path | None = None) -> Self:
        """See `VectorIndex.restructured`."""
        return type(self).build(self, self.space, folder)

    def copy(self) -> Self:
        """See `VectorIndex.copy`: both read the same files."""
        columns = None if self._columns is None else self._columns.copy()
        other = type(self)(self.space, self._lists.copy(), columns, self._store.copy(), self._trained_at)
        other._ids, other._row_of, other._count = self._ids.copy(), self._row_of.copy(), self._count
        other._is_live = self._is_live  # whose folder it is, the one that was copied knows
        other.effort = self.effort
        return other

    # --- searching -------------------------------------------------------------------------

    def search(self, queries: Vectors, k: int, allowed_ids: Ids | None = None) -> tuple[Vectors, Ids]:
        """See `VectorIndex.search`."""
        queries = np.ascontiguousarray(queries, np.float32)
        rows = None if allowed_ids is None else self._rows_of(allowed_ids)
        available = self._count if rows is None else len(rows)
        k = min(k, available)
        if k <= 0:
            return np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64)
        if available <= EXACT_ROWS:
            every = np.flatnonzero(self._ids != REMOVED) if rows is None else rows
            found = [every] * len(queries)
        else:
            depth = min(max(self.effort.ranked * k, LEAST_RANKED), available)
            found = self._find(queries, depth, k, rows)
        ranked = [self._rank(rows, k, query) for rows, query in zip(found, queries, strict=True)]
        return np.stack([scores for scores, _ in ranked]), np.stack([ids for _, ids in ranked])

    def _find(self, queries: Vectors, depth: int, k: int, rows: RowNumbers | None) -> list[RowNumbers]:
        """For each query the rows that are likely the best, k or more."""
        found: dict[int, RowNumbers] = {}
        by_lists = []
        for number, query in enumerate(queries):
            if self._columns is not None and not _has_more_than(query, self._columns.span):
                available = self._count if rows is None else len(rows)
                few = max(depth, min(self.effort.ranked_by_words, available))
                found[number] = self._best(self._columns.dot(query), few, rows)
            else:
                by_lists.append(number)
        if by_lists:
            candidates = self._find_by_codes(queries[by_lists], depth, k, rows)
            found |= {number: one[one >= 0] for number, one in zip(by_lists, candidates, strict=True)}
        return [found[number] for number in range(len(queries))]

    def _find_by_codes(self, queries: Vectors, depth: int, k: int, rows: RowNumbers | None) -> RowNumbers:
        """For each query the rows of the codes that fit it best: (Q, depth), -1 where there are no more."""
        among, lists = self._is_live, self.effort.lists
        if rows is not None:
            if len(rows) <= EXACT_CODES:
                found: RowNumbers = rows[self._lists.rank(self._store.read_codes(rows), queries, depth)]
                return found
            among = np.zeros(len(self._ids), np.bool_)
            among[rows] = True
            lists = math.ceil(lists * self._count / len(rows))
        found = self._lists.search(queries, depth, lists, among)
        if (found[:, k - 1] < 0).any():  # the lists that were read held fewer
            found = self._lists.search(queries, depth, len(self._lists), among)
        return found

    def search_by(self, scorer: Scorer, k: int, allowed_ids: Ids | None = None) -> tuple[Vectors, Ids]:
        """See `VectorIndex.search_by`."""
        rows = None if allowed_ids is None else self._rows_of(allowed_ids)
        available = self._count if rows is None else len(rows)
        few = min(max(2 * k, self.effort.ranked_by_words), available)
        if available <= EXACT_ROWS:
            rows = np.flatnonzero(self._ids != REMOVED) if rows is None else rows
        elif self._columns is not None:
            rows = self._best(scorer.score_by(self._columns.parts), few, rows)
        else:
            found = self._find(scorer.vectors, few, min(k, available), rows)
            rows = np.unique(np.concatenate(found))
        rows = np.sort(rows)  # as they lie on the disk
        parts = (rows[start : start + ROWS_AT_A_TIME] for start in range(0, len(rows), ROWS_AT_A_TIME))
        scores = [scorer.score(self._store.read(part)[:, : self.dim]) for part in parts]
        return self._in_order(np.concatenate([np.zeros(0, np.float32), *scores]), rows, k)

    def _best(self, scores: Vectors, count: int, rows: RowNumbers | None) -> RowNumbers:
        """The rows of the highest scores (R,), among some, or all that are there."""
        if rows is not None:
            return rows[_highest(scores[rows], count)]
        if self._is_live is not None:
            scores = np.where(self._is_live, scores, -np.inf)
        return _highest(scores, count)

    def _rank(self, rows: RowNumbers, k: int, query: Vectors) -> tuple[Vectors, Ids]:
        """The k best of rows by the dot products of their vectors and a query (D,): scores and ids."""
        rows = np.sort(rows)  # as they lie on the disk
        scores, places = rank_halves(self._store.read(rows), query, k)
        return self._in_order(scores, rows[places], k)

    def _in_order(self, scores: Vectors, rows: RowNumbers, k: int) -> tuple[Vectors, Ids]:
        """The k highest scores of rows, equal ones by id, and the ids."""
        ids = self._ids[rows]
        order = np.lexsort((ids, -scores))[:k]
        return scores[order], ids[order]

    # --- on disk ---------------------------------------------------------------------------

    def write(self, path: Path) -> dict[str, Any]:
        """See `VectorIndex.write`: a folder. Where that is its home, only what has changed is written."""
        if path != self._store.folder or not path.exists():
            before = self._store
            if self._is_temporary and before.can_move(path):
                before.move(path)
            else:
                self._store = before.copy_to(path)
                save_structure(path / STRUCTURE, self._lists, self._columns)
            self._store.sync()
            self._is_temporary = False
        self._store.flush()
        return {
            "rows": self._store.saved,
            "entries": self._store.entries,
            "trained_at": self._trained_at,
            "effort": asdict(self.effort),
            "structure_crc32": zlib.crc32((path / STRUCTURE).read_bytes()),
        }

    @classmethod
    def read(cls, path: Path, space: VectorSpace, facts: Mapping[str, Any]) -> Self:
        """See `VectorIndex.read`."""
        lists, columns = load_structure(path / STRUCTURE, space)
        store = RowStore(path, padded(space.dim), lists.code_bytes, int(facts["rows"]), int(facts["entries"]))
        index = cls(space, lists, columns, store, int(facts["trained_at"]))
        index._take_in(store.mapped)
        index.effort = Effort(**facts["effort"])
        return index

    def find_changes(self, facts: Mapping[str, Any]) -> str | None:
        """Compares the files with their checksums, bit for bit; None where they are as they were written."""
        if zlib.crc32((self._store.folder / STRUCTURE).read_bytes()) != facts["structure_crc32"]:
            return f"{STRUCTURE} is not as it was written"
        changed = self._store.count_changed()
        return f"{changed} of its {self._store.saved} rows are not as they were written" if changed else None


def _has_more_than(vector: Vectors, span: tuple[int, int]) -> bool:
    """True where a vector (D,) has anything before a span, as pictures do and words do not."""
    return bool(vector[: span[0]].any())


def _highest(scores: Vectors, count: int) -> RowNumbers:
    """The places of the `count` highest scores (N,), in no order."""
    if count >= len(scores):
        return np.arange(len(scores))
    places: RowNumbers | None = None
    if len(scores) > _SAMPLING * 16 and count < len(scores) // 16:
        # What a sample says is nearly high enough leaves few to choose from.
        sample = scores[::_SAMPLING]
        rank = min(len(sample), 2 * count // _SAMPLING + _SAMPLING)
        places = np.flatnonzero(scores >= np.partition(sample, len(sample) - rank)[len(sample) - rank])
        if len(places) < count:
            places = None
    among = scores if places is None else scores[places]
    chosen = np.argpartition(among, len(among) - count)[len(among) - count :]
    return chosen if places is None else places[chosen]
