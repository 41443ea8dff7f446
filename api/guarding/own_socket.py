"""The socket of the server's own user: what is answered there, and to whom. See docs/decisions/0022."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from api.guarding.keys import Identity
from api.schemas.problems import kind_of_status, problem_response
from indexer.terminal.own_socket import HEADER
from search.catalog.keys import Role

# Whoever can open the socket could read the library's files as well.
OWN_USER = Identity("own", Role.read)
ANSWERED = frozenset(
    {
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/v1/segments"),
        ("GET", "/v1/segments/export"),
        ("POST", "/v1/search"),
        ("POST", "/v1/search/example"),
    }
)


@dataclass(frozen=True, slots=True)
class OwnSocket:
    """The socket that commands of the server's own user ask on.

    Attributes:
        address: Under which the server listens there.
        fingerprint: What the commands must have in common with it.
    """

    address: str
    fingerprint: str

    def is_of(self, scope: Scope) -> bool:
        """Tells whether a request came in here; the connection says so, nothing that the client sent."""
        server = scope.get("server")
        return server is not None and tuple(server) == (self.address, None)


class OwnSocketGate:
    """Middleware that lets in, on the own socket, what it is for, and marks it for `Access`.

    Args:
        app: What it lets people to.
        socket: None where there is none.
    """

    def __init__(self, app: ASGIApp, *, socket: OwnSocket | None) -> None:
        self._app = app
        self._socket = socket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on whatever came another way, and what is answered here."""
        if scope["type"] == "http" and self._socket is not None and self._socket.is_of(scope):
            refusal = self._refusal(scope)
            if refusal is not None:
                response = problem_response(kind_of_status(refusal[0]), refusal[1], scope["path"])
                await response(scope, receive, send)
                return
            scope.setdefault("state", {})["own_user"] = OWN_USER
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        assert self._socket is not None
        sent = dict(scope["headers"]).get(HEADER.lower().encode(), b"")
        if not hmac.compare_digest(sent, self._socket.fingerprint.encode()):
            return (
                421,
                "this server has another library, or is of another version, than the command that asks",
            )
        if (scope["method"], scope["path"]) not in ANSWERED:
            return 403, "this is answered on the server's address alone, not on its socket"
        return None
