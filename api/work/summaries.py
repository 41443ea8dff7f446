"""Summaries of videos, chosen once for every state of the library."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from cachetools import LRUCache

from indexer.keeping.summaries import VideoSummary, all_key_frames, open_scorer, summarize
from search.catalog.catalog import Catalog
from search.summary.budget import Budget
from search.summary.choosing import ImportanceScorer
from search.types import KeyFrame

Answer = TypeVar("Answer")
_REMEMBERED = 500


class SummaryReader:
    """Chooses key frames; safe to share between threads.

    Args:
        importance: A checkpoint of an importance head; None means representativeness.
    """

    def __init__(self, importance: Path | None) -> None:
        self._importance = importance
        self._scorer: ImportanceScorer | None = None
        self._lock = threading.Lock()
        self._known: LRUCache[tuple[int, int, Budget | None], Any] = LRUCache(_REMEMBERED)

    def summarize(self, catalog: Catalog, video_id: int, budget: Budget) -> VideoSummary:
        """Chooses key frames of a video to show, with the server's importance head."""
        return self._remembered(
            catalog, video_id, budget, lambda: summarize(catalog, video_id, budget, self._head())
        )

    def all_key_frames(self, catalog: Catalog, video_id: int) -> tuple[list[tuple[KeyFrame, float]], str]:
        """Lists every key frame of a video, and what decided on importance: the server's head, if any."""
        return self._remembered(
            catalog, video_id, None, lambda: all_key_frames(catalog, video_id, self._head())
        )

    def _remembered(
        self, catalog: Catalog, video_id: int, budget: Budget | None, choose: Callable[[], Answer]
    ) -> Answer:
        if catalog.library_record() is None:
            return choose()  # says that there is no such video
        catalog.video(video_id)
        key = (catalog.revision(), video_id, budget)
        with self._lock:
            if key in self._known:
                kept: Answer = self._known[key]
                return kept
        found = choose()
        with self._lock:
            self._known[key] = found
        return found

    def _head(self) -> ImportanceScorer | None:
        if self._importance is None:
            return None
        with self._lock:
            if self._scorer is None:
                self._scorer = open_scorer(self._importance)
            return self._scorer
