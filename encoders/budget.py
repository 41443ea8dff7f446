"""Limits on the work for one question, and its cancellation when nobody waits for the answer any more.

A budget belongs to a question and goes with it from thread to thread, in a context variable, as deadlines
do in gRPC and cancel scopes in Trio: what takes long looks at it between two steps (`check_budget`) and need
not be handed it through every layer. Without one, as on the command line, nothing is limited.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from encoders.errors import AbandonedError, BudgetError


class Budget:
    """The working time of one question; it may be cancelled from any thread.

    Only what passes inside `work` counts, so that waiting for others in a line costs nothing.

    Args:
        limit_seconds: Of work in all, more than 0; None for no limit.
        advice: What to do where that does not suffice.
    """

    def __init__(self, limit_seconds: float | None = None, advice: str = "ask for less") -> None:
        self.limit_seconds = limit_seconds
        self._advice = advice
        self._spent_seconds = 0.0
        self._since: float | None = None
        self._is_cancelled = False

    @property
    def spent_seconds(self) -> float:
        """Working time up to now."""
        return self._spent_seconds + (0.0 if self._since is None else time.monotonic() - self._since)

    @property
    def left_seconds(self) -> float | None:
        """Working time that is left, 0 or more; None for no limit."""
        return None if self.limit_seconds is None else max(0.0, self.limit_seconds - self.spent_seconds)

    def cancel(self) -> None:
        """Nobody waits any more: the next look at it ends the work."""
        self._is_cancelled = True

    def check(self) -> None:
        """Raises AbandonedError if it was cancelled, BudgetError if it is spent."""
        if self._is_cancelled:
            raise AbandonedError("nobody waits for the answer any more")
        if self.left_seconds == 0:
            raise BudgetError(
                f"answering takes more than {self.limit_seconds:g} s of work, the limit for one question: "
                f"{self._advice}"
            )

    @contextmanager
    def work(self) -> Iterator[None]:
        """The block is work on the question, one piece at a time."""
        token = _current.set(self)
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._spent_seconds, self._since = self.spent_seconds, None
            _current.reset(token)


_current: ContextVar[Budget | None] = ContextVar("budget", default=None)


def check_budget() -> None:
    """Between two steps of what takes long: raises BudgetError or AbandonedError if it should end here."""
    budget = _current.get()
    if budget is not None:
        budget.check()
