"""Whether answers are right: each is compared with every vector of the catalog, read beside the server.

Clips come and go meanwhile. A clip that was there before a request was sent and whose deletion was not
asked for until it was answered must be found; one whose deletion was acknowledged before it was sent
must not; of the others either is right.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.words.things import Things
from search.calibration.together import score_together
from search.library import Library
from search.types import Clip, Filters

SCORE_TOLERANCE = 1e-3
SPAN_TOLERANCE_SECONDS = 1e-5


@dataclass(frozen=True, slots=True)
class Asked:
    """A search whose right answer is known.

    Attributes:
        vectors: Of the query, float32 (Q, D): a clip's score is the best of them.
        things: What words ask for, thing by thing; None where they are one whole.
        limit: Most hits.
        excluded: Clips that are no answer.
        passes: Whether a clip passes the filters; None where that is not known.
        action: That each hit has to name.
        by_video: Whether a video is one hit.
        aligned: Whether hits may be stretches of their own, as those of footage are.
    """

    vectors: NDArray[np.float32]
    limit: int
    excluded: frozenset[int] = frozenset()
    passes: Callable[[Clip], bool | None] = lambda clip: True
    action: str | None = None
    by_video: bool = False
    aligned: bool = False
    things: Things | None = None


@dataclass(slots=True)
class _Known:
    clip: Clip
    seen_at: float
    row: int


@dataclass(slots=True)
class Oracle:
    """What the catalog holds and held, with times of `time.monotonic`; safe to share between threads.

    Attributes:
        library: To read from.
        asked_at, acknowledged_at: By video, when its deletion was asked for and acknowledged.
    """

    library: Library
    asked_at: dict[int, float] = field(default_factory=dict)
    acknowledged_at: dict[int, float] = field(default_factory=dict)
    _known: dict[int, _Known] = field(default_factory=dict)
    _vectors: NDArray[np.float32] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def refresh(self) -> None:
        """Takes in what the catalog shows now."""
        with self._lock:
            with self.library.read() as catalog:
                ids = [number for number in catalog.clip_ids(Filters()).tolist() if number not in self._known]
                if not ids:
                    return
                clips = catalog.clips(ids)
                record = catalog.library_record()
                assert record is not None
                vectors = catalog.embeddings(ids, record.dim)
            now, first = time.monotonic(), len(self._known)
            self._vectors = vectors if self._vectors is None else np.concatenate([self._vectors, vectors])
            for offset, number in enumerate(ids):
                self._known[number] = _Known(clips[number], now, first + offset)

    def clips(self) -> list[Clip]:
        """The clips that are there and whose deletion nobody has asked for."""
        with self._lock:
            return [one.clip for one in self._known.values() if one.clip.video_id not in self.asked_at]

    def vector(self, clip_id: int) -> NDArray[np.float32]:
        """A clip's embedding (D,)."""
        with self._lock:
            assert self._vectors is not None
            return self._vectors[self._known[clip_id].row]

    def is_going(self, video_id: int, until: float) -> bool:
        """Whether a video's deletion had been asked for by then: then 404 is a right answer."""
        return self.asked_at.get(video_id, math.inf) <= until

    def check(self, document: dict[str, Any], asked: Asked, sent: float, received: float) -> list[str]:
        """What is wrong with an answer; nothing, as a rule."""
        hits = document["hits"]
        if any(hit["clip_id"] not in self._known for hit in hits):
            self.refresh()
        with self._lock:
            scores = self._scores(asked)
            faults = [fault for hit in hits for fault in self._check_hit(hit, asked, scores, sent)]
            if not document["exact"]:
                faults.append("the answer is not exact")
            if len(hits) > asked.limit:
                faults.append(f"{len(hits)} hits where at most {asked.limit} were asked for")
            if asked.aligned or faults:
                return faults
            given = [hit["score"] for hit in hits]
            if any(later > earlier + 1e-6 for earlier, later in itertools.pairwise(given)):
                faults.append("the hits are not in order of score")
            keys = [hit["video_id" if asked.by_video else "clip_id"] for hit in hits]
            if len(set(keys)) < len(keys):
                faults.append("a hit comes twice")
            return [*faults, *self._missing(set(keys), given, asked, scores, sent, received)]

    def _scores(self, asked: Asked) -> NDArray[np.float32]:
        assert self._vectors is not None
        if asked.things is not None:
            return score_together(asked.things.parts(self._vectors))
        return (self._vectors @ asked.vectors.T).max(axis=1)

    def _check_hit(
        self, hit: dict[str, Any], asked: Asked, scores: NDArray[np.float32], sent: float
    ) -> Iterable[str]:
        number = hit["clip_id"]
        known = self._known.get(number)
        if known is None:
            yield f"clip {number} was never in the catalog"
            return
        clip = known.clip
        if self.acknowledged_at.get(clip.video_id, math.inf) < sent:
            yield f"clip {number} is of video {clip.video_id}, whose deletion was acknowledged before"
        if (hit["video_id"], hit["path"]) != (clip.video_id, clip.path):
            yield f"clip {number} is of {clip.path}, not of {hit['path']}"
        if number in asked.excluded:
            yield f"clip {number} is what was asked with"
        if asked.passes(clip) is False:
            yield f"clip {number} of {Path(clip.path).name} does not pass the filters"
        if asked.action is not None and asked.action not in {one["action"] for one in hit["actions"]}:
            yield f"clip {number} does not say that it shows {asked.action}"
        if hit["match"] is not None:
            return
        span = (hit["start_seconds"] - clip.start_seconds, hit["end_seconds"] - clip.end_seconds)
        if max(map(abs, span)) > SPAN_TOLERANCE_SECONDS:
            yield f"clip {number} has other times in the catalog"
        if abs(hit["score"] - scores[known.row]) > SCORE_TOLERANCE:
            yield f"clip {number} scores {hit['score']:.4f}, the catalog says {scores[known.row]:.4f}"

    def _missing(
        self,
        found: set[int],
        given: list[float],
        asked: Asked,
        scores: NDArray[np.float32],
        sent: float,
        received: float,
    ) -> Iterable[str]:
        """Clips that were there throughout and score above the last hit."""
        least = given[-1] if len(given) == asked.limit else -math.inf
        for number, known in self._known.items():
            clip = known.clip
            key = clip.video_id if asked.by_video else number
            if key in found or number in asked.excluded or scores[known.row] <= least + SCORE_TOLERANCE:
                continue
            if known.seen_at >= sent or self.is_going(clip.video_id, received):
                continue
            if asked.passes(clip):
                yield f"clip {number} scores {scores[known.row]:.4f} and is missing: the last is {least:.4f}"
                return
