"""Logging in with a key, for the page: the key goes into a cookie that scripts cannot read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field
from starlette.exceptions import HTTPException
from typing_extensions import TypedDict

from api.guarding.access import WRONG_KEY
from api.guarding.keys import COOKIE, MAX_TOKEN, Doorkeeper
from api.schemas.strict import StrictRequest
from search.documents.about import answer

router = APIRouter(tags=["session"])

COOKIE_SECONDS = 30 * 86_400


class SessionRequest(StrictRequest):
    """A key."""

    key: str = Field(min_length=1, max_length=MAX_TOKEN, description="A key, or an OIDC token.")


@answer()
class SessionAnswer(TypedDict):
    """The need of a key here, and the role of the one in the cookie or the header."""

    needs_key: bool
    role: str | None


async def _doorkeeper(request: Request) -> Doorkeeper:
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    return doorkeeper


DoorkeeperOf = Annotated[Doorkeeper, Depends(_doorkeeper)]


def _slow_down(request: Request) -> None:
    """Counts a wrong key of this address, and refuses to say so of too many."""
    wait = request.scope["state"]["wrong_key"]()
    if wait is not None:
        detail = f"too many wrong keys; try again in {wait} s"
        raise HTTPException(429, detail, {"Retry-After": str(wait)})


@router.get("/v1/session")
async def session(request: Request, response: Response, doorkeeper: DoorkeeperOf) -> SessionAnswer:
    """Tells whether this server asks for a key, and the role of whoever asks; null for nobody known."""
    response.headers["Cache-Control"] = "no-store"
    identity = await doorkeeper.identify(request.headers)
    if identity is None and doorkeeper.is_sent(request.headers):
        _slow_down(request)
    return SessionAnswer(
        needs_key=not doorkeeper.is_open, role=None if identity is None else identity.role.value
    )


@router.post("/v1/session")
async def log_in(
    body: SessionRequest, request: Request, response: Response, doorkeeper: DoorkeeperOf
) -> SessionAnswer:
    """Puts a key into a cookie, as the page needs it for pictures and footage; 401 for a wrong one."""
    identity = await doorkeeper.verify(body.key.strip())
    if identity is None:
        _slow_down(request)
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


@router.delete("/v1/session", status_code=204)
async def log_out(request: Request) -> Response:
    """Takes the cookie away. The key itself stays what it was: `indexer keys revoke` ends it."""
    response = Response(status_code=204)
    secure = request.url.scheme == "https"
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=secure)
    return response
