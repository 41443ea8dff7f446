"""Arithmetic of spans [start, end) in seconds: overlaps that count, and what is left beside a span."""

from __future__ import annotations

from collections.abc import Sequence

from search.types import Segment

Span = tuple[float, float]

# Two spans meet when they share this much, or half of the shorter: a clip is not "running" for the
# two frames that a segment of its neighbour reaches over.
LEAST_OVERLAP_SECONDS = 0.5


def overlaps_enough(start: float, end: float, segment: Segment) -> bool:
    """Checks that a span shows a segment's action; `clips_with_action` decides it by the same rule."""
    shared = min(end, segment.end_seconds) - max(start, segment.start_seconds)
    if shared <= 0:
        return False
    return (
        shared >= LEAST_OVERLAP_SECONDS
        or 2 * shared >= end - start
        or 2 * shared >= segment.end_seconds - segment.start_seconds
    )


def subtract_spans(whole: Span, holes: Sequence[Span]) -> list[Span]:
    """Returns what is left of a span, in order of time; the span itself where no hole meets it."""
    rests, start = [], whole[0]
    for hole_start, hole_end in sorted(holes):
        if hole_start < whole[1] and hole_end > start:
            rests.append((start, hole_start))
            start = hole_end
    rests.append((start, whole[1]))
    if rests == [whole]:
        return rests
    return [one for one in rests if one[1] - one[0] > LEAST_OVERLAP_SECONDS + 1e-6]
