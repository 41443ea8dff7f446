"""Words: general ones, names of classes, phrases of two things, everyday ones.

What is right comes from WordNet's own database (`$REELSEEK_WORDNET`, else /usr/share/wordnet), read here
line by line, and from boxes that people drew: never from the table that the encoder uses.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.answers.archive import Archive, Photograph, Shot, build_archive
from benchmarks.answers.figures import Measured, measure_mean, measure_share
from benchmarks.answers.setup import Setup
from encoders.class_names import class_names
from search.engine import SearchEngine
from search.types import MAX_LIMIT, Hit, Query, TextPart

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
# General words over the names of COCO's things.
EVERYDAY = {
    "people": ("person",),
    "animal": ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"),
    "vehicle": ("bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
    "food": (
        "banana",
        "apple",
        "sandwich",
        "orange",
        "broccoli",
        "carrot",
        "hot dog",
        "pizza",
        "donut",
        "cake",
    ),
    "furniture": ("bench", "chair", "couch", "bed", "dining table"),
    "fruit": ("banana", "apple", "orange"),
    "appliance": ("oven", "microwave", "toaster", "refrigerator"),
    "cutlery": ("fork", "knife", "spoon"),
    "kitchen": ("oven", "microwave", "toaster", "refrigerator"),
    "electronics": ("tv", "laptop", "mouse", "remote", "keyboard", "cell phone"),
}
PAIRS = 60
SINGLES_BESIDE_PAIRS = 240
IsRight = Callable[[Shot], bool]


def measure(setup: Setup) -> list[Measured]:
    """The section "words"."""
    general: list[float] = []
    names: list[bool] = []
    pairs: list[bool] = []
    precisions: list[float] = []
    firsts: list[bool] = []
    for seed in range(setup.seeds):
        archive = setup.archive(seed)
        general += measure_general(archive)
        names += measure_names(archive)
        pairs += measure_pairs(setup, seed)
        everyday = setup.everyday_archive(seed)
        if everyday is not None:
            found = measure_everyday(everyday)
            precisions += [precision for precision, _ in found]
            firsts += [first for _, first in found]
    figures = [
        measure_mean("words", "general words, average precision", general, 0.90),
        measure_share("words", "class names, right shot first", names, 0.90),
        measure_share("words", "two things side by side, right clip first", pairs, 0.80),
    ]
    if precisions:
        figures += [
            measure_mean("words", "everyday words, average precision", precisions, 0.65),
            measure_share("words", "everyday words, first hit right", firsts, 0.75),
        ]
    return figures


def measure_general(archive: Archive) -> list[float]:
    """Average precision of each general word of which the archive shows two shots or more."""
    found = []
    for word, offset in GENERAL.items():
        kinds = synsets_below(offset)
        if sum(bool(shot.photograph.labels & kinds) for shot in archive.shots) > 1:
            found.append(precision_and_first(archive, word, lambda shot, kinds=kinds: _shows(shot, kinds))[0])  # type: ignore[misc]
    return found


def measure_names(archive: Archive) -> list[bool]:
    """Whether the first hit for a class's own name is the class's shot, for each class shown."""
    names = _names()
    found = []
    for synset in sorted({label for shot in archive.shots for label in shot.photograph.labels}):
        hits = _search(archive, names[synset], 1)
        found.append(any(_shows(shot, {synset}) for shot in _shots(archive, hits[0])))
    return found


def measure_pairs(setup: Setup, seed: int) -> list[bool]:
    """Whether "a dog and a car" finds first what shows a dog beside a car, among what shows one of them."""
    random = np.random.default_rng(seed)
    pictures = setup.pictures()
    folder = setup.folder / f"pairs-{setup.half}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    asked: list[tuple[str, str]] = []
    made: list[Photograph] = []
    while len(made) < PAIRS:
        words = [str(word) for word in random.choice(list(GENERAL), 2, replace=False)]
        kinds = [synsets_below(GENERAL[word]) for word in words]
        choices = [
            [one for one in pictures if one.labels & kinds[side] and not one.labels & kinds[1 - side]]
            for side in (0, 1)
        ]
        if kinds[0] & kinds[1] or not all(choices):
            continue
        two = [choices[side][int(random.integers(len(choices[side])))] for side in (0, 1)]
        path = folder / f"pair-{len(made):03d}.png"
        _paste_side_by_side(two, path)
        made.append(Photograph(path, two[0].labels | two[1].labels))
        asked.append((words[0], words[1]))
    singles = [pictures[int(one)] for one in random.permutation(len(pictures))[:SINGLES_BESIDE_PAIRS]]
    archive = build_archive([*made, *singles], folder, seed=seed)
    found = []
    for first, second in asked:
        hits = _search(archive, f"a {first} and a {second}", 1)
        kinds = [synsets_below(GENERAL[word]) for word in (first, second)]
        found.append(any(all(_shows(shot, one) for one in kinds) for shot in _shots(archive, hits[0])))
    return found


def measure_everyday(archive: Archive) -> list[tuple[float, bool]]:
    """Average precision, and whether the first hit is right, of each word of which something is shown."""
    shown = sorted({label for shot in archive.shots for label in shot.photograph.labels})
    words = {**{label: (label,) for label in shown}, **EVERYDAY}
    return [
        precision_and_first(archive, word, lambda shot, labels=set(labels): _shows(shot, labels))  # type: ignore[misc]
        for word, labels in words.items()
        if set(labels) & set(shown)
    ]


def precision_and_first(archive: Archive, text: str, is_right: IsRight) -> tuple[float, bool]:
    """Average precision over all clips for words, and whether the first is right.

    A clip is right if one of the shots that it covers is.
    """
    hits = _search(archive, text, MAX_LIMIT)
    right = np.array([any(is_right(shot) for shot in _shots(archive, hit)) for hit in hits])
    return average_precision(right), bool(right[0])


def average_precision(right: NDArray[np.bool_]) -> float:
    """The mean of the precision at each right hit, of hits in order; 0 if none is right."""
    ranks = np.flatnonzero(right) + 1
    return float((np.arange(1, len(ranks) + 1) / ranks).mean()) if len(ranks) else 0.0


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


@cache
def _names() -> dict[str, str]:
    from timm.data import ImageNetInfo

    return dict(zip(ImageNetInfo("imagenet-1k").label_names(), class_names(), strict=True))


def _search(archive: Archive, text: str, limit: int) -> tuple[Hit, ...]:
    return SearchEngine(archive.library).search(Query((TextPart(text),)), limit=limit).hits


def _shots(archive: Archive, hit: Hit) -> list[Shot]:
    return archive.shots_in(hit.path, hit.start_seconds, hit.end_seconds)


def _shows(shot: Shot, labels: Collection[str]) -> bool:
    return not shot.photograph.labels.isdisjoint(labels)


def _paste_side_by_side(photographs: list[Photograph], path: Path) -> None:
    """Both side by side in a frame of 4:3: of each the middle, as large as 2:3 allows, not distorted."""
    width, height = 240, 360
    whole = Image.new("RGB", (2 * width, height))
    for side, one in enumerate(photographs):
        with Image.open(one.path) as opened:
            picture = opened.convert("RGB")
        wide = min(picture.width, picture.height * width / height)
        tall = wide * height / width
        left, top = (picture.width - wide) / 2, (picture.height - tall) / 2
        box = (left, top, left + wide, top + tall)
        whole.paste(picture.resize((width, height), Image.Resampling.BILINEAR, box=box), (width * side, 0))
    whole.save(path)
