"""Keys of the service, as far as they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from search.documents.about import answer

if TYPE_CHECKING:
    from search.catalog.keys import Key


@answer()
class KeyAnswer(TypedDict):
    """A key without its secret; times in seconds since the epoch."""

    id: str
    name: str
    role: str
    created_at: float
    expires_at: float | None
    revoked_at: float | None


def key_document(key: Key) -> KeyAnswer:
    """Describes a key without its secret, which is stored nowhere."""
    return {
        "id": key.id,
        "name": key.name,
        "role": key.role.value,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }


@answer()
class NewKeyAnswer(KeyAnswer):
    """A key that was made: `key` is shown this once."""

    key: str


@answer()
class KeysAnswer(TypedDict):
    """Every key that was ever made, oldest first."""

    keys: list[KeyAnswer]
