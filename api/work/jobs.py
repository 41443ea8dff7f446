"""Work in the background, ingests and lessons: one thread that runs queued jobs one after the other."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from api.guarding.roots import common_folders
from api.schemas.problems import word_error
from encoders.errors import CatalogUnavailableError, InvalidQueryError, LibraryBusyError, ReelseekError
from search.actions.listing import count_found
from search.actions.teaching import teach
from search.catalog.jobs import Job
from search.file_names import os_path
from search.library import Library

if TYPE_CHECKING:
    from indexer.ingest.pipeline import IngestProgress

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 1.0
RETRY_SECONDS = 1.0
QUEUE_SECONDS = 2.0
MOST_QUEUED = 100  # each holds up to a megabyte of paths
NICENESS = 5  # a third of the weight of a request, where both want the processor


class JobRunner:
    """Runs the catalog's queued jobs. What a crash or a stop leaves unfinished is queued again.

    Args:
        library: What the jobs write to.
        device: For the encoder, should a job be the library's first ingest.
        roots: Folders below which files must lie; None for no limit. A job is also held to those of the
            server that queued it, which may be another.
    """

    def __init__(self, library: Library, device: str = "auto", roots: tuple[str, ...] | None = None) -> None:
        self._library = library
        self._roots = roots
        self._device = device
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._is_troubled = False
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def begin_stop(self) -> None:
        """Has the running job end at its next clip; does not wait for it."""
        self._stopping.set()
        self._wake.set()

    def stop(self, wait_seconds: float = 30.0) -> None:
        """Parks the running job and ends the thread."""
        self.begin_stop()
        if self._thread.ident is not None:
            self._thread.join(wait_seconds)

    def submit(self, paths: list[str], *, prune: bool, patience: float = 1.0) -> Job:
        """Queues an ingest.

        Raises:
            InvalidQueryError: A path neither exists nor was indexed before.
            HTTPException: 429, so many jobs are waiting already.
        """
        job_id = uuid.uuid4().hex
        with self._library.write() as catalog:
            if catalog.count_jobs("queued") >= MOST_QUEUED:
                raise HTTPException(
                    429,
                    f"{MOST_QUEUED} jobs are waiting: name more paths in one, or wait for some to end",
                    {"Retry-After": "60"},
                )
            for path in paths:
                if not os.path.lexists(os_path(path)) and not catalog.videos_below(os.path.abspath(path)):
                    raise InvalidQueryError(f"{path} does not exist on the server")
            request = {"paths": paths, "prune": prune, "patience": patience, "roots": self._roots}
            catalog.create_job(job_id, request)
            job = catalog.job(job_id)
        self._wake.set()
        return job

    def submit_lesson(self, action: str) -> Job:
        """Queues a lesson from the examples that are kept of an action; one that waits already will do."""
        with self._library.write() as catalog:
            for job in catalog.jobs_with_status("queued"):
                if job.kind == "teach" and job.request == {"action": action}:
                    return job
            job_id = uuid.uuid4().hex
            catalog.create_job(job_id, {"action": action}, kind="teach")
            job = catalog.job(job_id)
        self._wake.set()
        return job

    def _run(self) -> None:
        """Waits until no other server of this library runs its jobs, then does."""
        _give_way()
        while not self._stopping.is_set():
            try:
                with self._library.jobs_lock() as held:
                    if held:
                        self._queue_again()
                        self._serve()
                        return
            except Exception as error:  # read-only media, a full disk, an outage: that may yet be mended
                self._tell(error)
            self._stopping.wait(RETRY_SECONDS)

    def _tell(self, error: Exception | None) -> None:
        """A line in the log when jobs can no longer be served, and one when they can again; None for that."""
        if error is None and self._is_troubled:
            logger.warning("the job queue is served again")
        elif error is not None and not self._is_troubled:
            is_ours = isinstance(error, ReelseekError)
            logger.warning(
                "the job queue cannot be served; trying again until it can: %s",
                error,
                exc_info=None if is_ours else error,
            )
        self._is_troubled = error is not None

    def _queue_again(self) -> None:
        """Queues what was running when the last server died: none runs it now."""
        with self._library.write() as catalog:
            for job in catalog.jobs_with_status("running"):
                catalog.update_job(job.id, status="queued")

    def _serve(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            with self._library.read() as catalog:
                queued = catalog.jobs_with_status("queued", limit=1)
            if queued:
                self._run_job(queued[0])
            self._tell(None)
            if not queued:
                self._wake.wait(QUEUE_SECONDS)  # other servers of this library queue jobs too

    def _run_job(self, job: Job) -> None:
        self._update(job, status="running")
        try:
            result = self._teach(job) if job.kind == "teach" else self._ingest(job)
        except _Parked:  # the next server goes on
            self._update(job, status="queued")
        except ReelseekError as error:
            if isinstance(error, CatalogUnavailableError):
                logger.warning("a job failed: %s", error)
            reason = word_error(error).replace(
                "nothing was changed", "the examples are kept for the next lesson"
            )
            self._update(job, status="failed", error=reason, finished_at=time.time())
        except Exception:
            logger.exception("a job failed")
            reason = "something went wrong inside the server; its log says what"
            self._update(job, status="failed", error=reason, finished_at=time.time())
        else:
            self._update(job, status="done", result=result, finished_at=time.time())

    def _ingest(self, job: Job) -> dict[str, object]:
        from indexer.ingest.pipeline import IngestOptions, ingest

        if not self._wait_for_turn():
            raise _Parked
        report = _Throttled(self._library, job.id)

        def on_progress(progress: IngestProgress) -> None:
            report(asdict(progress), is_last=progress.files_done == progress.files_total)

        summary = ingest(
            self._library,
            job.request["paths"],
            IngestOptions(
                device=self._device,
                prune=bool(job.request["prune"]),
                patience=float(job.request.get("patience", 1.0)),
                roots=common_folders(self._roots, job.request.get("roots")),
            ),
            on_progress=on_progress,
            should_stop=self._stopping.is_set,
        )
        if self._stopping.is_set():  # it may have ended early
            raise _Parked
        return summary.as_json()

    def _teach(self, job: Job) -> dict[str, object]:
        """Stopped midway, a lesson leaves everything as it was."""
        report = _Throttled(self._library, job.id)
        stage = "gathering the examples"

        def on_tagged(done: int, total: int) -> None:
            if self._stopping.is_set():
                raise _Parked
            report({"stage": stage, "videos_done": done, "videos_total": total}, is_last=done == total)

        def on_progress(what: str) -> None:
            nonlocal stage
            stage = what
            on_tagged(0, 0)

        on_tagged(0, 0)
        action = job.request["action"]
        card = teach(self._library, action, on_progress=on_progress, on_tagged=on_tagged)
        segments = count_found(self._library, action)
        return {"action": action, "report": card, "segments": segments}

    def _wait_for_turn(self) -> bool:
        """Waits while another program ingests; False when the server stops meanwhile."""
        while not self._stopping.is_set():
            with suppress(LibraryBusyError), self._library.ingest_lock(wait=False):
                return True
            self._stopping.wait(RETRY_SECONDS)
        return False

    def _update(self, job: Job, **values: object) -> None:
        with self._library.write() as catalog:
            catalog.update_job(job.id, **values)


def _give_way() -> None:
    """Lets this thread, and the programs that it starts, have what is left of the processor by requests."""
    if sys.platform == "linux":  # elsewhere only whole programs have a priority
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


class _Parked(Exception):
    """The server stops: the job is left for the next one."""


class _Throttled:
    """Writes progress to the job's row, at most once a second, and at the end."""

    def __init__(self, library: Library, job_id: str) -> None:
        self._library = library
        self._job_id = job_id
        self._written_at = float("-inf")

    def __call__(self, progress: dict[str, object], *, is_last: bool) -> None:
        now = time.monotonic()
        if now - self._written_at < PROGRESS_SECONDS and not is_last:
            return
        self._written_at = now
        with suppress(ReelseekError), self._library.write() as catalog:
            catalog.update_job(self._job_id, progress=progress)
