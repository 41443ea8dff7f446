"""Bands of the probability that a hit shows what was asked for, defined here once."""

from __future__ import annotations

from typing import Literal

Band = Literal["match", "maybe", "unlikely"]
MATCH_PROBABILITY = 0.5
MAYBE_PROBABILITY = 0.03


def band_of(probability: float) -> Band:
    """The band of a probability, 0..1, that a hit shows what was asked for.

    "match": more probable than not. "maybe": worth a look. "unlikely": fewer than one in thirty of such
    hits show it; an answer of these alone says that there is nothing.
    """
    if probability >= MATCH_PROBABILITY:
        return "match"
    return "maybe" if probability >= MAYBE_PROBABILITY else "unlikely"
