"""Makes the table of words from WordNet 3.0: which of ImageNet's thousand classes each word covers.

    python -m encoders.words.make_table /usr/share/wordnet

The folder holds WordNet's database (Debian: the package `wordnet-base`). A class of ImageNet is a noun's
synset, its number the synset's offset in `data.noun`. A word covers the classes below the first of its
senses that has any and that people mean:

- senses in WordNet's order, which is that of their frequency;
- of things that are seen: animals, artifacts, food and the like, not acts, states or "whole" and "matter";
- not where an earlier sense is ten times as frequent: a "head" is no headland.

A class's own name, as torchvision spells it, covers that class, whatever else it may mean; a word that
names several classes ("crane", bird and machine) covers them all. Where no sense covers a class, a kind
of one does for it ("tennis racket": racket), and for an animal the nearest group above that has at most
four classes: with one class taken away from the classifier, its photograph was found by them at a mean
reciprocal rank of 0.59, by sentence likeness to the other names at 0.41, while for artifacts it is the
other way round (even classes).
"""

from __future__ import annotations

import argparse
import gzip
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from encoders.words.spelling import split_words
from encoders.words.table import TABLE_PATH

# Lexicographer files (lexnames(5WN)) of what can be seen, and the top synsets that words are used for.
SEEN_FILES = frozenset({"05", "06", "08", "10", "13", "17", "18", "19", "20", "25", "27"})
SEEN_TOPS = frozenset({"animal", "person", "plant", "food", "artifact"})
ANIMAL_FILE = "05"
DOMINANCE = 10
NEAREST_KINDS = 4


@dataclass(frozen=True, slots=True)
class Synset:
    """A meaning: its words, the synsets above it, the lexicographer file that it is in."""

    words: tuple[str, ...]
    above: tuple[str, ...]
    file: str


class WordNet:
    """The nouns of WordNet, and a list of all words.

    Args:
        folder: Where `data.noun`, `index.*`, `*.exc` and `cntlist.rev` are.
        classes: Offset of each class, in the order of the classifier's outputs.
    """

    def __init__(self, folder: Path, classes: list[str]) -> None:
        self._folder = folder
        self._classes = classes
        self.synsets = dict(map(_read_synset, _lines(folder / "data.noun")))
        self.senses = dict(map(_read_senses, _lines(folder / "index.noun")))

    @cached_property
    def counts(self) -> dict[tuple[str, int], int]:
        """Counts of a noun's n-th sense, from 1, in the texts that WordNet's makers tagged."""
        counts = {}
        for line in _lines(self._folder / "cntlist.rev"):
            key, number, count = line.split()
            word, _, rest = key.partition("%")
            if rest[0] == "1":
                counts[word, int(number)] = int(count)
        return counts

    @cached_property
    def kinds(self) -> dict[str, frozenset[int]]:
        """By offset of a synset, the classes that are it or below it; only of those that have some."""
        kinds: dict[str, set[int]] = defaultdict(set)
        for number, offset in enumerate(self._classes):
            for one in self.all_above(offset):
                kinds[one].add(number)
        return {offset: frozenset(numbers) for offset, numbers in kinds.items()}

    def all_above(self, offset: str) -> set[str]:
        """A synset and all above it."""
        found, todo = set(), [offset]
        while todo:
            one = todo.pop()
            if one not in found:
                found.add(one)
                todo += self.synsets[one].above
        return found

    def is_seen(self, offset: str) -> bool:
        """True where it means what a picture may show, and not something as wide as "whole"."""
        synset = self.synsets[offset]
        return synset.file in SEEN_FILES or (synset.file == "03" and synset.words[0] in SEEN_TOPS)

    def meant(self, word: str) -> list[str]:
        """The synsets that a noun stands for in the table; none where none has classes."""
        senses = self.senses[word]
        useful = [place for place, one in enumerate(senses) if one in self.kinds and self.is_seen(one)]
        if not useful:
            return []
        first = useful[0]
        counts = [self.counts.get((word, place + 1), 0) for place in range(len(senses))]
        if max(counts[:first], default=0) >= DOMINANCE * (counts[first] + 1):
            return []
        if senses[first] in self._classes:  # it names a class, and so may its other senses
            return [senses[place] for place in useful if senses[place] in self._classes]
        return [senses[first]]

    def nearest(self, word: str) -> list[str]:
        """The stand-in for a noun without classes: the class above it, or an animal's small group."""
        classes = set(self._classes)
        for sense in self.senses[word]:
            for group in self._groups_above(sense):
                small = len(self.kinds[group]) <= NEAREST_KINDS
                of_class = bool(self.all_above(group) & classes)
                if of_class or (small and self.synsets[sense].file == ANIMAL_FILE):
                    return [group]
            if self.is_seen(sense):  # rarer senses are not what people mean
                return []
        return []

    def _groups_above(self, offset: str) -> list[str]:
        """The nearest synsets above that have classes, the smallest first."""
        todo = list(self.synsets[offset].above)
        while todo:
            having = [one for one in todo if one in self.kinds]
            if having:
                return sorted(having, key=lambda one: (len(self.kinds[one]), one))
            todo = [above for one in todo for above in self.synsets[one].above]
        return []


def make_table(folder: Path, classes: list[str], names: tuple[str, ...]) -> str:
    """The table's text, as `encoders.words.table` reads it.

    Args:
        folder: WordNet's database.
        classes: Offset of each class.
        names: What torchvision calls them.
    """
    wordnet = WordNet(folder, classes)
    own: dict[str, list[str]] = defaultdict(list)
    for offset, name in zip(classes, names, strict=True):
        own[" ".join(split_words(name))].append(offset)
    covered: dict[str, tuple[str, list[str]]] = {}
    for word in wordnet.senses:
        spelled = " ".join(split_words(word.replace("_", " ")))
        for sign, meant in (("", wordnet.meant(word)), ("~", wordnet.nearest(word))):
            if meant and (spelled not in covered or len(sign) < len(covered[spelled][0])):
                covered[spelled] = (sign, meant)
                break
    for word, offsets in own.items():
        before = covered.get(word, ("", []))[1]
        covered[word] = ("", offsets + [one for one in before if one in classes and one not in offsets])
    used = sorted({offset for _, meant in covered.values() for offset in meant})
    numbers = {offset: number for number, offset in enumerate(used)}
    own_names = dict(zip(classes, names, strict=True))
    sections = [
        [
            f"{own_names.get(one) or wordnet.synsets[one].words[0].replace('_', ' ')}"
            f"\t{_ranges(wordnet.kinds[one])}"
            for one in used
        ],
        [
            f"{word}\t{sign}{' '.join(str(numbers[one]) for one in meant)}"
            for word, (sign, meant) in sorted(covered.items())
        ],
        _irregular(folder),
        sorted(_vocabulary(folder)),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def pack(text: str) -> bytes:
    """The table's file: gzip, the same bytes each time."""
    return gzip.compress(text.encode(), 9, mtime=0)


def imagenet_classes() -> list[str]:
    """Offset in `data.noun` of each class, in the order of the classifier's outputs."""
    from timm.data import ImageNetInfo

    return [label[1:] for label in ImageNetInfo("imagenet-1k").label_names()]


def _irregular(folder: Path) -> list[str]:
    """Irregular plurals of single words: "mice" of "mouse"."""
    pairs = (line.split()[:2] for line in _lines(folder / "noun.exc"))
    return [f"{plural}\t{word}" for plural, word in sorted(pairs) if "_" not in plural + word]


def _vocabulary(folder: Path) -> set[str]:
    """Single words of all parts of speech, and irregular forms of verbs and adjectives."""
    words: Iterable[str] = (
        line.split()[0]
        for name in ("index.noun", "index.verb", "index.adj", "index.adv", "verb.exc", "adj.exc")
        for line in _lines(folder / name)
    )
    return {part for word in words for part in split_words(word.replace("_", " ")) if part.isalpha()}


def _ranges(numbers: frozenset[int]) -> str:
    """Class numbers as "3-5 9"."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return " ".join(str(start) if start == end else f"{start}-{end}" for start, end in spans)


def _lines(file: Path) -> Iterable[str]:
    """The lines of a file of the database without its licence, which stands at the top, indented."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return (line for line in lines if line and not line.startswith("  "))


def _read_synset(line: str) -> tuple[str, Synset]:
    """Reads a line of `data.noun`, as wndb(5WN) describes it."""
    fields = line.partition("|")[0].split()
    count = int(fields[3], 16)
    words = tuple(fields[4 : 4 + 2 * count : 2])
    pointers = fields[5 + 2 * count :]
    above = tuple(
        pointers[at + 1]
        for at in range(0, 4 * int(fields[4 + 2 * count]), 4)
        if pointers[at] in ("@", "@i") and pointers[at + 2] == "n"
    )
    return fields[0], Synset(words, above, fields[1])


def _read_senses(line: str) -> tuple[str, list[str]]:
    """Reads a line of `index.noun`, as wndb(5WN) describes it."""
    fields = line.split()
    return fields[0], fields[len(fields) - int(fields[2]) :]


def main() -> None:
    """Writes the table beside this file."""
    from encoders.words.class_names import class_names

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="WordNet's database, e.g. /usr/share/wordnet")
    folder = parser.parse_args().folder
    TABLE_PATH.write_bytes(pack(make_table(folder, imagenet_classes(), class_names())))


if __name__ == "__main__":
    main()
