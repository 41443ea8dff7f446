"""A snapshot of a library that answers one query."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.calibration.sample import Sample
from search.catalog.catalog import Catalog
from search.catalog.record import LibraryRecord
from search.index.vector_index import VectorIndex


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
    _lock: AbstractContextManager[Any]
    _holding: ExitStack

    @contextmanager
    def index(self) -> Iterator[VectorIndex]:
        """Opens the vector index for this thread alone; other queries wait until the block ends.

        The first time it is of this very state: it has been held since the view was made. Later it may be of
        a newer one, and some of what it finds unknown to `catalog`.
        """
        with self._holding, self._lock:
            yield self._index

    def is_exact(self, allowed: NDArray[np.int64] | None) -> bool:
        """True where a search among these clips (None: all) compares every one of them."""
        return self._index.is_exact(None if allowed is None else len(allowed))
