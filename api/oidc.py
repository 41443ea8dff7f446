"""Who somebody is by a token of an OpenID Connect issuer: a JWT, checked against the issuer's own keys."""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.request
from typing import TYPE_CHECKING, Any

from api.settings import ServerSettings
from encoders.errors import ReelseekError
from search.keys import Role

if TYPE_CHECKING:
    from jwt import PyJWKClient

logger = logging.getLogger(__name__)

# Of public keys only: with a secret shared, whoever can check a token can make one; and never "none".
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
LEEWAY_SECONDS = 30
FETCH_SECONDS = 10
KEYS_KEPT_SECONDS = 600
# A token may name any key id: it must not make this server ask the issuer each time.
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
        self._client: PyJWKClient | None = None
        self._lock = threading.Lock()
        self._fetched_at = float("-inf")

    @classmethod
    def of(cls, settings: ServerSettings) -> OidcIssuer | None:
        """As the settings have it; None where no issuer is set.

        Raises:
            ReelseekError: An issuer without an audience: it would let in tokens that are for others.
        """
        if settings.oidc_issuer is None:
            return None
        if settings.oidc_audience is None:
            raise ReelseekError(
                "REELSEEK_OIDC_ISSUER is set without REELSEEK_OIDC_AUDIENCE: set it to the name by which the "
                "issuer's tokens mean this server, or tokens for any other service would be taken here"
            )
        claim = settings.oidc_role_claim
        return cls(settings.oidc_issuer, settings.oidc_audience, settings.oidc_jwks_url, claim)

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
        """The issuer's key of that id, or its only one; None where it has no such."""
        import jwt

        with self._lock:
            for refresh in (False, True):
                now = time.monotonic()
                if refresh and now - self._fetched_at < REFETCH_SECONDS:
                    return None
                if refresh or now - self._fetched_at > KEYS_KEPT_SECONDS:
                    refresh = True
                    self._fetched_at = now
                try:
                    found = self._keys().get_jwk_set(refresh=refresh).keys
                except (jwt.PyJWTError, OSError, ValueError) as error:
                    logger.warning("the OIDC issuer's keys cannot be had: %s", error)
                    return None
                usable = [one for one in found if one.public_key_use in (None, "sig")]
                if key_id is None and len(usable) == 1:
                    return usable[0]
                for one in usable:
                    if key_id is not None and one.key_id == key_id:
                        return one
            return None

    def _keys(self) -> PyJWKClient:
        from jwt import PyJWKClient

        if self._client is None:
            url = self._jwks_url or _discovered(self._issuer)
            self._client = PyJWKClient(url, lifespan=2 * KEYS_KEPT_SECONDS, timeout=FETCH_SECONDS)
        return self._client

    def _role_of(self, claims: dict[str, Any]) -> Role | None:
        value: Any = claims
        for step in self._role_claim.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        words = value if isinstance(value, list) else [value]
        roles = [role for role in Role if role.value in words]
        return roles[-1] if roles else None


def _discovered(issuer: str) -> str:
    """Where the issuer says that its keys are."""
    url = issuer.rstrip("/") + "/.well-known/openid-configuration"
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"the issuer {issuer} is no address: set REELSEEK_OIDC_JWKS_URL")
    with urllib.request.urlopen(url, timeout=FETCH_SECONDS) as answer:
        document = json.loads(answer.read(1 << 20))
    found = document.get("jwks_uri") if isinstance(document, dict) else None
    if not isinstance(found, str) or document.get("issuer") != issuer:
        raise ValueError(f"{url} names no jwks_uri, or another issuer")
    return found
