"""Whether the server lives and whether it answers searches."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter, Response

from api.schemas import ReadyAnswer
from api.services import ServicesOf

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Whether the server runs."""
    return {"status": "ok"}


@router.get("/readyz", response_model=ReadyAnswer, responses={503: {"model": ReadyAnswer}})
async def readyz(services: ServicesOf, response: Response) -> dict[str, object]:
    """Whether index and encoder are loaded; 503 until they are."""
    readiness = services.readiness()
    response.headers["Cache-Control"] = "no-store"
    if not readiness.ready:
        response.status_code = 503
    return {"ready": readiness.ready, **asdict(readiness)}
