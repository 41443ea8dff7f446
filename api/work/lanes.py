"""Fair queues for scarce work: callers take turns, disconnected ones lose their place."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar, copy_context
from functools import partial
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from encoders.budget import Budget
from encoders.errors import AbandonedError

Answer = TypeVar("Answer")
LOOK_SECONDS = 0.5  # after whether a client has hung up

# The request that is being answered. A variable of the context, as the lanes are reached through layers
# that have nothing to do with requests.
current: ContextVar[Request | None] = ContextVar("request", default=None)
# What may be spent on it: from the upload to the answer, in every lane that it comes through.
budget: ContextVar[Budget | None] = ContextVar("budget_of_request", default=None)


class Lane:
    """Lets so many requests work at once; to be used on one event loop.

    The next one is that of the caller who was served longest ago, so that many requests of one caller make
    another wait for one of them and not for all.

    Args:
        width: How many work at once.
        most_of_one: Of one caller, where the work may be long; None means as many.
        limit_seconds: Of work for a request that has no budget of its own, more than 0; None for no limit.
    """

    def __init__(
        self, width: int, *, most_of_one: int | None = None, limit_seconds: float | None = None
    ) -> None:
        self._limit_seconds = limit_seconds
        self._free = width
        self._most_of_one = width if most_of_one is None else most_of_one
        self._busy: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        # Of its own: no other work keeps this waiting, and what torch, OpenMP and the allocator hold for each
        # thread that has ever called them, some 50 MiB, is held for these alone.
        self._threads = ThreadPoolExecutor(width, thread_name_prefix="lane")

    async def run(self, work: Callable[..., Answer], *args: object, **options: object) -> Answer:
        """Runs something in a thread when it is this request's turn, on the request's budget.

        Raises:
            ClientDisconnect: Nobody waits for the answer any more; what looks at its budget ends then.
            BudgetError: It took more than the request may.
        """
        spending = budget.get() or Budget(self._limit_seconds)
        async with self.place():
            await _check_still_there()
            context = copy_context()
            working = asyncio.get_running_loop().run_in_executor(
                self._threads, partial(context.run, _worked, spending, partial(work, *args, **options))
            )
            try:
                while not (await asyncio.wait([working], timeout=LOOK_SECONDS))[0]:
                    if await _has_hung_up():
                        spending.cancel()
                return await working
            except asyncio.CancelledError:
                spending.cancel()
                await asyncio.wait([working])  # it keeps its place until it has looked, and ended
                raise
            except AbandonedError:
                raise ClientDisconnect from None

    def close(self) -> None:
        """Takes no more work; what is under way goes on."""
        self._threads.shutdown(wait=False)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Waits for its turn; the block is the work."""
        caller = _caller()
        await self._enter(caller)
        try:
            yield
        finally:
            self._leave(caller)

    async def _enter(self, caller: str) -> None:
        if self._free and self._busy[caller] < self._most_of_one:  # then those who wait may not go either
            self._take(caller)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._leave(caller)
            raise

    def _take(self, caller: str) -> None:
        self._free -= 1
        self._busy[caller] += 1

    def _leave(self, caller: str) -> None:
        self._free += 1
        self._busy[caller] -= 1
        if not self._busy[caller]:
            del self._busy[caller]
        while self._free and self._call_next():
            pass

    def _call_next(self) -> bool:
        """Lets the next caller in; tells whether one was called, or had given up."""
        for caller, line in self._waiting.items():
            if self._busy[caller] < self._most_of_one:
                turn = line.popleft()
                self._waiting.move_to_end(caller)
                if not line:
                    del self._waiting[caller]
                if not turn.done():
                    self._take(caller)
                    turn.set_result(None)
                return True
        return False


def _caller() -> str:
    """Names the caller of the current request, as the limits do."""
    request = current.get()
    return "" if request is None else request.scope["state"].get("client", "")


async def _check_still_there() -> None:
    # Where nobody has read the body, the first look finds that and only the second the end.
    if await _has_hung_up() or await _has_hung_up():
        raise ClientDisconnect


async def _has_hung_up() -> bool:
    request = current.get()
    return request is not None and await request.is_disconnected()


def _worked(spending: Budget, work: Callable[[], Answer]) -> Answer:
    with spending.work():
        return work()
