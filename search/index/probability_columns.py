"""Probabilities of clips by class, the few that are large: scores of words over all clips at once.

A classifier gives each clip a probability for each of its classes, and most of that is spread thinly. Kept
are those of LEAST_PROBABILITY or more, some six of a thousand, by class as postings are kept by word (Zobel
and Moffat 2006, Inverted files for text search engines). What is left of a clip's probability is one number,
and each class has its usual share of that. Scores by these are near enough to find the thousand clips among
which the best ones are; those are then scored by their stored vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from encoders.words.things import Things
from search.index.vector_index import Vectors

LEAST_PROBABILITY = 0.01
LEAST_WEIGHT = 0.05  # of a class, as a share of the heaviest
_FIELDS = ("counts", "classes", "roots")


@dataclass(frozen=True, slots=True)
class Postings:
    """The large probabilities of N clips, clip by clip.

    Attributes:
        counts: uint16 (N,), how many each has.
        classes: uint16 (M,), ascending within a clip.
        roots: float16 (M,), the roots of the probabilities, as they stand in the embeddings.
    """

    counts: NDArray[np.uint16]
    classes: NDArray[np.uint16]
    roots: NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Spread:
    """How the thin rest of a clip's probability is spread over the classes, on average.

    Attributes:
        scale: The squares of a clip's entries add up to this, where its probabilities do to 1.
        squares: float32 (C,), of the square of a class's entry, as a share of the rest.
        roots: float32 (C,), of the entry itself, as a share of the rest's root.
    """

    scale: float
    squares: NDArray[np.float32]
    roots: NDArray[np.float32]

    @property
    def least_root(self) -> np.float16:
        """The smallest entry that is kept."""
        return np.float16(np.sqrt(LEAST_PROBABILITY * self.scale))


def measure_spread(entries: Vectors) -> Spread:
    """Measures how the thin rest is spread over the classes of clips, float32 (N, C)."""
    scale = float(np.square(entries).sum(axis=1).mean())
    thin = np.where(entries < np.sqrt(LEAST_PROBABILITY * scale), entries, 0.0)
    rest = np.square(thin).sum(axis=1, keepdims=True)
    thin /= np.sqrt(np.maximum(rest, 1e-12))
    count = np.maximum((thin > 0).sum(axis=0), 1)
    return Spread(
        scale,
        (np.square(thin).sum(axis=0) / count).astype(np.float32),
        (thin.sum(axis=0) / count).astype(np.float32),
    )


def find_postings(entries: Vectors, spread: Spread) -> Postings:
    """Finds the large probabilities of clips, float32 (N, C)."""
    is_large = entries >= spread.least_root
    _, classes = np.nonzero(is_large)
    return Postings(
        is_large.sum(axis=1).astype(np.uint16),
        classes.astype(np.uint16),
        entries[is_large].astype(np.float16),
    )


def join_postings(parts: Sequence[Postings]) -> Postings:
    """The postings of several runs of clips, one after the other."""
    return Postings(*(np.concatenate([getattr(part, name) for part in parts]) for name in _FIELDS))


class _Columns:
    """Postings of a run of rows, by class.

    Attributes:
        first: The number of the first row.
        postings: Row by row.
        starts: int64 (C + 1,), where the postings of each class begin in the next three.
        rows: int32 (M,), ascending within a class.
        squares, roots: float32 (M,), by how much an entry's square, and the entry itself, exceed what the
            spread says of a row that has none.
    """

    def __init__(self, first: int, postings: Postings, rests: Vectors, spread: Spread) -> None:
        self.first, self.postings = first, postings
        rows = np.repeat(np.arange(first, first + len(postings.counts), dtype=np.int32), postings.counts)
        order = np.argsort(postings.classes, kind="stable")  # a radix sort, of 16 bits
        classes = postings.classes[order]
        self.starts = np.searchsorted(classes, np.arange(len(spread.squares) + 1))
        self.rows = rows[order]
        roots, rest = postings.roots[order].astype(np.float32), rests[self.rows]
        self.squares = np.square(roots) - spread.squares[classes] * rest
        self.roots = roots - spread.roots[classes] * np.sqrt(rest)


class ProbabilityColumns:
    """The large probabilities of all rows of an index, by class.

    Runs of rows are sorted apart and joined as they grow, so that few rows more cost little (O'Neil et al.
    1996, The log-structured merge-tree).

    Args:
        span: [start, stop) of the entries of an embedding whose squares are the probabilities.
        spread: Of the rest.
    """

    def __init__(self, span: tuple[int, int], spread: Spread) -> None:
        self.span = span
        self.spread = spread
        self._rests = np.zeros(0, np.float32)  # of each row what the postings leave
        self._runs: tuple[_Columns, ...] = ()

    def __len__(self) -> int:
        return len(self._rests)

    def add(self, postings: Postings) -> None:
        """Adds rows after those that are there."""
        first, count = len(self), len(postings.counts)
        rows = np.repeat(np.arange(count), postings.counts)
        kept = np.bincount(rows, weights=np.square(postings.roots.astype(np.float32)), minlength=count)
        rests = np.maximum(self.spread.scale - kept, 0.0).astype(np.float32)
        self._rests = np.concatenate([self._rests, rests])
        runs = list(self._runs)
        while runs and len(runs[-1].postings.counts) < 2 * len(postings.counts):
            before = runs.pop()
            first, postings = before.first, join_postings([before.postings, postings])
        self._runs = (*runs, _Columns(first, postings, self._rests, self.spread))

    def postings(self) -> Postings:
        """The postings of all rows."""
        none = Postings(np.zeros(0, np.uint16), np.zeros(0, np.uint16), np.zeros(0, np.float16))
        return join_postings([none, *(run.postings for run in self._runs)])

    def copy(self) -> Self:
        """Copies it, to be added to apart from this one."""
        other = type(self)(self.span, self.spread)
        other._rests, other._runs = self._rests, self._runs
        return other

    def parts(self, things: Things) -> Vectors:
        """Adds up each thing's part of the score of every row, nearly: float32 (C, N); see `Things.parts`."""
        columns = slice(*self.span)
        each = zip(things.squares[:, columns], things.entries[:, columns], strict=True)
        return np.stack([self._part(squares, entries) for squares, entries in each])

    def dot(self, vector: Vectors) -> Vectors:
        """Multiplies a vector (D,), 0 outside of the span, with every row's, nearly: float32 (N,)."""
        entries = vector[slice(*self.span)]
        return self._part(np.zeros_like(entries), entries)

    def _part(self, squares: Vectors, entries: Vectors) -> Vectors:
        part = np.zeros(len(self), np.float32)
        if squares.any():
            total = self._add_up(squares, "squares")
            total += self._rests * float(squares @ self.spread.squares)
            part += np.sqrt(np.maximum(total, 0.0, out=total), out=total)
        if entries.any():
            part += self._add_up(entries, "roots")
            part += np.sqrt(self._rests) * float(entries @ self.spread.roots)
        return part

    def _add_up(self, weights: Vectors, name: Literal["squares", "roots"]) -> Vectors:
        """Adds up what the postings of each row exceed, times the weights of their classes: float32 (N,)."""
        rows, values = [np.zeros(0, np.int32)], [np.zeros(0, np.float32)]
        # Lighter ones change little: they count as much as the spread says.
        classes = np.flatnonzero(weights >= LEAST_WEIGHT * weights.max())
        for run in self._runs:
            exceeding = getattr(run, name)
            for number, start, stop in zip(
                classes, run.starts[classes], run.starts[classes + 1], strict=True
            ):
                if start < stop:
                    rows.append(run.rows[start:stop])
                    values.append(exceeding[start:stop] * weights[number])
        added = np.bincount(np.concatenate(rows), np.concatenate(values), minlength=len(self))
        return added.astype(np.float32)
