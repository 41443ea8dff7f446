"""Notices of changes from the operating system, and when to look through the folders instead.

Notices say where to look, and are believed no further. So a lost one costs time, not truth, and where none
can be relied upon (a network drive, symbolic links) the folders are looked through at intervals.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from indexer.watching.roots import is_below
from search.file_names import stored_path

TICK_SECONDS = 0.5
RESCAN_SECONDS = 900.0  # notices can be lost: a queue of the kernel's ran over
POLL_SECONDS = 5.0
POLL_SHARE = 10  # and at least so many times as long as looking took: a walk through an archive has a price
# Their other users' changes are told to nobody here.
NETWORK_FILE_SYSTEMS = frozenset(
    {
        *("9p", "afs", "ceph", "cifs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "glusterfs", "lustre"),
        *("ncpfs", "nfs", "nfs4", "smb3", "smbfs", "virtiofs"),
    }
)


class Notices:
    """Waits for changes below folders.

    Args:
        poll_seconds: Look through the folders so often; None waits for notices where they can be relied upon.
        say: Told when and why notices are given up.

    Attributes:
        is_polling: The folders are looked through at intervals.
    """

    def __init__(self, poll_seconds: float | None, say: Callable[[str], None]) -> None:
        self.is_polling = poll_seconds is not None
        self._poll_seconds = poll_seconds
        self._say = say
        self._watching: Iterator[set[tuple[Any, str]]] | None = None
        self._next_scan = 0.0

    def take(self, folders: Sequence[str]) -> set[str]:
        """Waits a moment; returns the paths of which the operating system says that they were changed."""
        if self._watching is None and not self._start(folders):
            time.sleep(TICK_SECONDS)
            return set()
        assert self._watching is not None
        try:
            return {stored_path(path) for _, path in next(self._watching)}
        except StopIteration:
            self.let_go()
        except (OSError, RuntimeError) as error:  # no more watches to be had; a name that is no UTF-8
            self.poll(f"notices of changes stopped ({error})")
        return set()

    def _start(self, folders: Sequence[str]) -> bool:
        """Asks for notices; False where there are to be none."""
        if self.is_polling or not folders:
            return False
        remote = [path for path in folders if file_system_of(path) in NETWORK_FILE_SYSTEMS]
        if remote:
            self.poll(f"{remote[0]} is on a network drive, which tells nobody of changes")
            return False
        import watchfiles

        self._watching = watchfiles.watch(
            *folders,
            watch_filter=None,
            debounce=200,
            step=50,
            rust_timeout=int(1000 * TICK_SECONDS),
            yield_on_timeout=True,
            raise_interrupt=False,
            force_polling=False,
            ignore_permission_denied=True,
        )
        self.want_scan()  # what happened before it began
        return True

    def poll(self, why: str) -> None:
        """Gives notices up, and says why."""
        self.let_go()
        self.is_polling = True
        self.want_scan()
        self._say(f"{why}: looking through the folders every {POLL_SECONDS:g} s instead")

    def poll_for(self, link: str) -> None:
        """Gives notices up for a symbolic link."""
        self.poll(f"{link} is a link, behind which changes can go without a notice")

    def let_go(self) -> None:
        """Ends the notices, until they are taken again."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.close()  # type: ignore[attr-defined]

    @property
    def is_scan_due(self) -> bool:
        """Returns whether it is time to look through all folders."""
        return time.monotonic() >= self._next_scan

    def want_scan(self) -> None:
        """Makes looking through all folders due."""
        self._next_scan = 0.0

    def note_scan(self, started: float) -> None:
        """Sets when to look through the folders next, after a look that has just ended."""
        pause = RESCAN_SECONDS
        if self.is_polling:
            pause = self._poll_seconds or max(POLL_SECONDS, POLL_SHARE * (time.monotonic() - started))
        self._next_scan = started + pause


def file_system_of(path: str) -> str:
    """The kind of file system that a path is on, as /proc/mounts calls it; "" where that is not told."""
    best, kind = "", ""
    try:
        with open("/proc/mounts", encoding="utf-8", errors="surrogateescape") as mounts:
            for line in mounts:
                place, name = line.split(" ")[1:3]
                place = place.encode().decode("unicode_escape") if "\\" in place else place
                if len(place) >= len(best) and is_below(os.path.realpath(path), place):
                    best, kind = place, name
    except OSError:
        pass
    return kind
