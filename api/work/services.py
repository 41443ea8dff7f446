"""Services behind the routes: the library and everything that lives as long as the server."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from functools import wraps
from typing import Annotated, Any, TypeVar

from anyio.to_thread import run_sync
from fastapi import Depends, Request

from api.guarding.roots import Roots
from api.schemas.problems import word_error
from api.settings import ServerSettings
from api.work import lanes
from api.work.finding import SegmentFinder
from api.work.frames import FrameReader
from api.work.jobs import JobRunner
from api.work.lanes import Lane
from api.work.renditions import RenditionMaker
from api.work.summaries import SummaryReader
from api.work.uploads import remove_leftovers
from encoders.errors import ReelseekError
from search.actions.finding import FoundSegments
from search.library import Library
from search.query.encoding import EncodedQuery
from search.query.engine import SearchEngine
from search.types import Query, QueryExample, SegmentQuery, Video

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")
WARM_RETRY_SECONDS = 30.0
PROBE_SECONDS = 2.0
SILENT_SECONDS = 15.0  # without an answer of the catalog's
SEARCHES_AT_ONCE = 2
WORK_SECONDS = 120.0  # of a search, or a choice of key frames or clips
UPLOADS_AT_ONCE = 8  # further ones wait, unread: together they would fill the disk
UPLOADS_OF_ONE = 4


@dataclass(frozen=True, slots=True)
class Readiness:
    """Readiness for searches; if it is not there, there is a reason."""

    index_loaded: bool
    encoder_loaded: bool
    reason: str | None

    @property
    def ready(self) -> bool:
        return self.reason is None


class Services:
    """The library, the engine, the jobs, the frames; started and closed with the app."""

    def __init__(self, library: Library, device: str, settings: ServerSettings, allowed_roots: Roots) -> None:
        self.library = library
        self.settings = settings
        self.engine = SearchEngine(library)
        self.finder = SegmentFinder(library)
        self.roots = allowed_roots
        self.jobs = JobRunner(library, device, allowed_roots.limit)
        # What a path leads to may change after it was checked: the kernel holds the programs that read it.
        folders = allowed_roots.folders or None
        self.frames = FrameReader(settings.frame_cache_bytes, folders)
        self.renditions = RenditionMaker(library, settings.preview_cache_bytes, folders)
        self.summaries = SummaryReader(settings.importance)
        self._readiness = Readiness(False, False, "the server is starting")
        self._trouble: str | None = None
        self._stopping = threading.Event()
        self._answered_at = time.monotonic()
        self._watcher = threading.Thread(target=self._watch, name="readiness", daemon=True)
        # One query at a time encodes pictures, and one words: more would only slow each other down. The
        # others wait here and not in threads, so that the rest of the server goes on. Words, which take
        # a hundredth of what an example takes, never wait for one; nor does a frame for an example that
        # is being decoded, or a preview for a cut. Where the work may take minutes, nobody takes all places.
        self._encoding = Lane(1)
        self._encoding_text = Lane(1)
        self._searching = Lane(SEARCHES_AT_ONCE, limit_seconds=WORK_SECONDS)
        self.choosing = Lane(2, most_of_one=1, limit_seconds=WORK_SECONDS)
        self.receiving = Lane(UPLOADS_AT_ONCE, most_of_one=UPLOADS_OF_ONE)
        self.decoding_example = Lane(3, most_of_one=2)
        self.decoding_frame = Lane(2, most_of_one=1)
        self.making_clip_preview = Lane(3, most_of_one=2)
        self.making_span_preview = Lane(2, most_of_one=1)
        self.making_cut = Lane(2, most_of_one=1)

    def start(self) -> None:
        """Starts the background threads."""
        self.jobs.start()
        remove_leftovers()
        self._watcher.start()

    def begin_stop(self) -> None:
        """Has the running job end at its next clip and says on /readyz that the server stops; never waits."""
        self._stopping.set()
        self.jobs.begin_stop()

    def close(self) -> None:
        """Parks the running job and ends every thread and program."""
        self.begin_stop()
        self.jobs.stop()
        self.frames.close()
        self.renditions.close()
        for lane in (one for one in vars(self).values() if isinstance(one, Lane)):
            lane.close()

    async def search(
        self, query: Query, work: Callable[[Query | EncodedQuery], Answer], *, action: str | None = None
    ) -> Answer:
        """Runs a search in a thread; one without examples does not wait in line for those that have some.

        Args:
            query: Its words and examples are encoded beforehand.
            work: What searches.
            action: That clips are filtered by; one that no head knows is looked for in all footage.

        Raises:
            InvalidQueryError: The query's words are empty or blank, its parts cancel out, or the action is no
                name.
            NotFoundError: A clip or video that it names does not exist.
            UnsupportedQueryError: The library's encoder cannot encode words.
        """
        asked: Query | EncodedQuery = query
        for text in self.engine.encoder.new_texts(query):
            await self._encoding_text.run(self.engine.encoder.encode_text, text)
        if any(isinstance(part, QueryExample) for part in query.parts):
            asked = await self._encoding.run(self.engine.encoder.encode, query)
        is_known = action is None or await run_sync(self.finder.is_known, SegmentQuery((action,)))
        return await (self._searching if is_known else self._encoding).run(work, asked)

    async def find_segments(self, query: SegmentQuery) -> FoundSegments:
        """Finds an action's segments: in a thread, and in line for the encoder if it takes that.

        Raises:
            UnknownActionError: Nothing knows the action.
            InvalidQueryError: It is no name, or a bound makes no sense.
        """
        if await run_sync(self.finder.is_known, query):
            return await run_sync(self.finder.find, query)
        return await self._encoding.run(self.finder.find, query)

    def video(self, video_id: int) -> Video:
        """Reads a catalogued video. Raises NotFoundError where there is none of this id."""
        with self.library.read() as catalog:
            return catalog.video(video_id)

    # --- readiness -------------------------------------------------------------------------

    def readiness(self) -> Readiness:
        """Tells whether index and encoder are loaded and the catalog answers; if not, why. Never waits."""
        if self._stopping.is_set():
            return Readiness(False, False, "the server is stopping")
        found = self._readiness
        if found.ready and time.monotonic() - self._answered_at > SILENT_SECONDS:
            return replace(found, reason="the catalog does not answer")
        return found

    def _watch(self) -> None:
        """Loads index and encoder, so that no query waits for them; then asks the catalog again and again."""
        self.renditions.sweep()
        is_warm = False
        while not self._stopping.is_set():
            wait_seconds = PROBE_SECONDS if is_warm else WARM_RETRY_SECONDS
            try:
                if not is_warm:
                    self._warm()
                    is_warm, wait_seconds = True, PROBE_SECONDS
                self.library.database.probe()
                self._answered_at = time.monotonic()
                self._become(replace(self._readiness, reason=None))
            except ReelseekError as error:
                self._become(replace(self._readiness, reason=word_error(error)), error)
            except Exception as error:
                reason = "something went wrong inside the server; its log says what"
                self._become(replace(self._readiness, reason=reason), error)
            self._stopping.wait(wait_seconds)

    def _warm(self) -> None:
        with self.library.read() as catalog:
            is_empty = catalog.library_record() is None
        if not is_empty:  # else there is nothing to load yet, and nothing to find
            with self.library.index():
                self._readiness = Readiness(True, False, "the encoder is loading")
            self.library.encoder()
            self.library.sample()
        self._readiness = Readiness(True, True, self._readiness.reason)

    def _become(self, now: Readiness, error: Exception | None = None) -> None:
        """Takes over what was found; a line in the log when it began, and one when it is over."""
        if error is None and self._trouble is not None:
            logger.warning("ready again")
        elif error is not None and str(error) != self._trouble:
            is_ours = isinstance(error, ReelseekError)
            logger.warning("not ready: %s", error, exc_info=None if is_ours else error)
        self._trouble = None if error is None else str(error)
        self._readiness = now


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    lanes.current.set(request)
    return services


ServicesOf = Annotated[Services, Depends(_services)]


def reads_much(route: Callable[..., Answer]) -> Callable[..., Coroutine[Any, Any, Answer]]:
    """Has a route that reads much from the catalog wait its turn, and answer in a thread of that line.

    Args:
        route: With a parameter `services`, passed by its name as FastAPI does.
    """

    @wraps(route)
    async def answer(services: Services, **values: object) -> Answer:
        return await services.choosing.run(route, services=services, **values)

    return answer
