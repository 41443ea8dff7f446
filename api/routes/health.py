"""Health of the server: that it runs, that it answers searches, and its metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from typing_extensions import TypedDict

from api.schemas.problems import RETRY_AFTER_SECONDS
from api.work.services import ServicesOf
from search.documents.about import answer

router = APIRouter(tags=["health"])

_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"description": "Metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


@answer()
class ReadyAnswer(TypedDict):
    """Readiness of the server for searches."""

    ready: bool
    index_loaded: bool
    encoder_loaded: bool
    reason: str | None


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Says that the server runs."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"model": ReadyAnswer}})
async def readyz(request: Request, services: ServicesOf, response: Response) -> ReadyAnswer:
    """Tells whether index and encoder are loaded and the catalog answers; 503 if not, and while it stops."""
    readiness = services.readiness()
    response.headers["Cache-Control"] = "no-store"
    if not readiness.ready:
        response.status_code = 503
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    reason = readiness.reason
    # Probes send no key; the reason may name folders, which are for those who have one.
    if not request.app.state.doorkeeper.is_open and reason is not None:
        reason = "see the server's log"
    return {
        "ready": readiness.ready,
        "index_loaded": readiness.index_loaded,
        "encoder_loaded": readiness.encoder_loaded,
        "reason": reason,
    }


@router.get("/metrics", response_class=Response, responses=_TEXT)
def metrics(request: Request) -> Response:
    """Requests, latencies, queue, ingest, failures, index and GPU memory, for Prometheus."""
    return Response(
        request.app.state.metrics.text(),
        media_type="text/plain; version=0.0.4; charset=utf-8",
        headers={"Cache-Control": "no-store"},
    )
