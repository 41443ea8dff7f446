"""What general words cover, by WordNet's own database: never by the table that the encoder uses.

The database (`$REELSEEK_WORDNET`, else /usr/share/wordnet, which Debian's wordnet-base fills) is read here
line by line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from timm.data import ImageNetInfo

# Words as people say them, and the synset that they mean.
GENERAL = {
    "dog": "02084071", "bird": "01503061", "fish": "02512053", "cat": "02121620", "snake": "01726692",
    "insect": "02159955", "monkey": "02484322", "bear": "02131653", "spider": "01772222",
    "lizard": "01674464", "turtle": "01662784", "butterfly": "02274259", "fruit": "13134947",
    "vegetable": "07707451",
    "food": "00021265", "furniture": "03405725", "instrument": "03800933", "tool": "04451818",
    "building": "02913152", "vehicle": "04524313", "car": "02958343", "truck": "04490091", "boat": "02858304",
    "ship": "04194289", "hat": "03497657", "clothing": "03051540", "ball": "02778669", "weapon": "04565375",
}  # fmt: skip
# More of them, none of which is a class and all of which have many below them.
MORE_GENERAL = {
    "frog": "01639765", "aircraft": "02686568", "bottle": "02876657", "fungus": "12992868",
    "computer": "03082979", "bag": "02773037", "animal": "00015388", "toy": "03964744",
}  # fmt: skip
# Kinds whose members answer each other's pictures; of other things only the same photograph does.
BASIC = {
    name: (GENERAL | MORE_GENERAL)[name]
    for name in (
        *("dog", "cat", "bird", "fish", "snake", "lizard", "frog", "turtle", "insect", "spider", "monkey"),
        *("bear", "car", "truck", "boat", "ship", "fruit", "vegetable", "furniture", "hat", "bottle", "ball"),
        *("fungus", "weapon", "computer", "bag"),
    )
} | {"shark": "01482330", "airplane": "02691156", "train": "04468005"}


@cache
def class_numbers(offset: str) -> frozenset[int]:
    """The numbers of ImageNet's classes at a synset of WordNet's nouns and below it."""
    below = synsets_below(offset)
    return frozenset(n for n, synset in enumerate(ImageNetInfo().label_names()) if synset in below)


@cache
def names_of_classes() -> tuple[frozenset[str], ...]:
    """All names of each class's synset, by its number: a crane is a bird and a machine."""
    described = ImageNetInfo().label_descriptions(detailed=True)
    return tuple(frozenset(map(str.strip, one.partition(":")[0].split(","))) for one in described)


@cache
def synsets_below(offset: str) -> frozenset[str]:
    """A synset of WordNet's nouns and all below it, as ImageNet numbers them ("n02084071")."""
    below = _children()
    found, todo = set(), [offset]
    while todo:
        one = todo.pop()
        if one not in found:
            found.add(one)
            todo += below.get(one, ())
    return frozenset(f"n{one}" for one in found)


@cache
def _children() -> dict[str, list[str]]:
    """By offset, the offsets of the hyponyms and instances (pointers ~ and ~i of wndb(5WN))."""
    file = Path(os.environ.get("REELSEEK_WORDNET") or "/usr/share/wordnet") / "data.noun"
    if not file.is_file():
        raise SystemExit(f"there is no WordNet database at {file.parent}; REELSEEK_WORDNET names one")
    children = {}
    for line in file.read_text().splitlines():
        if not line.startswith("  "):
            fields = line.partition("|")[0].split()
            children[fields[0]] = list(_pointed(fields))
    return children


def _pointed(fields: list[str]) -> Iterator[str]:
    start = 5 + 2 * int(fields[3], 16)
    for sign, offset in zip(fields[start::4], fields[start + 1 :: 4], strict=False):
        if sign in ("~", "~i"):
            yield offset
