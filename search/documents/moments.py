"""Moments of the calendar as documents spell them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone


def spell_moment(seconds: float, offset_seconds: int = 0) -> str:
    """Spells seconds since 1970 as ISO 8601, in UTC or so far ahead of it.

    Raises:
        ValueError, OverflowError, OSError: No calendar holds it.
    """
    found = datetime.fromtimestamp(seconds, timezone(timedelta(seconds=offset_seconds)))
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def spell_moment_if_any(seconds: float | None, offset_seconds: int | None = None) -> str | None:
    """Spells a moment as `spell_moment` does; None for none, and for what no calendar holds."""
    try:
        return None if seconds is None else spell_moment(seconds, offset_seconds or 0)
    except (ValueError, OverflowError, OSError):
        return None
