"""The folder of a training run: there, writable, and used by one training at a time.

Importing this costs nothing.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from encoders.errors import InvalidQueryError, RunBusyError

LOCK = "train.lock"


def make_run_folder(folder: Path) -> bool:
    """Makes the folder where it is not there yet; returns whether it was made now.

    Raises:
        InvalidQueryError: It cannot be made or written to.
    """
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InvalidQueryError(
            f"{folder} cannot hold a run: it is a file, or lies below one; expected a folder"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidQueryError(f"the folder {folder} cannot be made: {reason}; name another") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InvalidQueryError(f"nothing can be written into {folder}: change its mode, or name another")
    return is_new


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Holds the right to train into a folder; the kernel takes it back however the program ends.

    Raises:
        InvalidQueryError: Nothing can be written there.
        RunBusyError: Another training holds it.
    """
    make_run_folder(folder)
    try:
        lock = (folder / LOCK).open("w")
    except OSError as error:
        raise InvalidQueryError(
            f"nothing can be written into {folder}: {error.strerror}; name another folder"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunBusyError(
                f"another training is writing to {folder}; wait for it to end, or train into another folder"
            ) from error
        yield
