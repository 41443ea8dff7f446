"""Decoding programs that are kept between requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from indexer.video.programs.worker import DecodeWorker


class Workers:
    """A pool of as many decoding programs as are asked for at a time; safe to share between threads.

    Args:
        stall_seconds: How long one may say nothing.
        reads: Folders that they may read, where the system holds them to it; None for all.
        writes: Folders in which they may write.
    """

    def __init__(
        self, stall_seconds: float, *, reads: Sequence[str] | None = None, writes: Sequence[str] = ()
    ) -> None:
        self._stall_seconds = stall_seconds
        self._reads = reads
        self._writes = writes
        self._idle: list[DecodeWorker] = []
        self._busy: set[DecodeWorker] = set()
        self._lock = threading.Lock()
        self._is_closed = False

    @contextmanager
    def one(self) -> Iterator[DecodeWorker]:
        """Lends a program for the block, which nobody else uses meanwhile."""
        with self._lock:
            worker = self._idle.pop() if self._idle else self._new()
            self._busy.add(worker)
        try:
            yield worker
        finally:
            with self._lock:
                self._busy.discard(worker)
                if not self._is_closed:
                    self._idle.append(worker)
            if self._is_closed:
                worker.close()

    def _new(self) -> DecodeWorker:
        return DecodeWorker(stall_seconds=self._stall_seconds, reads=self._reads, writes=self._writes)

    def close(self) -> None:
        """Ends the programs, also those at work."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
            for worker in self._busy:
                worker.kill()
        for worker in idle:
            worker.close()
