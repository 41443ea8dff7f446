"""What every request passes first: host, origin and size checks; headers on every answer."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import kind_of_status, problem_response

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
UPLOAD_PATHS = re.compile(r"/v1/search/example|/v1/videos/[0-9]{1,20}/matches/example")
MADE_PATHS = re.compile(r"/v1/(videos|clips)/[^/]+/(preview|cut)")

PAGE_POLICY = (
    "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """Middleware that refuses foreign hosts, foreign pages and bodies that are too large.

    Args:
        app: What it guards.
        hosts: Names that a request may call this server by; None means any. On loopback this
            stops a web page from reaching the server under a name of its own (DNS rebinding).
        max_body_bytes: Largest body, uploads excepted: those have a limit of their own.
    """

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str] | None, max_body_bytes: int) -> None:
        self._app = app
        self._hosts = hosts
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a good request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                add_headers(MutableHeaders(scope=message))
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            status, detail = refusal
            response = problem_response(kind_of_status(status), detail, scope["path"])
            await response(scope, receive, send_with_headers)
            return
        if not _is_upload(scope):
            receive = _limited(receive, self._max_body_bytes)
        await self._app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._hosts is not None and host_name(host) not in self._hosts:
            return 421, (
                "this server answers on this machine only, as localhost or 127.0.0.1; "
                "bind it to another address with --host to reach it from elsewhere"
            )
        if scope["method"] not in SAFE_METHODS and not _is_own(headers, host):
            return 403, "a page of another site may not change or search this library"
        if _is_foreign_use(scope, headers):
            return 403, "a page of another site may not have this library work; open the address itself"
        length = headers.get("content-length", "0")
        # A length of very many digits is too large without being computed.
        too_large = length.isdecimal() and (len(length) > 18 or int(length) > self._max_body_bytes)
        if too_large and not _is_upload(scope):
            return 413, _too_large(self._max_body_bytes)
        return None


def add_headers(headers: MutableHeaders) -> None:
    """Adds what every answer carries, where it does not say otherwise itself."""
    for name, value in HEADERS.items():
        headers.setdefault(name, value)


def host_name(host: str) -> str | None:
    """The name in a Host header, lower case, without port and brackets; None when malformed."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises on a port that is no number
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or "@" in host:
        return None
    return parts.hostname


def _is_upload(scope: Scope) -> bool:
    return UPLOAD_PATHS.fullmatch(scope["path"]) is not None


def _is_own(headers: Headers, host: str) -> bool:
    """Whether a request comes from our own page or from no page at all (a program)."""
    # A page on another port of this machine is "same-site", and still not ours.
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _is_foreign_use(scope: Scope, headers: Headers) -> bool:
    """Whether another site's page has a browser ask for work: it could not read the answer.

    A person who follows a link from there comes to whatever leaves no file behind.
    """
    path = scope["path"]
    if headers.get("sec-fetch-site", "none") in ("same-origin", "none") or not path.startswith("/v1/"):
        return False
    is_link = headers.get("sec-fetch-mode") == "navigate" and scope["method"] in ("GET", "HEAD")
    return not is_link or MADE_PATHS.match(path) is not None


def _limited(receive: Receive, max_bytes: int) -> Receive:
    """Counts a body whose length was not announced."""
    received = 0

    async def counted() -> Any:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > max_bytes:
            raise HTTPException(413, _too_large(max_bytes))
        return message

    return counted


def _too_large(max_bytes: int) -> str:
    return f"the body is larger than {max_bytes} bytes"
