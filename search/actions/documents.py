"""Answers about segments, as documents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from search.documents.segments import FoundAnswer, segment_document
from search.types import Segment

if TYPE_CHECKING:
    from search.actions.actions import FoundSegments


def found_document(found: FoundSegments, segments: Iterable[Segment], total: int) -> FoundAnswer:
    """Describes every segment of an action, or a page of them."""
    return {
        "segments": [segment_document(segment) for segment in segments],
        "total": total,
        "action": found.action,
        "names": list(found.names),
        "how": found.how,
    }
