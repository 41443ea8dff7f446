"""Headers in which a reverse proxy names the client: believed of a trusted proxy, where they make sense."""

from __future__ import annotations

import ipaddress
import os

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.schemas.problems import kind_of_status, problem_response

PROXIES = "127.0.0.1,::1"  # this machine's, unless FORWARDED_ALLOW_IPS names others, as with any uvicorn
NO_PROXY = (
    "this request came by way of a proxy, and this server lets in whoever reaches it: start it with "
    "--require-keys, or come to it directly"
)


class Forwarded:
    """Middleware that takes the client's address and scheme from a proxy in front.

    Args:
        app: What it hands requests to.
        is_open: Whether the server asks nobody for a key. Somebody put it behind a proxy all the same: then
            nobody is let in that way.
    """

    def __init__(self, app: ASGIApp, *, is_open: bool) -> None:
        proxies = os.environ.get("FORWARDED_ALLOW_IPS", PROXIES)
        self._app: ASGIApp = ProxyHeadersMiddleware(app, proxies)  # type: ignore[arg-type,assignment]
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] == "http":
            if self._is_open and any(_is_of_proxy(name) for name, _ in scope["headers"]):
                response = problem_response(kind_of_status(403), NO_PROXY, scope["path"])
                await response(scope, receive, send)
                return
            scope["headers"] = _with_addresses_only(scope["headers"])
        await self._app(scope, receive, send)


def _is_of_proxy(name: bytes) -> bool:
    return name in (b"forwarded", b"x-real-ip") or name.startswith(b"x-forwarded-")


def _with_addresses_only(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers with X-Forwarded-For cut down to the addresses at its end, behind whatever is none.

    Each proxy appends to it, so that its beginning is what the client sent.
    """
    sent = b",".join(value for name, value in headers if name == b"x-forwarded-for")
    if not sent:
        return headers
    good: list[str] = []
    for one in reversed(sent.decode("latin-1").split(",")):
        address = _address(one.strip())
        if address is None:
            break
        good.insert(0, address)
    rest = [(name, value) for name, value in headers if name != b"x-forwarded-for"]
    return [*rest, (b"x-forwarded-for", ",".join(good).encode())] if good else rest


def _address(text: str) -> str | None:
    """The IP address that a text is, as it is commonly written; None where it is none."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if "%" in text else str(found)  # behind "%" a zone, of any text
