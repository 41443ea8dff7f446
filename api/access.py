"""What every request passes after the guard: who asks, what for, how often; and a record of changes."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from anyio.to_thread import run_sync
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import logs, roots
from api.keys import Doorkeeper, Identity
from api.limits import Concurrency, TokenBuckets
from api.problems import error_response, kind_of_status, problem_response
from api.roles import Asked, asked_for
from api.roots import Roots
from api.settings import ServerSettings
from encoders.errors import ReelseekError
from search.audit import AuditLog

logger = logging.getLogger(__name__)

RATE_PER_SECOND, REQUESTS_AT_ONCE = 50.0, 64
# Of wrong keys from one address: guessing is hopeless, this keeps it cheap.
WRONG_KEYS_PER_SECOND, WRONG_KEYS_BURST = 1.0, 20
NO_KEY = (
    "this server asks for a key: send it as `Authorization: Bearer KEY`, or log in at /login; "
    "`indexer keys create` makes one"
)
WRONG_KEY = "this key is not taken: it is not one of this server's, or it has expired or been revoked"


class Access:
    """Middleware that asks for keys, counts requests and writes the audit log.

    Args:
        app: What it lets people to.
        doorkeeper: Who tells who they are.
        settings: Limits.
        allowed_roots: Where files may lie.
        audit: Where changes are recorded.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        doorkeeper: Doorkeeper,
        settings: ServerSettings,
        allowed_roots: Roots,
        audit: AuditLog,
    ) -> None:
        self._app = app
        self._doorkeeper = doorkeeper
        self._roots = allowed_roots
        self._audit = audit
        rate, each = settings.rate_per_second, settings.requests_at_once
        if not doorkeeper.is_open:
            rate = RATE_PER_SECOND if rate is None else rate
            each = REQUESTS_AT_ONCE if each is None else each
        self._buckets = TokenBuckets(rate or 0.0, settings.rate_burst)
        self._wrong_keys = TokenBuckets(WRONG_KEYS_PER_SECOND, WRONG_KEYS_BURST)
        self._concurrency = Concurrency(each, settings.all_requests_at_once)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on whoever may."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = asked_for(scope["method"], scope["path"])
        scope.setdefault("state", {})["asked"] = asked
        address = scope["client"][0] if scope.get("client") else ""
        status = 500

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        identity: Identity | None = None
        try:
            if asked.role is not None:
                identity = await self._doorkeeper.identify(Headers(scope=scope))
            refusal = self._refusal(asked, identity, Headers(scope=scope), address)
        except ReelseekError as error:  # the catalog cannot be asked
            refusal = error_response(error, scope["path"])
        try:
            if refusal is not None:
                await refusal(scope, receive, send_on)
                return
            await self._let_in(scope, receive, send_on, identity, address)
        finally:
            if asked.changes:
                await run_sync(self._record, asked, scope, identity, address, status)

    def _refusal(self, asked: Asked, identity: Identity | None, headers: Headers, address: str) -> Any:
        """The answer to a request that is not let in, or None."""
        if asked.role is not None and identity is None:
            sent = "authorization" in headers or "cookie" in headers
            wait = self._wrong_keys.take(address) if sent else None
            if wait is not None:
                return _too_many("too many wrong keys", wait)
            challenge = {"WWW-Authenticate": "Bearer"}
            return _problem(401, WRONG_KEY if sent else NO_KEY, headers=challenge)
        if asked.role is not None and identity is not None and not identity.role.covers(asked.role):
            return _problem(
                403,
                f"this takes a key of role {asked.role}; the one that was sent is of role {identity.role}",
            )
        client = self._client(identity, address)
        wait = self._buckets.take(client)
        if wait is not None:
            return _too_many("too many requests in too short a time", wait)
        return None

    async def _let_in(
        self, scope: Scope, receive: Receive, send: Send, identity: Identity | None, address: str
    ) -> None:
        client = self._client(identity, address)
        busy = self._concurrency.enter(client)
        if busy is not None:
            await _too_many(busy, 1)(scope, receive, send)
            return
        before = roots.current.set(self._roots)
        try:
            scope["state"]["identity"] = identity
            scope["state"]["wrong_key"] = partial(self._wrong_keys.take, address)
            await self._app(scope, receive, send)
        finally:
            self._concurrency.leave(client)
            roots.current.reset(before)

    @staticmethod
    def _client(identity: Identity | None, address: str) -> str:
        """Whose limits count: a key's, else an address's."""
        if identity is None or identity.id == "local":
            return f"address {address}"
        return f"key {identity.id}"

    def _record(
        self, asked: Asked, scope: Scope, identity: Identity | None, address: str, status: int
    ) -> None:
        # `path_params` are ids and names that the route knows, never words of a query or paths of files.
        self._audit.write(
            f"{scope['method']} {asked.route}",
            by="nobody" if identity is None else identity.id,
            request_id=logs.request_id.get(),
            address=address,
            status=status,
            of={name: str(value)[:200] for name, value in scope.get("path_params", {}).items()},
            **scope["state"].get("audit", {}),
        )


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Any:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        response = problem_response(kind_of_status(status), detail, scope["path"], headers=headers)
        await response(scope, receive, send)

    return answer


def _too_many(detail: str, wait_seconds: int) -> Any:
    again = f"{detail}; try again in {wait_seconds} s"
    return _problem(429, again, headers={"Retry-After": str(wait_seconds)})
