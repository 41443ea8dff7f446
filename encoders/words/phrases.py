"""Takes a phrase apart into the things that it names: "a dog running on the beach" is a dog and a beach."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from encoders.words.everyday import COMPANIONS, SAME
from encoders.words.languages import EMPTY_ABROAD, OPENING, TELLING, english_for
from encoders.words.spelling import near_spellings, singulars, split_words, stems
from encoders.words.table import Kind, WordTable, word_table

MIN_MISTYPED = 5  # shorter words are one letter away from too many others
HALF = 0.5
MOST_SHOWN = 40  # letters of what holds no word
# What says nothing about what is seen; what asks for a picture says nothing beside other words.
_EMPTY = frozenset(
    re.findall(
        r"\S+",
        """a an the this that these those some any no not of in on at to into onto over under above below
        behind before after near by from with without and or but for as is are was were be been being
        am has have had having do does did can could will would may might must shall should it its he
        him his she her hers they them their theirs we us our ours you your yours i me my mine one who
        whom whose which what where when while there here up down out off through across along around
        between among against during very more most much many few several lots lot just only also too
        so than then such other another each every all both either neither own same 's""",
    )
)
_ASKING = frozenset(
    re.findall(
        r"\S+",
        """video videos photo photos photograph photographs picture pictures image images clip clips
        footage film films shot shots scene scenes view views close closeup show shows showing shown
        find look looking see seen search want please something anything someone somebody containing
        contain contains featuring depicting""",
    )
)
# What follows is not to be seen, which nothing here can look for: that is said, and the promise lowered.
_DENYING = frozenset(("no", "not", "without", "never", "none", "nor", "except"))
_GOING_ON = frozenset(("or", "nor"))
_NAMES_END_IN = frozenset(("can",))  # "trash can", "can opener"; alone it is no thing: "what can be seen"
_COLOURS = frozenset(("orange", "rose", "peach", "lemon", "lime", "olive", "salmon", "coral", "chocolate"))


@dataclass(frozen=True, slots=True)
class Named:
    """A thing that a phrase names.

    Attributes:
        words: The piece of the phrase, casefolded.
        meaning: What it was taken for.
        classes: Numbers of the classes that it is; none where only its companions are known.
        companions: Numbers of classes that it is seldom seen without, none of `classes` among them.
        known: How well it is understood, 0..1.
    """

    words: str
    meaning: str
    classes: tuple[int, ...]
    companions: tuple[int, ...]
    known: float


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase taken apart.

    Attributes:
        named: The things that it names, in its order.
        unknown: The other words that say something, as typed but for capitals.
    """

    named: tuple[Named, ...]
    unknown: tuple[str, ...]

    @property
    def known_share(self) -> float:
        """The share that is understood, 0..1; a word that tells what a known thing is like counts half."""
        weight = HALF if self.named else 1.0
        whole = len(self.named) + weight * len(self.unknown)
        return sum(one.known for one in self.named) / whole if whole else 0.0


def read_phrase(text: str) -> Phrase:
    """Finds the longest names first; what is mistyped by one letter counts as what it resembles.

    Nothing here judges sentences: words are taken as nouns wherever a noun is spelled so. "Dog or cat" is one
    thing of either kind; what is denied ("without a hat") is not understood, up to the thing that is meant.
    """
    typed = split_words(text)
    saying = [word for word in typed if word not in _EMPTY and word not in _ASKING]
    empty = _EMPTY | (_ASKING if saying else frozenset[str]())
    pieces, saying_nothing = _pieces(typed, empty - _EMPTY)
    named: list[Named] = []
    unknown: list[str] = []
    denied: list[str] = []  # as far as it goes
    last_denial, is_either = "", False
    for words, found in pieces:
        if found is None and words in _DENYING:
            denied = [words]
        elif denied or (last_denial and words in _GOING_ON):
            denied = denied or [last_denial]
            if found is not None or words not in empty:
                denied.append(words)
            if found is not None:
                unknown.append(" ".join(denied))
                last_denial, denied = denied[0], []
            continue
        elif found is None:
            is_either = (is_either or words == "or") and words in empty
            if words not in empty and words not in unknown:
                unknown.append(words)
        elif is_either and named:
            named[-1] = _either(named[-1], found)
        elif found.meaning not in [one.meaning for one in named]:
            named.append(found)
        last_denial = ""
        is_either &= found is None
    if denied:
        unknown.append(" ".join(denied))
    if not typed and text.strip():
        return Phrase((), (text.strip()[:MOST_SHOWN],))
    return Phrase(tuple(named), tuple(word for word in unknown if word not in saying_nothing))


def _pieces(
    typed: list[str], asking: frozenset[str]
) -> tuple[list[tuple[str, Named | None]], frozenset[str]]:
    """The names and the other words of a phrase in order, and what says nothing in the language it is in."""
    table = word_table()
    corrected = [_corrected(word, table) for word in typed]
    told, abroad = not (TELLING.isdisjoint(typed) and OPENING.isdisjoint(typed[:1])), False
    pieces: list[tuple[str, Named | None]] = []
    at = 0
    while at < len(typed):
        for count in range(min(table.longest, len(typed) - at), 0, -1):
            words = corrected[at : at + count]
            ends = {words[0], words[-1]}
            empty = _EMPTY if count == 1 else _EMPTY - _NAMES_END_IN
            if (ends & empty and len(words) < 3) or ends & asking or words[0] in ("a", "an", "the"):
                continue
            if count == 1 and words[0] in _COLOURS and _tells_colour(corrected[at + 1 :]):
                continue
            spelled = " ".join(typed[at : at + count])
            found = find_named(" ".join(words), spelled)
            if found is None and (told or not all(map(table.is_english, words))):
                found = _find_abroad(" ".join(words))
                abroad = abroad or found is not None
            if found is not None:
                pieces.append((spelled, found))
                at += count
                break
        else:
            pieces.append((typed[at], None))
            at += 1
    return pieces, EMPTY_ABROAD if abroad else frozenset()


def _either(one: Named, other: Named) -> Named:
    """One thing of either kind."""
    classes = tuple(sorted({*one.classes, *other.classes}))
    companions = tuple(sorted({*one.companions, *other.companions}.difference(classes)))
    words, meaning = (f"{a} or {b}" for a, b in ((one.words, other.words), (one.meaning, other.meaning)))
    return Named(words, meaning, classes, companions, min(one.known, other.known))


def find_named(words: str, typed: str | None = None) -> Named | None:
    """Looks up a name, in the singular or the plural; None if it is neither in the tree nor everyday.

    Args:
        words: Words in lower case with single spaces.
        typed: How they were typed, if otherwise.
    """
    typed = typed or words
    spellings = list(_spellings(words))
    kind = next(filter(None, map(_find_kind, spellings)), None)
    listed = next(filter(None, map(_find_listed, spellings)), None)
    if listed is None:
        if kind is None:
            return None
        return Named(typed, kind.name, kind.classes, (), 1.0 if kind.exact else HALF)
    own = kind.classes if kind is not None and kind.exact else ()
    companions = tuple(sorted(_companions(listed) - set(own)))
    meaning = kind.name if kind is not None and kind.exact else listed
    return Named(typed, meaning, own, companions, 1.0 if own else HALF)


def _find_abroad(words: str) -> Named | None:
    """Looks up a German, French, Spanish or Chinese noun."""
    english = english_for(words)
    typed = words.replace(" ", "") if words[0] >= "\u3400" else words  # Chinese parts no words
    return find_named(english, typed) if english else None


def _spellings(words: str) -> Iterator[str]:
    """The name itself, then with its last word's possible singulars."""
    yield words
    before, space, last = words.rpartition(" ")
    irregular = word_table().singular(last)
    for one in [irregular] if irregular else singulars(last):
        yield f"{before}{space}{one}"


def _find_kind(words: str) -> Kind | None:
    """Everyday spellings before WordNet's: who says "tv" means the set."""
    return word_table().kind(_plain(SAME.get(words, words)))


def _find_listed(words: str) -> str | None:
    """Under which word the companions of a thing are listed: its own, or the usual one for it."""
    return next((one for one in (words, SAME.get(words)) if one in COMPANIONS), None)


@functools.cache
def _companions(word: str) -> frozenset[int]:
    table = word_table()
    kinds = (table.kind(_plain(name)) for name in COMPANIONS[word])
    return frozenset(number for kind in kinds if kind for number in kind.classes)


def _plain(name: str) -> str:
    return " ".join(split_words(name))


def _tells_colour(following: list[str]) -> bool:
    """True where a colour that is also a thing stands before the name of a thing: "an orange car"."""
    return bool(following) and following[0] not in _EMPTY and find_named(following[0]) is not None


@functools.lru_cache(maxsize=1024)
def _corrected(word: str, table: WordTable) -> str:
    """A word that is no word of English as one that the table has, if that takes one letter."""
    if len(word) < MIN_MISTYPED or not word.isascii() or not word.isalpha():
        return word
    known = _all_words()
    if any(one in known or table.is_english(one) for one in (word, *stems(word))) or english_for(word):
        return word
    near = (one for one in near_spellings(word) if any(form in known for form in (one, *singulars(one))))
    return next(near, word)


@functools.cache
def _all_words() -> frozenset[str]:
    """All words that names of things are made of."""
    names = [*word_table().words(), *SAME, *COMPANIONS]
    return frozenset(word for name in names for word in name.split()) | _EMPTY | _ASKING
