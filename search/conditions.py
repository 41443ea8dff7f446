"""Conditions that several statements of the catalog share."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, case

from encoders.errors import InvalidQueryError
from search.tables import videos


def path_prefix_condition(prefix: str) -> ColumnElement[bool]:
    """Paths that start with a string, as a range that the index on paths can serve.

    Raises:
        InvalidQueryError: The prefix cannot be a path on any system.
    """
    if "\0" in prefix or any(0xD800 <= ord(character) <= 0xDFFF for character in prefix):
        raise InvalidQueryError("the path prefix holds characters that no path can hold")
    stem = prefix.rstrip("\U0010ffff")
    if not stem:
        return videos.c.path >= prefix
    following = ord(stem[-1]) + 1
    if following == 0xD800:  # surrogates are no characters: step over them
        following = 0xE000
    return and_(videos.c.path >= prefix, videos.c.path < stem[:-1] + chr(following))


def recorded_conditions(after: float | None, before: float | None) -> list[ColumnElement[bool]]:
    """Videos that were recorded between two moments, both inclusive, in seconds since 1970."""
    bounds = ((after, videos.c.recorded_at.__ge__), (before, videos.c.recorded_at.__le__))
    return [compare(bound) for bound, compare in bounds if bound is not None]


def smaller(one: ColumnElement[float], other: ColumnElement[float]) -> ColumnElement[float]:
    """LEAST of PostgreSQL, which SQLite calls otherwise."""
    return case((one < other, one), else_=other)


def larger(one: ColumnElement[float], other: ColumnElement[float]) -> ColumnElement[float]:
    """GREATEST of PostgreSQL, which SQLite calls otherwise."""
    return case((one > other, one), else_=other)
