"""Queries by an uploaded picture or clip: the form that they come in, and what is read out of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from anyio.to_thread import run_sync
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from api.schemas.queries import ExampleOptions, MatchesOptions
from api.work import lanes
from api.work.services import Services
from api.work.uploads import received_upload
from encoders.budget import Budget
from search.types import QueryExample

Options = TypeVar("Options", ExampleOptions, MatchesOptions)


def example_form(options: str, example: str) -> dict[str, Any]:
    """Returns what OpenAPI says of the body.

    Args:
        options: The schema of the form field `options`.
        example: Of that field: JSON.
    """
    return {
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
                                "contentSchema": {"$ref": f"#/components/schemas/{options}"},
                                "description": f"JSON: see {options}.",
                            },
                        },
                    },
                    "encoding": {"options": {"contentType": "application/json"}},
                    "examples": {
                        "options": {
                            "value": {"file": "(the bytes of a picture or clip)", "options": example},
                        }
                    },
                }
            },
        }
    }


async def received_example(
    request: Request, services: Services, kind: type[Options]
) -> tuple[QueryExample, Options]:
    """Receives the form, and decodes the example as the library's clips were.

    From here on to its answer the request has so much work as an example may cause.

    Raises:
        LibraryError: Nothing was indexed yet, so that there is nothing to compare with.
        DecodeError: The example cannot be read.
        HTTPException, RequestValidationError: The form is not as it should be.
    """
    limit_seconds = services.settings.upload_limit_seconds
    advice = "send a shorter excerpt, or raise REELSEEK_UPLOAD_LIMIT_SECONDS on the server"
    lanes.budget.set(Budget(limit_seconds, advice))
    record = await run_sync(services.library.record)
    async with (
        services.receiving.place(),
        received_upload(request, services.settings.max_upload_bytes) as upload,
    ):
        options = _parsed(kind, upload.fields.get("options", "{}"))
        # Not in the encoder's line, at whose end the example will wait once more.
        encoder = await run_sync(services.library.encoder)
        decode = services.decoding_example.run
        size = encoder.frame_size
        example = await decode(_read, services, upload.path, record.sampling, size, options.weight)
    return example, options


def _parsed(kind: type[Options], options: str) -> Options:
    try:
        return kind.model_validate_json(options or "{}")
    except ValidationError as error:
        raise _invalid(error) from None


def _invalid(error: ValidationError) -> RequestValidationError:
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    return RequestValidationError([{**one, "loc": ("body", "options", *one["loc"])} for one in errors])


def _read(services: Services, path: Path, sampling: str, frame_size: int, weight: float) -> QueryExample:
    from indexer.examples.queries import read_example

    return read_example(
        str(path),
        sampling,
        frame_size,
        weight,
        limits=services.settings.upload_limits,
        limit_seconds=services.settings.upload_limit_seconds,
    )
