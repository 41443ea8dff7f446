"""Identity of callers: by a key, by an OIDC token, or by being on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.datastructures import Headers
from starlette.requests import cookie_parser

from api.guarding.oidc import OidcIssuer
from search.catalog.keys import Key, Keys, Role
from search.library import Library

COOKIE = "reelseek_key"
MAX_TOKEN = 8192
LOOKUPS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who may do something.

    Attributes:
        id: The id of a key, "oidc:" and a subject, or "local".
        role: What they may do.
    """

    id: str
    role: Role


LOCAL = Identity("local", Role.admin)


class Doorkeeper:
    """Tells who sends a request.

    Every request asks the catalog, so that a key that was revoked is not taken a moment longer, whichever
    program revoked it.

    Args:
        library: Whose keys are taken.
        oidc: Whose tokens are taken as well.
        is_open: Whether whoever sends neither is let in, as on loopback.
    """

    def __init__(self, library: Library, oidc: OidcIssuer | None, *, is_open: bool) -> None:
        self._library = library
        self._oidc = oidc
        self.is_open = is_open
        self._limiter: CapacityLimiter | None = None
        self._oidc_limiter: CapacityLimiter | None = None

    @staticmethod
    def is_sent(headers: Headers) -> bool:
        """Tells whether these headers hold something that is meant for a key."""
        return "authorization" in headers or COOKIE in cookie_parser(headers.get("cookie", ""))

    async def identify(self, headers: Headers) -> Identity | None:
        """Identifies the sender of these headers; None for nobody known.

        A header counts before a cookie. On an open server a cookie counts for nothing, a header does: a
        program that sends a key that is no longer taken should hear of it.
        """
        authorization = headers.get("authorization")
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() != "bearer":
                return None
            return await self.verify(token.strip())
        if self.is_open:
            return LOCAL
        token = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        return await self.verify(token) if token else None

    async def verify(self, token: str) -> Identity | None:
        """Identifies the owner of a key or OIDC token; None where it is none that is taken now."""
        if not 0 < len(token) <= MAX_TOKEN or not token.isascii():
            return None
        if self._limiter is None:  # made on the event loop; a few threads of its own, so that slow requests,
            self._limiter = CapacityLimiter(LOOKUPS_AT_ONCE)  # which fill the others, keep nobody at the door
            self._oidc_limiter = CapacityLimiter(LOOKUPS_AT_ONCE)  # an issuer that hangs keeps no key waiting
        key = await run_sync(partial(self._look_up, token), limiter=self._limiter)
        if key is not None:
            return Identity(key.id, key.role)
        if self._oidc is not None:
            found = await run_sync(partial(self._oidc.verify, token), limiter=self._oidc_limiter)
            if found is not None:
                return Identity(f"oidc:{found[0]}", found[1])
        return None

    def _look_up(self, token: str) -> Key | None:
        with self._library.database.read() as connection:
            return Keys(connection).verify(token)
