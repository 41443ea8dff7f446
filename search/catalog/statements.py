"""Shared parts of the catalog's statements: a connection, chunks of values, conditions."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from operator import ge, le
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, and_, case, or_, update

from encoders.errors import InvalidQueryError
from search.catalog.tables import library, videos
from search.dates import RecordedBound, WallTime
from search.file_names import stored_path
from search.types import Filters, SegmentQuery

ROWS_PER_STATEMENT = 500
Value = TypeVar("Value")
ANY_ENDING = "*"
DAY_SECONDS = 86_400.0


class Statements:
    """Statements over the connection of a transaction; never commits."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def change_filters(self) -> None:
        """Notes that a filter may let other clips through, in a transaction that shows and hides none.

        To be called before what it stands for: all who write begin with the library's row, so that on
        PostgreSQL none waits for another that waits for it.
        """
        self._connection.execute(update(library).values(filter_revision=library.c.filter_revision + 1))


def split_into_chunks(values: Iterable[Value]) -> Iterator[list[Value]]:
    """Yields lists of at most 500 values, as many as one statement may name."""
    every = list(values)
    for start in range(0, len(every), ROWS_PER_STATEMENT):
        yield every[start : start + ROWS_PER_STATEMENT]


def path_key(path: str) -> str:
    """Spells a path as paths are compared: in NFC.

    Disks of Macs spell an umlaut as a letter and a mark of its own (NFD), keyboards as one letter; both are
    one name to people (Unicode Standard Annex 15).
    """
    return unicodedata.normalize("NFC", path)


def path_prefix_condition(prefix: str) -> ColumnElement[bool]:
    """Selects the file or folder of a name and all that lies below, as ranges that the index on paths serves.

    With a star at its end the prefix is any beginning: "/archive/foot*" takes "/archive/football" and
    "/archive/footage.mp4". An empty one takes everything.

    Raises:
        InvalidQueryError: The prefix cannot be a path on any system.
    """
    prefix = stored_path(prefix)
    if "\0" in prefix or any(0xD800 <= ord(character) <= 0xDFFF for character in prefix):
        raise InvalidQueryError("the path prefix holds characters that no path can hold")
    if prefix.endswith(ANY_ENDING) or not prefix:
        return _starts_with(path_key(prefix.removesuffix(ANY_ENDING)))
    return below_condition(prefix)


def below_condition(path: str) -> ColumnElement[bool]:
    """Selects the file or folder of a name, and all that lies below."""
    stem = path_key(path).rstrip("/")
    return or_(videos.c.path_key == stem, _starts_with(f"{stem}/"))


def _starts_with(text: str) -> ColumnElement[bool]:
    stem = text.rstrip("\U0010ffff")
    if not stem:
        return videos.c.path_key >= text
    following = ord(stem[-1]) + 1
    if following == 0xD800:  # surrogates are no characters: step over them
        following = 0xE000
    return and_(videos.c.path_key >= text, videos.c.path_key < stem[:-1] + chr(following))


def recorded_conditions(
    after: RecordedBound | None, before: RecordedBound | None
) -> list[ColumnElement[bool]]:
    """Selects videos that were recorded between two bounds, both inclusive."""
    bounds = ((after, ge, -1), (before, le, 1))
    return [_recorded(bound, compare, sign) for bound, compare, sign in bounds if bound is not None]


def _recorded(
    bound: RecordedBound, compare: Callable[[Any, float], ColumnElement[bool]], sign: int
) -> ColumnElement[bool]:
    moment, offset = videos.c.recorded_at, videos.c.recorded_offset_seconds
    if not isinstance(bound, WallTime):
        return compare(moment, bound)
    there = and_(offset.is_not(None), compare(moment + offset, bound.wall_seconds))
    here = and_(offset.is_(None), compare(moment, bound.seconds))
    # No clock is a day ahead or behind: a range that the index can serve.
    return and_(compare(moment, bound.wall_seconds + sign * DAY_SECONDS), or_(there, here))


def video_conditions(filters: Filters | SegmentQuery) -> list[ColumnElement[bool]]:
    """Returns the conditions of a filter that concern the video: its path, and when it was recorded."""
    recorded = recorded_conditions(filters.recorded_after, filters.recorded_before)
    return (
        recorded if filters.path_prefix is None else [path_prefix_condition(filters.path_prefix), *recorded]
    )


def smaller(one: ColumnElement[float], other: ColumnElement[float]) -> ColumnElement[float]:
    """Returns the smaller: LEAST of PostgreSQL, which SQLite calls otherwise."""
    return case((one < other, one), else_=other)


def larger(one: ColumnElement[float], other: ColumnElement[float]) -> ColumnElement[float]:
    """Returns the larger: GREATEST of PostgreSQL, which SQLite calls otherwise."""
    return case((one > other, one), else_=other)
