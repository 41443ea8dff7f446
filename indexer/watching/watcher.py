"""Watching: the library follows its folders.

What is there now, compared with what was there, decides; `notices` only say where to look.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from encoders.errors import LibraryError
from indexer.ingest.pipeline import ingest
from indexer.ingest.types import Change, IngestOptions
from indexer.ingest.walk import FoundFile, find_files, is_hidden
from indexer.watching.notices import Notices
from indexer.watching.roots import FILE, Root, is_below, is_below_any
from indexer.watching.waiting import Stamp, WaitingFiles, stamp_of
from search.file_names import os_path, stored_path
from search.library import Library

RETRY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """Options of a watch.

    Attributes:
        settle_seconds: How long a file must stay as it is before it counts as complete.
        poll_seconds: Look through the folders so often; None waits for notices where they can be relied upon.
        ingest: As for `ingest`; with `prune`, videos whose file vanished are removed.
    """

    settle_seconds: float = 2.0
    poll_seconds: float | None = None
    ingest: IngestOptions = field(default_factory=IngestOptions)


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
        self._roots = [Root(stored_path(os.path.abspath(path))) for path in paths]
        self._options = options
        self._on_change = on_change
        self._say = say
        self._should_stop = should_stop
        self._files = WaitingFiles()
        self._notices = Notices(options.poll_seconds, say)
        self._refused: dict[str, str] = {}  # what ingest cannot take, and why: told of once
        self._retry_at = 0.0

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
            self._ingest_all(present)
        self._say(f"watching {', '.join(root.path for root in self._roots)}")
        while not self._should_stop():
            self._take_notices()
            self._look_after_roots()
            if self._notices.is_scan_due:
                self._scan()
            self._ingest_ready()
        self._notices.let_go()

    def _ingest_all(self, paths: Sequence[str]) -> None:
        # Before the ingest walks there: what changes in between differs from this, and is seen.
        seen = {file.path: _stamp(file) for file in self._look_into(paths)}
        ingest(
            self._library,
            paths,
            self._options.ingest,
            say=self._say,
            should_stop=self._should_stop,
            on_change=self._on_change,
        )
        self._files.known = self._catalogued(paths) | seen
        for root in self._roots:
            root.had_files = any(is_below(path, root.path) for path in self._files.known)

    def _catalogued(self, paths: Sequence[str]) -> dict[str, Stamp]:
        with self._library.read() as catalog:
            return {
                video.path: (video.size_bytes, video.mtime_ns, video.ctime_ns)
                for path in paths
                for video in catalog.videos_below(path)
                if video.status != "missing"
            }

    # Where it is

    def _look_after_roots(self) -> None:
        """Notices paths that went, that came back, and that are others under the same name."""
        for root in self._roots:
            if root.is_file:
                self._look_at_file(root)
                continue
            now = root.identity_now()
            if now == root.identity:
                continue
            self._notices.let_go()
            if now is None:
                self._say(f"{root.path} went away; waiting for it")
                self._files.forget_below(root.path)
            elif root.identity is None and root.was_there:
                self._say(f"{root.path} is there again")
            root.identity = now
            root.was_there |= now is not None
            self._notices.want_scan()

    def _look_at_file(self, root: Root) -> None:
        """A single file: editors and copies put another in its place, so its name is what is watched."""
        stamp = stamp_of(root.path)
        root.identity = FILE
        if stamp is not None:
            self._files.see(root.path, stamp)
        elif root.path in self._files.known:
            self._files.miss([root.path])

    def _present(self) -> list[str]:
        """The folders that are there now."""
        return [root.path for root in self._roots if root.is_folder]

    # What to look at

    def _take_notices(self) -> None:
        """Waits a moment, and looks at what the operating system says was changed."""
        changed = {path for path in self._notices.take(self._present()) if not self._is_hidden(path)}
        for path in changed - {root.path for root in self._roots}:
            if os.path.islink(os_path(path)):
                self._notices.poll_for(path)
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
                    if self._notices.is_polling:  # there is a link: the next look is at everything
                        return
                    self._see(found)
                elif stat.S_ISREG(status.st_mode):
                    self._files.see(path, (status.st_size, status.st_mtime_ns, status.st_ctime_ns))
        if gone:
            self._files.miss(path for path in self._files.known if is_below_any(path, gone))

    def _scan(self) -> None:
        """Compares everything that is there with what was there."""
        started = time.monotonic()
        present = self._present()
        seen = self._see(self._look_into(present))
        self._notices.note_scan(started)
        for root in self._roots:
            if root.is_folder:
                root.had_files = any(is_below(path, root.path) for path in seen)
        self._files.miss(
            path
            for path in self._files.known
            if path not in seen and any(is_below(path, root) for root in present)
        )

    def _look_into(self, paths: Sequence[str], *, is_all: bool = True) -> list[FoundFile]:
        """The files below some paths; tells of what cannot be taken, and polls where there are links.

        Args:
            paths: Files and folders.
            is_all: They are all that is watched.
        """
        links: list[str] = []
        found = list(find_files(paths, on_link=links.append))
        if links and not self._notices.is_polling:
            self._notices.poll_for(links[0])
        refused = {file.path: file.reason for file in found if file.reason is not None}
        for path, reason in refused.items():
            if self._refused.get(path) != reason:
                self._on_change(Change("failed", path, reason=reason))
        self._refused = refused if is_all else self._refused | refused
        return [file for file in found if file.reason is None]

    def _see(self, files: Iterable[FoundFile]) -> set[str]:
        seen = set()
        for file in files:
            seen.add(file.path)
            self._files.see(file.path, _stamp(file))
        return seen

    def _is_hidden(self, path: str) -> bool:
        """Returns whether a name in a path, below what is watched, begins with a dot, as in `find_files`."""
        for root in self._roots:
            if is_below(path, root.path):
                below = path[len(root.path) :].strip("/")
                return any(map(is_hidden, below.split("/")))
        return True

    # What to do

    def _ingest_ready(self) -> None:
        """Ingests what has been as it is for long enough and is written by nobody."""
        if time.monotonic() < self._retry_at:
            return
        ready, gone = self._files.find_ready(self._options.settle_seconds)
        if not ready and not gone:
            return
        # The first ingest set what the library is made with; later ones only go on.
        options = self._options.ingest
        if self._files.known:
            options = replace(options, sampling=None, encoder=None, actions=None, pooling=None)
        try:
            ingest(
                self._library,
                [*ready, *gone],
                replace(options, says_ignored=False),  # what is given by itself here nobody asked for by name
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
        self._files.settle(ready, gone)

    def _changed(self, change: Change) -> None:
        if change.from_path is not None:  # which may be there still, as another name of the same file
            self._files.known.pop(change.from_path, None)
        self._on_change(change)


def _stamp(file: FoundFile) -> Stamp:
    return file.size_bytes, file.mtime_ns, file.ctime_ns
