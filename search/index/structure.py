"""What a compact index learns from an archive's vectors before it takes them in, and its file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from encoders.weights.files import sync
from search.index.inverted_lists import (
    MOST_DIRECTIONS,
    POINTS_PER_LIST,
    InvertedLists,
    find_directions,
    suitable_lists,
)
from search.index.probability_columns import ProbabilityColumns, Spread, measure_spread
from search.index.vector_index import VectorSource, VectorSpace

STRUCTURE = "structure.npz"
DIRECTION_VECTORS = 16_384  # from which directions and spread are learned
VECTORS_AT_ONCE = 8192


def learn_structure(
    source: VectorSource, space: VectorSpace, random: np.random.Generator
) -> tuple[InvertedLists, ProbabilityColumns | None, int]:
    """Learns lists and, where the space has probabilities, their spread, from vectors drawn at random.

    Returns:
        Lists and columns, both without vectors, and how many vectors the source has.
    """
    ids = source.ids()
    lists = suitable_lists(len(ids))
    chosen = random.permutation(len(ids))[: max(DIRECTION_VECTORS, POINTS_PER_LIST * lists)]
    first = source.vectors_of(ids[np.sort(chosen[:DIRECTION_VECTORS])])
    directions = find_directions(first, min(MOST_DIRECTIONS, space.dim))
    columns = None
    if space.probabilities is not None:
        spread = measure_spread(first[:, slice(*space.probabilities)])
        columns = ProbabilityColumns(space.probabilities, spread)
    projected = [first @ directions]
    del first
    rest = np.sort(chosen[DIRECTION_VECTORS:])
    for start in range(0, len(rest), VECTORS_AT_ONCE):
        projected.append(source.vectors_of(ids[rest[start : start + VECTORS_AT_ONCE]]) @ directions)
    return InvertedLists.train(directions, np.concatenate(projected), lists), columns, len(ids)


def save_structure(path: Path, lists: InvertedLists, columns: ProbabilityColumns | None) -> None:
    """Writes what was learned to a file."""
    parts = {name: getattr(lists, name) for name in ("directions", "centres", "ranges")}
    if columns is not None:
        spread = columns.spread
        parts |= {"scale": np.float64(spread.scale), "squares": spread.squares, "roots": spread.roots}
    with path.open("wb") as file:
        np.savez(file, **parts)
    sync(path)


def load_structure(path: Path, space: VectorSpace) -> tuple[InvertedLists, ProbabilityColumns | None]:
    """Reads what was learned, for vectors of a space.

    Raises:
        OSError, ValueError, KeyError: The file is not there, broken, or of another space.
    """
    try:
        with np.load(path, allow_pickle=False) as parts:
            held = {name: parts[name] for name in parts.files}
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path.name} is damaged: {error}") from error
    lists = InvertedLists(held["directions"], held["centres"], held["ranges"])
    if lists.directions.shape[0] != space.dim:
        raise ValueError(f"{path.name} is of {lists.directions.shape[0]} dimensions, not {space.dim}")
    if space.probabilities is None:
        return lists, None
    spread = Spread(float(held["scale"]), held["squares"], held["roots"])
    return lists, ProbabilityColumns(space.probabilities, spread)
