"""German, French, Spanish and Chinese nouns: the English word that each means, made by `make_languages`.

English comes first: what stands for something in the table is not in these lists, and an English word is
read as another language's only beside an article or the like of that language: "le chat" is a cat, "chat"
is not.
`languages.gz` comes from Wiktionary and stands under its own licence (CC BY-SA 3.0, `LANGUAGES-LICENSE.txt`),
`chinese.gz` from the Chinese Open Wordnet (`CHINESE-LICENSE.txt`).
"""

from __future__ import annotations

import functools
import gzip
from collections.abc import Iterator
from pathlib import Path

LANGUAGES_PATH = Path(__file__).with_name("languages.gz")
CHINESE_PATH = Path(__file__).with_name("chinese.gz")
_PLURALS = ("s", "x", "es", "e", "n", "en", "er", "nen")
_UMLAUTS = str.maketrans("äöü", "aou")
# Articles, prepositions and the like, which say nothing beside a word of these languages. Those of the first
# lines are no English words: they tell the language.
_TELLING = """der das dem des ein eine einen einem einer eines im auf und von zu zum zur bei vor
    le la un une una du au aux sur dans avec et el los las unos unas del sobre
    一 个 只 条 张 的 在 上 下 里 中 和 与 有 是 了"""
_OTHERS = "die den am mit les l de d en con y al por para"
TELLING = frozenset(_TELLING.split())
OPENING = frozenset(("die", "den", "am", "les"))  # these tell it where a phrase begins with them
EMPTY_ABROAD = TELLING | frozenset(_OTHERS.split())


def english_for(words: str) -> str | None:
    """The English word for a noun in lower case, singular or a regular plural; None if it is in no list."""
    nouns = _nouns()
    return next((nouns[one] for one in _singulars(words) if one in nouns), None)


def _singulars(words: str) -> Iterator[str]:
    """The word itself, then its possible singulars: of "chevaux", "Hunde", "Bäume", "flores"."""
    yield words
    for ending in _PLURALS:
        if words.endswith(ending) and len(words) > len(ending) + 2:
            stem = words[: -len(ending)]
            yield stem
            yield stem.translate(_UMLAUTS)
    if words.endswith("aux"):
        yield f"{words[:-2]}l"
    yield words.translate(_UMLAUTS)


@functools.cache
def _nouns() -> dict[str, str]:
    """Both lists, read when a word is met that is not English."""
    texts = [gzip.decompress(path.read_bytes()).decode() for path in (CHINESE_PATH, LANGUAGES_PATH)]
    return dict(line.split("\t") for text in texts for line in text.split("\n"))
