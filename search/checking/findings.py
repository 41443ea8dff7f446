"""Findings: results of the checks of a catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check.

    Attributes:
        name: Of the check, in a few words.
        looked_at: How many things it looked at.
        wrong: How many of them are not as they must be.
        message: What is wrong and what to do; empty where nothing is.
        examples: Some of the wrong ones, by name.
        mend: Mends them and says what it did; None where only people can.
    """

    name: str
    looked_at: int
    wrong: int = 0
    message: str = ""
    examples: tuple[str, ...] = ()
    mend: Callable[[], str] | None = None


def finding(
    name: str, looked_at: int, wrong: Sequence[str], message: str, mend: Callable[[], str] | None = None
) -> Finding:
    """Makes a finding about things by their names, all as they must be where none is wrong."""
    if not wrong:
        return Finding(name, looked_at)
    return Finding(name, looked_at, len(wrong), message, tuple(wrong[:EXAMPLES]), mend)


def name_rows(what: str, ids: Iterable[object]) -> list[str]:
    """Names rows by what they are and their ids."""
    return [f"{what} {one}" for one in ids]


def count_rows(connection: Connection, table: Any, *conditions: ColumnElement[bool]) -> int:
    """Counts rows."""
    return connection.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one()
