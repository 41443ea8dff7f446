"""Files that are there whole or not at all, also after a power cut, and files of their owner's alone.

Importing this costs nothing.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


def make_private_file(path: Path) -> None:
    """Makes an empty file that its owner alone can read; one that is there stays as it is.

    What a program writes to a file that is there does not change its mode. That one is not even opened:
    SQLite would lose its locks on it when it is closed.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def make_private_folder(path: Path) -> None:
    """Makes a folder that its owner alone can look into; one that is there stays as it is."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextmanager
def being_written(path: Path) -> Iterator[None]:
    """Makes a private file that `is_abandoned` leaves alone until the block ends or its program dies."""
    make_private_file(path)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_abandoned(path: Path) -> bool:
    """True where the program that had a file `being_written` has died; False where that cannot be told."""
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
