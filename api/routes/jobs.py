"""Ingest in the background, and what became of everything that was asked for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.exceptions import HTTPException

from api.guarding.keys import Identity
from api.schemas.ingests import IngestRequest
from api.work.services import ServicesOf
from search.catalog.keys import Role
from search.documents.jobs import JobAnswer, JobsAnswer, job_document

router = APIRouter(prefix="/v1", tags=["jobs"])


@router.post("/ingest", status_code=202)
def ingest(body: IngestRequest, request: Request, services: ServicesOf, response: Response) -> JobAnswer:
    """Queues files and folders of the server for indexing; `Location` tells where to follow it.

    `prune` takes a key of role `admin`, as it removes videos.
    """
    identity: Identity = request.scope["state"]["identity"]
    if body.prune and not identity.role.covers(Role.admin):
        raise HTTPException(
            403,
            f"`prune` removes videos: this takes a key of role {Role.admin}; the one that was sent is of "
            f"role {identity.role}",
        )
    why_not = services.roots.why_not_ingest(body.paths)
    if why_not is not None:
        raise HTTPException(403, why_not)
    job = services.jobs.submit(body.paths, prune=body.prune, patience=body.patience)
    request.scope["state"]["audit"] = {"job": job.id, "paths": len(body.paths), "prune": body.prune}
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return job_document(job)


@router.get("/jobs")
def jobs(
    services: ServicesOf,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=100, description="Most jobs to return.")] = 20,
) -> JobsAnswer:
    """The last jobs, newest first: what runs, what waits, what came out."""
    response.headers["Cache-Control"] = "no-store"
    with services.library.read() as catalog:
        return {
            "jobs": [job_document(job) for job in catalog.list_jobs(limit)],
            "total": catalog.count_jobs(),
        }


@router.get("/jobs/{job_id}")
def job(
    job_id: Annotated[str, Path(pattern="^[0-9a-f]{32}$")], services: ServicesOf, response: Response
) -> JobAnswer:
    """Tells how far a job is, and what came out of it."""
    response.headers["Cache-Control"] = "no-store"
    with services.library.read() as catalog:
        return job_document(catalog.job(job_id))
