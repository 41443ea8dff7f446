"""Checks of the host, origin, size and time of requests that were let in; headers of every answer."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import urlsplit

from anyio import fail_after
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from api.schemas.problems import kind_of_status, problem_response

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_HEAD_BYTES = 64 * 1024  # a request's line and headers
BODY_SECONDS = 30.0  # for all of a body to arrive, uploads excepted: those have limits of their own
# Bodies of a few fields; the first of them strangers may send.
SMALL_BODIES = frozenset({"/v1/session", "/v1/keys", "/v1/feedback"})
SMALL_BODY_BYTES = 16 * 1024
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
    """Middleware that refuses foreign hosts, foreign pages, and bodies that are too large or too slow.

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

        refusal = self._refusal(scope)
        if refusal is not None:
            status, detail = refusal
            # Where the body ends may be in doubt, so that what follows it is no request to be answered.
            close = {"Connection": "close"} if status == 400 else None
            response = problem_response(kind_of_status(status), detail, scope["path"], headers=close)
            await response(scope, receive, send)
            return
        # What reads no body may be listening for the client's leaving: that has no end.
        if scope["method"] not in SAFE_METHODS and not _is_upload(scope):
            announced = any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])
            receive = _limited(receive, self._body_bytes(scope), is_announced=announced)
        await self._app(scope, receive, send)

    def _body_bytes(self, scope: Scope) -> int:
        small = scope["path"] in SMALL_BODIES
        return min(SMALL_BODY_BYTES, self._max_body_bytes) if small else self._max_body_bytes

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._hosts is not None and host_name(host) not in self._hosts:
            return 421, (
                "this server answers on this machine only, as localhost or 127.0.0.1; "
                "bind it to another address with --host to reach it from elsewhere"
            )
        # By RFC 9112, 6.1, such a request may be two in one, smuggled past a proxy that reads it otherwise.
        if "content-length" in headers and "transfer-encoding" in headers:
            return 400, "the request has both Content-Length and Transfer-Encoding: send one of them"
        if scope["method"] not in SAFE_METHODS and not _is_own(headers, host):
            return 403, "a page of another site may not change or search this library"
        # One that came in a single piece gets past the parser's own limit.
        if _head_bytes(scope) > MAX_HEAD_BYTES:
            return 431, f"the request's line and headers are larger than {MAX_HEAD_BYTES} bytes"
        max_bytes = self._body_bytes(scope)
        if _is_foreign_use(scope, headers):
            return 403, "a page of another site may not have this library work; open the address itself"
        length = headers.get("content-length", "0")
        # A length of very many digits is too large without being computed.
        too_large = length.isdecimal() and (len(length) > 18 or int(length) > max_bytes)
        if too_large and not _is_upload(scope):
            return 413, _too_large(max_bytes)
        return None


def add_headers(headers: MutableHeaders) -> None:
    """Adds what every answer carries, where it does not say otherwise itself."""
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    if headers.get("content-type", "").startswith("application/json"):
        headers.setdefault("Cache-Control", "no-store")  # what was found is for nobody else, and soon old


def host_name(host: str) -> str | None:
    """Returns the name in a Host header, lower case, without port and brackets; None when malformed."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises on a port that is no number
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or "@" in host:
        return None
    return parts.hostname


def _head_bytes(scope: Scope) -> int:
    """Estimates the size of a request's line and headers: 4 bytes a header lie between its name and value."""
    line = len(scope.get("raw_path") or b"") + len(scope.get("query_string", b""))
    return line + sum(len(name) + len(value) + 4 for name, value in scope["headers"])


def _is_upload(scope: Scope) -> bool:
    return UPLOAD_PATHS.fullmatch(scope["path"]) is not None


def _is_own(headers: Headers, host: str) -> bool:
    """Tells whether a request comes from our own page or from no page at all (a program)."""
    # A page on another port of this machine is "same-site", and still not ours.
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return False
    origins = headers.getlist("origin")
    if not origins:
        return True
    if len(origins) > 1:  # whichever of them is meant, no browser sends two
        return False
    (origin,) = origins
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _is_foreign_use(scope: Scope, headers: Headers) -> bool:
    """Tells whether another site's page has a browser ask for work: it could not read the answer.

    A person who follows a link from there comes to whatever leaves no file behind.
    """
    path = scope["path"]
    if headers.get("sec-fetch-site", "none") in ("same-origin", "none") or not path.startswith("/v1/"):
        return False
    is_link = headers.get("sec-fetch-mode") == "navigate" and scope["method"] in ("GET", "HEAD")
    return not is_link or MADE_PATHS.match(path) is not None


def _limited(receive: Receive, max_bytes: int, *, is_announced: bool) -> Receive:
    """Counts a body whose length was not announced, and waits for its end for so long only.

    Where none was announced there is none, and nothing to wait for.
    """
    received, is_whole = 0, not is_announced
    deadline = time.monotonic() + BODY_SECONDS

    async def counted() -> Any:
        nonlocal received, is_whole
        if is_whole:
            return await receive()
        try:
            with fail_after(max(0.0, deadline - time.monotonic())):
                message = await receive()
        except TimeoutError:
            detail = "the body arrives too slowly: send the request again"
            raise HTTPException(408, detail, {"Connection": "close"}) from None
        is_whole = not message.get("more_body", False)
        received += len(message.get("body", b""))
        if received > max_bytes:
            raise HTTPException(413, _too_large(max_bytes))
        return message

    return counted


def _too_large(max_bytes: int) -> str:
    return f"the body is larger than {max_bytes} bytes"
