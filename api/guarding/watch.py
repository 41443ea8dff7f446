"""The outermost of what every request passes: its id, its line in the log, its count, and a last resort."""

from __future__ import annotations

import asyncio
import logging
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.guarding.guard import add_headers
from api.guarding.roles import asked_for
from api.schemas.problems import INTERNAL, kind_of_status, problem_response
from api.telemetry import logs
from api.telemetry.metrics import METHODS, Metrics

logger = logging.getLogger("api.requests")


class RequestWatch:
    """Middleware that gives each request an id, logs and counts it, and answers where nothing else does.

    Args:
        app: What it watches.
        metrics: Where it counts.
        log_paths: Whether the log names the address that was asked for, with its query, beside its route.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, log_paths: bool) -> None:
        self._app = app
        self._metrics = metrics
        self._log_paths = log_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = logs.choose_request_id(Headers(scope=scope).get("x-request-id"))
        token = logs.request_id.set(request_id)
        route = asked_for(scope["method"], scope["path"]).route
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                add_headers(headers)
            await send(message)

        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, send_with_id)
        except asyncio.CancelledError:  # the server is stopping and its patience has run out
            logger.warning(
                "a request was given up: the server is stopping", extra={"facts": {"route": route}}
            )
            if not status:
                detail = "the server is stopping; send the request again in a while"
                response = problem_response(kind_of_status(503), detail, scope["path"])
                await response(scope, receive, send_with_id)
        except Exception:
            logger.exception("a request failed", extra={"facts": {"route": route}})
            if not status:
                detail = f"something went wrong inside the server; its log says what, under {request_id}"
                response = problem_response(INTERNAL, detail, scope["path"])
                await response(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - started
            self._metrics.in_flight.dec()
            self._metrics.count(scope["method"], route, status, seconds)
            self._log(scope, route, status, seconds)
            logs.request_id.reset(token)

    def _log(self, scope: Scope, route: str, status: int, seconds: float) -> None:
        if not logger.isEnabledFor(logging.INFO):
            return
        facts: dict[str, object] = {
            "method": scope["method"] if scope["method"] in METHODS else "other",
            "route": route,
            "status": status,
            "milliseconds": round(seconds * 1000, 1),
        }
        identity = scope.get("state", {}).get("identity")
        if identity is not None:
            facts["key"] = identity.id
        if self._log_paths:
            facts["path"] = scope["path"]
            facts["query"] = scope.get("query_string", b"").decode("latin-1")
        logger.info("request", extra={"facts": facts})
