"""What filters go by, read as arrays: clips, videos that pass, spans of actions, clips with words."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Select, select

from encoders.errors import InvalidQueryError, LibraryError
from search.catalog.actions.segments import spans_of_actions
from search.catalog.captions import clips_with_words
from search.catalog.statements import Statements, video_conditions
from search.catalog.tables import clips, videos
from search.types import Filters, SegmentQuery

ROWS_PER_READ = 2**16
MOST_VIDEO_IDS = 10_000

Ids = NDArray[np.int64]
Seconds = NDArray[np.float64]


class FilterCatalog(Statements):
    """Reads numbers over the connection of a `Catalog`, without an object for each row."""

    def clips(self) -> Iterator[NDArray[np.float64]]:
        """Yields the visible clips, ascending by id: float64 (N, 4), id, video, start and end in seconds."""
        last_id = 0
        while True:
            query = _clips().where(clips.c.revision.is_not(None), clips.c.id > last_id)
            rows = self._numbers(query.order_by(clips.c.id).limit(ROWS_PER_READ), 4)
            yield rows
            if len(rows) < ROWS_PER_READ:
                return
            last_id = int(rows[-1, 0])

    def clips_since(self, revision: int) -> NDArray[np.float64]:
        """Reads the clips that were shown after a revision, as `clips` does but in no order."""
        return self._numbers(_clips().where(clips.c.revision > revision), 4)

    def videos_passing(self, filters: Filters) -> Ids | None:
        """Reads ids of videos by their path and time of recording: int64 (N,); None for no such filter."""
        conditions = video_conditions(filters)
        if not conditions:
            return None
        query = select(videos.c.id).where(*conditions, videos.c.status != "staging")
        return self._numbers(query, 1)[:, 0].astype(np.int64)

    def clips_captioned(self, text: str) -> Ids:
        """Reads ids of clips with a caption that holds all words: int64 (N,), perhaps one twice."""
        return self._numbers(clips_with_words(text), 1)[:, 0].astype(np.int64)

    def spans(self, query: SegmentQuery) -> tuple[Ids, Seconds, Seconds]:
        """Reads the segments that pass: video ids int64 (S,), starts and ends float64 (S,) in seconds."""
        rows = self._numbers(spans_of_actions(query), 3)
        return rows[:, 0].astype(np.int64), rows[:, 1], rows[:, 2]

    def _numbers(self, query: Select[Any], width: int) -> NDArray[np.float64]:
        """Reads rows of numbers: float64 (N, width), in which every id below 2**53 is exact."""
        result = self._connection.execute(query)
        assert result.cursor is not None
        rows = result.cursor.fetchall()
        result.close()
        try:
            numbers = np.fromiter(chain.from_iterable(rows), np.float64, width * len(rows))
        except (TypeError, ValueError) as error:
            raise LibraryError(
                f"the catalog holds a value that is no number ({error}): `indexer check` finds where"
            ) from error
        return numbers.reshape(-1, width)


def check_video_ids(video_ids: tuple[int, ...]) -> None:
    """Raises InvalidQueryError where a filter names too many videos."""
    if len(video_ids) > MOST_VIDEO_IDS:
        raise InvalidQueryError(f"a filter may name at most {MOST_VIDEO_IDS} videos, got {len(video_ids)}")


def _clips() -> Select[Any]:
    return select(clips.c.id, clips.c.video_id, clips.c.start_seconds, clips.c.end_seconds)
