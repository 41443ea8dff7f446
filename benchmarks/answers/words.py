"""Words: general ones, names of classes, phrases of two things, everyday ones.

What is right comes from WordNet's own database (`benchmarks.answers.kinds`) and from boxes that people drew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.answers.archive import Archive, Photograph, Shot, build_archive
from benchmarks.answers.figures import Measured, measure_mean, measure_share
from benchmarks.answers.kinds import GENERAL, synsets_below
from benchmarks.answers.setup import Setup
from encoders.words.class_names import class_names
from search.hits import Hit
from search.query.engine import SearchEngine
from search.types import MAX_LIMIT, Query, TextPart

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
LEAST_OVERLAP = 0.5
IsRight = Callable[[Shot], bool]


def measure(setup: Setup) -> list[Measured]:
    """The section "words"."""
    general: list[float] = []
    names: list[bool] = []
    moments: list[bool] = []
    pairs: list[bool] = []
    precisions: list[float] = []
    firsts: list[bool] = []
    for seed in range(setup.seeds):
        archive = setup.archive(seed)
        general += measure_general(archive)
        names += measure_names(archive)
        moments += measure_moments(archive)
        if setup.is_whole:
            pairs += measure_pairs(setup, seed)
        everyday = setup.everyday_archive(seed)
        if everyday is not None:
            found = measure_everyday(everyday)
            precisions += [precision for precision, _ in found]
            firsts += [first for _, first in found]
    figures = [
        measure_share("words", "class names, right shot first", names, 0.90),
        measure_share("words", "class names, right moment first at tIoU 0.5", moments, 0.90),
    ]
    if general:
        figures.append(measure_mean("words", "general words, average precision", general, 0.90))
    if pairs:
        figures.append(measure_share("words", "two things side by side, right clip first", pairs, 0.80))
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


def measure_moments(archive: Archive) -> list[bool]:
    """Whether the first moment for a class's own name is one of its shots, at tIoU 0.5."""
    names = _names()
    found = []
    for synset in sorted({label for shot in archive.shots for label in shot.photograph.labels}):
        query = Query((TextPart(names[synset]),))
        hit = SearchEngine(archive.library).search(query, limit=1, group_by="moment").hits[0]
        found.append(
            any(_shows(shot, {synset}) and _overlap(hit, shot) >= LEAST_OVERLAP for shot in archive.shots)
        )
    return found


def _overlap(hit: Hit, shot: Shot) -> float:
    """What two spans share of what they cover together, 0..1."""
    if hit.path != str(shot.path):
        return 0.0
    shared = min(hit.end_seconds, shot.end_seconds) - max(hit.start_seconds, shot.start_seconds)
    whole = max(hit.end_seconds, shot.end_seconds) - min(hit.start_seconds, shot.start_seconds)
    return max(shared, 0.0) / whole


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
        paste_side_by_side(two, path)
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
def _names() -> dict[str, str]:
    from timm.data import ImageNetInfo

    return dict(zip(ImageNetInfo("imagenet-1k").label_names(), class_names(), strict=True))


def _search(archive: Archive, text: str, limit: int) -> tuple[Hit, ...]:
    return SearchEngine(archive.library).search(Query((TextPart(text),)), limit=limit).hits


def _shots(archive: Archive, hit: Hit) -> list[Shot]:
    return archive.shots_in(hit.path, hit.start_seconds, hit.end_seconds)


def _shows(shot: Shot, labels: Collection[str]) -> bool:
    return not shot.photograph.labels.isdisjoint(labels)


def paste_side_by_side(photographs: list[Photograph], path: Path) -> None:
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
