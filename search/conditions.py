"""Conditions that several statements of the catalog share."""

from __future__ import annotations

import unicodedata

from sqlalchemy import ColumnElement, and_, case, or_

from encoders.errors import InvalidQueryError
from search.file_names import stored_path
from search.tables import videos

ANY_ENDING = "*"


def path_key(path: str) -> str:
    """A path in the one spelling that paths are compared in: NFC.

    Disks of Macs spell an umlaut as a letter and a mark of its own (NFD), keyboards as one letter; both are
    one name to people (Unicode Standard Annex 15).
    """
    return unicodedata.normalize("NFC", path)


def path_prefix_condition(prefix: str) -> ColumnElement[bool]:
    """The file or folder of a name and all that lies below, as ranges that the index on paths can serve.

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
    """The file or folder of a name, and all that lies below."""
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
