"""A vector index together with the state of the catalog that it holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from search.catalog.catalog import Catalog
from search.catalog.record import LibraryRecord
from search.index.registry import IndexFamily
from search.index.vector_index import VectorIndex


@dataclass(frozen=True, slots=True)
class Mirror:
    """A vector index and the state of a catalog that it holds.

    Attributes:
        family: How the index was made.
        index: The vectors of the catalog's visible clips, by id.
        encoder_id: Whose vectors these are.
        catalog_id, revision: Of the catalog, and of its last change that the index has taken in.
    """

    family: IndexFamily
    index: VectorIndex
    encoder_id: str
    catalog_id: str
    revision: int = 0

    @classmethod
    def make(cls, family: IndexFamily, library: LibraryRecord) -> Self:
        """Makes an empty index for a library."""
        return cls(family, family.make(library.dim), library.encoder_id, library.catalog_id)

    def catch_up(self, catalog: Catalog, library: LibraryRecord, *, restructure: bool = True) -> Self:
        """Takes in what the catalog has shown and hidden since this state; the index is changed in place.

        Args:
            catalog: Of the same catalog id.
            library: Its row, read in the same transaction.
            restructure: Give the index another structure at once where it outgrows its own; that takes
                seconds to minutes.
        """
        index = self.index
        index.remove(catalog.removed_since(self.revision))
        for ids, embeddings in catalog.embeddings_since(self.revision, library.dim):
            index.add(ids, embeddings)
            if restructure and index.is_outgrown:
                index = index.restructured()
        return replace(self, index=index, revision=library.revision)

    def copy(self) -> Self:
        """Copies the index, so that it can be changed apart from this one."""
        return replace(self, index=self.index.copy())

    def restructured(self) -> Self:
        """Gives the index the structure that suits its size; see `VectorIndex.restructured`."""
        return replace(self, index=self.index.restructured())
