"""Counters that hold a client to limits, in a time and at once; `access` and the settings have numbers."""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from cachetools import LRUCache

KEPT_CLIENTS = 10_000


def network_of(address: str) -> str:
    """Returns the network that a stranger counts as: an IPv4 address, or the first half of an IPv6 one."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return address
    return str(found.ipv4_mapped or ipaddress.ip_network((int(found) >> 64 << 64, 64)))


class TokenBuckets:
    """A bucket each for many clients; to be used on one thread (the event loop's).

    Args:
        per_second: How fast a bucket fills; 0 for no limit.
        burst: How much it holds.
        clock: Seconds, ascending.
    """

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._clock = clock
        # The one longest unseen is dropped: it has filled up by then, or will soon.
        self._buckets: LRUCache[str, tuple[float, float]] = LRUCache(KEPT_CLIENTS)

    def take(self, client: str) -> int | None:
        """Takes one token; None if there was one, else in how many whole seconds there will be."""
        if self._per_second <= 0:
            return None
        now = self._clock()
        left, at = self._buckets.get(client, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_second)
        wait = None if left >= 1 else max(1, math.ceil((1 - left) / self._per_second))
        self._buckets[client] = (left - 1 if wait is None else left, now)
        return wait


class Concurrency:
    """Counts requests under way, of each client and of all; to be used on one thread.

    Args:
        each: Most of one client; None for no limit.
        total: Most of all; 0 for no limit.
    """

    def __init__(self, each: int | None, total: int) -> None:
        self._each = each
        self._total = total
        self._under_way: dict[str, int] = {}
        self.count = 0

    def enter(self, client: str) -> str | None:
        """Counts a request in; says why not if there are too many."""
        own = self._under_way.get(client, 0)
        if self._each is not None and own >= self._each:
            return f"{own} requests of yours are under way already: send fewer at once"
        if self._total and self.count >= self._total:
            return f"the server is busy with {self.count} requests"
        self._under_way[client] = own + 1
        self.count += 1
        return None

    def leave(self, client: str) -> None:
        """Counts a request out."""
        self.count -= 1
        left = self._under_way[client] - 1
        if left:
            self._under_way[client] = left
        else:
            del self._under_way[client]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of callers of one kind; each kind has its own, so that none fills another's.

    Attributes:
        buckets: Requests in a time, of each.
        concurrency: Requests under way, of each and of all.
    """

    buckets: TokenBuckets
    concurrency: Concurrency
