"""Figures with their 95 % intervals, and the table that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from encoders.evaluation.intervals import wilson


@dataclass(frozen=True, slots=True)
class Measured:
    """One line of the table.

    Attributes:
        section: "words", "nothing", "lessons", "spans" or "costs".
        name: What was measured, in words.
        value: What came out.
        low, high: Its 95 % interval.
        samples: Of how many queries, lessons or categories.
        goal: What it should be; None where it is only reported.
        at_most: Whether the goal is an upper bound.
    """

    section: str
    name: str
    value: float
    low: float
    high: float
    samples: int
    goal: float | None = None
    at_most: bool = False

    @property
    def holds(self) -> bool:
        """Whether the goal is reached."""
        if self.goal is None:
            return True
        return self.value <= self.goal if self.at_most else self.value >= self.goal

    def as_json(self) -> dict[str, Any]:
        """What the result file holds of it."""
        record = asdict(self)
        return {
            name: round(value, 4) if isinstance(value, float) else value for name, value in record.items()
        }


def measure_share(
    section: str, name: str, right: Sequence[bool], goal: float | None = None, *, at_most: bool = False
) -> Measured:
    """A share of yes and no, with Wilson's interval."""
    share = sum(right) / len(right)
    low, high = wilson(share, len(right))
    return Measured(section, name, share, low, high, len(right), goal, at_most)


def measure_mean(
    section: str, name: str, values: Sequence[float], goal: float | None = None, *, at_most: bool = False
) -> Measured:
    """A mean, with the percentiles of 2,000 draws with replacement (Efron 1979)."""
    numbers = np.asarray(values, np.float64)
    draws = np.random.default_rng(0).integers(len(numbers), size=(2000, len(numbers)))
    low, high = np.quantile(numbers[draws].mean(axis=1), (0.025, 0.975))
    return Measured(
        section, name, float(numbers.mean()), float(low), float(high), len(numbers), goal, at_most
    )


def write_table(found: Sequence[Measured], before: dict[str, float]) -> str:
    """The figures as a table in Markdown; `before` has another version's values by "section: name"."""
    lines = ["| | value | 95 % interval | of | before | goal |", "|---|---|---|---|---|---|"]
    section = ""
    for one in found:
        if one.section != section:
            section = one.section
            lines.append(f"| **{section}** | | | | | |")
        old = before.get(f"{one.section}: {one.name}")
        goal = "" if one.goal is None else f"{'at most' if one.at_most else ''} {one.goal:g}".strip()
        goal += "" if one.holds else ", missed"
        lines.append(
            f"| {one.name} | {one.value:.3f} | {one.low:.3f} to {one.high:.3f} | {one.samples} | "
            f"{'' if old is None else f'{old:.3f}'} | {goal} |"
        )
    return "\n".join(lines)
