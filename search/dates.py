"""Days and moments as people write them, to bounds on when a video was recorded."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, time, timedelta

from encoders.errors import InvalidQueryError

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def recorded_bound(text: str | None, *, is_end: bool) -> float | None:
    """A bound in seconds since 1970, inclusive; None for None.

    Args:
        text: ISO 8601: a day (2024-05-31) or a moment (2024-05-31T18:00, with Z or an offset or without).
            Where no offset is given, the time zone of this machine counts.
        is_end: Whether a day counts to its end, and not from its beginning.

    Raises:
        InvalidQueryError: It is neither.
    """
    if text is None:
        return None
    try:
        if not _DAY.fullmatch(text.strip()):
            return datetime.fromisoformat(text.strip()).timestamp()
        day = date.fromisoformat(text.strip())
        if not is_end:
            return datetime.combine(day, time()).timestamp()
        # The last moment before the next day begins: days of 23 and 25 hours are days too.
        return math.nextafter(datetime.combine(day + timedelta(days=1), time()).timestamp(), -math.inf)
    except (ValueError, OverflowError, OSError):
        raise InvalidQueryError(
            f"{text[:40]!r} is no date; expected a day such as 2024-05-31, or a moment such as "
            "2024-05-31T18:00 or 2024-05-31T18:00:00Z"
        ) from None
