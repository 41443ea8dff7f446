"""Jobs: work in the background that a server queues and runs."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, func, insert, select, update

from encoders.errors import NotFoundError
from search.catalog.statements import Statements
from search.catalog.tables import jobs


@dataclass(frozen=True, slots=True)
class Job:
    """Work in the background: what was asked, how far it is, what came out.

    Attributes:
        kind: "ingest" or "teach".
        created_at, finished_at: Seconds since 1970, UTC.
    """

    id: str
    kind: Literal["ingest", "teach"]
    status: Literal["queued", "running", "done", "failed"]
    request: dict[str, Any]
    progress: dict[str, Any] | None
    result: dict[str, Any] | None
    error: str | None
    created_at: float
    finished_at: float | None


class JobCatalog(Statements):
    """Reads and writes jobs."""

    def create_job(self, job_id: str, request: dict[str, Any], *, kind: str = "ingest") -> None:
        """Queues a job."""
        stored = json.dumps({**request, "kind": kind})
        self._connection.execute(
            insert(jobs).values(id=job_id, status="queued", request=stored, created_at=time.time())
        )

    def update_job(self, job_id: str, **values: Any) -> None:
        """Sets columns of a job; `progress` and `result` are stored as JSON."""
        for name in ("progress", "result"):
            if name in values:
                values[name] = json.dumps(values[name])
        self._connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values))

    def job(self, job_id: str) -> Job:
        """Reads one job. Raises NotFoundError."""
        row = self._connection.execute(select(jobs).where(jobs.c.id == job_id)).first()
        if row is None:
            raise NotFoundError(f"there is no job {job_id!r}")
        return _job(row)

    def jobs_with_status(self, *statuses: str, limit: int | None = None) -> list[Job]:
        """Returns jobs of these statuses, oldest first, all or so many."""
        query = select(jobs).where(jobs.c.status.in_(statuses)).order_by(jobs.c.created_at).limit(limit)
        return [_job(row) for row in self._connection.execute(query)]

    def list_jobs(self, limit: int) -> list[Job]:
        """Returns the last jobs, newest first."""
        query = select(jobs).order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(limit)
        return [_job(row) for row in self._connection.execute(query)]

    def count_jobs(self, status: str | None = None) -> int:
        """Counts the jobs that there ever were, or those in a status."""
        query = select(func.count()).select_from(jobs)
        if status is not None:
            query = query.where(jobs.c.status == status)
        return self._connection.execute(query).scalar_one()


def _job(row: Row[Any]) -> Job:
    def parsed(value: str | None) -> dict[str, Any] | None:
        return None if value is None else json.loads(value)

    request = json.loads(row.request)
    return Job(
        id=row.id,
        kind=request.pop("kind", "ingest"),
        status=row.status,
        request=request,
        progress=parsed(row.progress),
        result=parsed(row.result),
        error=row.error,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
