"""Sending typed answers: checked against their descriptions in `search/documents`, as JSON."""

from __future__ import annotations

import functools
from typing import Any

from fastapi import Response
from pydantic import TypeAdapter


def json_response(kind: Any, document: object) -> Response:
    """Checks an answer and serialises it: takes a while for a long one, so not for the event loop.

    Args:
        kind: The `TypedDict` that describes it.
        document: What is sent.

    Raises:
        ValidationError: It is not what its description says.
    """
    adapter = _adapter(kind)
    return Response(adapter.dump_json(adapter.validate_python(document)), media_type="application/json")


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
