"""Heads that come from another library, in a file: whether one is whole, and what it says of its lesson."""

from __future__ import annotations

import math
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

from encoders.errors import HeadFileError
from encoders.heads.action_names import normalise_action
from encoders.heads.taught import TaughtHead
from encoders.heads.windows import PARTS, SCALES_SECONDS
from encoders.weights.tensors import read_card

if TYPE_CHECKING:
    from encoders.heads.localisation import Localiser


def check_taught(head: TaughtHead | Localiser, dim: int) -> str:
    """The name of the action that a head from a file knows.

    Raises:
        HeadFileError: Its numbers or its name are not what a lesson gives.
    """
    numbers: tuple[float, ...]
    if isinstance(head, TaughtHead):
        expected, numbers = (len(SCALES_SECONDS) * len(PARTS) * dim,), (head.bias,)
        if head.weights.shape != expected:
            raise HeadFileError(f"the head holds {len(head.weights)} weights, expected {expected[0]}")
    else:
        numbers = head.calibration
        if head.dim != dim or len(head.actions) != 1:
            raise HeadFileError(
                f"the head reads features of {head.dim} dimensions and knows {len(head.actions)} actions, "
                f"expected {dim} and 1"
            )
    if not (all(map(math.isfinite, numbers)) and 0.0 <= head.threshold <= 1.0):
        raise HeadFileError(f"the head's numbers {numbers} or threshold {head.threshold} are out of range")
    (name,) = head.actions
    if not isinstance(name, str) or normalise_action(name) != name:
        raise HeadFileError(f"{name!r} is not how a head spells an action")
    return name


def carried_report(content: bytes) -> dict[str, Any]:
    """The report of its lesson in a head's file, empty where there is none that is whole."""
    from encoders.lessons.lesson import TeachReport
    from encoders.lessons.spans import LocaliserReport

    carried = read_card(content).get("report")
    report = _whole_report(carried, TeachReport)
    if isinstance(carried, dict) and report:
        report["localiser"] = _whole_report(carried.get("localiser"), LocaliserReport) or None
    return report


def _whole_report(found: object, report: type) -> dict[str, Any]:
    """The fields of a report, each of its own kind; empty where one is not."""
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
