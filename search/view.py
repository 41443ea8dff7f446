"""A snapshot of a library that answers one query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.calibration.sample import Sample
from search.catalog.catalog import Catalog
from search.catalog.record import LibraryRecord
from search.filtering.allowed import AllowedSets
from search.index.vector_index import VectorIndex
from search.types import Filters, Segment, SegmentQuery


@dataclass(frozen=True, slots=True)
class View:
    """A snapshot of a library; made by `Library.view`.

    Attributes:
        record: The library's row.
        catalog: In one transaction, until the view ends.
        sample: Clips that stand for the library.
    """

    record: LibraryRecord
    catalog: Catalog
    sample: Sample
    _index: VectorIndex
    # How the index is held each time: at first as it has been since the view was made.
    _turns: Iterator[AbstractContextManager[object]]
    _allowed: AllowedSets

    @contextmanager
    def index(self) -> Iterator[VectorIndex]:
        """Opens the vector index; until the block ends, others may search it too, but nobody changes it.

        The first time it is of this very state: it has been held since the view was made. Later it may be of
        a newer one, and some of what it finds unknown to `catalog`.
        """
        with next(self._turns):
            yield self._index

    def allowed(
        self, filters: Filters, showing: SegmentQuery | Sequence[Segment] | None = None
    ) -> NDArray[np.int64]:
        """Finds the clips that pass filters; see `AllowedSets.find`."""
        return self._allowed.find(self.catalog, self.record, filters, showing)

    def is_exact(self, allowed: NDArray[np.int64] | None) -> bool:
        """True where a search among these clips (None: all) compares every one of them."""
        return self._index.is_exact(None if allowed is None else len(allowed))
