"""Search by words, stored clips and spans; search by an example picture or clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from api.schemas import ExampleOptions, SearchAnswer, SearchRequest
from api.services import Services, ServicesOf
from api.uploads import received_upload
from search.types import ExamplePart, Filters, GroupBy, Query
from search.wire import result_document

router = APIRouter(prefix="/v1", tags=["search"])

_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "A picture or a clip of any format FFmpeg reads.",
                        },
                        "options": {
                            "type": "string",
                            "contentMediaType": "application/json",
                            "contentSchema": {"$ref": "#/components/schemas/ExampleOptions"},
                            "description": "JSON: filters, limit, group_by, weight, further query parts.",
                        },
                    },
                },
                "encoding": {"options": {"contentType": "application/json"}},
                "examples": {
                    "options": {
                        "value": {
                            "file": "(the bytes of a picture or clip)",
                            "options": '{"limit": 10, "group_by": "moment"}',
                        }
                    }
                },
            }
        },
    }
}


@router.post("/search", response_model=SearchAnswer)
async def search(body: SearchRequest, services: ServicesOf) -> Response:
    """Finds the moments that resemble a query most; its parts combine by weight."""
    query, filters = body.to_query(), body.filters.to_filters()
    return await services.encode(_answer, services, query, filters, body.limit, body.group_by)


@router.post("/search/example", response_model=SearchAnswer, openapi_extra=_FORM)
async def search_by_example(request: Request, services: ServicesOf) -> Response:
    """Finds moments like an uploaded picture or clip; a clip is also laid over them in time."""
    record = await services.decode(services.library.record)
    async with received_upload(request, services.settings.max_upload_bytes) as upload:
        options = _parsed(upload.fields.get("options", "{}"))
        further = tuple(part.to_part() for part in options.query)
        filters = options.filters.to_filters()
        encoder = await services.encode(services.library.encoder)
        size = encoder.frame_size
        example = await services.decode(_read, services, upload.path, record.sampling, size, options.weight)
    query = Query((example, *further))
    return await services.encode(_answer, services, query, filters, options.limit, options.group_by)


def _parsed(options: str) -> ExampleOptions:
    try:
        return ExampleOptions.model_validate_json(options or "{}")
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        for entry in errors:
            entry["loc"] = ("body", "options", *entry["loc"])
        raise RequestValidationError(errors) from None


def _read(services: Services, path: Path, sampling: str, frame_size: int, weight: float) -> ExamplePart:
    from indexer.example import read_example

    return read_example(
        str(path),
        sampling,
        frame_size,
        weight,
        limits=services.settings.upload_limits,
        limit_seconds=services.settings.upload_limit_seconds,
    )


def _answer(services: Services, query: Query, filters: Filters, limit: int, group_by: GroupBy) -> Response:
    """Searches and serialises, both off the event loop."""
    result = services.engine.search(query, filters, limit=limit, group_by=group_by)
    answer = SearchAnswer.model_validate(result_document(result))
    return Response(answer.model_dump_json(), media_type="application/json")
