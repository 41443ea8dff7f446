"""The report of an ingest as it goes on: progress to whoever waits, changes one by one, and the summary."""

from __future__ import annotations

import time
from collections.abc import Callable

from indexer.ingest.types import Change, IngestProgress, IngestSummary


class IngestReport:
    """Counts what an ingest does, and tells of it.

    Args:
        on_progress: Called often.
        on_change: Called for each video of which something is different now.

    Attributes:
        summary: What was done so far.
        files_total: Files that were found.
        files_done: Those of which nothing is left to be done.
    """

    def __init__(
        self, on_progress: Callable[[IngestProgress], None], on_change: Callable[[Change], None]
    ) -> None:
        self.summary = IngestSummary()
        self.files_total = 0
        self.files_done = 0
        self.change = on_change
        self._on_progress = on_progress
        self._started = time.monotonic()

    @property
    def wall_seconds(self) -> float:
        """The time that it has taken."""
        return time.monotonic() - self._started

    def tell(self, path: str | None, stage: str | None = None) -> None:
        """Tells the progress: the file that is read, or what else is done."""
        self._on_progress(
            IngestProgress(
                files_done=self.files_done,
                files_total=self.files_total,
                video_seconds=self.summary.video_seconds,
                wall_seconds=self.wall_seconds,
                path=path,
                stage=stage,
            )
        )

    def count_failed(self, path: str, reason: str, *, is_new: bool = True) -> None:
        """Counts a file that cannot be indexed; `is_new` where that was not known before."""
        self.summary.failed.append((path, reason))
        if is_new:
            self.change(Change("failed", path, reason=reason))
