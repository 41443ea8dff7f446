"""Previews and cuts made on request, in programs of their own, and kept on disk while there is room."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from api.work.frames import stat_file
from api.work.workers import Workers
from encoders.errors import ReelseekError
from indexer.ingest.previews import Preview, PreviewCache, sweep_previews
from indexer.video.making.renditions import Rendition
from search.library import Library
from search.types import Video

logger = logging.getLogger(__name__)

STALL_SECONDS = 30.0


class RenditionMaker:
    """Makes renditions and keeps them; safe to share between threads.

    Args:
        library: Holds the folder of previews.
        cache_bytes: What they may take together.
        folders: Below which alone files are read; None for no limit.
    """

    def __init__(self, library: Library, cache_bytes: int, folders: Sequence[str] | None = None) -> None:
        self._library = library
        self._cache = PreviewCache(library.folder, cache_bytes)
        self._workers = Workers(STALL_SECONDS, reads=folders, writes=(str(self._cache.folder),))

    def sweep(self) -> None:
        """Removes what was made of videos that are gone, perhaps while no server ran."""
        try:
            sweep_previews(self._library)
        except ReelseekError as error:  # nobody waits for it
            logger.warning("previews of removed videos were not looked for: %s", error)

    def make(self, video: Video, rendition: Rendition, limit_seconds: float) -> Preview:
        """Makes a rendition of a video, or takes it from disk where it was made before.

        Args:
            video: In the catalog.
            rendition: What to make.
            limit_seconds: For the making.

        Raises:
            NotFoundError: The file is not there now, or shows nothing there, or the video was removed.
            DecodeError: It cannot be decoded, or not in time.
            LibraryError: The result cannot be written.
        """

        def check_wanted() -> None:
            with self._library.read() as catalog:
                catalog.video(video.id)

        def write(target: Path) -> None:
            with self._workers.one() as worker:
                worker.render(video.path, str(target), rendition, limit_seconds)

        return self._cache.get(video.id, stat_file(video), rendition, write, check_wanted)

    def close(self) -> None:
        """Ends the programs, also those at work."""
        self._workers.close()
