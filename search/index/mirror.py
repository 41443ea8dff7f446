"""A vector index together with the state of the catalog that it holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from encoders.embedding.registry import probabilities_of
from search.catalog.catalog import Catalog
from search.catalog.record import LibraryRecord
from search.index.registry import IndexFamily
from search.index.vector_index import Ids, VectorIndex, Vectors, VectorSpace
from search.types import Filters


def space_of(library: LibraryRecord) -> VectorSpace:
    """The space of a library's vectors."""
    return VectorSpace(library.dim, probabilities_of(library.encoder_spec))


class CatalogVectors:
    """The vectors of a catalog's visible clips, for an index to be made of; see `VectorSource`."""

    def __init__(self, catalog: Catalog, dim: int) -> None:
        self._catalog, self._dim = catalog, dim

    def ids(self) -> Ids:
        """See `VectorSource.ids`."""
        return self._catalog.clip_ids(Filters())

    def vectors_of(self, ids: Ids) -> Vectors:
        """See `VectorSource.vectors_of`."""
        return self._catalog.embeddings(ids.tolist(), self._dim)

    def batches(self) -> Iterator[tuple[Ids, Vectors]]:
        """See `VectorSource.batches`."""
        return self._catalog.embeddings_since(0, self._dim)


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
        return cls(family, family.make(space_of(library)), library.encoder_id, library.catalog_id)

    def catch_up(
        self,
        catalog: Catalog,
        library: LibraryRecord,
        *,
        restructure: bool = True,
        folder: Path | None = None,
    ) -> Self:
        """Takes in what the catalog has shown and hidden since this state; the index is changed in place.

        Args:
            catalog: Of the same catalog id.
            library: Its row, read in the same transaction.
            restructure: Give the index another structure at once where it outgrows its own; that takes
                seconds to minutes.
            folder: Where an index of another structure may put its files; see `VectorIndex.restructured`.
        """
        index = self.index
        if restructure and self.revision == 0 and not len(index) and self.family.build is not None:
            source = CatalogVectors(catalog, library.dim)
            built = self.family.build(source, space_of(library), folder)
            return replace(self, index=built, revision=library.revision)
        index.remove(catalog.removed_since(self.revision))
        for ids, embeddings in catalog.embeddings_since(self.revision, library.dim):
            index.add(ids, embeddings)
            if restructure and index.is_outgrown:
                index = index.restructured(folder)
        return replace(self, index=index, revision=library.revision)

    def copy(self) -> Self:
        """Copies the index, so that it can be changed apart from this one."""
        return replace(self, index=self.index.copy())

    def restructured(self, folder: Path) -> Self:
        """Gives the index the structure that suits its size; see `VectorIndex.restructured`."""
        return replace(self, index=self.index.restructured(folder))
