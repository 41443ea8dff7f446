"""Bootstrap confidence intervals (Efron 1979).

The samples are drawn again, with replacement, as often as told, and the metric is taken of each draw. The
interval says what another draw of test samples would change, nothing about another training run.

"percentile" takes the ends from the draws as they are. That fails where draws are off to one side: average
precision of few samples is too high, and of samples drawn twice higher again. "basic" (Davison and Hinkley
1997, 5.2) mirrors the draws at the value, which takes that back; the value can then lie near an end, or out.

Where all samples are right, or none, every draw is the same and the bootstrap would be sure of what it cannot
know. `wilson` gives such shares the interval of Wilson (1927, Probable inference, the law of succession, and
statistical inference): after 3 of 3, 0.44 to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Method = Literal["percentile", "basic"]
Unit = Literal["share", "rank", "correlation"]

RANGES: Mapping[Unit, tuple[float, float]] = {
    "share": (0.0, 1.0),
    "rank": (1.0, float("inf")),
    "correlation": (-1.0, 1.0),
}
RESAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure with its interval; NaN where the samples do not say, as of a class that never occurs.

    Attributes:
        value: Of all the samples.
        low: Lower end of the interval.
        high: Upper end of the interval.
        samples: How many were drawn from: rows, or videos where whole videos are drawn.
        unit: "share" (0 to 1), "rank" (from 1, less is better) or "correlation" (-1 to 1).
    """

    value: float
    low: float
    high: float
    samples: int
    unit: Unit = "share"


def with_interval(metric: Callable[..., ArrayLike], *arrays: ArrayLike, seed: int, **options: Any) -> Figure:
    """One figure with its bootstrap interval; as `with_intervals`, for a metric that gives one number.

    Raises:
        ValueError: As `with_intervals`; or the metric gives several numbers.
    """
    figures = with_intervals(metric, *arrays, seed=seed, **options)
    if len(figures) != 1:
        raise ValueError(f"the metric must give one number, got {len(figures)}; use with_intervals")
    return figures[0]


def with_intervals(
    metric: Callable[..., ArrayLike],
    *arrays: ArrayLike,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    groups: Sequence[Hashable] | None = None,
    method: Method = "percentile",
    unit: Unit = "share",
) -> tuple[Figure, ...]:
    """Several figures of the same samples, each with its bootstrap interval.

    Args:
        metric: Takes the arrays, or drawn rows of them; gives one number or K. NaN where it cannot say:
            such draws are left out of that figure's interval.
        arrays: Each (N, ...): the rows belong together and are drawn together.
        seed: The same seed gives the same intervals.
        resamples: How many draws; 0 for figures without an interval (NaN).
        level: The interval's share of the draws, above 0 and below 1.
        groups: N names. Rows of one name, as the clips of one video, are drawn together, because they
            tell less than as many videos would.
        method: How the draws make the interval; "basic" for average precision.
        unit: Of all the figures. No interval leaves the range of its unit.

    Raises:
        ValueError: There are no samples, the arrays differ in length, or an option is out of range.
    """
    columns = [np.asarray(array) for array in arrays]
    count = row_count(columns)
    if method not in ("percentile", "basic"):
        raise ValueError(f"a method must be percentile or basic, got {method!r}")
    if resamples < 0 or not 0.0 < level < 1.0:
        raise ValueError(f"expected resamples >= 0 and 0 < level < 1, got {resamples} and {level}")
    members = None if groups is None else rows_of_groups(groups, count)
    units = count if members is None else len(members)
    values = np.atleast_1d(np.asarray(metric(*columns), dtype=np.float64))
    rng = np.random.default_rng(seed)
    draws = np.empty((resamples, len(values)))
    for draw in draws:
        drawn = rng.integers(units, size=units)
        rows = drawn if members is None else np.concatenate([members[group] for group in drawn])
        draw[:] = metric(*(column[rows] for column in columns))
    ends = ((1 - level) / 2, (1 + level) / 2)
    figures = []
    for value, column in zip(values.tolist(), draws.T, strict=True):
        known = column[~np.isnan(column)]
        low, high = np.quantile(known, ends).tolist() if len(known) else (np.nan, np.nan)
        if method == "basic":
            low, high = np.clip((2 * value - high, 2 * value - low), *RANGES[unit]).tolist()
        figures.append(Figure(value, low, high, units, unit))
    return tuple(figures)


def wilson(share: float, trials: float, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval of a share.

    Args:
        share: Found in the trials, 0..1.
        trials: How many, above 0; need not be whole.
        level: Of the interval, above 0 and below 1.

    Raises:
        ValueError: A number is out of range.
    """
    if not 0.0 <= share <= 1.0 or trials <= 0 or not 0.0 < level < 1.0:
        raise ValueError(f"expected a share of trials and a level, got {share}, {trials} and {level}")
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    reach = z / (1 + z * z / trials) * sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    # At an end the interval reaches it; rounding must not leave it just short.
    low = 0.0 if share == 0.0 else max(0.0, middle - reach)
    return low, 1.0 if share == 1.0 else min(1.0, middle + reach)


def row_count(arrays: Sequence[NDArray[Any]]) -> int:
    """Counts the rows of arrays that must have equally many; raises ValueError where they have not."""
    lengths = {len(array) if array.ndim else 0 for array in arrays}
    if len(lengths) > 1:
        raise ValueError(f"all must have one row for each sample, got {[array.shape for array in arrays]}")
    if not lengths or lengths == {0}:
        raise ValueError("there is nothing to evaluate: no samples")
    return lengths.pop()


def rows_of_groups(groups: Sequence[Hashable], count: int) -> list[NDArray[np.int64]]:
    """The rows of each group, the groups in order of their first row."""
    if len(groups) != count or not count:
        raise ValueError(f"expected a name for each of {count} rows (at least one), got {len(groups)}")
    rows: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    return [np.array(found) for found in rows.values()]
