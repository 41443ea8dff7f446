"""Finding segments for the routes: off the event loop, and not twice where it is slow."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import asdict, dataclass, replace

from cachetools import LRUCache

from encoders.heads.action_names import normalise_action
from search.actions.finding import FoundSegments, find_segments
from search.actions.naming import read_known_actions
from search.library import Library
from search.types import SegmentQuery

KEPT_ANSWERS = 8


@dataclass(frozen=True, slots=True)
class _State:
    """Cache key: equal states of the library give equal answers."""

    revision: int
    heads: tuple[int, ...]
    examples: tuple[int, int]


class SegmentFinder:
    """Finds segments of the one action that a query names; safe to share between threads.

    A name that no head knows is looked for in the footage itself, which takes the encoder and a while.
    The last few such answers are kept, so that their further pages come at once and fit together.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._kept: LRUCache[tuple[SegmentQuery, _State], FoundSegments] = LRUCache(KEPT_ANSWERS)
        self._lock = threading.Lock()

    def is_known(self, query: SegmentQuery) -> bool:
        """Checks that `find` answers without the encoder. Raises InvalidQueryError for what is no name."""
        (action,) = query.actions or ()
        return (
            read_known_actions(self._library).match(action).how != "none" or self._recall(query) is not None
        )

    def find(self, query: SegmentQuery) -> FoundSegments:
        """Finds out what the action is called here. Raises as `find_segments` does."""
        found = self._recall(query)
        if found is not None:
            return found
        state = self._state()
        found = find_segments(self._library, query)
        if found.on_the_fly is not None and state is not None:
            with self._lock:
                self._kept[query, state] = found
        return found

    def _recall(self, query: SegmentQuery) -> FoundSegments | None:
        with self._lock:
            if not self._kept:
                return None
        state = self._state()
        with self._lock:
            return None if state is None else self._kept.get((query, state))

    def _state(self) -> _State | None:
        with self._library.read() as catalog:
            record = catalog.library_record()
            if record is None:
                return None
            heads = tuple(head.id for head in catalog.actions.heads())
            return _State(record.revision, heads, catalog.actions.examples_state())


def digest_query(query: SegmentQuery) -> str:
    """Returns what tells a query from others, 16 hex digits. Raises InvalidQueryError for no name."""
    (action,) = query.actions or ()
    values = asdict(replace(query, actions=(normalise_action(action),)))
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
