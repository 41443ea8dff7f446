"""Lines of requests: who is next, who gets no more, who is left out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request

from api.work import lanes
from api.work.lanes import Lane


def request_from(address: str, *, gone: bool = False) -> Request:
    """A GET whose empty body nobody has read yet; then its client waits, or has hung up."""
    messages = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop(0)
        if not gone:
            await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    return Request({"type": "http", "headers": [], "state": {"client": address}}, receive)


class Asker:
    """Starts requests one after the other and notes the order in which they are served."""

    def __init__(self, lane: Lane) -> None:
        self.served: list[str] = []
        self.most: dict[str, int] = {}
        self._lane = lane
        self._now: dict[str, int] = {}
        self._lock = threading.Lock()
        self.may_end = threading.Event()

    async def ask(self, address: str, what: str = "", *, gone: bool = False) -> asyncio.Task[None]:
        async def one() -> None:
            lanes.current.set(request_from(address, gone=gone))
            await self._lane.run(self._work, address, what or address)

        task = asyncio.create_task(one())
        await asyncio.sleep(0.01)  # so that it stands in line before the next one
        return task

    def _work(self, address: str, what: str) -> None:
        with self._lock:
            self.served.append(what)
            self._now[address] = self._now.get(address, 0) + 1
            self.most[address] = max(self.most.get(address, 0), self._now[address])
        self.may_end.wait(10)
        with self._lock:
            self._now[address] -= 1


def run(width: int, scene: Callable[[Asker], Awaitable[None]], most_of_one: int | None = None) -> Asker:
    async def play() -> Asker:
        asker = Asker(Lane(width, most_of_one=most_of_one))
        await scene(asker)
        return asker

    return asyncio.run(play())


def test_callers_take_turns():
    async def scene(asker: Asker) -> None:
        tasks = [await asker.ask("a", f"a{number}") for number in range(5)]
        tasks += [await asker.ask("b", f"b{number}") for number in range(2)]
        tasks.append(await asker.ask("c"))
        asker.may_end.set()
        await asyncio.gather(*tasks)

    assert run(1, scene).served == ["a0", "a1", "b0", "c", "a2", "b1", "a3", "a4"]


def test_nobody_takes_all_places_where_the_work_is_long():
    async def scene(asker: Asker) -> None:
        tasks = [await asker.ask("a", f"a{number}") for number in range(4)]
        assert asker.served == ["a0", "a1"]
        tasks.append(await asker.ask("b"))
        assert asker.served == ["a0", "a1", "b"], "a place was left, and it is not for a third of the first"
        asker.may_end.set()
        await asyncio.gather(*tasks)

    asker = run(3, scene, most_of_one=2)
    assert asker.most == {"a": 2, "b": 1} and sorted(asker.served) == ["a0", "a1", "a2", "a3", "b"]


def test_who_has_hung_up_is_not_worked_for():
    async def scene(asker: Asker) -> None:
        tasks = [await asker.ask("a")]
        gone = [await asker.ask("b", "gone", gone=True) for _ in range(3)]
        tasks.append(await asker.ask("b", "there"))
        asker.may_end.set()
        await asyncio.gather(*tasks)
        for one in gone:
            with pytest.raises(ClientDisconnect):
                await one

    assert run(1, scene).served == ["a", "there"]


def test_who_gives_up_waiting_leaves_the_place_to_the_next():
    async def scene(asker: Asker) -> None:
        tasks = [await asker.ask("a")]
        gives_up = await asker.ask("b", "gives up")
        tasks.append(await asker.ask("b", "patient"))
        gives_up.cancel()
        with suppress(asyncio.CancelledError):
            await gives_up
        asker.may_end.set()
        await asyncio.gather(*tasks)
        await (await asker.ask("c"))

    assert run(1, scene).served == ["a", "patient", "c"]


def test_an_error_frees_the_place():
    async def scene() -> int:
        lane = Lane(1)
        with pytest.raises(ZeroDivisionError):
            await lane.run(lambda: 1 // 0)
        return await lane.run(lambda: 7)

    assert asyncio.run(scene()) == 7
