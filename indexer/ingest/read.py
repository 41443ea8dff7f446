"""Reading files: one thread and one worker program each, that hand over what they decode.

A reader has a worker, a queue and an account of processor time. It has no library and no encoder: whether a
file must be read at all, and what becomes of what was read, is decided by the thread that takes the messages.
"""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal

from encoders.errors import DamagedVideoError, DecodeError, NotAVideoError
from indexer.ingest.types import IngestOptions
from indexer.ingest.walk import FoundFile, content_digest
from indexer.video.programs.cost import Patience
from indexer.video.programs.worker import DecodeWorker, usual_memory_bytes
from indexer.video.types import Damage, Length, Progress, SampledClip, SamplingOptions, VideoInfo
from search.file_names import os_path
from search.file_state import FileState

_QUEUED_MESSAGES = 8
_MOST_THREADS = 16  # of a codec: more only take memory, since each holds frames


@dataclass(frozen=True, slots=True)
class Opened:
    """The first message about a file that holds a video: its reader waits for a reply.

    Attributes:
        info: The file's description of its video.
        digest: Of the file's content.
        reply: Takes True to have the file read on, False where that is not needed.
    """

    info: VideoInfo
    digest: str
    reply: queue.SimpleQueue[bool] = field(default_factory=queue.SimpleQueue)


@dataclass(frozen=True, slots=True)
class Ended:
    """The last message about a file.

    Attributes:
        outcome: "read" to its end; "known", since the reply was that it need not be; or why it was not:
            "failed"; "ignored", no video and not called like one; "refused", the same of a file that was
            given by itself.
        reason: For people, where it was not read.
    """

    outcome: Literal["read", "known", "failed", "ignored", "refused"] = "read"
    reason: str = ""


Message = Opened | Progress | SampledClip | Length | Damage | Ended


class _Stopped(Exception):
    """The ingest is being given up; a reader leaves."""


class Readers:
    """Reads files in several threads.

    Args:
        files: To be read.
        given: Paths that were given by themselves, which are not ignored in silence.
        sampling: What to take of each.
        options: Of the ingest.
    """

    def __init__(
        self,
        files: Sequence[FoundFile],
        given: Collection[str],
        sampling: SamplingOptions,
        options: IngestOptions,
    ) -> None:
        self._pending = deque(files)
        self._remaining = len(files)
        self._given = given
        self._sampling = sampling
        self._patience = Patience(options.patience)
        self._messages: queue.Queue[tuple[FoundFile, Message] | BaseException] = queue.Queue(_QUEUED_MESSAGES)
        self._stopping = threading.Event()
        cores = _usable_cores()
        count = min(options.workers or max(1, cores // 2), len(files))
        threads = threads_of_each(count, cores)
        # What a path leads to may change after it was found: the kernel holds the programs to the roots.
        self._workers = [
            DecodeWorker(stall_seconds=options.stall_seconds, threads=threads, reads=options.roots)
            for _ in range(count)
        ]

    def messages(self, should_stop: Callable[[], bool]) -> Generator[tuple[FoundFile, Message]]:
        """Messages from the readers, each with the file that it is about, until all files have ended.

        Args:
            should_stop: Asked between messages; True ends it early.
        """
        threads = [
            threading.Thread(target=self._run, args=(worker,), name=f"reader-{number}")
            for number, worker in enumerate(self._workers)
        ]
        for thread in threads:
            thread.start()
        try:
            while self._remaining and not should_stop():
                message = self._messages.get()
                if isinstance(message, BaseException):
                    raise message
                self._remaining -= isinstance(message[1], Ended)
                yield message
        finally:
            self._stopping.set()
            for worker in self._workers:
                worker.kill()  # a decoder that hangs must not hold up the end
            for thread in threads:
                thread.join()

    def _run(self, worker: DecodeWorker) -> None:
        worker.memory_bytes = usual_memory_bytes()
        try:
            while True:
                try:
                    file = self._pending.popleft()
                except IndexError:
                    return
                self._put((file, self._read(worker, file)))
        except _Stopped:
            pass
        except BaseException as error:  # the thread that waits must hear of it, or it waits for ever
            with suppress(_Stopped):
                self._put(error)
        finally:
            worker.close()

    def _put(self, message: tuple[FoundFile, Message] | BaseException) -> None:
        while not self._stopping.is_set():
            with suppress(queue.Full):
                self._messages.put(message, timeout=0.1)
                return
        raise _Stopped

    def _read(self, worker: DecodeWorker, file: FoundFile) -> Ended:
        items = worker.decode(file.path, self._sampling)
        spent = Progress(0.0)
        digest = ""
        try:
            for item in items:
                if isinstance(item, Progress):
                    spent = item
                    self._patience.check(item.cpu_seconds, item.time_seconds, file.size_bytes)
                if isinstance(item, VideoInfo):
                    digest = content_digest(file.path)
                    if not self._is_wanted(file, Opened(item, digest)):
                        items.close()
                        return Ended("known")
                else:
                    self._put((file, item))
            _check_unchanged(file, digest)
        except NotAVideoError as error:
            others: Literal["refused", "ignored"] = "refused" if file.path in self._given else "ignored"
            return Ended("failed" if file.looks_like_video else others, str(error))
        except (DecodeError, OSError) as error:
            items.close()
            return Ended("failed", _reason(error))
        finally:
            self._patience.learn(spent.cpu_seconds, spent.time_seconds)
        return Ended()

    def _is_wanted(self, file: FoundFile, opened: Opened) -> bool:
        self._put((file, opened))
        while not self._stopping.is_set():
            with suppress(queue.Empty):
                return opened.reply.get(timeout=0.1)
        raise _Stopped


def threads_of_each(workers: int, cores: int) -> int:
    """The threads of each decoder's codec: all cores for one file, and no more than these for many."""
    return min(_MOST_THREADS, max(1, cores // max(1, workers)))


def _usable_cores() -> int:
    """The cores that this program may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 2


def _check_unchanged(file: FoundFile, digest: str) -> None:
    """A new name or mode of a file is a change of its inode as well: then its content is what counts."""
    now = FileState.of(os.stat(os_path(file.path)))
    if now.is_same(file.state):
        return
    if not now.is_same(replace(file.state, ctime_ns=None)) or content_digest(file.path) != digest:
        raise DamagedVideoError("the file changed while it was being read; ingest it again")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)
