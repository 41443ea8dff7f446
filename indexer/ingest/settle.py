"""Files against the catalog: what is known already, went, came back or moved, and so need not be read.

Writes to the catalog, like `write`, in the thread that called `ingest` and in no other.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from encoders.errors import NotFoundError
from indexer.ingest.report import IngestReport
from indexer.ingest.types import Change, ChangeKind, IngestOptions
from indexer.ingest.walk import FoundFile, is_below
from indexer.video.programs.cost import TOOK_TOO_LONG
from indexer.video.types import SamplingOptions
from search.catalog.catalog import Catalog
from search.file_names import has_other_names, is_same_file, os_path
from search.library import Library
from search.types import Video


class Settler:
    """Settles files without reading them, or knowing no more than their content's digest.

    Args:
        library: With a record.
        sampling: How videos are sampled now; those that were sampled otherwise are read anew.
        options: Of the ingest.
        report: Told of what is settled.
    """

    def __init__(
        self, library: Library, sampling: SamplingOptions, options: IngestOptions, report: IngestReport
    ) -> None:
        self._library = library
        self._sampling = sampling
        self._options = options
        self._report = report
        self._newly_missing: set[int] = set()
        self._ids_by_size_and_time: dict[tuple[int, int], list[int]] | None = None

    # By what is in the folders

    def mark_missing(self, paths: Sequence[str], present: set[str]) -> None:
        """Marks the videos below some paths that are not among the present files, and certainly gone."""
        with self._library.write() as catalog:
            for path in paths:
                for video in catalog.videos_below(os.path.abspath(path)):
                    if video.path in present or not _is_gone(video.path):
                        continue
                    if video.clips == 0:
                        catalog.remove_videos([video.id])  # a failure that is no more
                    elif video.status != "missing":
                        catalog.update_video(video.id, status="missing")
                        self._newly_missing.add(video.id)

    def count_missing(self, paths: Sequence[str]) -> None:
        """Counts what is still missing once moves have been found; with `prune`, it is no longer kept."""
        summary, prune = self._report.summary, self._options.prune
        with self._library.write() as catalog:
            gone = {
                video.id: video.path
                for path in paths
                for video in catalog.videos_below(os.path.abspath(path))
                if video.status == "missing"
            }
            if prune:
                summary.examples_gone.update(catalog.actions.examples_of_videos(gone))
                catalog.remove_videos(gone)
                summary.pruned = len(gone)
            else:
                summary.missing = len(gone)
        kind: ChangeKind = "removed" if prune else "missing"
        for video_id, path in gone.items():
            if prune or video_id in self._newly_missing:
                self._report.change(Change(kind, path))

    # By path, size and times of change

    def settle_by_state(self, file: FoundFile) -> bool:
        """Settles a file if nothing has to be read, going by path, size and times of change."""
        settled = self._settle_refused(file) if file.reason is not None else self._settle_known(file)
        self._report.files_done += settled
        return settled

    def _settle_refused(self, file: FoundFile) -> bool:
        """Settles a folder that cannot be read, or a name that is no text: nothing to catalogue."""
        if not self._is_known_and_gone(file.path):
            self._report.count_failed(file.path, file.reason or "", is_new=False)
        return True

    def _is_known_and_gone(self, path: str) -> bool:
        """Returns whether a path that was given has vanished: then it is missing, which is no failure."""
        if not _is_gone(path):
            return False
        with self._library.read() as catalog:
            return bool(catalog.videos_below(path))

    def _settle_known(self, file: FoundFile) -> bool:
        with self._library.read() as catalog:
            video = catalog.video_by_path(file.path)
        if video is None:
            video = self._by_another_name(file)
        if video is None or not video.file_state.is_same(file.state):
            return False
        if video.status == "failed" and _took_too_long(video) and self._options.patience <= 1:
            self._report.count_failed(file.path, video.error or "", is_new=False)
            return True
        if video.status == "failed" or not self._is_sampled_so(video):
            return False
        if video.status == "missing":
            with self._library.write() as catalog:
                catalog.update_video(video.id, status="indexed", error=_damage(video), ctime_ns=file.ctime_ns)
            self._report.change(Change("back", video.path))
        elif video.ctime_ns is None:  # indexed before it was kept
            with self._library.write() as catalog:
                catalog.update_video(video.id, ctime_ns=file.ctime_ns)
        self._report.summary.unchanged += 1
        return True

    def _by_another_name(self, file: FoundFile) -> Video | None:
        """The video of a file that the catalog knows by another of its names, which leads to it still."""
        if not has_other_names(file.path):
            return None
        if self._ids_by_size_and_time is None:
            self._ids_by_size_and_time = {}
            with self._library.read() as catalog:
                for video_id, state in catalog.file_states().items():
                    key = (state.size_bytes, state.mtime_ns)
                    self._ids_by_size_and_time.setdefault(key, []).append(video_id)
        with self._library.read() as catalog:
            for video_id in self._ids_by_size_and_time.get((file.size_bytes, file.mtime_ns), ()):
                with suppress(NotFoundError):  # removed a moment ago
                    video = catalog.video(video_id)
                    if self._keeps_its_name(video, file):
                        return video
        return None

    def _keeps_its_name(self, video: Video, file: FoundFile) -> bool:
        """Returns whether a video's name leads to a file that was found by another, and may be read."""
        roots = self._options.roots
        return is_same_file(video.path, file.path) and (roots is None or is_below(video.path, roots))

    def _is_sampled_so(self, video: Video) -> bool:
        try:
            return video.sampling is not None and SamplingOptions.from_json(video.sampling) == self._sampling
        except ValueError:  # damaged: it is read anew
            return False

    # By content

    def settle_by_digest(self, file: FoundFile, digest: str) -> FoundFile | None:
        """Settles a file if its content is known: touched, back, or moved.

        A file that the catalog knows by another name that still leads to it keeps that one.

        Returns:
            The file to read, perhaps by that name; None where nothing is to be read.
        """
        with self._library.write() as catalog:
            found = self._find_content(catalog, file, digest)
        if isinstance(found, FoundFile):
            return found
        if found is not None and found.kind == "moved":
            self._report.summary.moved += 1
        else:
            self._report.summary.unchanged += 1
        if found is not None:
            self._report.change(found)
        return None

    def _find_content(self, catalog: Catalog, file: FoundFile, digest: str) -> FoundFile | Change | None:
        """The file to read; else what became of its video, None where that is as it was."""
        at_path = catalog.video_by_path(file.path)
        seen = {"size_bytes": file.size_bytes, "mtime_ns": file.mtime_ns, "ctime_ns": file.ctime_ns}
        back = Change("back", file.path)
        if at_path is not None and at_path.digest == digest and self._is_sampled_so(at_path):
            catalog.update_video(at_path.id, status="indexed", error=_damage(at_path), **seen)
            return back if at_path.status == "missing" else None
        for video in catalog.videos_by_digest(digest):
            stays = self._keeps_its_name(video, file)
            if not (stays or _is_gone(video.path) or is_same_file(video.path, file.path)):
                continue
            path = video.path if stays else file.path
            if not self._is_sampled_so(video):
                if at_path is None:  # to be read anew: what it was goes when that is done
                    catalog.update_video(video.id, path=path, status="indexed", error=None)
                    return replace(file, path=path)
                continue
            if at_path is not None and at_path.id != video.id:
                examples = catalog.actions.examples_of_videos([at_path.id])
                self._report.summary.examples_gone.update(examples)
                catalog.remove_videos([at_path.id])
            catalog.update_video(video.id, path=path, status="indexed", error=_damage(video), **seen)
            if stays:
                return back if video.status == "missing" else None
            return Change("moved", file.path, from_path=video.path)
        return file


def _damage(video: Video) -> str | None:
    """The damage that stays true of a video whose content is the same as before."""
    return None if video.status == "failed" else video.error


def _took_too_long(video: Video) -> bool:
    """Returns whether it was left out for its cost, which it would have again."""
    return video.error is not None and video.error.startswith(TOOK_TOO_LONG)


def _is_gone(path: str) -> bool:
    """Returns whether there is certainly no such file: one that cannot be looked at now is not gone."""
    try:
        os.lstat(os_path(path))
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False
