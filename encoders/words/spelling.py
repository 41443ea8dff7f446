"""Spelling, inflection and typing errors: the rules that make two spellings one word."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator

# Princeton's rules of detachment for nouns (morphy(7WN)); what they do not cover is in the table.
_NOUN_ENDINGS = (
    ("ses", "s"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
    ("ies", "y"),
    ("s", ""),
)
_VERB_ENDINGS = (
    ("ies", "y"),
    ("es", "e"),
    ("es", ""),
    ("s", ""),
    ("ed", "e"),
    ("ed", ""),
    ("ied", "y"),
    ("ing", "e"),
    ("ing", ""),
    ("er", ""),
    ("er", "e"),
    ("est", ""),
    ("est", "e"),
)
# A Chinese sign is a word of its own: names of several are found as names of several words are.
_CHINESE = r"\u3400-\u9fff\U00020000-\U0002ffff"
_WORD = re.compile(rf"[{_CHINESE}]|[^\W_{_CHINESE}]+(?:'[^\W\d_{_CHINESE}]+)?")


def split_words(text: str) -> list[str]:
    """The words of a text in order, casefolded; hyphens and other signs part words, apostrophes do not."""
    return _WORD.findall(text.casefold().replace("’", "'"))


def singulars(word: str) -> Iterator[str]:
    """The possible singulars of a regular plural, in the order of the rules; also "dog" of "dog's"."""
    if word.endswith(("'s", "'")):
        word = word.rpartition("'")[0]
        yield word
    for ending, instead in _NOUN_ENDINGS:
        if word.endswith(ending) and len(word) > len(ending) + 1 and not word.endswith("ss"):
            yield word[: -len(ending)] + instead


def stems(word: str) -> Iterator[str]:
    """The possible ground forms of a noun, verb or adjective."""
    yield from singulars(word)
    for ending, instead in _VERB_ENDINGS:
        if word.endswith(ending) and len(word) > len(ending) + 1:
            base = word[: -len(ending)]
            yield base + instead
            if not instead and len(base) > 2 and base[-1] == base[-2]:  # "running", "bigger"
                yield base[:-1]


def near_spellings(word: str) -> Iterator[str]:
    """All that one letter less, more or other, or two neighbours swapped, make of a word.

    Swaps come first, then lost and doubled letters, then others: in the order in which fingers err.
    """
    splits = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    yield from (a + b[1] + b[0] + b[2:] for a, b in splits if len(b) > 1)
    yield from (a + b[1:] for a, b in splits if b)
    yield from (a + letter + b for a, b in splits for letter in string.ascii_lowercase)
    yield from (a + letter + b[1:] for a, b in splits if b for letter in string.ascii_lowercase)
