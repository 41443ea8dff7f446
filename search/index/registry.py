"""The vector indexes that a library can have: one record each, ours and those of plug-ins."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encoders.errors import LibraryError
from encoders.plug_ins import Registry
from search.index.numpy_index import NumpyIndex
from search.index.vector_index import VectorIndex, VectorSource, VectorSpace

DEFAULT_INDEX = "faiss"


@dataclass(frozen=True, slots=True)
class IndexFamily:
    """A way to search vectors.

    Attributes:
        name: By which it is chosen (`REELSEEK_INDEX`), and which its files end in: letters, digits, "-", "_".
        make: Makes an empty index for vectors of a space; imports its engine no earlier.
        read: Reads an index that its `write` wrote; see `VectorIndex.read`.
        purpose: When to choose it.
        licence: Of the engine, as an SPDX identifier.
        paper: Where its method is described; None for none.
        build: Makes an index of vectors that are there already, given a folder as `restructured` is; None
        where
            they are added to an empty one.
    """

    name: str
    make: Callable[[VectorSpace], VectorIndex]
    read: Callable[[Path, VectorSpace, Mapping[str, Any]], VectorIndex]
    purpose: str
    licence: str
    paper: str | None = None
    build: Callable[[VectorSource, VectorSpace, Path | None], VectorIndex] | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            raise ValueError(f"an index's name is of letters, digits, '-' and '_', got {self.name!r}")


def _make_faiss(space: VectorSpace) -> VectorIndex:
    from search.index.faiss_index import FaissIndex  # only where vectors are searched: it takes a while

    return FaissIndex(space)


def _build_faiss(source: VectorSource, space: VectorSpace, folder: Path | None) -> VectorIndex:
    from search.index.faiss_index import build_faiss_index

    return build_faiss_index(source, space, folder)


def _read_faiss(path: Path, space: VectorSpace, facts: Mapping[str, Any]) -> VectorIndex:
    from search.index.faiss_index import read_faiss_index

    return read_faiss_index(path, space, facts)


INDEXES = Registry(
    "reelseek.indexes",
    (
        IndexFamily(
            name="faiss",
            make=_make_faiss,
            read=_read_faiss,
            build=_build_faiss,
            purpose="exact while that is fast, compact codes in inverted lists above; on a GPU if any",
            licence="MIT",
            paper="Douze et al., The Faiss library, 2024, arXiv:2401.08281",
        ),
        IndexFamily(
            name="numpy",
            make=NumpyIndex,
            read=NumpyIndex.read,
            purpose="exact at any size, by NumPy alone: what other indexes are measured against",
            licence="BSD-3-Clause",
        ),
    ),
    kind=IndexFamily,
    noun="index",
    error=LibraryError,
)
