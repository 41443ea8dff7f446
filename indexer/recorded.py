"""When footage was recorded, as its container tells."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

DAY_SECONDS = 86_400.0


def recorded_seconds(tags: Iterable[str | None], now_seconds: float) -> float | None:
    """The first of some `creation_time` tags that a clock can have shown, in seconds since 1970.

    Cameras whose clock was never set write 1904 or 1970; one that runs in another time zone may be ahead by
    a day, but not by more.

    Args:
        tags: ISO 8601, as FFmpeg gives them; without an offset they are UTC.
        now_seconds: The present, in seconds since 1970.
    """
    for tag in tags:
        try:
            found = datetime.fromisoformat((tag or "").strip())
            seconds = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            continue
        if 0 < seconds < now_seconds + DAY_SECONDS:
            return seconds
    return None
