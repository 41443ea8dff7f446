"""Opaque cursors: where the next page of a listing starts."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from encoders.errors import InvalidQueryError


def encode_cursor(kind: str, after: str | int) -> str:
    """A cursor that continues a listing of `kind` just after a path or an id."""
    text = json.dumps([kind, after], ensure_ascii=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(kind: str, cursor: str) -> Any:
    """What a cursor continues after: a str for videos, an int for clips.

    Raises:
        InvalidQueryError: It was not made by `encode_cursor` for this kind of listing.
    """
    expected = int if kind == "clips" else str
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        found, after = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if found != kind or type(after) is not expected:
            raise ValueError(f"expected a cursor of {kind}")
        if isinstance(after, str):
            after.encode()  # a lone surrogate would break the database
        elif not 0 <= after < 2**63:
            raise ValueError("out of range")
    except (ValueError, TypeError, binascii.Error, RecursionError) as error:
        raise InvalidQueryError(
            "the cursor was not made by this listing: leave it out to start from the beginning"
        ) from error
    return after
