"""Whether the server lives, whether it answers searches, and what it counts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response

from api.schemas.problems import RETRY_AFTER_SECONDS
from api.schemas.schemas import ReadyAnswer
from api.work.services import ServicesOf

router = APIRouter(tags=["health"])

_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"description": "Metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Whether the server runs."""
    return {"status": "ok"}


@router.get("/readyz", response_model=ReadyAnswer, responses={503: {"model": ReadyAnswer}})
async def readyz(request: Request, services: ServicesOf, response: Response) -> dict[str, object]:
    """Whether index and encoder are loaded and the catalog answers; 503 until then, and while it stops."""
    readiness = services.readiness()
    response.headers["Cache-Control"] = "no-store"
    if not readiness.ready:
        response.status_code = 503
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    answer = {"ready": readiness.ready, **asdict(readiness)}
    # Probes send no key; the reason may name folders, which are for those who have one.
    if not request.app.state.doorkeeper.is_open and readiness.reason is not None:
        answer["reason"] = "see the server's log"
    return answer


@router.get("/metrics", response_class=Response, responses=_TEXT)
def metrics(request: Request) -> Response:
    """Requests, latencies, queue, ingest, failures, index and GPU memory, for Prometheus."""
    return Response(
        request.app.state.metrics.text(),
        media_type="text/plain; version=0.0.4; charset=utf-8",
        headers={"Cache-Control": "no-store"},
    )
