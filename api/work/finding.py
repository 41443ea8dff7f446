"""Finding segments for the routes: off the event loop, and not twice where it is slow."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from encoders.heads.action_names import normalise_action
from search.actions.actions import FoundSegments
from search.catalog.catalog import Catalog
from search.dates import RecordedBound
from search.library import Library
from search.types import Segment

KEPT_ANSWERS = 8


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which segments are asked for; as `Actions.find` takes it."""

    action: str
    min_confidence: float | None = None
    min_duration_seconds: float | None = None
    path_prefix: str | None = None
    video_id: int | None = None
    recorded_after: RecordedBound | None = None
    recorded_before: RecordedBound | None = None

    def digest(self) -> str:
        """What tells these filters from others, 16 hex digits. Raises InvalidQueryError for no name."""
        named = asdict(replace(self, action=normalise_action(self.action)))
        return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class _State:
    """Of the library: where it is the same, so is an answer."""

    revision: int
    heads: tuple[int, ...]
    examples: tuple[int, int]


class SegmentFinder:
    """Finds segments of actions; safe to share between threads.

    A name that no head knows is looked for in the footage itself, which takes the encoder and a while.
    The last few such answers are kept, so that their further pages come at once and fit together.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._kept: OrderedDict[tuple[Wanted, _State], FoundSegments] = OrderedDict()
        self._lock = threading.Lock()

    def is_known(self, wanted: Wanted) -> bool:
        """Whether `find` answers without the encoder. Raises InvalidQueryError for what is no name."""
        return self._library.actions.match(wanted.action).how != "none" or self._recall(wanted) is not None

    def find(self, wanted: Wanted) -> FoundSegments:
        """What the action is called here. Raises as `Actions.find` does."""
        found = self._recall(wanted)
        if found is not None:
            return found
        state = self._state()
        found = self._library.actions.find(
            wanted.action,
            min_confidence=wanted.min_confidence,
            min_duration_seconds=wanted.min_duration_seconds,
            path_prefix=wanted.path_prefix,
            video_id=wanted.video_id,
            recorded_after=wanted.recorded_after,
            recorded_before=wanted.recorded_before,
        )
        if found.on_the_fly is not None and state is not None:
            with self._lock:
                self._kept[wanted, state] = found
                while len(self._kept) > KEPT_ANSWERS:
                    self._kept.popitem(last=False)
        return found

    def page(
        self, found: FoundSegments, after: tuple[str, float, int] | None, limit: int
    ) -> tuple[int, list[Segment]]:
        """How many segments there are in all, and some of them, both at one moment."""
        if found.on_the_fly is not None:
            rest = self._library.actions.segments(found, after=after, limit=limit)
            return len(found.on_the_fly), list(rest)
        with self._library.read() as catalog:
            total = catalog.actions.count_segments(found.filters)
            return total, list(catalog.actions.list_segments(found.filters, after=after, limit=limit))

    def _recall(self, wanted: Wanted) -> FoundSegments | None:
        with self._lock:
            if not self._kept:
                return None
        state = self._state()
        if state is None:
            return None
        with self._lock:
            found = self._kept.get((wanted, state))
            if found is not None:
                self._kept.move_to_end((wanted, state))
            return found

    def _state(self) -> _State | None:
        with self._library.read() as catalog:
            record = catalog.library_record()
            if record is None:
                return None
            heads = tuple(head.id for head in catalog.actions.heads())
            return _State(record.revision, heads, catalog.actions.examples_state())


def all_segments(catalog: Catalog, found: FoundSegments) -> Iterator[Segment]:
    """An answer's segments by path and time, as a catalog shows them: as often as they are needed."""
    if found.on_the_fly is not None:
        return iter(found.on_the_fly)
    return catalog.actions.list_segments(found.filters)
