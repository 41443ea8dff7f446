"""Names of actions: one spelling, and what people type mapped to what heads know. Imports no model."""

from __future__ import annotations

import difflib
import functools
import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from encoders.errors import InvalidQueryError
from encoders.heads.action_synonyms import SYNONYMS

MAX_NAME_LENGTH = 100
MAX_SUGGESTIONS = 8

# Words that say who acts, or nothing: "a man running" is "running".
_EMPTY_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a an the of on in at to into with and or for from by some someone somebody person people
        man men woman women boy boys girl girls child children kid kids guy guys is are being""",
    )
)
# Where taking off an ending does not lead to the same stem.
_IRREGULAR = {"tying": "tie", "lying": "lie", "dying": "die", "dyeing": "dye", "skis": "ski"}
# Joins letters in Indian and Persian writing, and parts of emojis; other invisible signs join nothing.
_JOINERS = "\u200c\u200d"


@dataclass(frozen=True, slots=True)
class NameMatch:
    """The known names that a typed one means.

    Attributes:
        names: Known names as they are spelled there; none of them where `how` is "none".
        how: "exact" (up to spelling and inflection), "synonym" (by the table), "words" (the names
            hold all the typed words) or "none".
        suggestions: Where `how` is "none", known names that are close, at most 8, best first.
    """

    names: tuple[str, ...]
    how: Literal["exact", "synonym", "words", "none"]
    suggestions: tuple[str, ...] = ()


def normalise_action(name: str) -> str:
    """The one spelling of an action's name: NFC, trimmed, single spaces, casefolded.

    Raises:
        InvalidQueryError: The name is blank or longer than 100 characters, or holds what would break
            a file that it is written to: line breaks, control characters or invalid Unicode.
    """
    name = name.strip()
    for sign in name:
        category = unicodedata.category(sign)
        if category in ("Cc", "Cs", "Zl", "Zp") or (category == "Cf" and sign not in _JOINERS):
            raise InvalidQueryError(
                f"the action name {_shown(name)} holds the character U+{ord(sign):04X}; expected a name "
                "on one line, without control characters"
            )
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())
    result = " ".join(unicodedata.normalize("NFC", folded.casefold()).split())
    if not any(unicodedata.category(sign)[0] in "LNSP" for sign in result):
        raise InvalidQueryError("the action name is blank; expected a word or a few, such as 'running'")
    if len(result) > MAX_NAME_LENGTH:
        raise InvalidQueryError(
            f"the action name {_shown(name)} has {len(result)} characters, expected at most {MAX_NAME_LENGTH}"
        )
    return result


@functools.cache
def kinetics_400_names() -> tuple[str, ...]:
    """The 400 names in the order of the classifiers' outputs, as torchvision's weights name them.

    The first call imports torchvision, which takes seconds. Kay et al. 2017 (arXiv:1705.06950).
    """
    from torchvision.models.video import S3D_Weights

    return tuple(normalise_action(name) for name in S3D_Weights.KINETICS400_V1.meta["categories"])


def find_names(typed: str, known: Collection[str], *, more_general: bool = True) -> NameMatch:
    """The known names that somebody means who types this.

    The same name, up to inflection ("dance", "dancing"), wins alone. Then the table of synonyms is
    asked, from the general to the particular ("running" finds "jogging") and back ("jogging" finds a
    head that was taught "running"); known names that the table does not list join in if they hold the
    typed words. Then names that hold all the typed words ("guitar" finds "strumming guitar").

    Args:
        typed: One action.
        known: Names that heads know.
        more_general: Whether names that the table has for something more general count too. What is
            labelled so need not show what was typed.

    Raises:
        InvalidQueryError: `typed` is no name of an action.
    """
    wanted = normalise_action(typed)
    spellings = {name: normalise_action(name) for name in known}
    exact = [name for name, spelling in spellings.items() if spelling == wanted]
    if not exact:
        together = _written_together(wanted)
        exact = [name for name, spelling in spellings.items() if _written_together(spelling) & together]
    if exact:
        return NameMatch(tuple(exact), "exact")
    stems = {name: content_stems(spelling) for name, spelling in spellings.items()}
    content = content_stems(wanted)
    holding = {name for name, held in stems.items() if content and content <= held}
    meant = _synonyms(content, more_general)
    listed = [name for name in known if stems[name] in meant]
    if listed:
        new = {name for name in holding if stems[name] not in _listed()}
        return NameMatch(tuple(name for name in known if name in new or name in listed), "synonym")
    if holding:
        return NameMatch(tuple(name for name in known if name in holding), "words")
    return NameMatch((), "none", _suggestions(wanted, spellings, stems))


def content_stems(name: str) -> frozenset[str]:
    """The stems of a normalised name's words, without those that say nothing ("a", "person")."""
    return frozenset(_stem(word) for word in _words(name) if word not in _EMPTY_WORDS)


def _suggestions(wanted: str, spellings: dict[str, str], stems: dict[str, frozenset[str]]) -> tuple[str, ...]:
    """Near by the spelling of the table's words, then of the whole, then of single words."""
    content = content_stems(wanted)
    everyday = [alias for aliases, _ in SYNONYMS for alias in aliases]
    found: list[str] = []
    for close in difflib.get_close_matches(wanted, everyday, n=2, cutoff=0.8):
        meant = _synonyms(content_stems(close))
        found += [name for name in spellings if stems[name] in meant][: MAX_SUGGESTIONS // 2]
    by_spelling = {spelling: name for name, spelling in spellings.items()}
    found += [by_spelling[close] for close in difflib.get_close_matches(wanted, by_spelling, n=4, cutoff=0.7)]
    vocabulary = frozenset().union(*stems.values())
    near = set(content)
    for stem in content - vocabulary:
        near.update(difflib.get_close_matches(stem, vocabulary, n=2, cutoff=0.75))
    shared = {name: len(near & held) / len(held | content) for name, held in stems.items() if near & held}
    found += sorted(shared, key=lambda name: -shared[name])
    return tuple(dict.fromkeys(found))[:MAX_SUGGESTIONS]


def _synonyms(content: frozenset[str], more_general: bool = True) -> set[frozenset[str]]:
    """The content of all names that the table gives for one."""
    meant: set[frozenset[str]] = set()
    for aliases, names in _table():
        if content in aliases:
            meant |= aliases | names
        elif more_general and content in names:
            meant |= aliases
    return meant


@functools.cache
def _table() -> list[tuple[set[frozenset[str]], set[frozenset[str]]]]:
    def contents(names: Iterable[str]) -> set[frozenset[str]]:
        return {content_stems(name) for name in names}

    return [(contents(aliases), contents(names)) for aliases, names in SYNONYMS]


@functools.cache
def _listed() -> frozenset[frozenset[str]]:
    return frozenset(content for _, names in _table() for content in names)


def _words(name: str) -> list[str]:
    return re.findall(r"\w+", name)


def _written_together(name: str) -> set[str]:
    """Some of it is the same for "push up", "push-ups" and "pushups", for "tie a tie" and "tying a tie"."""
    words = _words(name) or [name]
    return {"".join(map(_stem, words)), _stem("".join(words))}


def _stem(word: str) -> str:
    """The stem that "run", "runs" and "running" share; not always a word."""
    word = _IRREGULAR.get(word, word)
    if len(word) > 4 and word.endswith("ies"):
        word = word[:-3] + "y"
    elif len(word) > 4 and word.endswith(("shes", "ches", "xes", "sses", "zzes")):
        word = word[:-2]
    elif len(word) > 2 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    if word.endswith("ing") and re.search(r"[aeiouy]", word[:-3]) and len(word) > 4:
        word = word[:-3]
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiou":
        word = word[:-1]
    return word[:-1] if len(word) > 3 and word.endswith("e") else word


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 40 else name[:40] + "...")
