"""Jobs: work in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from typing_extensions import TypedDict

from search.documents.about import About, answer
from search.documents.moments import spell_moment, spell_moment_if_any

if TYPE_CHECKING:
    from search.catalog.jobs import Job


@answer(
    example={
        "id": "0f6a2c1d9be94d2f8e4c5a7b3d1e6f90",
        "kind": "ingest",
        "status": "running",
        "request": {"paths": ["/archive/2024"], "prune": False, "patience": 1.0},
        "progress": {
            "files_done": 12,
            "files_total": 90,
            "video_seconds": 3712.4,
            "wall_seconds": 61.8,
            "path": "/archive/2024/park.mp4",
            "stage": None,
        },
        "result": None,
        "error": None,
        "created_at": "2026-03-01T09:30:00.000Z",
        "finished_at": None,
    }
)
class JobAnswer(TypedDict):
    """Work in the background, of which one job runs at a time."""

    id: str
    kind: Literal["ingest", "teach"]
    status: Literal["queued", "running", "done", "failed"]
    request: dict[str, Any]
    progress: Annotated[
        dict[str, Any] | None,
        About(
            "ingest: files_done, files_total, video_seconds, wall_seconds, path, stage (what is "
            "done while no file is read). "
            "teach: stage, videos_done, videos_total."
        ),
    ]
    result: Annotated[
        dict[str, Any] | None,
        About("As `indexer ingest --json` or `indexer actions teach --json` prints it; null until done."),
    ]
    error: Annotated[str | None, About("Why it failed.")]
    created_at: Annotated[str, About("ISO 8601, UTC.")]
    finished_at: str | None


def job_document(job: Job) -> JobAnswer:
    """Describes work in the background: `result` is what the command of that name prints with `--json`."""
    # What it is held to is between servers.
    request = {name: value for name, value in job.request.items() if name != "roots"}
    return {
        "id": job.id,
        "kind": job.kind,
        "status": job.status,
        "request": request,
        "progress": job.progress,
        "result": job.result,
        "error": job.error,
        "created_at": spell_moment(job.created_at),
        "finished_at": spell_moment_if_any(job.finished_at),
    }


@answer()
class JobsAnswer(TypedDict):
    """The last jobs, newest first; `total` of all there ever were."""

    jobs: list[JobAnswer]
    total: int
