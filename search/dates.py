"""Days and moments as people write them, to bounds on when a video was recorded."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from encoders.errors import InvalidQueryError

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class WallTime:
    """A time that a clock on the wall shows where a video was recorded, whichever zone that is.

    Attributes:
        wall_seconds: From midnight of 1 January 1970 on that clock.
        seconds: Since 1970, when a clock in the zone of this machine shows it: for videos of which the zone
            is not known.
    """

    wall_seconds: float
    seconds: float


RecordedBound = float | WallTime


def is_later(one: RecordedBound, other: RecordedBound) -> bool:
    """Checks that one bound comes after another, as far as can be said without a video."""
    if isinstance(one, WallTime) and isinstance(other, WallTime):
        return one.wall_seconds > other.wall_seconds
    first, second = (bound.seconds if isinstance(bound, WallTime) else bound for bound in (one, other))
    return first > second


def check_recorded(after: RecordedBound | None, before: RecordedBound | None) -> None:
    """Raises InvalidQueryError where nothing can lie between two bounds on when a video was recorded."""
    if after is not None and before is not None and is_later(after, before):
        raise InvalidQueryError(
            "nothing was recorded both after and before: the first date must not be later than the second"
        )


def recorded_bound(text: str | None, *, is_end: bool) -> RecordedBound | None:
    """Reads a bound, inclusive; None for None.

    Args:
        text: ISO 8601: a day (2024-05-31) or a moment (2024-05-31T18:00, with Z or an offset or without).
            Without an offset it is what the clock showed where the video was recorded; where a file does not
            tell its zone, that of this machine counts.
        is_end: Whether a day counts to its end, and not from its beginning.

    Raises:
        InvalidQueryError: It is neither.
    """
    if text is None:
        return None
    try:
        if not _DAY.fullmatch(text.strip()):
            found = datetime.fromisoformat(text.strip())
            return _wall_time(found) if found.tzinfo is None else found.timestamp()
        day = date.fromisoformat(text.strip())
        if not is_end:
            return _wall_time(datetime.combine(day, time()))
        # The last moment before the next day begins: days of 23 and 25 hours are days too.
        end = _wall_time(datetime.combine(day + timedelta(days=1), time()))
        return WallTime(*(math.nextafter(seconds, -math.inf) for seconds in (end.wall_seconds, end.seconds)))
    except (ValueError, OverflowError, OSError):
        raise InvalidQueryError(
            f"{text[:40]!r} is no date; expected a day such as 2024-05-31, or a moment such as "
            "2024-05-31T18:00 or 2024-05-31T18:00:00Z"
        ) from None


def _wall_time(read: datetime) -> WallTime:
    return WallTime(read.replace(tzinfo=UTC).timestamp(), read.timestamp())
