"""Figures of a catalog for those who watch it: counts by SQL, over one connection."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from search.catalog.tables import jobs, library, videos


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts of what a catalog holds.

    Attributes:
        videos: By status.
        video_seconds: Of the indexed ones together.
        clips: That can be found.
        failures: How many failed videos for each reason, as it was recorded.
        jobs: By status.
        running: Progress of the job that runs, as it was recorded; None without one.
        revision: Of the catalog; None for an empty library.
    """

    videos: dict[str, int]
    video_seconds: float
    clips: int
    failures: dict[str, int]
    jobs: dict[str, int]
    running: dict[str, float] | None
    revision: int | None


def read_figures(connection: Connection) -> Figures:
    """Counts everything by an index, or reads what is counted already: milliseconds at a million clips."""
    shown = videos.c.status != "staging"
    by_status = connection.execute(
        select(videos.c.status, func.count()).where(shown).group_by(videos.c.status)
    )
    seconds = connection.execute(
        select(func.sum(videos.c.duration_seconds)).where(videos.c.status == "indexed")
    ).scalar()
    failures = connection.execute(
        select(videos.c.error, func.count()).where(videos.c.status == "failed").group_by(videos.c.error)
    )
    by_job_status = connection.execute(select(jobs.c.status, func.count()).group_by(jobs.c.status))
    running = connection.execute(select(jobs.c.progress).where(jobs.c.status == "running")).scalar()
    row = connection.execute(select(library.c.clip_count, library.c.revision)).first()
    return Figures(
        videos={row[0]: row[1] for row in by_status},
        video_seconds=float(seconds or 0.0),
        clips=0 if row is None else row.clip_count,
        failures={str(row[0] or ""): row[1] for row in failures},
        jobs={row[0]: row[1] for row in by_job_status},
        running=json.loads(running) if running else None,
        revision=None if row is None else row.revision,
    )
