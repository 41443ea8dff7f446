"""Locks of a library, held by one program at a time, on this machine and on others."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from encoders.errors import LibraryError
from encoders.weights.files import make_private_file
from search.catalog.database import Database


@contextmanager
def hold_lock(path: Path, database: Database, number: int) -> Iterator[bool]:
    """Holds a file and, for programs on other machines, a lock of PostgreSQL's; or yields False.

    Args:
        path: In the library's folder; made where it is not there.
        database: The library's.
        number: Of the lock in PostgreSQL.

    Raises:
        LibraryError: The folder cannot be written to.
    """
    try:
        make_private_file(path)
        lock = path.open("w")
    except OSError as error:
        raise LibraryError(f"the library in {path.parent} cannot be written to: {error}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        with database.advisory_lock(number) as held:
            yield held
