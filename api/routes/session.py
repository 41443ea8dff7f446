"""Logging in with a key, for the page: the key goes into a cookie that scripts cannot read."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field
from starlette.exceptions import HTTPException

from api.access import WRONG_KEY
from api.keys import COOKIE, MAX_TOKEN, Doorkeeper
from api.parameters import refuse_unknown
from api.schemas import StrictAnswer, StrictRequest

router = APIRouter(tags=["session"])

COOKIE_SECONDS = 30 * 86_400
_FILES = {"login.html": "text/html; charset=utf-8", "login.js": "text/javascript; charset=utf-8"}


class SessionRequest(StrictRequest):
    """A key."""

    key: str = Field(min_length=1, max_length=MAX_TOKEN, description="A key, or an OIDC token.")


class SessionAnswer(StrictAnswer):
    """Whether a key is needed here, and what the one in the cookie or the header is for."""

    needs_key: bool
    role: str | None


async def _doorkeeper(request: Request) -> Doorkeeper:
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    return doorkeeper


DoorkeeperOf = Annotated[Doorkeeper, Depends(_doorkeeper)]


@router.get("/v1/session", response_model=SessionAnswer, dependencies=[Depends(refuse_unknown)])
async def session(request: Request, response: Response, doorkeeper: DoorkeeperOf) -> SessionAnswer:
    """Whether this server asks for a key, and the role of whoever asks; null for nobody known."""
    response.headers["Cache-Control"] = "no-store"
    identity = await doorkeeper.identify(request.headers)
    return SessionAnswer(
        needs_key=not doorkeeper.is_open, role=None if identity is None else identity.role.value
    )


@router.post("/v1/session", response_model=SessionAnswer, dependencies=[Depends(refuse_unknown)])
async def log_in(
    body: SessionRequest, request: Request, response: Response, doorkeeper: DoorkeeperOf
) -> SessionAnswer:
    """Puts a key into a cookie, as the page needs it for pictures and footage; 401 for a wrong one."""
    identity = await doorkeeper.verify(body.key.strip())
    if identity is None:
        access = request.scope["state"].get("wrong_key")
        wait = access() if access is not None else None
        if wait is not None:
            detail = f"too many wrong keys; try again in {wait} s"
            raise HTTPException(429, detail, {"Retry-After": str(wait)})
        raise HTTPException(401, WRONG_KEY, {"WWW-Authenticate": "Bearer"})
    response.headers["Cache-Control"] = "no-store"
    response.set_cookie(
        COOKIE,
        body.key.strip(),
        max_age=COOKIE_SECONDS,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return SessionAnswer(needs_key=not doorkeeper.is_open, role=identity.role.value)


@router.delete("/v1/session", status_code=204, dependencies=[Depends(refuse_unknown)])
async def log_out(request: Request) -> Response:
    """Takes the cookie away. The key itself stays what it was: `indexer keys revoke` ends it."""
    response = Response(status_code=204)
    secure = request.url.scheme == "https"
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=secure)
    return response


def _read(name: str) -> tuple[bytes, str]:
    content = (resources.files("api") / "page" / name).read_bytes()
    return content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'


_CONTENT = {name: _read(name) for name in _FILES}


def _file(request: Request, name: str) -> Response:
    content, etag = _CONTENT[name]
    headers = {"Cache-Control": "no-cache", "ETag": etag}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=_FILES[name], headers=headers)


@router.get("/login", include_in_schema=False)
async def login_page(request: Request) -> Response:
    """The form that asks for a key."""
    return _file(request, "login.html")


@router.get("/login.js", include_in_schema=False)
async def login_script(request: Request) -> Response:
    """What sends it."""
    return _file(request, "login.js")
