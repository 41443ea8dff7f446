"""`indexer watch`: the library follows its folders.

Notices of the operating system say where to look, and are believed no further: what is there now,
compared with what was there, decides. So a lost notice costs time, not truth, and where none can be relied
upon (a network drive, symbolic links) the folders are looked through at intervals instead.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from encoders.errors import LibraryError
from indexer.ingest.open_files import open_for_writing
from indexer.ingest.pipeline import Change, IngestOptions, ingest
from indexer.ingest.walk import FoundFile, find_files
from search.file_names import os_path, stored_path
from search.library import Library

TICK_SECONDS = 0.5
RESCAN_SECONDS = 900.0  # notices can be lost: a queue of the kernel's ran over
RETRY_SECONDS = 10.0
POLL_SECONDS = 5.0
POLL_SHARE = 10  # and at least so many times as long as looking took: a walk through an archive has a price
# Their other users' changes are told to nobody here.
NETWORK_FILE_SYSTEMS = frozenset(
    {
        *("9p", "afs", "ceph", "cifs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "glusterfs", "lustre"),
        *("ncpfs", "nfs", "nfs4", "smb3", "smbfs", "virtiofs"),
    }
)
FILE = (0, 0)  # the identity of every path that is no folder
Stamp = tuple[int, int, int | None]  # size in bytes, times of change of content and inode in nanoseconds


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """How to watch.

    Attributes:
        settle_seconds: How long a file must stay as it is before it counts as complete.
        poll_seconds: Look through the folders so often; None waits for notices where they can be relied upon.
        ingest: As for `ingest`; with `prune`, videos whose file vanished are removed.
    """

    settle_seconds: float = 2.0
    poll_seconds: float | None = None
    ingest: IngestOptions = field(default_factory=IngestOptions)


@dataclass(slots=True)
class _Root:
    """One of the paths to watch: `identity` of the folder or file as it was last seen, None while away."""

    path: str
    identity: tuple[int, int] | None = None
    was_there: bool = False
    had_files: bool = False


class Watcher:
    """Brings a library up to date with some paths, then keeps it so.

    Args:
        library: Made by the first ingest if it is empty.
        paths: Files and folders; one that is not there yet is waited for.
        options: See `WatchOptions`.
        on_change: Told of each video of which something is different now.
        say: Told the rest: a folder that went or came back, a library that is busy.
        should_stop: Asked all the time; True ends the watch in order.
    """

    def __init__(
        self,
        library: Library,
        paths: Sequence[str],
        options: WatchOptions,
        *,
        on_change: Callable[[Change], None] = lambda _: None,
        say: Callable[[str], None] = lambda _: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._library = library
        self._roots = [_Root(stored_path(os.path.abspath(path))) for path in paths]
        self._options = options
        self._on_change = on_change
        self._say = say
        self._should_stop = should_stop
        self._known: dict[str, Stamp] = {}
        self._pending: dict[str, tuple[Stamp, float]] = {}  # and since when it is so
        self._gone: dict[str, float] = {}
        self._refused: dict[str, str] = {}  # what ingest cannot take, and why: told of once
        self._retry_at = 0.0
        self._watching: Iterator[set[tuple[Any, str]]] | None = None
        self._next_scan = 0.0
        self._is_polling = options.poll_seconds is not None

    def run(self) -> None:
        """Watches until `should_stop`.

        Raises:
            LibraryError, EncoderError: The library cannot be used at all.
        """
        self._look_after_roots()
        present = [root.path for root in self._roots if root.identity is not None]
        for root in self._roots:
            if root.identity is None:
                self._say(f"{root.path} is not there; waiting for it")
        if present:
            # Before the ingest walks there: what changes in between differs from this, and is seen.
            seen = {
                file.path: (file.size_bytes, file.mtime_ns, file.ctime_ns)
                for file in self._look_into(present)
            }
            ingest(
                self._library,
                present,
                self._options.ingest,
                say=self._say,
                should_stop=self._should_stop,
                on_change=self._on_change,
            )
            self._known = self._catalogued(present) | seen
            for root in self._roots:
                root.had_files = any(_is_below(path, root.path) for path in self._known)
        self._say(f"watching {', '.join(root.path for root in self._roots)}")
        while not self._should_stop():
            self._take_notices()
            self._look_after_roots()
            if time.monotonic() >= self._next_scan:
                self._scan()
            self._settle()
        self._let_go()

    def _catalogued(self, paths: Sequence[str]) -> dict[str, Stamp]:
        with self._library.read() as catalog:
            return {
                video.path: (video.size_bytes, video.mtime_ns, video.ctime_ns)
                for path in paths
                for video in catalog.videos_below(path)
                if video.status != "missing"
            }

    # --- where it is -----------------------------------------------------------------------

    def _look_after_roots(self) -> None:
        """Notices paths that went, that came back, and that are others under the same name."""
        for root in self._roots:
            now = _identity(root.path)
            if FILE in (now, root.identity) and os.path.isdir(os_path(os.path.dirname(root.path))):
                self._look_at_file(root)
                continue
            if now == root.identity:
                continue
            if now is not None and root.had_files and _is_empty(root.path):
                now = None  # a place to mount at, with nothing mounted: nobody removed everything
                if root.identity is None:
                    continue
            self._let_go()
            if now is None:
                self._say(f"{root.path} went away; waiting for it")
                self._forget_below(root.path)
            elif root.identity is None and root.was_there:
                self._say(f"{root.path} is there again")
            root.identity = now
            root.was_there |= now is not None
            self._next_scan = 0.0

    def _look_at_file(self, root: _Root) -> None:
        """A single file: editors and copies put another in its place, so its name is what is watched."""
        stamp = _stamp(root.path)
        root.identity = FILE
        if stamp is not None:
            self._see(root.path, stamp)
        elif root.path in self._known:
            self._miss([root.path])

    def _forget_below(self, root: str) -> None:
        """Drops what is under way there; what the catalog holds stays, and stays searchable."""
        for waiting in (self._pending, self._gone):
            for path in [path for path in waiting if _is_below(path, root)]:
                waiting.pop(path)

    def _present(self) -> list[str]:
        """The folders that are there now."""
        return [root.path for root in self._roots if root.identity not in (None, FILE)]

    # --- what to look at -------------------------------------------------------------------

    def _take_notices(self) -> None:
        """Waits a moment, and looks at what the operating system says was changed."""
        if self._watching is None and not self._start():
            time.sleep(TICK_SECONDS)
            return
        assert self._watching is not None
        try:
            changed = {stored_path(path) for _, path in next(self._watching)}
        except StopIteration:
            self._let_go()
            return
        except (OSError, RuntimeError) as error:  # no more watches to be had; a name that is no UTF-8
            self._poll(f"notices of changes stopped ({error})")
            return
        changed = {path for path in changed if not self._is_hidden(path)}
        for path in changed - {root.path for root in self._roots}:
            if os.path.islink(os_path(path)):
                self._poll_for(path)
                return
        gone = set()
        for path in changed:
            try:
                status = os.stat(os_path(path))
            except (FileNotFoundError, NotADirectoryError):
                gone.add(path)
            except OSError:
                continue
            else:
                if stat.S_ISDIR(status.st_mode):
                    found = self._look_into([path], is_all=False)
                    if self._is_polling:  # there is a link: the next look is at everything
                        return
                    self._compare(found)
                elif stat.S_ISREG(status.st_mode):
                    self._see(path, (status.st_size, status.st_mtime_ns, status.st_ctime_ns))
        if gone:
            self._miss(path for path in self._known if _any_parent_in(path, gone))

    def _start(self) -> bool:
        """Asks for notices; False where there are to be none."""
        present = self._present()
        if self._is_polling or not present:
            return False
        remote = [path for path in present if file_system_of(path) in NETWORK_FILE_SYSTEMS]
        if remote:
            self._poll(f"{remote[0]} is on a network drive, which tells nobody of changes")
            return False
        import watchfiles

        self._watching = watchfiles.watch(
            *present,
            watch_filter=None,
            debounce=200,
            step=50,
            rust_timeout=int(1000 * TICK_SECONDS),
            yield_on_timeout=True,
            raise_interrupt=False,
            force_polling=False,
            ignore_permission_denied=True,
        )
        self._next_scan = 0.0  # what happened before it began
        return True

    def _poll(self, why: str) -> None:
        self._let_go()
        self._is_polling = True
        self._next_scan = 0.0
        self._say(f"{why}: looking through the folders every {POLL_SECONDS:g} s instead")

    def _poll_for(self, link: str) -> None:
        self._poll(f"{link} is a link, behind which changes can go without a notice")

    def _let_go(self) -> None:
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.close()  # type: ignore[attr-defined]

    def _scan(self) -> None:
        """Compares everything that is there with what was there."""
        started = time.monotonic()
        present = self._present()
        seen = self._compare(self._look_into(present))
        self._next_scan = started + self._pause(time.monotonic() - started)
        for root in self._roots:
            if root.identity not in (None, FILE):
                root.had_files = any(_is_below(path, root.path) for path in seen)
        self._miss(
            path
            for path in self._known
            if path not in seen and any(_is_below(path, root) for root in present)
        )

    def _pause(self, took: float) -> float:
        """How long after one look through the folders the next one begins, in seconds."""
        if not self._is_polling:
            return RESCAN_SECONDS
        return self._options.poll_seconds or max(POLL_SECONDS, POLL_SHARE * took)

    def _look_into(self, paths: Sequence[str], *, is_all: bool = True) -> list[FoundFile]:
        """The files below some paths; tells of what cannot be taken, and polls where there are links.

        Args:
            paths: Files and folders.
            is_all: They are all that is watched.
        """
        links: list[str] = []
        found = list(find_files(paths, on_link=links.append))
        if links and not self._is_polling:
            self._poll_for(links[0])
        refused = {file.path: file.reason for file in found if file.reason is not None}
        for path, reason in refused.items():
            if self._refused.get(path) != reason:
                self._on_change(Change("failed", path, reason=reason))
        self._refused = refused if is_all else self._refused | refused
        return [file for file in found if file.reason is None]

    def _compare(self, files: Iterable[FoundFile]) -> set[str]:
        seen = set()
        for file in files:
            seen.add(file.path)
            self._see(file.path, (file.size_bytes, file.mtime_ns, file.ctime_ns))
        return seen

    def _see(self, path: str, stamp: Stamp) -> None:
        self._gone.pop(path, None)
        if self._known.get(path) == stamp:
            self._pending.pop(path, None)
        elif path not in self._pending or self._pending[path][0] != stamp:
            self._pending[path] = (stamp, time.monotonic())

    def _miss(self, paths: Iterable[str]) -> None:
        for path in list(paths):
            self._pending.pop(path, None)
            self._gone.setdefault(path, time.monotonic())

    def _is_hidden(self, path: str) -> bool:
        """Whether a part of the path, below what is watched, begins with a dot; as `find_files` has it."""
        for root in self._roots:
            if _is_below(path, root.path):
                below = path[len(root.path) :].strip("/")
                return any(part.startswith(".") for part in below.split("/"))
        return True

    # --- what to do ------------------------------------------------------------------------

    def _settle(self) -> None:
        """Ingests what has been as it is for long enough and is written by nobody."""
        now = time.monotonic()
        if now < self._retry_at:
            return
        quiet = now - self._options.settle_seconds
        ready: dict[str, Stamp] = {}
        for path, (stamp, since) in list(self._pending.items()):
            current = _stamp(path)
            if current is None:
                self._pending.pop(path)
            elif current != stamp:
                self._pending[path] = (current, now)
            elif since <= quiet:
                ready[path] = stamp
        for path in open_for_writing(ready) if ready else ():
            self._pending[path] = (ready.pop(path), now)
        # A file that was moved is gone in one place and new in another: both are told of together.
        is_new_waiting = len(self._pending) > len(ready)
        gone = [] if is_new_waiting else [path for path, since in self._gone.items() if since <= quiet]
        if ready or gone:
            self._ingest(ready, gone)

    def _ingest(self, ready: dict[str, Stamp], gone: Sequence[str]) -> None:
        # The first ingest set what the library is made with; later ones only go on.
        options = replace(self._options.ingest, sampling=None, encoder=None, actions=None, pooling=None)
        if not self._known:
            options = self._options.ingest
        options = replace(options, says_ignored=False)  # what it gives by itself nobody asked for by name
        try:
            ingest(
                self._library,
                [*ready, *gone],
                options,
                say=self._say,
                should_stop=self._should_stop,
                on_change=self._changed,
            )
        except LibraryError as error:
            if self._should_stop():
                return
            self._retry_at = time.monotonic() + RETRY_SECONDS
            self._say(f"{error}; trying again in {RETRY_SECONDS:g} s")
            return
        for path, stamp in ready.items():
            self._known[path] = stamp
            self._pending.pop(path, None)
        for path in gone:
            self._known.pop(path, None)
            self._gone.pop(path, None)

    def _changed(self, change: Change) -> None:
        if change.from_path is not None:  # which may be there still, as another name of the same file
            self._known.pop(change.from_path, None)
        self._on_change(change)


def file_system_of(path: str) -> str:
    """The kind of file system that a path is on, as /proc/mounts calls it; "" where that is not told."""
    best, kind = "", ""
    try:
        with open("/proc/mounts", encoding="utf-8", errors="surrogateescape") as mounts:
            for line in mounts:
                place, name = line.split(" ")[1:3]
                place = place.encode().decode("unicode_escape") if "\\" in place else place
                if len(place) >= len(best) and _is_below(os.path.realpath(path), place):
                    best, kind = place, name
    except OSError:
        pass
    return kind


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(os_path(path))
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else FILE


def _is_empty(path: str) -> bool:
    try:
        with os.scandir(os_path(path)) as entries:
            return next(entries, None) is None
    except OSError:
        return False


def _stamp(path: str) -> Stamp | None:
    try:
        status = os.stat(os_path(path))
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _any_parent_in(path: str, folders: set[str]) -> bool:
    while path not in folders:
        parent = os.path.dirname(path)
        if parent == path:
            return False
        path = parent
    return True
