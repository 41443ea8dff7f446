"""Lesson examples as the catalog keeps them: all that were given, and those that stand."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, insert, null, select

from encoders.errors import NotFoundError
from search.catalog.actions.giving_way import TOUCHING_SECONDS, select_standing
from search.catalog.actions.lesson_examples import LessonExample, Origin
from search.catalog.actions.spans import Span
from search.catalog.statements import Statements, split_into_chunks
from search.catalog.tables import action_examples
from search.catalog.tracks import file_track_from_bytes, track_to_bytes


class ExampleCatalog(Statements):
    """Reads and writes lesson examples and corrections."""

    def rejected(self, video_id: int) -> dict[str, list[Span]]:
        """Returns by action the spans of a video that users marked as not showing it."""
        found: dict[str, list[Span]] = {}
        for action, examples in self._standing(action_examples.c.video_id == video_id).items():
            spans = [
                one.span for one in examples if one.origin == "feedback" and not one.is_positive and one.span
            ]
            if spans:
                found[action] = spans
        return found

    def add_example(self, action: str, example: LessonExample) -> int:
        """Keeps an example, in place of those of the same footage; returns its id.

        A correction deletes nothing: `giving_way` knows what gives way to it.
        """
        start, end = example.span or (None, None)
        if example.origin != "feedback":
            same = action_examples.c.source == example.source
            if start is not None and end is not None:
                same = and_(
                    action_examples.c.video_id == example.video_id,
                    action_examples.c.start_seconds < end - TOUCHING_SECONDS,
                    action_examples.c.end_seconds > start + TOUCHING_SECONDS,
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
        """Returns an action's examples that stand, in the order in which they were given."""
        query = select(action_examples).where(action_examples.c.action == action)
        rows = self._connection.execute(query.order_by(action_examples.c.id))
        return select_standing([_example(row) for row in rows])

    def count_examples(self) -> dict[str, tuple[int, int]]:
        """Counts by action the examples of it that stand, and those of what it is not."""
        return {action: _count_sides(examples) for action, examples in self._standing().items()}

    def count_examples_of(self, action: str) -> tuple[int, int]:
        """Counts the examples of an action that stand, and those of what it is not."""
        return _count_sides(self._standing(action_examples.c.action == action).get(action, []))

    def examples_state(self) -> tuple[int, int]:
        """Returns a state that changes whenever an example or a correction is added or taken away."""
        query = select(func.count(), func.coalesce(func.max(action_examples.c.id), 0))
        count, last = self._connection.execute(query).one()
        return int(count), int(last)

    def remove_examples(self, action: str, *, origin: Origin | None = None) -> int:
        """Forgets an action's examples, or those of one origin; returns how many of them stood."""
        condition = action_examples.c.action == action
        stood = self._standing(condition).get(action, [])
        if origin is not None:
            condition = and_(condition, action_examples.c.origin == origin)
            stood = [one for one in stood if one.origin == origin]
        self._connection.execute(delete(action_examples).where(condition))
        return len(stood)

    def remove_example(self, action: str, example_id: int) -> None:
        """Forgets one example; what had given way to it stands again.

        Raises:
            NotFoundError: The action has none of this id.
        """
        condition = and_(action_examples.c.action == action, action_examples.c.id == example_id)
        if not self._connection.execute(delete(action_examples).where(condition)).rowcount:
            raise NotFoundError(f"{action!r} has no example {example_id}")

    def examples_of_videos(self, video_ids: Iterable[int]) -> Counter[str]:
        """Counts by action the examples, of it or of what it is not, that are spans of these videos."""
        found: Counter[str] = Counter()
        for chunk in split_into_chunks(video_ids):
            standing = self._standing(action_examples.c.video_id.in_(chunk))
            found.update({action: len(examples) for action, examples in standing.items()})
        return found

    def remove_examples_of_video(self, video_id: int) -> None:
        """Forgets the spans of a video, whose content is another now."""
        self._connection.execute(delete(action_examples).where(action_examples.c.video_id == video_id))

    def _standing(self, *conditions: ColumnElement[bool]) -> dict[str, list[LessonExample]]:
        """Returns by action the examples that stand, without their tracks.

        Args:
            conditions: Each takes all of a video or none of it.
        """
        columns = [column for column in action_examples.c if column.name not in ("track", "crc32")]
        query = select(*columns, null().label("track")).where(*conditions).order_by(action_examples.c.id)
        kept: dict[str, list[LessonExample]] = {}
        for row in self._connection.execute(query):
            kept.setdefault(row.action, []).append(_example(row))
        return {action: left for action, examples in kept.items() if (left := select_standing(examples))}


def _count_sides(examples: Sequence[LessonExample]) -> tuple[int, int]:
    positive = sum(one.is_positive for one in examples)
    return positive, len(examples) - positive


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
