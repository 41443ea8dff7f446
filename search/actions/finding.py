"""Segments of actions: found by a name that heads know, or on the fly by what the name says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoders.heads.action_names import normalise_action
from search.actions.naming import ZERO_SHOT, KnownActions
from search.actions.zero_shot import find_by_name
from search.catalog.actions.spans import Span
from search.documents.segments import FoundAnswer, FoundBy, segment_document
from search.types import Filters, Segment, SegmentQuery

if TYPE_CHECKING:
    from search.catalog.catalog import Catalog
    from search.library import Library
    from search.view import View


@dataclass(frozen=True, slots=True)
class FoundSegments:
    """An answer to a query for segments of one action; the segments themselves are read out of a catalog.

    Attributes:
        action: The action as it was asked for.
        how: "exact", "synonym", "words", or "zero-shot" for a name that no head knows.
        query: The query with the names that heads know the action by.
        on_the_fly: All segments of a name that no head knows, None for the others.
    """

    action: str
    how: FoundBy
    query: SegmentQuery
    on_the_fly: tuple[Segment, ...] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names that heads know the action by."""
        return self.query.actions or ()

    def count(self, catalog: Catalog) -> int:
        """Counts the segments."""
        if self.on_the_fly is not None:
            return len(self.on_the_fly)
        return catalog.actions.count_segments(self.query)

    def segments(
        self, catalog: Catalog, *, after: tuple[str, float, int] | None = None, limit: int | None = None
    ) -> Iterator[Segment]:
        """Yields the segments by path and time, from just after one (path, start, id) on."""
        if self.on_the_fly is None:
            return catalog.actions.list_segments(self.query, after=after, limit=limit)
        rest = (s for s in self.on_the_fly if after is None or (s.path, s.start_seconds, s.id) > after)
        return islice(rest, limit)

    def allowed(self, view: View, filters: Filters) -> NDArray[np.int64]:
        """Returns ids of the clips that pass filters and show one of the segments: int64 (N,), ascending."""
        return view.allowed(filters, self.query if self.on_the_fly is None else self.on_the_fly)


def find_segments(library: Library, query: SegmentQuery) -> FoundSegments:
    """Finds out what the one action that a query names is called here.

    Raises:
        UnknownActionError: No head knows it, and the encoder cannot tell it by its name.
        InvalidQueryError: The name is no name, or the path cannot be one.
    """
    assert query.actions is not None
    (action,) = query.actions
    with library.read() as catalog:
        known = KnownActions.read(catalog)
        match = known.match(action)
        if query.path_prefix is not None:
            query = replace(query, path_prefix=catalog.catalogued_prefix(query.path_prefix))
    if match.how != "none":
        return FoundSegments(action, match.how, replace(query, actions=match.names))
    query = replace(query, actions=(normalise_action(action),))
    segments = find_by_name(library, query)
    # Of weak words, finding nothing says nothing.
    if segments is None or not (segments or library.encoder().tags_by_name):
        raise known.unknown_error(action)
    return FoundSegments(action, ZERO_SHOT, query, tuple(segments))


def find_filtering(library: Library, filters: Filters) -> FoundSegments | None:
    """Finds the segments that let clips through filters; None where those name no action.

    Raises:
        UnknownActionError: The filters name an action that nothing knows.
    """
    return None if filters.action is None else find_segments(library, filters.segments)


def read_segments_touching(
    catalog: Catalog, spans: Mapping[int, Sequence[Span]], found: FoundSegments | None
) -> dict[int, list[Segment]]:
    """Returns an answer's segments of some videos, at least those that lie in some spans of them, by video.

    None where nothing was asked for.
    """
    if found is not None and found.on_the_fly is None:
        return catalog.actions.segments_touching(spans, found.query)
    by_video: dict[int, list[Segment]] = {video_id: [] for video_id in spans}
    for segment in (found.on_the_fly or ()) if found is not None else ():
        if segment.video_id in by_video:
            by_video[segment.video_id].append(segment)
    return by_video


def find_allowed_clips(view: View, filters: Filters, found: FoundSegments | None) -> NDArray[np.int64] | None:
    """Returns ids of the clips that pass filters, ascending; None where every clip does.

    Args:
        view: To look in.
        filters: What every clip must satisfy.
        found: What `find_filtering` gave for them.
    """
    if filters.is_empty:
        return None
    return view.allowed(filters) if found is None else found.allowed(view, filters)


def found_document(found: FoundSegments, segments: Iterable[Segment], total: int) -> FoundAnswer:
    """Describes every segment of an action, or a page of them."""
    return {
        "segments": [segment_document(segment) for segment in segments],
        "total": total,
        "action": found.action,
        "names": list(found.names),
        "how": found.how,
    }
