"""The paths that are watched: there, away, or another under the same name."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from search.file_names import os_path

FILE = (0, 0)  # the identity of every path that is no folder


@dataclass(slots=True)
class Root:
    """One of the paths to watch.

    Attributes:
        path: Absolute.
        identity: Of the folder or file as it was last seen; None while it is away.
        was_there: It has been seen.
        had_files: There was a file below it when it was last looked through.
    """

    path: str
    identity: tuple[int, int] | None = None
    was_there: bool = False
    had_files: bool = False

    @property
    def is_folder(self) -> bool:
        """Returns whether it is a folder that is there."""
        return self.identity not in (None, FILE)

    @property
    def is_file(self) -> bool:
        """Returns whether it is, or was last, a single file in a folder that is there."""
        is_file = FILE in (self.identity, identity_of(self.path))
        return is_file and os.path.isdir(os_path(os.path.dirname(self.path)))

    def identity_now(self) -> tuple[int, int] | None:
        """The identity of what is there now.

        None also for an empty folder where there were files: a place to mount at, with nothing mounted.
        Nobody removed everything.
        """
        now = identity_of(self.path)
        if now not in (None, self.identity) and self.had_files and _is_empty(self.path):
            return None
        return now


def identity_of(path: str) -> tuple[int, int] | None:
    """The identity of a folder, `FILE` for anything else, None where there is nothing."""
    try:
        status = os.stat(os_path(path))
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else FILE


def is_below(path: str, folder: str) -> bool:
    """Returns whether a path is a folder or lies below it, going by their names."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def is_below_any(path: str, folders: set[str]) -> bool:
    """Returns whether a path or a folder that it lies in is among some."""
    while path not in folders:
        parent = os.path.dirname(path)
        if parent == path:
            return False
        path = parent
    return True


def _is_empty(path: str) -> bool:
    try:
        with os.scandir(os_path(path)) as entries:
            return next(entries, None) is None
    except OSError:
        return False
