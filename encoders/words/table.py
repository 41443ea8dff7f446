"""The table of words: which of ImageNet's thousand classes a word covers, made by `make_table`.

Four sections, parted by blank lines: the kinds ("name<tab>class numbers"), the words ("word<tab>numbers
of kinds", after "~" where they are only near), irregular plurals, and words of English. Derived from
WordNet 3.0, whose notice is in `WORDNET-LICENSE.txt` beside it; Miller 1995, doi:10.1145/219717.219748.
"""

from __future__ import annotations

import functools
import gzip
from dataclasses import dataclass
from pathlib import Path

TABLE_PATH = Path(__file__).with_name("wordnet.gz")


@dataclass(frozen=True, slots=True)
class Kind:
    """The meaning of a word.

    Attributes:
        name: What it is called: "dog".
        classes: Numbers of the classes that are it or below it, ascending, at least one.
        exact: Whether the word means these; else they are only what comes nearest to it.
    """

    name: str
    classes: tuple[int, ...]
    exact: bool = True


class WordTable:
    """Looks words up in the table.

    Args:
        text: What `make_table` returned.
    """

    def __init__(self, text: str) -> None:
        kinds, words, plurals, self._vocabulary = text.split("\n\n")
        self._kinds = kinds.split("\n")
        self._words = _read_pairs(words)
        self._plurals = _read_pairs(plurals)
        self.longest = 1 + max(word.count(" ") for word in self._words)

    def kind(self, word: str) -> Kind | None:
        """Looks up a word or several, in lower case with single spaces; None if they stand for nothing."""
        entry = self._words.get(word)
        if entry is None:
            return None
        numbers = [int(number) for number in entry.lstrip("~").split()]
        parts = [self._kinds[number].split("\t") for number in numbers]
        classes = sorted({number for _, ranges in parts for number in _read_ranges(ranges)})
        name = " or ".join(dict.fromkeys(name for name, _ in parts))
        return Kind(name, tuple(classes), not entry.startswith("~"))

    def words(self) -> list[str]:
        """All words, and names of several words, that stand for something."""
        return list(self._words)

    def kinds(self) -> list[Kind]:
        """Every kind that some word stands for, in the order of the table."""
        parts = [kind.split("\t") for kind in self._kinds]
        return [Kind(name, tuple(_read_ranges(ranges))) for name, ranges in parts]

    def singular(self, word: str) -> str | None:
        """The singular of an irregular plural."""
        return self._plurals.get(word)

    def is_english(self, word: str) -> bool:
        """True where a word, in its ground form, is in WordNet's lists of any part of speech."""
        return word in self._plurals or _has_line(self._vocabulary, word)


def _read_pairs(text: str) -> dict[str, str]:
    """Lines of a name, a tab and a value."""
    parts = text.replace("\n", "\t").split("\t")
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _has_line(text: str, line: str) -> bool:
    """Looks for a line among sorted ones, by halving: a set of all 90,000 takes as long as 2,000 searches."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high) // 2
        start, end = text.rfind("\n", low, middle) + 1 or low, text.find("\n", middle)
        end = end if end >= 0 else len(text)
        found = text[start:end]
        if found == line:
            return True
        if found < line:
            low = end + 1
        else:
            high = start
    return False


def _read_ranges(text: str) -> list[int]:
    """The inverse of how `make_table` writes class numbers: "3-5 9"."""
    numbers: list[int] = []
    for part in text.split():
        start, _, end = part.partition("-")
        numbers += range(int(start), int(end or start) + 1)
    return numbers


@functools.cache
def word_table() -> WordTable:
    """The table that is shipped, read once."""
    return WordTable(gzip.decompress(TABLE_PATH.read_bytes()).decode())
