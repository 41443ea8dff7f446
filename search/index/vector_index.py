"""The seam to vector search: all that a library asks of an index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from encoders.words.things import Things

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]
_VECTORS_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class VectorSpace:
    """The space of a library's vectors.

    Attributes:
        dim: D, the length of a vector.
        probabilities: [start, stop) of the entries whose squares are probabilities of classes, times one
            number, where the encoder gives such; words are scored by these.
    """

    dim: int
    probabilities: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Effort:
    """How much an index reads for a search that does not compare all.

    Attributes:
        lists: Inverted lists that are read.
        ranked: Of what these hold, vectors that are ranked for each result that is wanted.
        ranked_by_words: Vectors that are ranked for words, at least.
        measured: What `indexer tune` measured with it on the library's own clips, in words; empty before.
    """

    lists: int
    ranked: int
    ranked_by_words: int
    measured: str = ""


class VectorSource(Protocol):
    """Something that vectors are read from, to make an index of them."""

    def ids(self) -> Ids:
        """Every id, ascending: int64 (N,)."""
        ...

    def vectors_of(self, ids: Ids) -> Vectors:
        """Vectors of ids that are there, in the order asked: float32 (N, D)."""
        ...

    def batches(self) -> Iterator[tuple[Ids, Vectors]]:
        """Yields all ids and vectors, some thousand at a time."""
        ...


class Scorer(Protocol):
    """Something that vectors are scored by in another way than by a dot product, as words are.

    Attributes:
        vectors: float32 (Q, D), what an index may be asked instead: near these are those that score high.
    """

    @property
    def vectors(self) -> Vectors: ...

    def score(self, embeddings: NDArray[np.floating]) -> Vectors:
        """Scores vectors, float32 or float16 (N, D): float32 (N,)."""
        ...

    def score_by(self, parts: Callable[[Things], Vectors]) -> Vectors:
        """Scores vectors of which only the parts of things are known, as `Things.parts` gives them."""
        ...


class VectorIndex(Protocol):
    """Finds the stored unit vectors of highest cosine with a query.

    Several threads may search it and read its ids and contents at once; who adds or removes does it alone.

    A class that inherits from it has, in a plain form, what is not of the essence.

    Attributes:
        dim: D, the length of a vector.
        effort: Of its searches, to be set; None where they all compare all.
    """

    dim: int
    effort: Effort | None = None

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

    def vectors_of(self, ids: Ids) -> Vectors:
        """Vectors of ids that are stored, in the order asked: float32 (N, D)."""
        held, vectors = self.contents()
        order = np.argsort(held)
        found: Vectors = vectors[order[np.searchsorted(held, ids, sorter=order)]]
        return found

    def batches(self) -> Iterator[tuple[Ids, Vectors]]:
        """Yields every id and its vector, some thousand at a time, as `contents` has them."""
        ids, vectors = self.contents()
        for start in range(0, len(ids), _VECTORS_AT_ONCE):
            yield ids[start : start + _VECTORS_AT_ONCE], vectors[start : start + _VECTORS_AT_ONCE]

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

    def search_by(self, scorer: Scorer, k: int, allowed_ids: Ids | None = None) -> tuple[Vectors, Ids]:
        """Finds the k of the allowed ids (all, when None) that score highest, equal ones by id.

        Returns:
            scores float32 (K,) descending and ids int64 (K,), K as in `search`.
        """
        scores, ids = [np.zeros(0, np.float32)], [np.zeros(0, np.int64)]
        for some, vectors in self.batches():
            may = slice(None) if allowed_ids is None else np.isin(some, allowed_ids)
            scores.append(scorer.score(vectors[may]))
            ids.append(some[may])
        every, each = np.concatenate(scores), np.concatenate(ids)
        order = np.lexsort((each, -every))[:k]
        return every[order], each[order]

    def restructured(self, folder: Path | None = None) -> VectorIndex:
        """Makes an index of the same vectors that suits its size; may take minutes. This one stays as it is.

        This one may be searched meanwhile by another thread, but not changed.

        Args:
            folder: Where it may put files, named `index-*.tmp`, for its `write` to take over; None for a
            place of
                its own.
        """
        ...

    def copy(self) -> Self:
        """Makes an index of the same vectors, to be changed apart from this one."""
        ...

    def home(self, facts: Mapping[str, Any]) -> Path | None:
        """The path at which `write` has less to do: what has changed since it returned these facts.

        None where all must be written.
        """
        return None

    def find_changes(self, facts: Mapping[str, Any]) -> str | None:
        """Compares the files of a folder with checksums in them, bit for bit; None where nothing has changed.

        A file is compared with its checksum by who asked for it to be written.
        """
        return None

    def write(self, path: Path) -> dict[str, Any]:
        """Writes all that it holds to a file, or a folder; returns what else `read` needs, fit for JSON.

        Raises:
            OSError, RuntimeError: The file cannot be written.
        """
        ...

    @classmethod
    def read(cls, path: Path, space: VectorSpace, facts: Mapping[str, Any]) -> VectorIndex:
        """Reads what `write` wrote, given what it returned.

        Raises:
            FileNotFoundError: There is no such file.
            OSError, ValueError, KeyError, TypeError, RuntimeError: It is broken.
        """
        ...
