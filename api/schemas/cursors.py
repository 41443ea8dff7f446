"""Opaque cursors: where the next page of a listing starts."""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import Any

from encoders.errors import InvalidQueryError

# What each listing continues after.
_SHAPES: dict[str, tuple[type, ...]] = {"clips": (int,), "videos": (str,), "segments": (str, float, int, str)}


def encode_cursor(kind: str, *after: str | float | int) -> str:
    """Makes a cursor that continues a listing of `kind` just after an entry.

    Args:
        kind: "clips" (after an id), "videos" (a path) or "segments" (path, start in seconds, id, and a
            digest of the listing's filters).
        after: Where that entry stands in the listing's order.
    """
    text = json.dumps([kind, *after], ensure_ascii=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(kind: str, cursor: str) -> tuple[Any, ...]:
    """Returns the entry that a cursor continues after, as it was given to `encode_cursor`.

    Raises:
        InvalidQueryError: It was not made by `encode_cursor` for this kind of listing.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        found, *after = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if found != kind or tuple(map(type, after)) != _SHAPES[kind]:
            raise ValueError(f"expected a cursor of {kind}")
        for value in after:
            _check(value)
    except (ValueError, TypeError, binascii.Error, RecursionError) as error:
        raise InvalidQueryError(
            "the cursor was not made by this listing: leave it out to start from the beginning"
        ) from error
    return tuple(after)


def _check(value: str | float | int) -> None:
    """Refuses, by a ValueError, what would break the database: it was never in a listing."""
    if isinstance(value, str):
        value.encode()  # a lone surrogate
        if "\0" in value:
            raise ValueError("no path holds a null character")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("not finite")
    elif not 0 <= value < 2**63:
        raise ValueError("out of range")
