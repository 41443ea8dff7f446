"""Making, listing and revoking keys, for those who hold one of role admin."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import Field

from api.schemas.strict import StrictRequest, examples
from api.work.services import ServicesOf
from search.catalog.keys import Keys, Role
from search.documents.keys import KeyAnswer, KeysAnswer, NewKeyAnswer, key_document

router = APIRouter(prefix="/v1", tags=["keys"])


class KeyRequest(StrictRequest):
    """A key to be made."""

    model_config = examples({"role": "read", "name": "newsroom"})

    role: Literal["read", "write", "admin"]
    name: str = Field(default="", max_length=100, description="Whose it is: one line.")
    expires_days: float | None = Field(default=None, gt=0, le=36_500, allow_inf_nan=False)


@router.get("/keys")
def list_keys(services: ServicesOf, response: Response) -> KeysAnswer:
    """Every key by its id; the keys themselves are stored nowhere."""
    response.headers["Cache-Control"] = "no-store"
    with services.library.database.read() as connection:
        return {"keys": [key_document(key) for key in Keys(connection).all()]}


@router.post("/keys", status_code=201)
def create_key(body: KeyRequest, request: Request, services: ServicesOf, response: Response) -> NewKeyAnswer:
    """Makes a key and shows it, once: only a digest of it is kept."""
    with services.library.database.write() as connection:
        made = Keys(connection).create(Role(body.role), name=body.name, expires_days=body.expires_days)
    key, token = made
    request.scope["state"]["audit"] = {"key": key.id, "role": key.role.value}
    response.headers["Cache-Control"] = "no-store"
    return {**key_document(key), "key": token}


@router.delete("/keys/{key_id}")
def revoke_key(key_id: Annotated[str, Path(pattern="^[0-9a-f]{12}$")], services: ServicesOf) -> KeyAnswer:
    """Has a key taken no more, from the next request on."""
    with services.library.database.write() as connection:
        return key_document(Keys(connection).revoke(key_id))
