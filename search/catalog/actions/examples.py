"""Lesson examples as the catalog keeps them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import and_, case, delete, func, insert, select

from encoders.errors import NotFoundError
from encoders.heads.head import FeatureTrack
from search.catalog.statements import Statements, split_into_chunks
from search.catalog.tables import action_examples
from search.catalog.tracks import file_track_from_bytes, track_to_bytes

Origin = Literal["teach", "spans", "feedback"]


@dataclass(frozen=True, slots=True)
class LessonExample:
    """An example of an action, or of what it is not: a span of a catalogued video, or features of its own.

    Attributes:
        source: Where it is from, to show and to tell examples apart.
        span: [start, end) in seconds, with `video_id`.
        track: For footage that is not in the catalog.
        digest: SHA-256 of the file that the track is from, if that is known.
        origin: Given for a lesson; given so by somebody who labelled all of the action in the video, so
            that what is not labelled there is not it; or a correction.
        id: Of one that is kept.
    """

    is_positive: bool
    source: str
    video_id: int | None = None
    span: tuple[float, float] | None = None
    track: FeatureTrack | None = None
    origin: Origin = "teach"
    digest: str | None = None
    id: int | None = None


class ExampleCatalog(Statements):
    """Reads and writes lesson examples and corrections."""

    def rejected(self, video_id: int) -> dict[str, list[tuple[float, float]]]:
        """Returns by action the spans of a video that users marked as not showing it."""
        kept = action_examples.c
        query = select(kept.action, kept.start_seconds, kept.end_seconds).where(
            kept.video_id == video_id, kept.origin == "feedback", ~kept.is_positive
        )
        found: dict[str, list[tuple[float, float]]] = {}
        for row in self._connection.execute(query):
            found.setdefault(row.action, []).append((row.start_seconds, row.end_seconds))
        return found

    def add_example(self, action: str, example: LessonExample) -> int:
        """Keeps an example, in place of those of the same footage; returns its id.

        A correction takes nothing's place: `search/actions/correcting.py` knows what gives way to it.
        """
        start, end = example.span or (None, None)
        if example.origin != "feedback":
            same = action_examples.c.source == example.source
            if start is not None and end is not None:
                same = and_(
                    action_examples.c.video_id == example.video_id,
                    action_examples.c.start_seconds < end - 1e-6,
                    action_examples.c.end_seconds > start + 1e-6,
                )
            self._connection.execute(delete(action_examples).where(action_examples.c.action == action, same))
        result = self._connection.execute(
            insert(action_examples).values(
                action=action,
                is_positive=example.is_positive,
                origin=example.origin,
                source=example.source,
                video_id=example.video_id,
                start_seconds=start,
                end_seconds=end,
                track=None if example.track is None else track_to_bytes(example.track, example.digest),
                created_at=time.time(),
            )
        )
        return int(result.inserted_primary_key[0])  # type: ignore[index]

    def examples(self, action: str) -> list[LessonExample]:
        """Returns an action's examples, in the order in which they were given."""
        query = select(action_examples).where(action_examples.c.action == action)
        return [_example(row) for row in self._connection.execute(query.order_by(action_examples.c.id))]

    def count_examples(self) -> dict[str, tuple[int, int]]:
        """Counts by action the examples of it, and of what it is not."""
        positive = func.sum(case((action_examples.c.is_positive, 1), else_=0))
        query = select(action_examples.c.action, positive, func.count()).group_by(action_examples.c.action)
        return {row[0]: (int(row[1]), int(row[2] - row[1])) for row in self._connection.execute(query)}

    def examples_state(self) -> tuple[int, int]:
        """Returns a state that changes whenever an example or a correction is added or taken away."""
        query = select(func.count(), func.coalesce(func.max(action_examples.c.id), 0))
        count, last = self._connection.execute(query).one()
        return int(count), int(last)

    def remove_examples(self, action: str, *, origin: Origin | None = None) -> int:
        """Forgets an action's examples, or those of one origin; returns how many."""
        condition = action_examples.c.action == action
        if origin is not None:
            condition = and_(condition, action_examples.c.origin == origin)
        return self._connection.execute(delete(action_examples).where(condition)).rowcount

    def remove_example(self, action: str, example_id: int) -> None:
        """Forgets one example. Raises NotFoundError where the action has none of this id."""
        condition = and_(action_examples.c.action == action, action_examples.c.id == example_id)
        if not self._connection.execute(delete(action_examples).where(condition)).rowcount:
            raise NotFoundError(f"{action!r} has no example {example_id}")

    def examples_of_videos(self, video_ids: Iterable[int]) -> Counter[str]:
        """Counts by action the examples, of it or of what it is not, that are spans of these videos."""
        found: Counter[str] = Counter()
        for chunk in split_into_chunks(video_ids):
            query = (
                select(action_examples.c.action, func.count())
                .where(action_examples.c.video_id.in_(chunk))
                .group_by(action_examples.c.action)
            )
            found.update({row[0]: int(row[1]) for row in self._connection.execute(query)})
        return found

    def remove_examples_of_video(self, video_id: int) -> None:
        """Forgets the spans of a video, whose content is another now."""
        self._connection.execute(delete(action_examples).where(action_examples.c.video_id == video_id))


def _example(row: Any) -> LessonExample:
    track, digest = (None, None) if row.track is None else file_track_from_bytes(row.track)
    return LessonExample(
        is_positive=row.is_positive,
        source=row.source,
        video_id=row.video_id,
        span=None if row.start_seconds is None else (row.start_seconds, row.end_seconds),
        track=track,
        origin=row.origin,
        digest=digest,
        id=row.id,
    )
