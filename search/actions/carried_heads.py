"""Heads that come from another library, in a file: whether one is whole, and what it says of its lesson."""

from __future__ import annotations

import math
from dataclasses import MISSING, fields
from typing import Any

from encoders.errors import HeadFileError
from encoders.heads.action_names import normalise_action
from encoders.heads.head import Head, check_numbers
from encoders.weights.tensors import read_card
from search.catalog.actions.heads import WHOLE_HEAD_PREFIX


def check_carried(head: Head, dim: int) -> str:
    """Returns the name that a head from a file gets in a library: its one action's, else that of its kind.

    Args:
        head: As it was read.
        dim: D of the library's features.

    Raises:
        HeadFileError: Its numbers or its names are not what a head of its kind has.
    """
    head.check(dim)
    check_numbers((), head.threshold)
    for name in head.actions:
        if not isinstance(name, str) or normalise_action(name) != name:
            raise HeadFileError(f"{name!r} is not how a head spells an action")
    if len(set(head.actions)) != len(head.actions) or not head.actions:
        raise HeadFileError(f"the head knows {head.actions}, expected one or more different actions")
    return head.actions[0] if len(head.actions) == 1 else f"{WHOLE_HEAD_PREFIX}{head.kind}"


def carried_report(content: bytes) -> dict[str, Any]:
    """Reads the report of its lesson in a head's file, empty where there is none that is whole."""
    from encoders.lessons.lesson import TeachReport
    from encoders.lessons.spans import LocaliserReport

    carried = read_card(content).get("report")
    report = _whole_report(carried, TeachReport)
    if isinstance(carried, dict) and report:
        report["localiser"] = _whole_report(carried.get("localiser"), LocaliserReport) or None
    return report


def _whole_report(found: object, report: type) -> dict[str, Any]:
    """Returns the fields of a report, each of its own kind; empty where one is not."""
    kinds: dict[str, type] = {"int": int, "bool": bool, "str": str}
    values: dict[str, Any] = {}
    for field in fields(report):
        kind = str(field.type)
        # What a report from before has no word of is as its default.
        missing = ... if field.default is MISSING else field.default
        value = found.get(field.name, missing) if isinstance(found, dict) else ...
        is_right = type(value) is kinds[kind] if kind in kinds else _is_figure(value, "None" in kind)
        if not is_right:
            return {}
        values[field.name] = value
    return values


def _is_figure(value: object, may_be_none: bool) -> bool:
    if value is None:
        return may_be_none
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
