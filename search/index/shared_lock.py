"""A lock that many hold who only look, or one alone who changes something."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class SharedLock:
    """A readers-writer lock in which writers go first (Courtois, Heymans and Parnas 1971).

    A thread that holds it must not ask for it again: it could wait for a writer that waits for it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers = 0
        self._is_writing = False
        self._writers_waiting = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Holds the lock beside others who only look."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._is_writing or self._writers_waiting))
            self._readers += 1
        try:
            yield
        finally:
            self._leave(is_writing=False)

    @contextmanager
    def exclusive(self) -> Iterator[Callable[[], None]]:
        """Holds the lock alone; what it yields lets others look from then on, without one change between."""
        with self._changed:
            self._writers_waiting += 1
            try:
                self._changed.wait_for(lambda: not (self._is_writing or self._readers))
            finally:
                self._writers_waiting -= 1
                self._changed.notify_all()
            self._is_writing = True
        is_mine = True

        def share() -> None:
            nonlocal is_mine
            with self._changed:
                is_mine, self._is_writing = False, False
                self._readers += 1
                self._changed.notify_all()

        try:
            yield share
        finally:
            self._leave(is_writing=is_mine)

    def _leave(self, *, is_writing: bool) -> None:
        with self._changed:
            if is_writing:
                self._is_writing = False
            else:
                self._readers -= 1
            self._changed.notify_all()
