"""Making, listing and revoking keys, for those who hold one of role admin."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import ConfigDict, Field

from api.schemas.schemas import StrictAnswer, StrictRequest
from api.work.services import ServicesOf
from search.catalog.keys import Key, Keys, Role

router = APIRouter(prefix="/v1", tags=["keys"])


class KeyRequest(StrictRequest):
    """A key to be made."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"role": "read", "name": "newsroom"}]}
    )

    role: Literal["read", "write", "admin"]
    name: str = Field(default="", max_length=100, description="Whose it is: one line.")
    expires_days: float | None = Field(default=None, gt=0, le=36_500, allow_inf_nan=False)


class KeyAnswer(StrictAnswer):
    """What is known of a key; times in seconds since the epoch."""

    id: str
    name: str
    role: str
    created_at: float
    expires_at: float | None
    revoked_at: float | None


class NewKeyAnswer(KeyAnswer):
    """A key that was made: `key` is shown this once."""

    key: str


class KeysAnswer(StrictAnswer):
    """Every key that was ever made, oldest first."""

    keys: list[KeyAnswer]


@router.get("/keys", response_model=KeysAnswer)
def list_keys(services: ServicesOf, response: Response) -> dict[str, Any]:
    """Every key by its id; the keys themselves are stored nowhere."""
    response.headers["Cache-Control"] = "no-store"
    with services.library.database.read() as connection:
        return {"keys": [_document(key) for key in Keys(connection).all()]}


@router.post("/keys", status_code=201, response_model=NewKeyAnswer)
def create_key(
    body: KeyRequest, request: Request, services: ServicesOf, response: Response
) -> dict[str, Any]:
    """Makes a key and shows it, once: only a digest of it is kept."""
    with services.library.database.write() as connection:
        made = Keys(connection).create(Role(body.role), name=body.name, expires_days=body.expires_days)
    key, token = made
    request.scope["state"]["audit"] = {"key": key.id, "role": key.role.value}
    response.headers["Cache-Control"] = "no-store"
    return {**_document(key), "key": token}


@router.delete("/keys/{key_id}", response_model=KeyAnswer)
def revoke_key(
    key_id: Annotated[str, Path(pattern="^[0-9a-f]{12}$")], services: ServicesOf
) -> dict[str, Any]:
    """Has a key taken no more, from the next request on."""
    with services.library.database.write() as connection:
        return _document(Keys(connection).revoke(key_id))


def _document(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "role": key.role.value,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }
