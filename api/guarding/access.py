"""The first check of every request: who asks, for what, how often, how many at once; a record of changes."""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial
from typing import Any

from anyio.to_thread import run_sync
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.guarding import roots
from api.guarding.keys import LOCAL, Doorkeeper, Identity
from api.guarding.limits import Concurrency, Limits, TokenBuckets, network_of
from api.guarding.roles import Asked, asked_for
from api.guarding.roots import Roots
from api.schemas.problems import error_response, kind_of_status, problem_response
from api.settings import ServerSettings
from api.telemetry import logs
from encoders.errors import ReelseekError
from search.audit import AuditLog

logger = logging.getLogger(__name__)

RATE_PER_SECOND, REQUESTS_AT_ONCE = 50.0, 64
STRANGERS_AT_ONCE = 256
# Of wrong keys from one address: guessing is hopeless, this keeps it cheap.
WRONG_KEYS_PER_SECOND, WRONG_KEYS_BURST = 1.0, 20
# Of lines about what was refused, by each key and by all strangers together: they must not fill the disk.
REFUSALS_PER_SECOND, REFUSALS_BURST = 0.1, 100
PROBES = frozenset({"/healthz", "/readyz"})  # cheap, and answered however busy the server is
NO_KEY = (
    "this server asks for a key: send it as `Authorization: Bearer KEY`, or log in at /login; "
    "`indexer keys create` makes one"
)
WRONG_KEY = "this key is not taken: it is not one of this server's, or it has expired or been revoked"


class Access:
    """Middleware that asks for keys, counts requests and writes the audit log.

    Who is known is held to the limits of known callers, by key; everybody else to those of strangers, by
    address. Neither kind can use up what the other has.

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

        def limits(total: int) -> Limits:
            return Limits(TokenBuckets(rate or 0.0, settings.rate_burst), Concurrency(each, total))

        self._known = limits(settings.all_requests_at_once)
        self._strangers = limits(STRANGERS_AT_ONCE)
        self._wrong_keys = TokenBuckets(WRONG_KEYS_PER_SECOND, WRONG_KEYS_BURST)
        self._refusals = TokenBuckets(REFUSALS_PER_SECOND, REFUSALS_BURST)
        self._left_out: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on whoever may."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = asked_for(scope["method"], scope["path"])
        if asked.route in PROBES:
            await self._app(scope, receive, send)
            return
        address = scope["client"][0] if scope.get("client") else ""
        status = 500

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        identity: Identity | None = None
        fault: ReelseekError | None = None
        state = scope.setdefault("state", {})
        try:
            identity = state.get("own_user") or await self._doorkeeper.identify(Headers(scope=scope))
        except ReelseekError as error:  # the catalog cannot be asked
            fault = error
        state["identity"] = identity
        state["wrong_key"] = partial(self._wrong_keys.take, network_of(address))
        limits, client = self._limits(identity, address)
        state["client"] = client
        refusal = self._refusal(asked, identity, limits.buckets.take(client), scope, fault)
        try:
            if refusal is not None:
                await refusal(scope, receive, send_on)
            else:
                await self._let_in(scope, receive, send_on, limits.concurrency, client)
        finally:
            if asked.changes:
                await self._record(asked, scope, identity, address, status)

    def _limits(self, identity: Identity | None, address: str) -> tuple[Limits, str]:
        """Finds the limits for a caller, and the name they count under: a key's, else an address's."""
        if identity is None:
            return self._strangers, network_of(address)
        return self._known, address if identity is LOCAL else identity.id

    def _refusal(
        self,
        asked: Asked,
        identity: Identity | None,
        wait: int | None,
        scope: Scope,
        fault: ReelseekError | None,
    ) -> Any:
        """The answer to a request that is not let in, or None."""
        if wait is not None:
            return _too_many("too many requests in too short a time", wait)
        if asked.role is None:
            return None
        if fault is not None:
            return error_response(fault, scope["path"])
        if identity is None:
            is_sent = self._doorkeeper.is_sent(Headers(scope=scope))
            wait = scope["state"]["wrong_key"]() if is_sent else None
            if wait is not None:
                return _too_many("too many wrong keys", wait)
            return _problem(401, WRONG_KEY if is_sent else NO_KEY, {"WWW-Authenticate": "Bearer"})
        if not identity.role.covers(asked.role):
            return _problem(
                403,
                f"this takes a key of role {asked.role}; the one that was sent is of role {identity.role}",
            )
        return None

    async def _let_in(
        self, scope: Scope, receive: Receive, send: Send, concurrency: Concurrency, client: str
    ) -> None:
        busy = concurrency.enter(client)
        if busy is not None:
            await _too_many(busy, 1)(scope, receive, send)
            return
        before = roots.current.set(self._roots)
        try:
            await self._app(scope, receive, send)
        finally:
            concurrency.leave(client)
            roots.current.reset(before)

    async def _record(
        self, asked: Asked, scope: Scope, identity: Identity | None, address: str, status: int
    ) -> None:
        by = "nobody" if identity is None else identity.id
        if 400 <= status < 500 and self._refusals.take(by) is not None:
            self._left_out[by] += 1
            return
        left_out = self._left_out.pop(by, 0)
        write = partial(
            self._audit.write,
            f"{scope['method']} {asked.route}",
            by=by,
            request_id=logs.request_id.get(),
            address=address,
            status=status,
            of=asked.of,
            **({"left_out": left_out} if left_out else {}),
            **scope["state"].get("audit", {}),
        )
        await run_sync(write)


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Any:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        response = problem_response(kind_of_status(status), detail, scope["path"], headers=headers)
        await response(scope, receive, send)

    return answer


def _too_many(detail: str, wait_seconds: int) -> Any:
    again = f"{detail}; try again in {wait_seconds} s"
    return _problem(429, again, headers={"Retry-After": str(wait_seconds)})
