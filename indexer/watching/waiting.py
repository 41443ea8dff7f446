"""Files that changed or went, until they have been so for long enough to be believed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from indexer.watching.open_files import find_open_for_writing
from indexer.watching.roots import is_below
from search.file_names import os_path

Stamp = tuple[int, int, int | None]  # size in bytes, times of change of content and inode in nanoseconds


class WaitingFiles:
    """Compares files as they are seen with what the library has of them.

    Attributes:
        known: Of each file that the library has, how it was.
    """

    def __init__(self) -> None:
        self.known: dict[str, Stamp] = {}
        self._changed: dict[str, tuple[Stamp, float]] = {}  # and since when it is so
        self._gone: dict[str, float] = {}

    def see(self, path: str, stamp: Stamp) -> None:
        """Notes that a file is there, and how."""
        self._gone.pop(path, None)
        if self.known.get(path) == stamp:
            self._changed.pop(path, None)
        elif path not in self._changed or self._changed[path][0] != stamp:
            self._changed[path] = (stamp, time.monotonic())

    def miss(self, paths: Iterable[str]) -> None:
        """Notes that files are not there."""
        for path in list(paths):
            self._changed.pop(path, None)
            self._gone.setdefault(path, time.monotonic())

    def forget_below(self, root: str) -> None:
        """Drops what waits there; what the catalog holds stays, and stays searchable."""
        for waiting in (self._changed, self._gone):
            for path in [path for path in waiting if is_below(path, root)]:
                waiting.pop(path)

    def find_ready(self, settle_seconds: float) -> tuple[dict[str, Stamp], list[str]]:
        """Finds files that changed, and are written by nobody, and files that went, each long enough ago."""
        now = time.monotonic()
        quiet = now - settle_seconds
        ready: dict[str, Stamp] = {}
        for path, (stamp, since) in list(self._changed.items()):
            current = stamp_of(path)
            if current is None:
                self._changed.pop(path)
            elif current != stamp:
                self._changed[path] = (current, now)
            elif since <= quiet:
                ready[path] = stamp
        for path in find_open_for_writing(ready) if ready else ():
            self._changed[path] = (ready.pop(path), now)
        # A file that was moved is gone in one place and new in another: both are told of together.
        is_new_waiting = len(self._changed) > len(ready)
        gone = [] if is_new_waiting else [path for path, since in self._gone.items() if since <= quiet]
        return ready, gone

    def settle(self, ready: dict[str, Stamp], gone: Iterable[str]) -> None:
        """Notes that the library has files as they are, and not those that went."""
        for path, stamp in ready.items():
            self.known[path] = stamp
            self._changed.pop(path, None)
        for path in gone:
            self.known.pop(path, None)
            self._gone.pop(path, None)


def stamp_of(path: str) -> Stamp | None:
    """The stamp of a file as it is now; None where there is none."""
    try:
        status = os.stat(os_path(path))
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
