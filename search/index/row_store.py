"""Rows of an index on disk: vectors in half precision and what was made of them, in files that grow.

A row is written once, at the end; files are mapped, not read. What is removed is overwritten where it
stands, so that nothing of it stays in any file. Each row has a checksum.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from encoders.weights.files import is_abandoned, make_private_folder, sync
from search.index.probability_columns import Postings, join_postings
from search.index.vector_index import Ids

ROWS_AT_ONCE = 8192
REMOVED = -1  # in place of an id
BUILDING = "building"  # a file that is locked for as long as a folder is being filled
_POSTINGS = ("classes", "roots")


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows, one after the other.

    Attributes:
        ids: int64 (N,), REMOVED for what was removed.
        vectors: float16 (N, D).
        lists: int32 (N,).
        codes: uint8 (N, d).
        postings: Of the same rows.
    """

    ids: Ids
    vectors: NDArray[np.float16]
    lists: NDArray[np.int32]
    codes: NDArray[np.uint8]
    postings: Postings

    def __len__(self) -> int:
        return len(self.ids)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Every array by its name; those of the postings' entries are as long as there are entries."""
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "postings"}
        return {**own, **{field.name: getattr(self.postings, field.name) for field in fields(self.postings)}}

    def erase(self, rows: NDArray[np.intp]) -> None:
        """Overwrites rows."""
        self.vectors[rows], self.lists[rows], self.codes[rows] = 0, 0, 0
        ends = np.cumsum(self.postings.counts, dtype=np.int64)
        for row in rows:
            entries = slice(ends[row] - self.postings.counts[row], ends[row])
            self.postings.classes[entries], self.postings.roots[entries] = 0, 0
        self.ids[rows] = REMOVED  # last: a row without an id is looked at no more

    def checksums(self, rows: NDArray[np.intp]) -> NDArray[np.uint32]:
        """CRC-32 of each of some rows."""
        ends = np.cumsum(self.postings.counts, dtype=np.int64)
        found = np.empty(len(rows), np.uint32)
        for place, row in enumerate(rows.tolist()):
            entries = slice(int(ends[row]) - int(self.postings.counts[row]), int(ends[row]))
            parts = [self.vectors[row], self.ids[row : row + 1], self.lists[row : row + 1], self.codes[row]]
            parts += [self.postings.classes[entries], self.postings.roots[entries]]
            value = 0
            for part in parts:
                value = zlib.crc32(part.data, value)
            found[place] = value
        return found


def is_left_behind(path: Path) -> bool:
    """True unless a program is filling this folder now."""
    lock = path / BUILDING
    return not lock.exists() or is_abandoned(lock)


def join_rows(parts: list[Rows]) -> Rows:
    """Several runs of rows as one."""
    return Rows(
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.vectors for part in parts]),
        np.concatenate([part.lists for part in parts]),
        np.concatenate([part.codes for part in parts]),
        join_postings([part.postings for part in parts]),
    )


class RowStore:
    """All rows of an index: those in its folder, and later ones in memory until `flush`.

    Args:
        folder: Of its files; made where there is none.
        dim: D.
        code_bytes: d.
        rows, entries: How many the files hold, of rows and of their postings; what stands behind is of
            a program that was stopped.

    Raises:
        OSError: A file is not there, or cannot be made.
        ValueError: A file is shorter than it must be.
    """

    def __init__(self, folder: Path, dim: int, code_bytes: int, rows: int = 0, entries: int = 0) -> None:
        self.folder = folder
        self.saved, self._saved_entries = rows, entries
        self._shapes: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
            "ids": (np.int64, ()),
            "vectors": (np.float16, (dim,)),
            "lists": (np.int32, ()),
            "codes": (np.uint8, (code_bytes,)),
            "counts": (np.uint16, ()),
            "classes": (np.uint16, ()),
            "roots": (np.float16, ()),
        }
        if not rows:
            make_private_folder(folder)
        # Of rows and their numbers others read one state: a flush puts the next in its place at once.
        self._state: tuple[Rows, tuple[Rows, ...]]
        self._erased: list[NDArray[np.intp]] = []
        self._state = self._open("r"), ()

    @property
    def mapped(self) -> Rows:
        """The rows in the files."""
        return self._state[0]

    @property
    def _late(self) -> tuple[Rows, ...]:
        return self._state[1]

    def _open(self, mode: Literal["r", "r+"]) -> Rows:
        found = {}
        for name, (dtype, shape) in self._shapes.items():
            count = self._saved_entries if name in _POSTINGS else self.saved
            path, size = (
                self.folder / name,
                int(np.dtype(dtype).itemsize * np.prod(shape, dtype=np.int64)) * count,
            )
            if not size:
                found[name] = np.zeros((count, *shape), dtype)
                continue
            if path.stat().st_size < size:
                raise ValueError(f"{path} has {path.stat().st_size} bytes, expected {size} or more")
            found[name] = np.memmap(path, dtype, mode, shape=(count, *shape))
        postings = Postings(found["counts"], found["classes"], found["roots"])
        return Rows(found["ids"], found["vectors"], found["lists"], found["codes"], postings)

    def __len__(self) -> int:
        return self.saved + sum(map(len, self._late))

    @property
    def entries(self) -> int:
        """How many entries the postings in the files have."""
        return self._saved_entries

    def append(self, rows: Rows) -> None:
        """Adds rows, in memory for now."""
        self._state = self.mapped, (*self._late, rows)

    def read(self, rows: NDArray[np.intp]) -> NDArray[np.float16]:
        """Reads vectors of rows, in the order asked: float16 (N, D)."""
        return self._read(rows, "vectors")

    def read_codes(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Reads codes of rows, in the order asked: uint8 (N, d)."""
        return self._read(rows, "codes")

    def _read(self, rows: NDArray[np.intp], name: Literal["vectors", "codes"]) -> NDArray[Any]:
        mapped, late = self._state
        saved: NDArray[Any] = getattr(mapped, name)
        if not late:
            return np.asarray(saved[rows])
        found = np.empty((len(rows), *saved.shape[1:]), saved.dtype)
        first = len(mapped)
        early = rows < first
        found[early] = saved[rows[early]]
        for part in late:
            inside = (rows >= first) & (rows < first + len(part))
            found[inside] = getattr(part, name)[rows[inside] - first]
            first += len(part)
        return found

    def runs(self) -> Iterator[Rows]:
        """Yields all rows in order, some thousand at a time; views of the store's own memory."""
        held, late = self._state
        postings = held.postings
        ends = np.cumsum(postings.counts, dtype=np.int64)
        for start in range(0, len(held), ROWS_AT_ONCE):
            part = slice(start, min(start + ROWS_AT_ONCE, len(held)))
            entries = slice(int(ends[start]) - int(postings.counts[start]), int(ends[part.stop - 1]))
            some = Postings(postings.counts[part], postings.classes[entries], postings.roots[entries])
            yield Rows(held.ids[part], held.vectors[part], held.lists[part], held.codes[part], some)
        yield from late

    def erase(self, rows: NDArray[np.intp]) -> None:
        """Forgets rows: those in memory now, those on disk with the next `flush`."""
        self._erased.append(rows[rows < self.saved])
        first = self.saved
        for part in self._late:
            inside = rows[(rows >= first) & (rows < first + len(part))] - first
            if len(inside):
                part.erase(inside)
            first += len(part)

    def flush(self, *, is_last: bool = True) -> None:
        """Writes what is new to the files, and overwrites in them what was removed.

        Args:
            is_last: Wait until it is on the disk.

        Raises:
            OSError: They cannot be written; what was saved before stays as it was, but for what was removed.
        """
        erased = np.concatenate([np.zeros(0, np.intp), *self._erased])
        if len(erased):
            opened = self._open("r+")
            opened.erase(erased)
            checksums = np.memmap(self.folder / "crc32", np.uint32, "r+", shape=(self.saved,))
            checksums[erased] = opened.checksums(erased)
            self.sync()
            self._erased.clear()
        if not self._late:
            return
        late = join_rows(list(self._late))
        columns = {**late.columns(), "crc32": late.checksums(np.arange(len(late)))}
        for name, column in columns.items():
            _append(self.folder / name, column, self._saved_entries if name in _POSTINGS else self.saved)
        if is_last:
            self.sync()
        self.saved += len(late)
        self._saved_entries += len(late.postings.classes)
        self._state = self._open("r"), ()

    def sync(self) -> None:
        """Waits until all files are on the disk."""
        for path in self.folder.iterdir():
            sync(path)

    def can_move(self, folder: Path) -> bool:
        """True where the files are there, and on the disk of another place."""
        return self.folder.exists() and self.folder.stat().st_dev == folder.parent.stat().st_dev

    def move(self, folder: Path) -> None:
        """Takes the files to another place on the same disk."""
        self.folder.rename(folder)
        self.folder = folder

    def copy_to(self, folder: Path) -> Self:
        """Writes all rows to a new folder."""
        other = type(self)(folder, self._shapes["vectors"][1][0], self._shapes["codes"][1][0])
        for rows in self.runs():
            other.append(rows)
            other.flush(is_last=False)
        other.sync()
        gone = np.concatenate([np.zeros(0, np.intp), *self._erased])
        if len(gone):
            other.erase(gone)
            other.flush()
        return other

    def copy(self) -> Self:
        """Copies it, to be added to apart from this one; both read the same files, wherever those go."""
        other = copy(self)
        mapped, late = self._state
        other._state = mapped, tuple(join_rows([part]) for part in late)
        other.saved, other._saved_entries = len(mapped), len(mapped.postings.classes)
        other._erased = list(self._erased)
        return other

    def count_changed(self) -> int:
        """Counts the saved rows that are not as they were written."""
        expected = np.fromfile(self.folder / "crc32", np.uint32, self.saved)
        if len(expected) < self.saved:
            return self.saved
        found = [rows.checksums(np.arange(len(rows))) for rows in self.runs()]
        every = np.concatenate([np.zeros(0, np.uint32), *found])[: self.saved]
        return int((every != expected).sum())

    def discard(self) -> None:
        """Deletes the files."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _append(path: Path, column: NDArray[Any], before: int) -> None:
    """Writes rows behind those of a file, over what a program that was stopped left there."""
    bytes_before = before * column.itemsize * int(np.prod(column.shape[1:], dtype=np.int64))
    with path.open("r+b" if path.exists() else "xb") as file:
        file.truncate(bytes_before)
        file.seek(bytes_before)
        file.write(np.ascontiguousarray(column).data)
