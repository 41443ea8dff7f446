"""Files that are there whole or not at all, also after a power cut. Importing this costs nothing."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def synced_file(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; at the end of the block it is on the disk and takes its place."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield unfinished
        sync(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def being_written(path: Path) -> Iterator[None]:
    """Makes a file that `is_abandoned` leaves alone until the block ends or its program dies."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_abandoned(path: Path) -> bool:
    """Whether the program that had a file `being_written` has died; False where that cannot be told."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def sync(path: Path) -> None:
    """Waits until a file, or a folder's list of names, is on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
