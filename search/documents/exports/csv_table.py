"""Segments as a table (CSV) for spreadsheets."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

from search.documents.exports.text import cell
from search.types import Segment

_ROWS_AT_ONCE = 1000
_CSV_COLUMNS = tuple(field.name for field in fields(Segment))


def to_csv(segments: Iterable[Segment]) -> Iterator[str]:
    """Writes a table (RFC 4180, UTF-8 without byte order mark), headed by the names that the JSON has too.

    Text that a spreadsheet would run as a formula gets an apostrophe in front: it begins with = + - @ or the
    wide ones, in a cell or behind a semicolon, a tab or a bar, which may be a separator there.
    """
    rows: Iterator[Iterable[Any]] = (
        (
            segment.id,
            segment.video_id,
            cell(segment.path),
            round(segment.start_seconds, 6),
            round(segment.end_seconds, 6),
            cell(segment.action),
            round(segment.confidence, 6),
            cell(segment.head),
        )
        for segment in segments
    )
    rows = itertools.chain([_CSV_COLUMNS], rows)
    while batch := list(itertools.islice(rows, _ROWS_AT_ONCE)):
        text = io.StringIO(newline="")
        csv.writer(text).writerows(batch)
        yield text.getvalue()
