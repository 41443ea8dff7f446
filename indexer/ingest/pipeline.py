"""Ingest: walk, prepare, read, settle, write.

Files are found (`walk`), the library and what encodes are made ready (`prepare`, `backbone`), files are
decoded in worker programs (`read`), compared with the catalog (`settle`), encoded and stored (`write`). The
thread that called `ingest` does all of it but reading, and alone writes: to the catalog, to the summary, and
to whoever is told of progress. Readers have no library; all that they may write to is a queue of messages.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing

from encoders import shared_cores
from indexer.ingest.backbone import forget_empty_backbones, prepare_backbone, window_hint
from indexer.ingest.prepare import prepare_library
from indexer.ingest.previews import sweep_previews
from indexer.ingest.read import Ended, Message, Opened, Readers
from indexer.ingest.report import IngestReport
from indexer.ingest.settle import Settler
from indexer.ingest.types import Change, IngestOptions, IngestProgress, IngestSummary
from indexer.ingest.walk import FoundFile, find_files
from indexer.ingest.write import OpenVideo, VideoWriter
from indexer.video.types import Damage, Length, Progress, SampledClip
from search.actions.zero_shot import recalibrate_zero_shot
from search.file_names import os_path, stored_path
from search.library import Library


def ingest(
    library: Library,
    paths: Sequence[str],
    options: IngestOptions | None = None,
    *,
    on_progress: Callable[[IngestProgress], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    on_change: Callable[[Change], None] = lambda _: None,
) -> IngestSummary:
    """Brings the library up to date with files and folders.

    Files known by path, size and times of change are left alone; known content at a new path
    is a move; changed files replace what they were; vanished ones are marked missing. Killed at
    any moment, the next call completes the work.

    Args:
        library: Made by this call if it is empty.
        paths: Files and folders.
        options: See `IngestOptions`.
        on_progress: Called often, from this thread.
        say: Called with a line for the user, now and then.
        should_stop: Asked between clips; True ends the ingest early and cleanly.
        on_change: Called from this thread for each video of which something is different now.

    Raises:
        LibraryError, EncoderError: Nothing could be ingested at all; single bad files are in the
            summary instead.
    """
    options = options or IngestOptions()
    with library.ingest_lock(wait=True, on_wait=say, should_stop=should_stop):
        started = time.monotonic()

        def on_stage(stage: str) -> None:
            on_progress(IngestProgress(0, 0, 0.0, time.monotonic() - started, None, stage))

        encoder, sampling = prepare_library(library, options, say, on_stage)
        classifier = None
        if sampling.actions is not None:
            on_stage(f"loading {sampling.actions}")
            sampling, classifier = prepare_backbone(library, sampling, options.device, say)
            hint = window_hint(classifier, sampling)
            if hint is not None and options.actions is not None:
                say(hint)
        library.clear_leftovers()
        with library.write() as catalog:
            catalog.discard_staged()
        report = IngestReport(on_progress, on_change)
        settler = Settler(library, sampling, options, report)
        writer = VideoWriter(library, encoder, classifier, sampling, report)
        run = _Run(library, settler, writer, report, should_stop)
        pending = run.find(paths, options.roots)
        if pending:
            writer.prepare()
            given = set()
            if options.says_ignored:
                given = {stored_path(os.path.abspath(os_path(os.fspath(path)))) for path in paths}
            with shared_cores(encoder.device):
                run.read(Readers(pending, given, sampling, options))
        summary = run.finish(paths)
        sweep_previews(library)
        if sampling.actions is not None and not summary.stopped:
            forget_empty_backbones(library, sampling, say)
        return summary


class _Run:
    """One run of `ingest`, with all made ready."""

    def __init__(
        self,
        library: Library,
        settler: Settler,
        writer: VideoWriter,
        report: IngestReport,
        should_stop: Callable[[], bool],
    ) -> None:
        self._library = library
        self._settler = settler
        self._writer = writer
        self._report = report
        self._should_stop = should_stop
        self._open: dict[str, OpenVideo] = {}  # by the path of the file that is read

    def find(self, paths: Sequence[str], roots: Sequence[str] | None) -> list[FoundFile]:
        """Looks for files, and settles those that need not be read; returns the others."""
        report = self._report
        report.tell(None, "looking for videos")
        found = list(self._until_stopped(find_files(paths, roots)))
        report.files_total = len(found)
        if not self._should_stop():
            self._settler.mark_missing(paths, {file.path for file in found if file.reason is None})
        pending = [file for file in self._until_stopped(found) if not self._settler.settle_by_state(file)]
        report.tell(None)
        return pending

    def _until_stopped(self, files: Iterable[FoundFile]) -> Iterator[FoundFile]:
        for file in files:
            if self._should_stop():
                return
            yield file

    def read(self, readers: Readers) -> None:
        """Takes what the readers decode until they are done."""
        with closing(readers.messages(self._should_stop)) as messages:
            for file, message in messages:
                self._take(file, message)
                if isinstance(message, Ended):
                    self._report.files_done += 1
                self._report.tell(file.path)

    def _take(self, file: FoundFile, message: Message) -> None:
        if isinstance(message, Opened):
            wanted = self._settler.settle_by_digest(file, message.digest)
            if wanted is not None:
                self._open[file.path] = OpenVideo(wanted, message.info, message.digest)
            message.reply.put(wanted is not None)
            return
        if isinstance(message, Ended):
            self._end(file, message, self._open.pop(file.path, None))
            return
        video = self._open.get(file.path)
        if video is None:  # still being opened
            return
        match message:
            case Progress():
                self._advance(video, message.time_seconds)
            case SampledClip():
                self._writer.add_clip(video, message)
                self._advance(video, message.end_seconds)
            case Length():
                video.length_seconds = message.duration_seconds
            case Damage():
                video.damage = message.note

    def _advance(self, video: OpenVideo, seconds: float) -> None:
        if seconds > video.seconds_done:
            self._report.summary.video_seconds += seconds - video.seconds_done
            video.seconds_done = seconds

    def _end(self, file: FoundFile, ended: Ended, video: OpenVideo | None) -> None:
        if ended.outcome == "read" and video is not None:
            self._writer.publish(video)
            return
        if video is not None:
            self._writer.discard(video)
            file = video.file
        if ended.outcome == "ignored":
            self._report.summary.ignored += 1
        elif ended.outcome == "refused":  # no video, nor called like one: nothing to catalogue
            self._report.count_failed(file.path, ended.reason)
        elif ended.outcome == "failed":
            self._writer.record_failure(file, ended.reason)

    def finish(self, paths: Sequence[str]) -> IngestSummary:
        """Counts what is missing, and brings up to date what hangs on all videos together."""
        summary = self._report.summary
        summary.stopped = self._should_stop()
        if not summary.stopped:
            self._settler.count_missing(paths)
        self._report.tell(None, "writing the index")
        self._library.index_keeper.save()
        recalibrate_zero_shot(self._library)
        summary.wall_seconds = self._report.wall_seconds
        return summary
