"""Answers to errors of the app, each a problem document."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api.guarding.roles import methods_of
from api.routes.page import nothing_here
from api.schemas.problems import (
    INTERNAL,
    INVALID_REQUEST,
    MAX_ECHO,
    MAX_ERRORS,
    error_response,
    kind_of_status,
    problem_response,
)
from encoders.errors import ReelseekError


def install_handlers(app: FastAPI) -> None:
    """Makes every error of the app a problem document."""
    app.add_exception_handler(ReelseekError, _reelseek_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _disconnected)
    app.add_exception_handler(Exception, _unexpected)


async def _reelseek_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ReelseekError)
    return error_response(error, request.url.path)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    errors = [
        {"location": [str(step)[:MAX_ECHO] for step in entry["loc"]], "message": str(entry["msg"])[:MAX_ECHO]}
        for entry in found[:MAX_ERRORS]
    ]
    first = errors[0] if errors else {"location": [], "message": "the request is not valid"}
    detail = f"{'.'.join(first['location'])}: {first['message']}"
    if len(found) > MAX_ERRORS:
        detail += f"; of {len(found)} errors, {MAX_ERRORS} are listed"
    return problem_response(INVALID_REQUEST, detail, request.url.path, errors=errors)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = kind_of_status(error.status_code)
    detail = error.detail
    if error.status_code == 404 and detail == kind.title:
        if "text/html" in request.headers.get("accept", ""):
            return nothing_here()  # somebody typed it into a browser
        detail = "there is nothing at this address; /v1/openapi.json lists what there is"
    headers = error.headers
    if error.status_code == 405:
        detail = f"{request.method[:20]} is not possible here"
        headers = {"Allow": ", ".join(methods_of(request.url.path))}
    return problem_response(kind, detail, request.url.path, headers=headers)


async def _disconnected(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # nobody is there to read it


async def _unexpected(request: Request, error: Exception) -> Response:
    # The server logs the traceback; the client learns nothing about the inside.
    detail = "something went wrong inside the server; its log says what"
    return problem_response(INTERNAL, detail, request.url.path)
