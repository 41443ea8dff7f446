"""Keys: who may use the service, and for what. Only a digest of each is stored."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from sqlalchemy import Connection, Row, func, insert, or_, select, update

from encoders.errors import InvalidQueryError, NotFoundError
from search.catalog.tables import keys

SECRET_BYTES = 32
MAX_NAME = 100
_TOKEN = re.compile(r"reelseek_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_NO_DIGEST = hashlib.sha256(b"").hexdigest()


class Role(StrEnum):
    """Rights of a key; each may do all that the ones before it may."""

    read = "read"
    write = "write"
    admin = "admin"

    def covers(self, wanted: Role) -> bool:
        """Checks that it may do what `wanted` may."""
        return _ORDER.index(self) >= _ORDER.index(wanted)


_ORDER = list(Role)


@dataclass(frozen=True, slots=True)
class Key:
    """Facts about a key; never the key itself.

    Attributes:
        id: 12 hex digits, part of the key: names it in listings and in the audit log.
        name: Whose it is, as its maker put it; may be empty.
        role: What it is for.
        created_at: Seconds since the epoch.
        expires_at: From when on it is no longer taken; None for never.
        revoked_at: Since when it is no longer taken; None while it is.
    """

    id: str
    name: str
    role: Role
    created_at: float
    expires_at: float | None
    revoked_at: float | None

    def is_valid(self, now: float) -> bool:
        """Checks that it is taken at a time."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Keys:
    """The keys of one catalog, over a connection that the caller commits."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, role: Role, *, name: str = "", expires_days: float | None = None) -> tuple[Key, str]:
        """Makes a key.

        Args:
            role: What it is for.
            name: Whose it is, up to 100 characters.
            expires_days: How long it is taken; None for ever.

        Returns:
            What is known of it, and the key itself, which cannot be had again.

        Raises:
            InvalidQueryError: The name is too long or no plain line, or the days are not positive.
        """
        if len(name) > MAX_NAME or not (name.isprintable() or name == ""):
            raise InvalidQueryError(f"a key's name is one line of at most {MAX_NAME} characters")
        now = time.time()
        if expires_days is not None and not 0 < expires_days <= 36_500:
            raise InvalidQueryError(f"a key expires in 0 to 36500 days, got {expires_days:g}")
        expires_at = None if expires_days is None else now + expires_days * 86_400
        key = Key(secrets.token_hex(6), name, role, now, expires_at, None)
        token = f"reelseek_{key.id}_{secrets.token_urlsafe(SECRET_BYTES)}"
        values = {"id": key.id, "name": name, "role": role.value, "digest": digest_of(token)}
        self._connection.execute(insert(keys).values(**values, created_at=now, expires_at=expires_at))
        return key, token

    def verify(self, token: str) -> Key | None:
        """Finds the key that a token is, if it is one that is taken now.

        What is wrong with a token cannot be told from the answer's time: the digest is compared in constant
        time, also where there is no such key.
        """
        found = _TOKEN.fullmatch(token)
        if found is None:
            return None
        row = self._connection.execute(select(keys).where(keys.c.id == found[1])).first()
        same = hmac.compare_digest(digest_of(token), _NO_DIGEST if row is None else row.digest)
        if row is None or not same:
            return None
        key = _key(row)
        return key if key.is_valid(time.time()) else None

    def all(self) -> list[Key]:
        """Returns every key that was ever made, oldest first."""
        rows = self._connection.execute(select(keys).order_by(keys.c.created_at, keys.c.id))
        return [_key(row) for row in rows]

    def count_valid(self) -> int:
        """Counts the keys that are taken now."""
        alive = or_(keys.c.expires_at.is_(None), keys.c.expires_at > time.time())
        query = select(func.count()).select_from(keys).where(keys.c.revoked_at.is_(None), alive)
        return int(self._connection.execute(query).scalar_one())

    def revoke(self, key_id: str) -> Key:
        """Has a key taken no more, from the next request on, on every server of this catalog.

        Raises:
            NotFoundError: There is no such key.
        """
        row = self._connection.execute(select(keys).where(keys.c.id == key_id)).first()
        if row is None:
            raise NotFoundError(f"there is no key {key_id!r}; `indexer keys list` shows their ids")
        if row.revoked_at is not None:
            return _key(row)
        now = time.time()
        self._connection.execute(update(keys).where(keys.c.id == key_id).values(revoked_at=now))
        return replace(_key(row), revoked_at=now)

    def revoke_all(self, revoked: Mapping[str, float]) -> int:
        """Has those of some keys, by id with the time of it, taken no more that are here and not revoked.

        Returns:
            How many.
        """
        here = update(keys).where(keys.c.revoked_at.is_(None))
        return sum(
            self._connection.execute(here.where(keys.c.id == key_id).values(revoked_at=at)).rowcount
            for key_id, at in revoked.items()
        )


def digest_of(token: str) -> str:
    """Returns the SHA-256 of a key, 64 hex digits: what is stored of it."""
    return hashlib.sha256(token.encode()).hexdigest()


def _key(row: Row) -> Key:
    return Key(row.id, row.name, Role(row.role), row.created_at, row.expires_at, row.revoked_at)
