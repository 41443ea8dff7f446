"""Errors as RFC 9457 problem details; the one table that maps an error's class to a status."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import Response

from encoders.errors import (
    BudgetError,
    CatalogUnavailableError,
    DecodeError,
    EncoderError,
    EncoderMismatchError,
    EncoderUnavailableError,
    IndexFileError,
    InvalidQueryError,
    LibraryBusyError,
    LibraryError,
    NotAVideoError,
    NotFoundError,
    ReelseekError,
    SchemaError,
    TeachingError,
    UnknownActionError,
    UnsupportedQueryError,
)

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
# An answer holds only so much of what was sent, whatever that was.
MAX_ERRORS = 20
MAX_DETAIL = 2000
MAX_ECHO = 500


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """A kind of problem: its status, the end of its type URI, and its title."""

    status: int
    slug: str
    title: str


# The nearest class up the error's tree decides.
KINDS: dict[type[ReelseekError], ProblemKind] = {
    NotFoundError: ProblemKind(404, "not-found", "Not found"),
    UnknownActionError: ProblemKind(404, "unknown-action", "Nothing here knows this action"),
    InvalidQueryError: ProblemKind(422, "invalid-query", "The query makes no sense"),
    UnsupportedQueryError: ProblemKind(
        422, "unsupported-query", "The library's encoder cannot encode this kind of query"
    ),
    NotAVideoError: ProblemKind(415, "not-a-video", "The file holds no footage"),
    DecodeError: ProblemKind(422, "undecodable", "The file cannot be decoded"),
    EncoderUnavailableError: ProblemKind(503, "encoder-unavailable", "The encoder cannot be loaded"),
    EncoderMismatchError: ProblemKind(
        503, "encoder-mismatch", "The encoder is not the one that the library was made with"
    ),
    TeachingError: ProblemKind(409, "teaching", "The action cannot be learned from these examples"),
    EncoderError: ProblemKind(500, "encoder", "The encoder failed"),
    LibraryBusyError: ProblemKind(503, "library-busy", "The library is busy"),
    CatalogUnavailableError: ProblemKind(503, "catalog-unavailable", "The catalog cannot be used now"),
    SchemaError: ProblemKind(503, "schema", "The catalog is of another version"),
    IndexFileError: ProblemKind(503, "index", "The index cannot be read"),
    LibraryError: ProblemKind(409, "library", "The library is not ready for this"),
    BudgetError: ProblemKind(422, "too-much-work", "Answering takes too much work"),
    ReelseekError: ProblemKind(500, "error", "It did not work"),
}

INVALID_REQUEST = ProblemKind(422, "invalid-request", "The request is not valid")
TOO_FEW_EXAMPLES = ProblemKind(409, "too-few-examples", "A lesson needs more examples")
INTERNAL = ProblemKind(500, "internal", "Internal error")
CATALOG_UNAVAILABLE = "the catalog cannot be used now; the server's log says why"


def kind_of(error: ReelseekError) -> ProblemKind:
    """Finds the kind of the nearest class in `KINDS`."""
    return next(KINDS[base] for base in type(error).__mro__ if base in KINDS)


def word_error(error: ReelseekError) -> str:
    """Words an error for clients: of a catalog that cannot be used, not where it is and whose."""
    return CATALOG_UNAVAILABLE if isinstance(error, CatalogUnavailableError) else str(error)


def error_response(error: ReelseekError, instance: str) -> Response:
    """Makes the answer to a request that came to an error of ours."""
    if isinstance(error, CatalogUnavailableError):
        logger.warning("%s", error)
    kind = kind_of(error)
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if kind.status == 503 else None
    return problem_response(kind, word_error(error), instance, headers=headers)


def kind_of_status(status: int) -> ProblemKind:
    """Returns the kind for a plain HTTP status."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    return ProblemKind(status, title.lower().replace(" ", "-").replace("'", ""), title)


def problem_response(
    kind: ProblemKind, detail: str, instance: str, *, headers: Mapping[str, str] | None = None, **members: Any
) -> Response:
    """Makes a problem document; `members` are added to it. Long details and addresses are cut."""
    document = {
        "type": f"urn:reelseek:problem:{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail[:MAX_DETAIL],
        "instance": instance[:MAX_ECHO],
        **members,
    }
    # ASCII, because what was sent may hold lone surrogates, which UTF-8 cannot carry.
    body = json.dumps(document, ensure_ascii=True).encode()
    common = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(body, kind.status, {**(headers or {}), **common}, MEDIA_TYPE)


def problem_schema() -> dict[str, Any]:
    """Returns the JSON schema of a problem document."""
    return {
        "title": "Problem",
        "description": "RFC 9457 problem details.",
        "type": "object",
        "required": ["type", "title", "status", "detail", "instance"],
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "What is wrong and what to do next."},
            "instance": {
                "type": "string",
                "description": "The path that was asked for, its beginning if it is long.",
            },
            "needed": {
                "type": "integer",
                "description": "How many more examples a lesson needs; of too-few-examples only.",
            },
            "errors": {
                "description": f"The first {MAX_ERRORS} things that are not valid; with status 422 only.",
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["location", "message"],
                    "properties": {
                        "location": {"type": "array", "items": {"type": "string"}},
                        "message": {"type": "string"},
                    },
                },
            },
        },
        "examples": [
            {
                "type": "urn:reelseek:problem:not-found",
                "title": "Not found",
                "status": 404,
                "detail": "there is no video 7 in this library",
                "instance": "/v1/videos/7",
            }
        ],
    }
