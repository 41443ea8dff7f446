"""Identity by a token of an OpenID Connect issuer: a JWT, checked against the issuer's own keys."""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from api.settings import ServerSettings
from encoders.errors import ReelseekError
from search.catalog.keys import Role

if TYPE_CHECKING:
    from jwt import PyJWK

logger = logging.getLogger(__name__)

# Of public keys only: with a secret shared, whoever can check a token can make one; and never "none".
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
LEEWAY_SECONDS = 30
FETCH_SECONDS = 10
KEYS_KEPT_SECONDS = 600
KEYS_TAKEN_SECONDS = 2 * KEYS_KEPT_SECONDS  # should the issuer be away
# A token may name any key id: it must not make this server ask the issuer each time. Nor if that fails.
REFETCH_SECONDS = 30.0
MAX_TOKEN_BYTES = 8192


class OidcIssuer:
    """Checks tokens of one issuer; safe to share between threads. Asks the issuer for its keys when needed.

    Args:
        issuer: As tokens name it (`iss`).
        audience: That they must name (`aud`).
        jwks_url: Where its keys are; None asks `<issuer>/.well-known/openid-configuration`.
        role_claim: Which claim holds the role: a word, or a list of words of which the highest role counts.
    """

    def __init__(self, issuer: str, audience: str, jwks_url: str | None, role_claim: str) -> None:
        self._issuer = issuer
        self._audience = audience
        self._jwks_url = jwks_url
        self._role_claim = role_claim
        self._keys: list[PyJWK] | None = None
        self._fetched_at = self._asked_at = float("-inf")
        self._asking = threading.Lock()

    @classmethod
    def of(cls, settings: ServerSettings) -> OidcIssuer | None:
        """Makes the issuer that the settings name; None where they name none.

        Raises:
            ReelseekError: An issuer without an audience: it would let in tokens that are for others. Or one
                whose keys nobody could ask for, as its address is none.
        """
        if settings.oidc_issuer is None:
            return None
        for name, address in (
            ("REELSEEK_OIDC_JWKS_URL", settings.oidc_jwks_url),
            ("REELSEEK_OIDC_ISSUER", settings.oidc_issuer if settings.oidc_jwks_url is None else None),
        ):
            if address is not None and not _is_address(address):
                raise ReelseekError(f"{name} is {address!r}, which is no address: it begins with https://")
        audience = (settings.oidc_audience or "").strip()
        if not audience:
            raise ReelseekError(
                "REELSEEK_OIDC_ISSUER is set without REELSEEK_OIDC_AUDIENCE: set it to the name by which the "
                "issuer's tokens mean this server, or tokens for any other service would be taken here"
            )
        return cls(settings.oidc_issuer, audience, settings.oidc_jwks_url, settings.oidc_role_claim)

    def verify(self, token: str) -> tuple[str, Role] | None:
        """The subject and role of a token; None for one that is not taken.

        A token is taken when one of the issuer's keys signed it, it is of this issuer, for this audience,
        in its time, and names a subject and a role.
        """
        import jwt

        if len(token) > MAX_TOKEN_BYTES or token.count(".") != 2:
            return None
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            key = self._key(key_id if isinstance(key_id, str) else None)
            if key is None:
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            logger.info("an OIDC token is refused: %s", type(error).__name__)
            return None
        role = self._role_of(claims)
        subject = claims["sub"]
        if role is None or not isinstance(subject, str):
            return None
        return subject[:200], role

    def _key(self, key_id: str | None) -> Any:
        """The issuer's key of that id, or its only one; None where it has no such.

        Whoever finds it missing, or the keys old, asks the issuer, unless somebody did a moment ago, whatever
        came of it. Meanwhile others go by the keys that there are; where there are none, they wait for them.
        """
        keys = self._keys_of_late()
        found = _chosen(keys, key_id)
        if found is not None and time.monotonic() - self._fetched_at < KEYS_KEPT_SECONDS:
            return found
        if self._asking.acquire(timeout=-1 if keys is None else 0):
            try:
                if time.monotonic() - self._asked_at >= REFETCH_SECONDS:
                    self._ask()
            finally:
                self._asking.release()
        return _chosen(self._keys_of_late(), key_id)

    def _keys_of_late(self) -> list[PyJWK] | None:
        is_late = time.monotonic() - self._fetched_at < KEYS_TAKEN_SECONDS
        return self._keys if is_late else None

    def _ask(self) -> None:
        """Fetches the issuer's keys; where they cannot be had, those that there are stay."""
        import jwt

        try:
            url = self._jwks_url or _discovered(self._issuer)
            self._keys = jwt.PyJWKSet.from_dict(_fetched(url)).keys
            self._fetched_at = time.monotonic()
        except Exception as error:  # whatever it answers, or does not
            logger.warning("the OIDC issuer's keys cannot be had: %s: %s", type(error).__name__, error)
        finally:
            self._asked_at = time.monotonic()

    def _role_of(self, claims: dict[str, Any]) -> Role | None:
        value: Any = claims
        for step in self._role_claim.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        words = value if isinstance(value, list) else [value]
        roles = [role for role in Role if role.value in words]
        return roles[-1] if roles else None


def _chosen(keys: list[PyJWK] | None, key_id: str | None) -> PyJWK | None:
    usable = [one for one in keys or () if one.public_key_use in (None, "sig")]
    if key_id is None:
        return usable[0] if len(usable) == 1 else None
    return next((one for one in usable if one.key_id == key_id), None)


def _fetched(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=FETCH_SECONDS) as answer:
        document = json.loads(answer.read(1 << 20))
    if not isinstance(document, dict):
        raise ValueError(f"{url} answers no JSON object")
    return document


def _discovered(issuer: str) -> str:
    """Asks the issuer for the address of its keys."""
    url = issuer.rstrip("/") + "/.well-known/openid-configuration"
    document = _fetched(url)
    found = document.get("jwks_uri")
    if not isinstance(found, str) or not _is_address(found) or document.get("issuer") != issuer:
        raise ValueError(f"{url} names no jwks_uri, or another issuer")
    return found


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("https", "http") and bool(parts.hostname)
